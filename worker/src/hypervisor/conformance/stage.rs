//! Two sites and a VM, and the few things that all cases do with them.

use super::{Hypervisor, HypervisorError, LOOK_EVERY_MS, WAIT_MAX_MS};
use crate::hypervisor::{Call, VmChange};
use muster_core::definition::{Definition, Mode};
use muster_core::ids::{Attempt, EvacuationId, HostName, SiteName, VmId};
use muster_core::reading::{Mark, Seal, Sighting, VmListing};
use muster_core::step::Side;
use muster_core::terms::Tuning;
use muster_core::token::Token;
use std::sync::Arc;
use std::time::Duration;

/// The kinds of VM that the suite asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Its disk is shared, its memory small and quiet: it moves within seconds.
    Quiet,
    /// It dirties its memory so fast that a transfer goes on until it is aborted.
    Endless,
    /// It has a disk of its own.
    LocalDisk,
}

/// What a case works on.
pub struct Stage {
    /// The hypervisors of the site that has the VM.
    pub source: Arc<dyn Hypervisor>,
    /// The other site's.
    pub destination: Arc<dyn Hypervisor>,
    /// The site that has the VM.
    pub source_site: SiteName,
    /// The host that has it.
    pub source_host: HostName,
    /// The other site.
    pub destination_site: SiteName,
    /// A host there, with room for the VM.
    pub destination_host: HostName,
    /// The VM. It runs.
    pub vm: VmId,
    /// Its definition, with autostart on.
    pub definition: Definition,
    /// An evacuation that nobody else uses.
    pub evacuation: EvacuationId,
}

pub(super) type Seen = Result<(), String>;

impl Stage {
    fn side(&self, side: Side) -> (&Arc<dyn Hypervisor>, &HostName) {
        match side {
            Side::Source => (&self.source, &self.source_host),
            Side::Destination => (&self.destination, &self.destination_host),
        }
    }

    pub(super) async fn call(&self, side: Side, change: VmChange) -> Result<(), HypervisorError> {
        let (hypervisor, host) = self.side(side);
        hypervisor.call(Call { vm: self.vm, host: host.clone(), change }).await
    }

    /// A call that must succeed.
    pub(super) async fn must(&self, side: Side, change: VmChange) -> Seen {
        let shown = format!("{change:?}");
        self.call(side, change).await.map_err(|error| format!("the {side} did not do {shown}: {error}"))
    }

    /// A call that must be refused; returns the hypervisor's reason.
    pub(super) async fn must_be_refused(&self, side: Side, change: VmChange) -> Result<String, String> {
        let shown = format!("{change:?}");
        match self.call(side, change).await {
            Err(HypervisorError::Refused { message, .. }) => Ok(message),
            Ok(()) => Err(format!("the {side} did {shown} and should have refused")),
            Err(error) => Err(format!("the {side} should have refused {shown}, and said: {error}")),
        }
    }

    /// What a side's host has of the VM. Fails where another host of the side has something too.
    pub(super) async fn sighting(&self, side: Side) -> Result<Option<Sighting>, String> {
        let (hypervisor, host) = self.side(side);
        let sights = hypervisor.look(&[self.vm]).await.map_err(|error| format!("look at the {side}: {error}"))?;
        let [sight] = sights.as_slice() else {
            return Err(format!("{} answers to a look at one VM", sights.len()));
        };
        match sight.sightings.as_slice() {
            [] => Ok(None),
            [only] if only.host == *host => Ok(Some(only.clone())),
            others => Err(format!("the {side} shows {others:?}")),
        }
    }

    /// What a side's host has of the VM, which must be something.
    pub(super) async fn seen(&self, side: Side) -> Result<Sighting, String> {
        self.sighting(side).await?.ok_or_else(|| format!("the {side} shows nothing of the VM"))
    }

    /// Looks again and again until it fits.
    pub(super) async fn wait_for(
        &self,
        side: Side,
        what: &str,
        fits: impl Fn(&Sighting) -> bool,
    ) -> Result<Sighting, String> {
        let mut waited_ms = 0;
        loop {
            let seen = self.sighting(side).await?;
            match seen {
                Some(sighting) if fits(&sighting) => return Ok(sighting),
                other if waited_ms >= WAIT_MAX_MS => return Err(format!("no {what} at the {side}, but {other:?}")),
                Some(_) | None => {}
            }
            tokio::time::sleep(Duration::from_millis(LOOK_EVERY_MS)).await;
            waited_ms += LOOK_EVERY_MS;
        }
    }

    /// As the source's inventory lists it.
    pub(super) async fn listed_at_source(&self) -> Result<VmListing, String> {
        let inventory = self.source.inventory().await.map_err(|error| error.to_string())?;
        let listed = inventory.vms.into_iter().find(|listed| listed.vm == self.vm && listed.host == self.source_host);
        listed.ok_or_else(|| "the source does not list the VM".to_owned())
    }

    pub(super) fn mark(&self, attempt: Attempt, sequence: u64) -> Mark {
        Mark { evacuation: self.evacuation, attempt, token: Token::new(1, sequence) }
    }

    pub(super) fn placeholder(&self, attempt: Attempt) -> VmChange {
        VmChange::DefinePlaceholder { definition: self.definition.clone(), mark: self.mark(attempt, 1) }
    }

    pub(super) fn seal(&self) -> VmChange {
        VmChange::DefineSealed { reason: "sealed by the suite".to_owned(), seal: Box::new(self.sealed_for()) }
    }

    /// Whose departure its seal says that it serves.
    pub(super) fn sealed_for(&self) -> Seal {
        Seal {
            evacuation: self.evacuation,
            token: Token::new(1, 2),
            mode: Mode::Cold,
            source_site: self.source_site.clone(),
            destination_site: self.destination_site.clone(),
            destination_host: self.destination_host.clone(),
            autostart: true,
        }
    }

    pub(super) fn transfer(&self, attempt: Attempt) -> VmChange {
        VmChange::BeginTransfer {
            destination_site: self.destination_site.clone(),
            destination_host: self.destination_host.clone(),
            definition: self.definition.clone(),
            mark: self.mark(attempt, 2),
            tuning: Tuning::default(),
        }
    }

    pub(super) fn disk_copy(&self, attempt: Attempt) -> VmChange {
        VmChange::BeginDiskCopy {
            destination_site: self.destination_site.clone(),
            destination_host: self.destination_host.clone(),
            mark: self.mark(attempt, 2),
        }
    }

    /// Of what holds no memory.
    pub(super) fn remove(&self, attempt: Attempt) -> VmChange {
        VmChange::Remove { mark: self.mark(attempt, 3), may_hold_memory: false }
    }

    pub(super) fn real(&self, mark: Option<Mark>) -> VmChange {
        VmChange::DefineReal { definition: self.definition.clone(), mark }
    }

    /// What the destination's host says is used of its memory, in MiB.
    pub(super) async fn destination_used_mib(&self) -> Result<u64, String> {
        let inventory = self.destination.inventory().await.map_err(|error| format!("inventory: {error}"))?;
        let listed = inventory.hosts.iter().find(|host| host.host == self.destination_host);
        listed.map(|host| host.used_mib).ok_or_else(|| "the destination's host is not listed".to_owned())
    }
}

/// Fails with what is shown unless it holds.
pub(super) fn hold(holds: bool, what: &str, shown: &impl std::fmt::Debug) -> Seen {
    if holds { Ok(()) } else { Err(format!("{what}; it shows {shown:?}")) }
}
