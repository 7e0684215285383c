//! Each site remembers how far the others' ledgers have come. A ledger that lacks something which was once seen of it, after a
//! log was cut, an old copy came back or an empty file was begun at a wrong path, is whole by itself and untrue: its site is
//! told so by the others, and from then on says nothing more.
//!
//! ```text
//!  one site                                    the other
//!     │  my ledger is at 120; yours I saw at 88  │
//!     │ ────────────────────────────────────────▶│ keeps 120; is 88 in its own?
//!     │  mine is at 90; yours I saw at 117       │
//!     │ ◀────────────────────────────────────────│
//!     keeps 90; is 117 in its own? ───▶ yes: confirmed. no: it stops
//! ```
//! Asked before a site takes work for the first time, whenever a path is proven, and soon after each change. A site that can't
//! be asked stops nothing: then nobody has confirmed this ledger, and whoever reads it is told so. Touches the ledger and the
//! other workers; no hypervisor.

use super::Site;
use crate::error::SiteError;
use crate::peers::{PeerError, must_work};
use futures::future::join_all;
use muster_core::ids::SiteName;
use muster_core::ledger::HighWater;
use muster_proto::convert::{Ledgers, PathProof};
use muster_store::StoreError;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How long the others have to answer before a site takes work for the first time.
pub const FIRST_ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// The pause between two times that a site that answers is told how far this ledger has come.
pub const TELL_EVERY: Duration = Duration::from_secs(1);

/// The pause before a site that did not answer is told again.
pub const TELL_AGAIN_AFTER: Duration = Duration::from_secs(5);

impl Site {
    /// Asks every other site, once and all together, how far it has seen this ledger.
    pub(super) async fn ask_witnesses(&self) {
        let asked = self.others().map(|site| async move {
            // Whoever is silent confirms nothing; it is told again.
            let _ = tokio::time::timeout(FIRST_ANSWER_DEADLINE, self.ask(site)).await;
        });
        join_all(asked).await;
    }

    /// The sites that this one can be told by.
    pub(super) fn others(&self) -> impl Iterator<Item = &SiteName> {
        self.peers.sites().filter(|site| **site != self.name)
    }

    /// Tells a site of each change of this ledger, until the site stops.
    pub(super) async fn keep_telling(self: Arc<Self>, other: SiteName) {
        let mut told = 0;
        while !self.stop.is_cancelled() {
            let changed = async {
                let newest = if self.is_confirmed_by(&other) {
                    self.records.wait_past(told).await?
                } else {
                    self.records.newest()
                };
                self.ask(&other).await?;
                Ok::<_, WitnessError>(newest)
            };
            let pause = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                changed = changed => match changed {
                    Ok(newest) => {
                        told = newest;
                        TELL_EVERY
                    }
                    // A ledger that has stopped has nothing more to tell.
                    Err(WitnessError::Site(_)) => return,
                    Err(WitnessError::Peer(_)) => TELL_AGAIN_AFTER,
                },
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn ask(&self, other: &SiteName) -> Result<PathProof, WitnessError> {
        let ledgers = self.ledgers(other).await?;
        let proof = self.peers.prove_path(&self.name, other, self.env.new_id(), ledgers).await?;
        self.hear_of_ledgers(other, proof.ledgers).await?;
        Ok(proof)
    }

    /// Proves the way to another site's worker, before a transfer depends on it. It is told how far this ledger has come, too.
    pub(super) async fn prove_path(&self, other: &SiteName) -> Result<(), WitnessError> {
        let proof = self.ask(other).await?;
        Ok(must_work(other, &proof)?)
    }

    /// Answers a site that proves the way to here.
    ///
    /// # Errors
    /// The ledger can't be read or written, or lacks what that site has seen of it.
    pub async fn answer_path(&self, other: &SiteName, said: Ledgers) -> Result<Ledgers, SiteError> {
        let known = self.ledgers(other).await?;
        self.hear_of_ledgers(other, said).await?;
        Ok(known)
    }

    async fn ledgers(&self, other: &SiteName) -> Result<Ledgers, SiteError> {
        Ok(Ledgers { own: Some(self.records.high_water().await?), witnessed: self.records.witness(other).await? })
    }

    /// What another site says of both ledgers.
    async fn hear_of_ledgers(&self, other: &SiteName, said: Ledgers) -> Result<(), SiteError> {
        if *other == self.name {
            return Ok(());
        }
        if let Some(seen) = said.witnessed {
            // Read after it was said: what the other has seen was written before.
            let newest = self.records.high_water().await?;
            if newest.lacks(seen, self.records.entry(seen.sequence).await?) {
                let behind = StoreError::Behind { newest: Box::new(newest), seen: Box::new(seen), by: other.clone() };
                self.records.fail(behind.clone());
                return Err(behind.into());
            }
            self.confirmed_by.lock().unwrap_or_else(PoisonError::into_inner).insert(other.clone());
        }
        match said.own {
            Some(high_water) => self.records.keep_witness(other, high_water).await,
            None => Ok(()),
        }
    }

    fn is_confirmed_by(&self, other: &SiteName) -> bool {
        self.confirmed_by.lock().unwrap_or_else(PoisonError::into_inner).contains(other)
    }

    /// The sites that have seen no more of this ledger than it holds, asked since this start.
    #[must_use]
    pub fn confirmed_by(&self) -> BTreeSet<SiteName> {
        self.confirmed_by.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How far this ledger has come.
    ///
    /// # Errors
    /// It can't be read.
    pub async fn high_water(&self) -> Result<HighWater, SiteError> {
        self.records.high_water().await
    }
}

impl WitnessError {
    /// As the failure of what needs the way to that site.
    pub(super) fn of_path_to(self, site: &SiteName) -> SiteError {
        match self {
            WitnessError::Site(error) => error,
            WitnessError::Peer(source) => SiteError::PathUnproven { site: site.clone(), source: Box::new(source) },
        }
    }
}

/// Why a site could not be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum WitnessError {
    /// This site's ledger.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The other site.
    #[error(transparent)]
    Peer(#[from] PeerError),
}
