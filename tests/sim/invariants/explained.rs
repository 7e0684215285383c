//! Invariant 9, Explained: the journal and the ledgers explain every change that muster made to the world, and by whose order.
//!
//! Every token belongs to a claim with a holder's name; every command of an orchestrator stood in its journal before it stood
//! in a ledger; nobody but muster touches a definition here, so none has to be made inert again; no two mutations of a VM overlap at a site; and no call that makes something run, move or vanish goes to a
//! hypervisor without its intent in the ledger.

use super::{Doing, Story};
use muster_core::claim::HolderKind;
use muster_core::evacuation::JournalKind;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::Mutation;
use muster_core::ledger::command::EventKind;
use muster_core::token::{Epoch, Token};
use muster_tests::Process;
use muster_tests::history::is_of_claims;
use muster_tests::trace::{Entry, What};
use muster_worker::hypervisor::VmChange;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn breaches(story: &Story<'_>) -> Vec<String> {
    let mut breaches = by_whose_order(story.entries);
    breaches.extend(by_which_intent(story));
    breaches
}

fn by_whose_order(entries: &[Entry]) -> Vec<String> {
    let mut holders: BTreeMap<(EvacuationId, Epoch), HolderKind> = BTreeMap::new();
    let mut intended: BTreeSet<(VmId, Token)> = BTreeSet::new();
    let mut climbing: BTreeSet<(EvacuationId, VmId)> = BTreeSet::new();
    let mut breaches = Vec::new();
    for entry in entries {
        match &entry.what {
            What::Journaled(_, record) => {
                if let (Some(vm), JournalKind::StepIntended { token, .. }) = (record.vm, &record.kind) {
                    intended.insert((vm, *token));
                } else if let (Some(vm), JournalKind::RungTaken { .. }) = (record.vm, &record.kind) {
                    climbing.insert((record.evacuation, vm));
                }
            }
            What::Wrote(_, event) => {
                if let (Some(evacuation), EventKind::Claimed { epoch, holder, .. }) = (event.evacuation, &event.kind)
                    && !holder.name.is_empty()
                {
                    holders.insert((evacuation, *epoch), holder.kind);
                }
                let (Some(evacuation), Some(vm), Some(token)) = (event.evacuation, event.vm, event.token) else {
                    continue;
                };
                // A running transfer is adjusted by a rung of the ladder, which the journal names instead of a step.
                let is_adjusted = matches!(event.kind, EventKind::MutationBegun { mutation: Mutation::Adjust })
                    && climbing.contains(&(evacuation, vm));
                let is_command =
                    !is_adjusted && !is_of_claims(&event.kind) && !matches!(event.kind, EventKind::Enrolled { .. });
                match holders.get(&(evacuation, token.epoch)) {
                    None => breaches.push(format!("nobody's token: {entry}")),
                    Some(HolderKind::Orchestrator) if is_command && !intended.contains(&(vm, token)) => {
                        breaches.push(format!("not journaled before: {entry}"));
                    }
                    Some(HolderKind::Orchestrator | HolderKind::Recovery) => {}
                }
            }
            What::Called(_) | What::Answered(..) | What::Noted(_) => {}
        }
    }
    breaches
}

fn by_which_intent(story: &Story<'_>) -> Vec<String> {
    let mut open: BTreeMap<(Process, VmId), Mutation> = BTreeMap::new();
    let mut closed: BTreeSet<(EvacuationId, VmId)> = BTreeSet::new();
    let mut breaches = Vec::new();
    for step in story.steps() {
        let of = (step.entry.process, step.vm);
        match step.doing {
            Doing::Writes(event) => {
                if let EventKind::MutationBegun { mutation } = event.kind {
                    if let Some(other) = open.insert(of, mutation) {
                        breaches.push(format!("while {other:?} was under way: {}", step.entry));
                    }
                } else if let EventKind::DestinationClosed { .. } = event.kind {
                    closed.insert((step.evacuation, step.vm));
                } else if event.kind == EventKind::MadeInertAgain {
                    breaches.push(format!("nobody here makes anything startable: {}", step.entry));
                } else if let EventKind::MutationEnded { mutation, .. } = event.kind
                    && open.remove(&of) != Some(mutation)
                {
                    breaches.push(format!("ended without a begin: {}", step.entry));
                }
            }
            Doing::Calls(call) => {
                // What given-up attempts left and what somebody made startable is put right without an order; memory only
                // once the move is over.
                let needs_none = match &call.change {
                    VmChange::Remove { may_hold_memory: true, .. } => closed.contains(&(step.evacuation, step.vm)),
                    VmChange::Remove { may_hold_memory: false, .. }
                    | VmChange::DefineSealed { .. }
                    | VmChange::DefineRetired { .. } => true,
                    VmChange::DefinePlaceholder { .. }
                    | VmChange::DefineReal { .. }
                    | VmChange::BeginTransfer { .. }
                    | VmChange::BeginDiskCopy { .. }
                    | VmChange::AbortJob
                    | VmChange::AdjustJob { .. }
                    | VmChange::ShutDown
                    | VmChange::Start
                    | VmChange::Resume
                    | VmChange::DeleteRetired => false,
                };
                if !needs_none && !open.contains_key(&of) {
                    breaches.push(format!("no intent stands: {}", step.entry));
                }
            }
            Doing::IsAnswered => {}
        }
    }
    breaches
}
