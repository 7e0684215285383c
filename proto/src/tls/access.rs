//! Who makes a call, told from its connection. What the caller may do is for each service's own table.

use super::{Certified, Peer};
use crate::status::status;
use muster_core::class::Class;
use muster_core::party::Party;
use muster_core::time::Timestamp;
use std::sync::Arc;
use tonic::{Request, Status};

/// Reason of a call whose connection names nobody.
pub const NO_IDENTITY: &str = "NO_IDENTITY";

/// Reason of a call under a certificate that has expired since its connection was made.
pub const CERTIFICATE_EXPIRED: &str = "CERTIFICATE_EXPIRED";

/// Reason of a call that its caller may not make.
pub const NOT_PERMITTED: &str = "NOT_PERMITTED";

/// How a service is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// From this machine alone, without certificates: whoever can connect may do everything.
    Open,
    /// With certificates: who names nobody may do nothing.
    Certified,
}

/// Who makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bearer {
    /// Whoever can connect, where access is open.
    Anybody,
    /// Who its certificate says.
    Known(Party),
}

impl Access {
    /// The access that goes with having a certificate, or none.
    #[must_use]
    pub fn with(certificate: bool) -> Self {
        if certificate { Access::Certified } else { Access::Open }
    }

    /// Who makes this call.
    ///
    /// # Errors
    /// `NO_IDENTITY`, `CERTIFICATE_EXPIRED`.
    pub fn bearer<T>(self, request: &Request<T>, now: Timestamp) -> Result<Bearer, Status> {
        match self {
            Access::Open => Ok(Bearer::Anybody),
            Access::Certified => known(request.extensions().get::<Peer>(), now),
        }
    }
}

fn known(peer: Option<&Peer>, now: Timestamp) -> Result<Bearer, Status> {
    let Some(certified): Option<&Arc<Certified>> = peer.and_then(|peer| peer.certified.as_ref()) else {
        let message =
            "the certificate of this connection names nobody that muster knows; issue one with \"muster pki issue\"";
        return Err(status(Class::Refused, NO_IDENTITY, message));
    };
    if certified.has_expired(now) {
        let message = format!("the certificate of {} has expired; issue it anew and connect again", certified.party);
        return Err(status(Class::Refused, CERTIFICATE_EXPIRED, &message));
    }
    Ok(Bearer::Known(certified.party.clone()))
}

/// The status of a call that its caller may not make; `what` says what would be needed.
#[must_use]
pub fn not_permitted(party: &Party, what: &str) -> Status {
    status(Class::Refused, NOT_PERMITTED, &format!("{party} may not do this: {what}"))
}
