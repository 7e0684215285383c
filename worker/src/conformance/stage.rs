//! What the cases share: the site, its partner, a pattern for VMs, and what has been done so far.

use super::cases::Case;
use super::play::{Cast, Play};
use super::report::{CaseReport, CaseResult, Report};
use super::wire::{End, Log, Seen, Wire};
use super::{NOWHERE, NotBegun, Restart, Subject};
use muster_core::definition::{Definition, Disk};
use muster_core::env::Env;
use muster_core::ids::{EvacuationId, HostName, RequestId, SiteName, VmId, VmName};
use muster_core::reading::{Instance, Inventory, Stored, VmListing};
use muster_core::token::Token;
use muster_proto::channel::{Counterpart, Dial, SiteAddress, site_client, site_status_at_work};
use muster_proto::convert::SiteStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The stage.
pub(super) struct Stage {
    pub(super) site: Wire,
    pub(super) partner: Option<Wire>,
    pub(super) restart: Option<Restart>,
    pub(super) env: Arc<dyn Env>,
    /// The site that the suite pretends to be.
    pub(super) nowhere: SiteName,
    /// Where the history was when the suite began.
    pub(super) began_at: u64,
    status: SiteStatus,
    address: SiteAddress,
    dial: Arc<dyn Dial>,
    wanted: Option<VmId>,
    log: Arc<Log>,
    kept: Mutex<Kept>,
}

/// What has been done so far.
#[derive(Default)]
struct Kept {
    /// VMs of the suite's own that aren't cleared away yet.
    cast: Vec<Cast>,
    /// Commands that were carried out.
    done: Vec<(VmId, Token)>,
    /// The VM that has arrived at the site, for cases that need one there.
    arrived: Option<Arrived>,
    left: Vec<String>,
}

/// A powered-off VM of the suite's own that the site has.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    pub(super) vm: VmId,
    pub(super) host: HostName,
    pub(super) definition: Definition,
}

impl Stage {
    pub(super) async fn set(subject: Subject) -> Result<Stage, NotBegun> {
        let Subject { dial, dial_as_worker, site: address, partner, vm: wanted, restart, env } = subject;
        let log = Arc::new(Log::default());
        let (mut site, status) = reach(dial.as_ref(), &address, &log).await?;
        site.as_worker = site_client(dial_as_worker.dial(&address, &Counterpart::Worker(None)).await?);
        let partner = match partner {
            Some(address) => Some(reach(dial.as_ref(), &address, &log).await?.0),
            None => None,
        };
        if partner.as_ref().is_some_and(|partner: &Wire| partner.name == site.name) {
            return Err(NotBegun::OwnPartner { site: site.name.to_string() });
        }
        let nowhere = NOWHERE.parse().expect("letters and a dash make a name");
        let began_at = status.newest_sequence;
        let kept = Mutex::default();
        Ok(Stage { site, partner, restart, env, nowhere, began_at, status, address, dial, wanted, log, kept })
    }

    /// What a case's end says, with what was sent and what came in it.
    pub(super) fn report(&self, case: Case, end: Seen) -> CaseReport {
        let (exchanges, exchanges_left_out) = self.log.take();
        let (result, why) = match end {
            Ok(()) => (CaseResult::Passed, None),
            Err(End::Broken(what)) => (CaseResult::Failed, Some(what)),
            Err(End::NotChecked(why)) => (CaseResult::NotChecked, Some(why)),
        };
        let (case, demand) = (case.name(), case.demand());
        CaseReport { case, demand, result, why, exchanges, exchanges_left_out }
    }

    pub(super) fn end(self, cases: Vec<CaseReport>) -> Report {
        let left = std::mem::take(&mut self.kept().left);
        Report { site: self.status.site.to_string(), version: self.status.version, cases, left }
    }

    /// A connection of its own to the site.
    pub(super) async fn another_connection(&self) -> Seen<Wire> {
        let dialled = self.dial.dial(&self.address, &Counterpart::Worker(None)).await;
        let channel = dialled.map_err(|error| End::Broken(format!("a second connection: {error}")))?;
        Ok(Wire { client: site_client(channel), ..self.site.clone() })
    }

    pub(super) fn request(&self) -> RequestId {
        RequestId(self.env.new_id())
    }

    pub(super) fn evacuation(&self) -> EvacuationId {
        EvacuationId(self.env.new_id())
    }

    /// A host of the site that answers, with the most room.
    pub(super) async fn roomiest_host(&self, of: &Wire) -> Seen<HostName> {
        let hosts = of.inventory().await?.hosts;
        let answering = hosts.into_iter().filter(|host| host.answers);
        let roomiest = answering.max_by_key(|host| host.memory_mib.saturating_sub(host.used_mib));
        let none = || End::NotChecked("no host of the site answers".to_owned());
        roomiest.map(|host| host.host).ok_or_else(none)
    }

    /// The VM after which the suite makes its own.
    pub(super) async fn pattern(&self) -> Seen<VmListing> {
        let Inventory { mut vms, .. } = self.site.inventory().await?;
        vms.retain(|listing| listing.stored == Stored::Real);
        let found = match self.wanted {
            Some(wanted) => vms.into_iter().find(|listing| listing.vm == wanted),
            None => vms.into_iter().min_by_key(|listing| {
                let runs = listing.instance == Instance::Running;
                (!runs, listing.definition.disk != Disk::Shared, listing.definition.memory_mib, listing.vm)
            }),
        };
        found.ok_or_else(|| match self.wanted {
            Some(wanted) => End::NotChecked(format!("the site has no VM {wanted} that is its own")),
            None => End::NotChecked("the site has no VM of its own to make others after".to_owned()),
        })
    }

    /// A powered-off VM's definition, like that of the pattern. Whatever its document is written in, the pattern's UUID and name stand
    /// there as they are, between tags or quotes, and become the VM's own.
    pub(super) async fn definition(&self, vm: VmId) -> Seen<Definition> {
        let VmListing { vm: of, definition: pattern, .. } = self.pattern().await?;
        let name: VmName = format!("conformance-{vm}").parse().expect("a word and a UUID make a VM's name");
        let mut document = pattern.document.replace(&of.to_string(), &vm.to_string());
        for (before, after) in [('>', '<'), ('"', '"')] {
            let enclosed = |name: &VmName| format!("{before}{name}{after}");
            document = document.replace(&enclosed(&pattern.name), &enclosed(&name));
        }
        Ok(Definition { name, document, disk: Disk::Shared, autostart: false, tags: Vec::new(), ..pattern })
    }

    /// Remembers a VM, to be cleared away after the case.
    pub(super) fn remember(&self, cast: Cast) {
        self.kept().cast.push(cast);
    }

    /// Remembers that a command was carried out.
    pub(super) fn done(&self, vm: VmId, token: Token) {
        self.kept().done.push((vm, token));
    }

    /// The commands that were carried out so far.
    pub(super) fn all_done(&self) -> Vec<(VmId, Token)> {
        self.kept().done.clone()
    }

    pub(super) fn keep_arrived(&self, arrived: Arrived) {
        self.kept().arrived = Some(arrived);
    }

    pub(super) fn arrived(&self) -> Seen<Arrived> {
        let missing = || End::NotChecked("it needs the VM that the case \"commit\" brings to the site".to_owned());
        self.kept().arrived.clone().ok_or_else(missing)
    }

    /// Remembers what can't be taken back.
    pub(super) fn leave(&self, what: String) {
        self.kept().left.push(what);
    }

    /// Takes back what the case did, as far as the protocol allows.
    pub(super) async fn clear_away(&self) {
        let cast = std::mem::take(&mut self.kept().cast);
        for one in cast {
            if let Err(End::Broken(why) | End::NotChecked(why)) = Box::pin(Play::clear_away(self, &one)).await {
                let Cast { vm, evacuation, .. } = one;
                self.leave(format!("VM {vm} of evacuation {evacuation}: it could not be cleared away: {why}"));
            }
        }
        // What it took to clear away belongs to no case.
        self.log.take();
    }

    /// Waits until something is as wanted.
    pub(super) async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Seen<Option<T>>) -> Seen<T> {
        let waited = tokio::time::timeout(super::WAIT_MAX, async {
            loop {
                if let Some(found) = look().await? {
                    return Ok(found);
                }
                tokio::time::sleep(super::LOOK_EVERY).await;
            }
        });
        waited.await.unwrap_or_else(|_| Err(End::Broken(format!("{what} did not come within {:?}", super::WAIT_MAX))))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who answers at an address, once it takes work.
async fn reach(dial: &dyn Dial, address: &SiteAddress, log: &Arc<Log>) -> Result<(Wire, SiteStatus), NotBegun> {
    let client = site_client(dial.dial(address, &Counterpart::Worker(None)).await?);
    let waits = (super::LOOK_EVERY, super::WORK_DEADLINE);
    let status = site_status_at_work(&client, super::CALL_DEADLINE, waits).await;
    let status = status.map_err(|fault| NotBegun::NoAnswer(Box::new(fault)))?;
    match &status.working {
        Ok(()) => {
            let (name, as_worker, log) = (status.site.clone(), client.clone(), Arc::clone(log));
            Ok((Wire { name, client, as_worker, log }, status))
        }
        Err(because) => {
            let because = because.clone();
            Err(NotBegun::NotWorking { site: status.site.to_string(), because })
        }
    }
}
