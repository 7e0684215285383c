//! What a move's status says after the journal's lines: what was proven at the last step, and a fault that came right is no remark
//! on what has arrived.

use muster_core::definition::Mode;
use muster_core::evacuation::{JournalKind, JournalRecord, MoveState, MoveStatus, PlannedMove};
use muster_core::evidence::{ArrivalKind, Outcome};
use muster_core::ids::{EvacuationId, VmId};
use muster_core::step::Action;
use muster_core::time::Timestamp;
use muster_core::token::Token;
use muster_core::verdict::Verdict;

const EVACUATION: EvacuationId = EvacuationId(uuid::Uuid::from_u128(1));
const VM: VmId = VmId(uuid::Uuid::from_u128(7));

fn after(outcome: Outcome, verdict: Verdict) -> MoveStatus {
    with([
        JournalKind::StepFailed { action: Action::Retire, error: "busy".to_owned() },
        JournalKind::Settled { outcome, verdict, attempts: 1, downtime_ms: Some(70) },
    ])
}

fn with<const N: usize>(kinds: [JournalKind; N]) -> MoveStatus {
    let planned = PlannedMove {
        vm: VM,
        name: "vm7".parse().expect("a name"),
        mode: Mode::Live,
        wave: 0,
        source_host: "n1".parse().expect("a host"),
        destination_host: "s1".parse().expect("a host"),
        memory_mib: 8,
    };
    let mut status = MoveStatus::planned(EVACUATION, planned, "alice");
    for kind in kinds {
        let by = "muster".to_owned();
        let at = Timestamp(1);
        status.apply(&JournalRecord { at, by, request: None, evacuation: EVACUATION, vm: Some(VM), kind });
    }
    status
}

#[test]
fn what_has_arrived_carries_no_error() {
    let status = after(Outcome::Migrated, Verdict::FullyMigrated);
    assert_eq!((status.state, status.error), (MoveState::Migrated, None));
}

#[test]
fn what_has_stayed_says_why() {
    let status = after(Outcome::StayedAtSource, Verdict::NotMigrated);
    assert_eq!((status.state, status.error.as_deref()), (MoveState::StayedAtSource, Some("busy")));
}

#[test]
fn what_is_under_way_says_what_its_last_step_followed_from() {
    let step =
        |action, sequence, verdict| JournalKind::StepIntended { action, token: Token::new(1, sequence), verdict };
    let open = step(Action::OpenAttempt(ArrivalKind::Transfer), 1, Some(Verdict::NotStarted));
    let status = with([open.clone(), step(Action::Transfer, 4, Some(Verdict::NotMigrated))]);
    assert_eq!((status.state, status.verdict), (MoveState::Moving(Action::Transfer), Verdict::NotMigrated));
    // An older journal's line says nothing of it, and changes nothing.
    let older = step(Action::Commit, 5, None);
    let status = with([open, step(Action::Transfer, 4, Some(Verdict::NotMigrated)), older]);
    assert_eq!((status.state, status.verdict), (MoveState::Moving(Action::Commit), Verdict::NotMigrated));
}
