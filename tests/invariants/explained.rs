//! Invariant 9, Explained: the journal and the ledgers explain every change that muster made to the world, and by whose
//! order.
//!
//! Red if a ledger's line carries a token of no claim, if a mutation was begun and never ended, if a VM's place changed
//! without the line that says so, or if the journal can't name who ordered it.

use muster_core::definition::{Disk, Mode};
use muster_core::ids::VmId;
use muster_core::ledger::Mutation;
use muster_core::ledger::command::EventKind;
use muster_core::reading::Phase;
use muster_core::token::Epoch;
use muster_proto::v1::MoveState;
use muster_tests::orders::PERSON;
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{CallKind, RuleKind, Trap, Twist};
use std::collections::{BTreeMap, BTreeSet};

async fn holders(stage: &Stage) -> BTreeMap<Epoch, String> {
    let mut holders = BTreeMap::new();
    for line in stage.history(Process::Destination).await {
        if let EventKind::Claimed { epoch, holder, .. } = line.kind {
            holders.insert(epoch, holder.name);
        }
    }
    holders
}

async fn assert_explained(stage: &Stage) {
    let holders = holders(stage).await;
    for process in [Process::Source, Process::Destination] {
        let mut begun: BTreeMap<VmId, Vec<Mutation>> = BTreeMap::new();
        for line in stage.history(process).await {
            if let Some(token) = line.token {
                let holder = holders.get(&token.epoch);
                assert!(holder.is_some_and(|name| !name.is_empty()), "{process:?}: nobody's token: {line:#?}");
            }
            let Some(vm) = line.vm else { continue };
            let open = begun.entry(vm).or_default();
            if let EventKind::MutationBegun { mutation } = line.kind {
                assert!(open.is_empty(), "{process:?}: {mutation:?} while {open:?} was under way");
                assert!(line.token.is_some(), "{process:?}: {mutation:?} by nobody's order");
                open.push(mutation);
            } else if let EventKind::MutationEnded { mutation, .. } = line.kind {
                assert_eq!(open.pop(), Some(mutation), "{process:?}: ended without a begin");
            }
        }
        assert!(begun.values().all(Vec::is_empty), "{process:?}: never ended: {begun:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn ledgers_and_journal_explain_every_change() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let mut vms = BTreeSet::new();
    for number in 0..6 {
        vms.insert(stage.vm(&format!("web-{number}"), Mode::Live, Disk::Shared).await);
    }
    let mut by_name = vms.iter().copied();
    let (failing, lossy) = (by_name.next().expect("a VM"), by_name.next().expect("a VM"));
    stage.start_orchestrator(None).await;
    stage.rule(failing, 1_000, RuleKind::Phase(Phase::PreCopy, Trap::Fail("a broken cable".to_owned()))).await;
    stage.rule(lossy, 3, RuleKind::Call(Some(CallKind::DefineSealed), Twist::LoseReply)).await;
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    for process in [Process::Destination, Process::Orchestrator] {
        stage.kill(process);
        match process {
            Process::Orchestrator => drop(stage.start_orchestrator(None).await),
            Process::Source | Process::Destination | Process::Caller => {
                stage.start_worker(process, None).await;
            }
        }
    }
    let moves = stage.until_finished(evacuation).await;
    assert_explained(&stage).await;

    let audit = stage.audit().await;
    let named = |record: &str| audit.iter().filter(|line| line.record == record).collect::<Vec<_>>();
    assert_eq!(named("ordered").len(), 1);
    assert_eq!(named("ordered")[0].by, PERSON);
    assert!(audit.iter().all(|line| !line.by.is_empty() && line.evacuation == evacuation.to_string()));
    assert_eq!(named("claimed").len(), holders(&stage).await.len(), "each claim stands in both");
    for vm in &vms {
        let of_vm: Vec<_> = audit.iter().filter(|line| line.vm == vm.to_string()).map(|line| &*line.record).collect();
        for record in ["move_planned", "step_intended", "settled"] {
            assert!(of_vm.contains(&record), "{record} is missing of {vm}: {of_vm:?}");
        }
        // Whoever moved must be found in the destination's ledger, whoever stayed must not.
        let events = stage.history_of(Process::Destination, *vm).await;
        let arrived = events.iter().any(|line| matches!(line.kind, EventKind::Completed { .. }));
        assert_eq!(arrived, moves[vm].state() == MoveState::Migrated, "{events:#?}");
        let truth = stage.truth_of(*vm).await;
        assert_eq!(arrived, truth.runs_on()[0].0 == stage.destination, "{truth:#?}");
        assert_eq!(moves[vm].ordered_by, PERSON);
    }
    // Every command that a site wrote down was intended in the journal before, token and all.
    let intended: BTreeSet<String> = named("step_intended").iter().map(|line| line.detail_json.clone()).collect();
    for process in [Process::Source, Process::Destination] {
        for line in stage.history(process).await {
            let is_command = !line.is_of_claims() && !matches!(line.kind, EventKind::Enrolled { .. });
            let (Some(token), true) = (line.token, is_command) else { continue };
            let token = serde_json::to_string(&token).expect("JSON");
            assert!(intended.iter().any(|detail| detail.contains(&token)), "{process:?}: unannounced: {line:#?}");
        }
    }
    stage.assert_ended_right(evacuation).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_recovery_did_and_what_was_sworn_stands_at_the_destination() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    let mut hand = stage.by_hand("a hand", &[(vm, Mode::Live)]).await;
    hand.transferred(vm).await;
    let mut order = stage.recover_order(true);
    order.by = "somebody".to_owned();
    order.hosts_fenced = vec![(stage.source_host(2), "its plug is in my hand".to_owned())];
    stage.recover_as(&order, true).await;
    assert_explained(&stage).await;
    assert_eq!(holders(&stage).await.into_values().collect::<Vec<_>>(), ["a hand", "somebody"]);
    let history = stage.history(Process::Destination).await;
    let (why, who) = ("its plug is in my hand", "somebody");
    let is_sworn =
        |kind: &EventKind| matches!(kind, EventKind::Asserted { reason, by, .. } if reason == why && by == who);
    let sworn = history.iter().any(|line| is_sworn(&line.kind));
    assert!(sworn, "{history:#?}");
}
