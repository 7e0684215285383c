//! Orders that change an evacuation's course.

use crate::stage::{Stage, assert_sound, host, is_as_before, runbook, runs_at, site, vm};
use muster_core::reading::Phase;
use muster_core::step::Side;
use muster_proto::status::Fault;
use muster_proto::v1 as pb;
use muster_worker::hypervisor::sim::world::{Deed, Fault as WorldFault, Rule, RuleKind, Trap};
use std::time::Duration;

fn change(stage: &mut Stage, evacuation: &pb::Evacuation) -> pb::ChangeEvacuationRequest {
    pb::ChangeEvacuationRequest {
        request_id: stage.request_id(),
        evacuation: evacuation.evacuation.clone(),
        ordered_by: "the test".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_evacuation_starts_nothing_new_also_after_a_restart() {
    let mut stage = Stage::set(6).await;
    let begun = stage.create_evacuation(&runbook("limits.total = 2")).await;
    stage.until(|evacuation| evacuation.counts.unwrap().moving > 0).await;
    let pause = change(&mut stage, &begun);
    let paused = stage.client().await.pause_evacuation(pause.clone()).await.unwrap().into_inner();
    assert_eq!(paused.state(), pb::EvacuationState::Paused);
    // Repeated, it is the same order.
    stage.client().await.pause_evacuation(pause.clone()).await.unwrap();
    let waiting = stage.until(|evacuation| evacuation.counts.unwrap().moving == 0).await.counts.unwrap();
    assert!(waiting.waiting > 0 && waiting.migrated > 0, "{waiting:?}");
    stage.restart_orchestrator().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(stage.evacuation().await.counts.unwrap(), waiting);

    let resume = change(&mut stage, &begun);
    let reused = pb::ChangeEvacuationRequest { request_id: pause.request_id, ..resume.clone() };
    let refused = stage.client().await.resume_evacuation(reused).await.unwrap_err();
    assert_eq!(Fault::from(&refused).reason, "REQUEST_ID_REUSED");
    stage.client().await.resume_evacuation(resume).await.unwrap();
    stage.until_finished().await;
    stage.assert_all_run_at(Side::Destination).await;
    let late = change(&mut stage, &begun);
    let refused = stage.client().await.pause_evacuation(late).await.unwrap_err();
    assert_eq!(Fault::from(&refused).reason, "FINISHED");
}

#[tokio::test(start_paused = true)]
async fn what_has_not_arrived_goes_back_when_it_is_cancelled() {
    let mut stage = Stage::set(8).await;
    // One that stands still in its transfer has to be turned back.
    let stall = RuleKind::Phase(Phase::PreCopy, Trap::Hold);
    stage.world.inject(WorldFault::once(vm(3), stall)).await.unwrap();
    let begun = stage.create_evacuation(&runbook("limits.total = 4")).await;
    stage.until(|evacuation| evacuation.counts.unwrap().migrated >= 2).await;
    let cancel = change(&mut stage, &begun);
    assert!(stage.client().await.cancel_evacuation(cancel).await.unwrap().into_inner().cancelled);
    let finished = stage.until_finished().await.counts.unwrap();
    assert_eq!(finished.migrated + finished.stayed_at_source, 8);
    assert!(finished.migrated >= 2 && finished.stayed_at_source >= 1, "{finished:?}");
    let truths = stage.truth().await;
    let back = truths.iter().filter(|truth| runs_at(truth) == [site(Side::Source)]).count();
    assert_eq!(back, finished.stayed_at_source as usize);
    for truth in &truths {
        assert_sound(truth);
        assert!(runs_at(truth) == [site(Side::Destination)] || is_as_before(truth), "{truth:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_vm_holds_up_nobody_and_goes_on_by_itself_once_it_can() {
    let mut stage = Stage::set(4).await;
    stage.world.inject(WorldFault::once(vm(0), RuleKind::Phase(Phase::PreCopy, Trap::Hold))).await.unwrap();
    let waves = "name = \"leave\"\nsource.site = \"source\"\ndestination.site = \"destination\"\n\
        [[wave]]\nname = \"first\"\n[[wave.select]]\nnames = [\"vm-0\"]\n\
        [[wave]]\nname = \"second\"\n[[wave.select]]\nall = true\nexcept.names = [\"vm-0\"]\n";
    stage.create_evacuation(waves).await;
    while stage.moves().await[0].phase != "pre-copy" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    by_hand(&stage, 1, Deed::ShutDown).await;
    stage.world.inject(WorldFault::ReleaseTransfers(None)).await.unwrap();
    let others = stage.until(|evacuation| evacuation.counts.unwrap().migrated == 3).await;
    assert_eq!((others.state(), others.counts.unwrap().held), (pb::EvacuationState::Running, 1));
    let held = stage.moves().await.into_iter().find(|one| one.vm == vm(1).to_string()).unwrap();
    assert_eq!(held.state(), pb::MoveState::Held);
    assert!(held.held_because.contains("shut down") && !held.remedy.is_empty(), "{held:#?}");
    // It neither spins nor writes while nothing changes.
    let before = stage.audit(None).await.len();
    tokio::time::sleep(Duration::from_secs(3_000)).await;
    assert_eq!(stage.audit(None).await.len(), before);
    by_hand(&stage, 1, Deed::Start).await;
    stage.until_finished().await;
    stage.assert_all_run_at(Side::Destination).await;
}

#[tokio::test(start_paused = true)]
async fn failures_beyond_the_budget_stop_what_has_not_begun_until_a_person_goes_on() {
    let mut stage = Stage::set(6).await;
    for number in [0, 1] {
        let fails = RuleKind::Phase(Phase::PreCopy, Trap::Fail("no".to_owned()));
        stage.world.inject(WorldFault::once(vm(number), fails)).await.unwrap();
    }
    let more = "limits.total = 1\nretry.attempts = 1\nfailure_budget.moves = 1";
    let begun = stage.create_evacuation(&runbook(more)).await;
    let paused = stage.until(|evacuation| evacuation.state() == pb::EvacuationState::Paused).await;
    assert_eq!(paused.counts.unwrap().stayed_at_source, 2);
    assert!(paused.paused_because.contains("budget"), "{paused:#?}");
    stage.restart_orchestrator().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(stage.evacuation().await.counts, paused.counts);
    let resume = change(&mut stage, &begun);
    stage.client().await.resume_evacuation(resume).await.unwrap();
    let finished = stage.until_finished().await.counts.unwrap();
    assert_eq!((finished.migrated, finished.stayed_at_source), (4, 2));
    let failed = stage.moves().await.into_iter().find(|one| one.vm == vm(0).to_string()).unwrap();
    assert_eq!((failed.error.as_str(), failed.source_copy.as_str()), ("no", "Runnable"), "{failed:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_fails_is_tried_again_and_stops_nobody() {
    let mut stage = Stage::set(4).await;
    let fails = RuleKind::Phase(Phase::PreCopy, Trap::Fail("the memory is on fire".to_owned()));
    stage.world.inject(WorldFault::Rule(Rule { vm: Some(vm(2)), times: 2, kind: fails })).await.unwrap();
    stage.create_evacuation(&runbook("retry.attempts = 3")).await;
    stage.until_finished().await;
    stage.assert_all_run_at(Side::Destination).await;
    let tried = stage.moves().await.into_iter().find(|one| one.vm == vm(2).to_string()).unwrap();
    assert_eq!(tried.attempts, 3, "{tried:#?}");
    let audit = stage.audit(Some(vm(2))).await;
    assert_eq!(audit.iter().filter(|record| *record == "attempt_failed").count(), 2, "{audit:#?}");
}

async fn by_hand(stage: &Stage, number: usize, deed: Deed) {
    let host = host(Side::Source, number % 2 + 1);
    stage.world.inject(WorldFault::ByHand(site(Side::Source), host, vm(number), deed)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_stayed_is_not_retried_and_the_refusal_says_by_which_command_it_moves() {
    let mut stage = Stage::set(2).await;
    let fails = RuleKind::Phase(Phase::PreCopy, Trap::Fail("a broken cable".to_owned()));
    stage.world.inject(WorldFault::Rule(Rule { vm: Some(vm(0)), times: 100, kind: fails })).await.unwrap();
    let begun = stage.create_evacuation(&runbook("retry.attempts = 1")).await;
    assert_eq!(stage.until_finished().await.counts.unwrap().stayed_at_source, 1);
    let retry = pb::RetryMovesRequest {
        request_id: stage.request_id(),
        evacuation: begun.evacuation,
        vms: vec![vm(0).to_string()],
        ordered_by: "the test".to_owned(),
    };
    let refused = stage.client().await.retry_moves(retry).await.unwrap_err();
    let told = Fault::from(&refused).violations.remove(0).description;
    // The command's runbook, to the letter.
    let (_, command) = told.split_once("printf '").unwrap_or_else(|| panic!("{told}"));
    let runbook = command.strip_suffix("' | muster evacuate /dev/stdin").unwrap_or_else(|| panic!("{told}"));
    stage.world.inject(WorldFault::ClearRules).await.unwrap();
    stage.create_evacuation(&runbook.replace("\\n", "\n")).await;
    assert_eq!(stage.until_finished().await.counts.unwrap().migrated, 1);
    stage.assert_all_run_at(Side::Destination).await;
}
