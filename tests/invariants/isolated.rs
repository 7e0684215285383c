//! Invariant 10, Isolated: one VM's failure never stops the others, unless the runbook's own failure budget says so.
//!
//! Red if one VM that fails, hangs, crashes or is held keeps any of the other nine from arriving.

use muster_core::definition::{Definition, Disk, Mode};
use muster_core::ids::VmId;
use muster_core::reading::Phase;
use muster_core::step::Hold;
use muster_proto::v1::MoveState;
use muster_tests::orders::by_vm;
use muster_tests::stage::definition;
use muster_tests::{Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{CallKind, Deed, Fault, RuleKind, Trap, Twist};
use std::time::Duration;

/// Longer than nine undisturbed moves take one after the other.
const LONG_ENOUGH: Duration = Duration::from_secs(300);

async fn staged() -> (Stage, VmId) {
    let mut stage = Stage::set(StageOptions::default()).await;
    let failing = stage.vm("web-0", Mode::Live, Disk::Shared).await;
    for number in 1..10 {
        stage.vm(&format!("web-{number}"), Mode::Live, Disk::Shared).await;
    }
    stage.start_orchestrator(None).await;
    (stage, failing)
}

async fn assert_others_arrive(stage: &Stage, failing: VmId, what: &str) {
    let one = others_arrive(stage, failing).await;
    assert_ne!(one.state(), MoveState::Migrated, "{what}: it should have failed");
}

async fn others_arrive(stage: &Stage, failing: VmId) -> muster_proto::v1::Move {
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    let others = |moves: &[muster_proto::v1::Move]| {
        let arrived = moves.iter().filter(|one| one.vm != failing.to_string());
        arrived.filter(|one| one.state() == MoveState::Migrated).count()
    };
    let mut moves = by_vm(stage.until(evacuation, LONG_ENOUGH, |_, moves| others(moves) == 9).await);
    stage.assert_ended_right(evacuation).await;
    moves.remove(&failing).expect("its move")
}

#[tokio::test(start_paused = true)]
async fn one_vm_that_fails_holds_up_nobody() {
    let never = || "never".to_owned();
    let rules = [
        RuleKind::Call(Some(CallKind::DefinePlaceholder), Twist::Refuse(never())),
        RuleKind::Call(Some(CallKind::DefineSealed), Twist::Hang(100_000_000)),
        RuleKind::Call(Some(CallKind::BeginTransfer), Twist::Fail(never())),
        RuleKind::Call(None, Twist::Hang(100_000_000)),
        RuleKind::Call(None, Twist::LoseReply),
        RuleKind::Phase(Phase::PreCopy, Trap::Hold),
        RuleKind::Phase(Phase::Finish, Trap::Hold),
        RuleKind::Phase(Phase::Handover, Trap::Fail(never())),
    ];
    for rule in rules {
        let (stage, failing) = staged().await;
        let what = format!("{rule:?}");
        if matches!(rule, RuleKind::Call(None, Twist::LoseReply)) {
            // Lost replies alone stop nothing: together with a refused transfer they do.
            let refused = Twist::Refuse(never());
            stage.rule(failing, 60_000, RuleKind::Call(Some(CallKind::BeginTransfer), refused)).await;
        }
        stage.rule(failing, 60_000, rule).await;
        assert_others_arrive(&stage, failing, &what).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_vm_that_ends_in_its_transfer_holds_up_nobody() {
    for deed in [Deed::ShutDown, Deed::Crash] {
        let (stage, failing) = staged().await;
        let ended = Fault::ByHand(stage.source.clone(), stage.source_host(1), failing, deed);
        stage.rule(failing, 1, RuleKind::Phase(Phase::PreCopy, Trap::Inject(Box::new(ended)))).await;
        others_arrive(&stage, failing).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stranger_with_one_vms_uuid_holds_up_nobody_else() {
    let (stage, failing) = staged().await;
    // It comes after the plan was made, between the first attempt and the second.
    let definition = Definition { tags: vec!["live".to_owned()], ..definition("web-0", Disk::Shared) };
    let stranger = Deed::Store(Box::new(definition));
    let foreign = Fault::ByHand(stage.destination.clone(), stage.destination_host(2), failing, stranger);
    stage.rule(failing, 1, RuleKind::Phase(Phase::PreCopy, Trap::Inject(Box::new(foreign)))).await;
    stage.rule(failing, 1, RuleKind::Phase(Phase::PreCopy, Trap::Fail("a broken cable".to_owned()))).await;
    let held = others_arrive(&stage, failing).await;
    assert_eq!(held.held_because, Hold::ForeignCopy.sentence(), "{held:#?}");
    assert_eq!(stage.truth_of(failing).await.runs_on(), [(stage.source.clone(), stage.source_host(1))]);
}
