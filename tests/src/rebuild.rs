//! A ledger that is gone, and made anew as `muster ledger rebuild` does it.

use crate::stage::{Process, Stage};
use muster_core::ids::SiteName;
use muster_core::ledger::rebuild::{Rebuilt, Traces, commands, rebuild};
use muster_recovery::rolls::{Known, known_at};
use muster_store::Ledger;
use muster_store::memory::{LedgerDisk, MemoryLedger};
use muster_worker::hypervisor::sim::direct::DirectHypervisors;
use muster_worker::traces::look_around;

impl Stage {
    /// The ledger of a worker that is dead is lost, and made anew from what hypervisors show, and from the other site's ledger
    /// where `with_rolls`.
    ///
    /// # Panics
    /// If it can't be made, which is the test's own fault.
    pub async fn rebuild_ledger(&mut self, process: Process, with_rolls: bool) -> Rebuilt {
        let (site, other, peer) = match process {
            Process::Destination => (self.destination.clone(), self.source.clone(), Process::Source),
            Process::Source | Process::Orchestrator | Process::Caller => {
                (self.source.clone(), self.destination.clone(), Process::Destination)
            }
        };
        let known = if with_rolls {
            let link = self.link(peer).await;
            known_at(&link).await.expect("the other ledger")
        } else {
            Known::default()
        };
        let rebuilt = self.known_again(&site, &other, &known).await;
        let disk = LedgerDisk::new("rebuilt.ledger");
        let ledger = MemoryLedger::open(&disk).expect("a new disk");
        let now = self.caller_env().now();
        for receipt in ledger.execute(commands(now, &rebuilt.rows)).await.expect("a new ledger") {
            receipt.expect("none can be refused");
        }
        drop(ledger);
        self.ledgers.insert(process, disk);
        rebuilt
    }

    async fn known_again(&mut self, site: &SiteName, from: &SiteName, known: &Known) -> Rebuilt {
        let hypervisors = DirectHypervisors::new(self.world.clone(), site.clone());
        let seen = look_around(&hypervisors).await.expect("the world");
        let (inventory, sights, now) = (&seen.inventory, &seen.sights, self.caller_env().now());
        let Known { rolls, moved } = known;
        rebuild(&Traces { site, from: Some(from), inventory, sights, rolls, moved, now })
    }
}
