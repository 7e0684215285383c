//! Writing the roll: every VM of the evacuation, durable at the destination before it is at the source, and at both before
//! the first move.

use super::{AGAIN_AFTER_MIN, Driver, Way, all_moves, is_over};
use crate::error::OrchestratorError;
use crate::parts::Pair;
use muster_core::class::Class;
use muster_core::evacuation::{EvacuationStatus, JournalKind, JournalRecord, MoveStatus};
use muster_core::evidence::ArrivalKind;
use muster_core::ids::{VmId, clip};
use muster_core::ledger::RollEntry;
use muster_core::reading::{Inventory, VmListing};
use muster_core::runbook::Runbook;
use muster_core::step::{Action, Hold, Side};
use muster_core::token::Epoch;
use muster_core::verdict::Verdict;
use muster_proto::convert::SiteFailure;
use muster_recovery::error::LinkError;
use std::collections::{BTreeMap, BTreeSet};

/// What became of the roll at one site.
enum Written {
    /// It stands there, but for those that were refused.
    Yes(Vec<(VmId, SiteFailure)>),
    /// Somebody newer acts.
    Superseded,
    /// It was called off, and the site doesn't answer: what is on no roll has nothing to undo there.
    CalledOff,
    Stopped,
}

/// The roll's entries, or why there are none.
enum Entries {
    /// These, and those that can't be made since the VM isn't listed at the source, each with why.
    Made(Vec<RollEntry>, BTreeMap<VmId, String>),
    /// It was called off, and without the source there are no definitions.
    CalledOff,
    Stopped,
}

impl Driver {
    pub(super) async fn enrol(&mut self, pair: &Pair, epoch: Epoch) -> Result<Way, OrchestratorError> {
        let moves = all_moves(self.house.journal().as_ref(), self.evacuation).await?;
        let wanted: BTreeMap<VmId, &MoveStatus> = moves
            .iter()
            .filter(|a_move| !is_over(a_move.state))
            .filter(|a_move| !self.roll_is_written || self.to_enrol.contains(&a_move.planned.vm))
            .map(|a_move| (a_move.planned.vm, a_move))
            .collect();
        if wanted.is_empty() && self.roll_is_written {
            return Ok(Way::On);
        }
        let (mut entries, missing) = match self.entries(pair, &wanted).await? {
            Entries::Made(entries, missing) => (entries, missing),
            Entries::CalledOff => return Ok(Way::On),
            Entries::Stopped => return Ok(Way::Stopped),
        };
        self.hold_unenrolled(&missing).await?;
        for (side, site) in [(Side::Destination, &pair.destination), (Side::Source, &pair.source)] {
            match self.write_roll(pair, side, site, epoch, &entries).await? {
                Written::Yes(refused) => {
                    let refused: BTreeMap<VmId, String> =
                        refused.into_iter().map(|(vm, failure)| (vm, format!("{side}: {failure}"))).collect();
                    entries.retain(|entry| !refused.contains_key(&entry.vm));
                    self.hold_unenrolled(&refused).await?;
                }
                Written::Superseded => return Ok(Way::ClaimAgain),
                Written::CalledOff => return Ok(Way::On),
                Written::Stopped => return Ok(Way::Stopped),
            }
        }
        if !self.roll_is_written {
            self.pen.write(vec![self.pen.line(JournalKind::RollWritten)]).await?;
        }
        self.roll_is_written = true;
        self.to_enrol = BTreeSet::new();
        self.roll = None;
        Ok(Way::On)
    }

    /// Writes it at one site, however often it takes.
    async fn write_roll(
        &self,
        pair: &Pair,
        side: Side,
        site: &muster_recovery::link::SiteLink,
        epoch: Epoch,
        entries: &[RollEntry],
    ) -> Result<Written, OrchestratorError> {
        let mut left: Vec<RollEntry> = entries.to_vec();
        let mut refused = Vec::new();
        let mut wait = AGAIN_AFTER_MIN;
        loop {
            match site.write_roll(side, epoch, &left).await {
                Ok(answers) => {
                    let mut again = BTreeSet::new();
                    for (vm, failure) in answers {
                        match failure.class {
                            _ if failure.reason == "BELOW_FLOOR" => return Ok(Written::Superseded),
                            Class::Retry | Class::Unknown => {
                                again.insert(vm);
                            }
                            Class::Refused | Class::Bug => refused.push((vm, failure)),
                        }
                    }
                    left.retain(|entry| again.contains(&entry.vm));
                    if left.is_empty() {
                        self.seat.trouble(None);
                        return Ok(Written::Yes(refused));
                    }
                }
                Err(error) => {
                    self.seat.trouble(Some(format!("the roll can't be written: {error}")));
                    if side == Side::Source && self.status().await?.cancelled {
                        return Ok(Written::CalledOff);
                    }
                }
            }
            if !self.sleep_or_news(&mut wait, pair).await {
                return Ok(Written::Stopped);
            }
        }
    }

    /// The entries of these moves.
    async fn entries(
        &mut self,
        pair: &Pair,
        wanted: &BTreeMap<VmId, &MoveStatus>,
    ) -> Result<Entries, OrchestratorError> {
        if let Some(roll) = &self.roll {
            let entries = roll.iter().filter(|entry| wanted.contains_key(&entry.vm)).cloned().collect();
            return Ok(Entries::Made(entries, BTreeMap::new()));
        }
        let status = self.status().await?;
        let runbook = Runbook::parse(&status.runbook).map_err(|mistakes| OrchestratorError::Runbook { mistakes })?;
        let began = self.house.env().now();
        let mut wait = AGAIN_AFTER_MIN;
        loop {
            let found: Result<Inventory, LinkError> = pair.source.inventory().await;
            match found {
                Ok(inventory) => {
                    let may_be_there = silent_hosts(wanted, &inventory);
                    // A silent host is waited for, but not for ever: it must not stop the others.
                    let waited_ms = self.house.env().now().since_ms(began);
                    if may_be_there.is_empty() || waited_ms >= runbook.deadlines.silence_ms {
                        return Ok(entries_of(&status, wanted, &inventory));
                    }
                    let trouble = format!("the roll can't be made: hosts don't answer: {}", may_be_there.join(", "));
                    self.seat.trouble(Some(trouble));
                }
                Err(error) => self.seat.trouble(Some(format!("the roll can't be made: {error}"))),
            }
            if self.status().await?.cancelled {
                return Ok(Entries::CalledOff);
            }
            if !self.sleep_or_news(&mut wait, pair).await {
                return Ok(Entries::Stopped);
            }
        }
    }

    /// Holds those that are on no roll, each with what stood in its way.
    async fn hold_unenrolled(&self, why: &BTreeMap<VmId, String>) -> Result<(), OrchestratorError> {
        let records = why.iter().flat_map(|(vm, error)| {
            let action = Action::OpenAttempt(ArrivalKind::Transfer);
            let error = clip(&format!("not taken onto the roll: {error}"));
            let (hold, verdict) = (Hold::NotOnRoll, Verdict::NotStarted);
            let held = JournalKind::Held { hold, verdict, error: Some(error.clone()) };
            [
                self.pen.about(*vm, JournalKind::StepFailed { action, token: None, attempt: None, error }),
                self.pen.about(*vm, held),
            ]
        });
        let records: Vec<JournalRecord> = records.collect();
        Ok(self.pen.write(records).await?)
    }
}

/// The hosts that don't answer, if any of these VMs is not listed and so may be on one of them.
fn silent_hosts<'i>(wanted: &BTreeMap<VmId, &MoveStatus>, inventory: &'i Inventory) -> Vec<&'i str> {
    let listed: BTreeSet<VmId> = inventory.vms.iter().map(|listing| listing.vm).collect();
    if wanted.keys().all(|vm| listed.contains(vm)) {
        return Vec::new();
    }
    inventory.hosts.iter().filter(|host| !host.answers).map(|host| host.host.as_str()).collect()
}

fn entries_of(status: &EvacuationStatus, wanted: &BTreeMap<VmId, &MoveStatus>, inventory: &Inventory) -> Entries {
    let listed: BTreeMap<VmId, &VmListing> = inventory.vms.iter().map(|listing| (listing.vm, listing)).collect();
    // Silent is not absent.
    let missing_because = match silent_hosts(wanted, inventory).as_slice() {
        [] => format!("it is not at {} any more", status.source_site),
        silent => {
            format!("it is not listed at {}, where hosts don't answer: {}", status.source_site, silent.join(", "))
        }
    };
    let mut entries = Vec::new();
    let mut missing = BTreeMap::new();
    for (vm, a_move) in wanted {
        match listed.get(vm) {
            Some(listing) => entries.push(RollEntry {
                evacuation: status.id,
                vm: *vm,
                mode: a_move.planned.mode,
                source_site: status.source_site.clone(),
                destination_site: status.destination_site.clone(),
                destination_host: a_move.planned.destination_host.clone(),
                definition: listing.definition.clone(),
            }),
            None => {
                missing.insert(*vm, missing_because.clone());
            }
        }
    }
    Entries::Made(entries, missing)
}
