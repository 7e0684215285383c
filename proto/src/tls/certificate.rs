//! What a certificate says: who its bearer is, and until when. Its signature is rustls's to check; nothing here does.

use super::TlsError;
use muster_core::ids::clip;
use muster_core::party::Party;
use muster_core::time::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What identities begin with, among whatever else a certificate names.
const SCHEME: &str = "muster:";

/// The bearer of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// Who it is.
    pub party: Party,
    /// The certificate isn't valid any more after this.
    pub not_after: Timestamp,
}

impl Certified {
    /// What a certificate says.
    ///
    /// # Errors
    /// It can't be read, or carries no identity, or several.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, TlsError> {
        let not_certificate = |what: &dyn std::fmt::Display| TlsError::NotCertificate { what: clip(&what.to_string()) };
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| not_certificate(&error))?;
        let names = parsed.subject_alternative_name().map_err(|error| not_certificate(&error))?;
        let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
        let identities: Vec<&str> = names.iter().filter_map(identity).collect();
        let [identity] = identities.as_slice() else {
            return Err(TlsError::NotOneIdentity { found: identities.len() });
        };
        let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        Ok(Certified { party: identity.parse()?, not_after: Timestamp(seconds.saturating_mul(1_000)) })
    }

    /// Whether it isn't valid any more.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        now.0 > self.not_after.0
    }
}

fn identity<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    if let GeneralName::URI(uri) = name { Some(*uri).filter(|uri| uri.starts_with(SCHEME)) } else { None }
}
