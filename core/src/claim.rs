//! Who may act on an evacuation, and what a person has sworn to about it. Lives in the destination's ledger.

use crate::ids::{HostName, clip};
use crate::time::Timestamp;
use crate::token::Epoch;
use serde::{Deserialize, Serialize};

/// Who claims.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// The name it goes by in records.
    pub name: String,
    /// What it is.
    pub kind: HolderKind,
}

impl Holder {
    /// A holder whose name is fit to be stored.
    #[must_use]
    pub fn new(name: &str, kind: HolderKind) -> Self {
        Holder { name: clip(name), kind }
    }
}

/// What kind of actor holds a claim. A recovery's claim is never taken over by an orchestrator on its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HolderKind {
    /// The daemon that runs evacuations.
    Orchestrator,
    /// A `muster recover --apply`, ordered by a person.
    Recovery,
}

/// The standing of an evacuation at the destination's ledger: the latest claim, and what was asserted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Claims {
    /// The greatest epoch ever given out; zero before the first claim.
    pub epoch: Epoch,
    /// Who holds it now; none before the first claim and after a release.
    pub holder: Option<Holder>,
    /// What people have sworn to, oldest first.
    pub assertions: Vec<Assertion>,
}

/// A statement by a person that no reading could give: that something which doesn't answer can't be running.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Assertion {
    /// What is fenced.
    pub fenced: Fenced,
    /// Why the person is sure.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// When, by the ledger's worker's clock.
    pub at: Timestamp,
}

/// What an assertion covers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Fenced {
    /// The whole source site: powered off or cut from all storage, until a person says otherwise.
    Source,
    /// One host, of either site.
    Host(HostName),
}

impl Claims {
    /// Whether somebody has sworn that the whole source site is fenced.
    #[must_use]
    pub fn source_is_fenced(&self) -> bool {
        self.assertions.iter().any(|assertion| matches!(assertion.fenced, Fenced::Source))
    }

    /// Whether somebody has sworn that this host is fenced.
    #[must_use]
    pub fn host_is_fenced(&self, host: &HostName) -> bool {
        self.assertions.iter().any(|assertion| match &assertion.fenced {
            Fenced::Source => false,
            Fenced::Host(fenced) => fenced == host,
        })
    }
}
