//! What goes wrong at libvirt, and what that means for whoever asked.

use super::document::DocumentError;
use crate::hypervisor::HypervisorError;
use muster_core::ids::{HostName, VmId, clip};
use muster_libvirt::virt::error::{Error, ErrorNumber};

/// Why a piece of work on a host came to nothing, before it is told in the seam's words.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// libvirt's own error.
    #[error("{}", .0.message())]
    Libvirt(#[from] Error),
    /// A document that can't be worked with.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// It must not be done as things stand.
    #[error("{0}")]
    Refused(String),
    /// It could not be done; nothing is left of it.
    #[error("{0}")]
    Failed(String),
    /// A job is on the VM.
    #[error("a job is on it")]
    Busy,
    /// The state would not hold still while it was read.
    #[error("it changes faster than it can be read")]
    Unsettled,
}

impl Trouble {
    /// In the seam's words. Of a connection that has broken nothing is known, whatever the error says.
    pub(super) fn told(&self, host: &HostName, vm: VmId, is_connected: bool) -> HypervisorError {
        let (host, message) = (host.clone(), clip(&self.to_string()));
        match self {
            Trouble::Busy => HypervisorError::Busy { vm },
            Trouble::Refused(_) | Trouble::Document(_) => HypervisorError::Refused { host, message },
            Trouble::Failed(_) => HypervisorError::Failed { host, message },
            Trouble::Unsettled => HypervisorError::HostSilent { host, message },
            Trouble::Libvirt(_) if !is_connected => HypervisorError::HostSilent { host, message },
            Trouble::Libvirt(error) => match kind(error) {
                Kind::Busy => HypervisorError::Busy { vm },
                Kind::Refused => HypervisorError::Refused { host, message },
                Kind::Silent => HypervisorError::HostSilent { host, message },
                Kind::Failed => HypervisorError::Failed { host, message },
            },
        }
    }
}

/// Whether libvirt says that there is no such domain.
pub(super) fn is_no_domain(error: &Error) -> bool {
    error.code().is_known_and(|code| code == ErrorNumber::NoDomain)
}

/// Whether libvirt says that there is no such volume.
pub(super) fn is_no_volume(error: &Error) -> bool {
    error.code().is_known_and(|code| code == ErrorNumber::NoStorageVolume)
}

/// Whether libvirt says that a domain's job can't be asked about, as of one that is being taken in.
pub(super) fn is_unasked(error: &Error) -> bool {
    error.code().is_known_and(|code| matches!(code, ErrorNumber::OperationInvalid | ErrorNumber::OperationUnsupported))
}

enum Kind {
    Busy,
    Refused,
    Silent,
    Failed,
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "libvirt has a hundred codes and adds more; what isn't known, failed"
)]
fn kind(error: &Error) -> Kind {
    if error.code().is_unknown() {
        return Kind::Failed;
    }
    match error.code().unwrap_or(ErrorNumber::InternalError) {
        // Another call holds the domain, and libvirt has given up waiting for it.
        ErrorNumber::OperationTimeout | ErrorNumber::ResourceBusy => Kind::Busy,
        ErrorNumber::Rpc => Kind::Silent,
        ErrorNumber::NoDomain
        | ErrorNumber::OperationInvalid
        | ErrorNumber::OperationDenied
        | ErrorNumber::OperationUnsupported
        | ErrorNumber::AccessDenied
        | ErrorNumber::ConfigUnsupported
        | ErrorNumber::ArgumentUnsupported
        | ErrorNumber::InvalidArg
        | ErrorNumber::DomExist
        | ErrorNumber::XmlError
        | ErrorNumber::XmlDetail
        | ErrorNumber::XmlInvalidSchema
        | ErrorNumber::MigrateUnsafe
        | ErrorNumber::CpuIncompatible
        | ErrorNumber::NoSupport => Kind::Refused,
        _ => Kind::Failed,
    }
}
