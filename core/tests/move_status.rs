//! What a move's status says after the journal's lines: what was proven at the last step, and a fault that came right is no remark
//! on what has arrived.

use muster_core::definition::Mode;
use muster_core::evacuation::{JournalKind, JournalRecord, MoveState, MoveStatus, PlannedMove};
use muster_core::evidence::{ArrivalKind, Outcome};
use muster_core::guardian::{Ask, CustodyState, Guardian};
use muster_core::ids::{EvacuationId, VmId};
use muster_core::runbook::selection::Turn;
use muster_core::step::Action;
use muster_core::time::Timestamp;
use muster_core::token::Token;
use muster_core::verdict::Verdict;

const EVACUATION: EvacuationId = EvacuationId(uuid::Uuid::from_u128(1));
const VM: VmId = VmId(uuid::Uuid::from_u128(7));

fn after(outcome: Outcome, verdict: Verdict) -> MoveStatus {
    folded(vec![
        JournalKind::StepFailed { action: Action::Retire, error: "busy".to_owned() },
        JournalKind::Settled { outcome, verdict, attempts: 1, downtime_ms: Some(70), host: None },
    ])
}

fn folded(kinds: Vec<JournalKind>) -> MoveStatus {
    let planned = PlannedMove {
        vm: VM,
        name: "vm7".parse().expect("a name"),
        mode: Mode::Live,
        wave: 0,
        source_host: "n1".parse().expect("a host"),
        destination_host: "s1".parse().expect("a host"),
        memory_mib: 8,
        guardian: None,
        disk_mib: None,
        turn: Turn::default(),
        apart: None,
        expected: None,
        tags: Vec::new(),
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
    let status = folded(vec![open.clone(), step(Action::Transfer, 4, Some(Verdict::NotMigrated))]);
    assert_eq!((status.state, status.verdict), (MoveState::Moving(Action::Transfer), Verdict::NotMigrated));
    // An older journal's line says nothing of it, and changes nothing.
    let older = step(Action::Commit, 5, None);
    let status = folded(vec![open, step(Action::Transfer, 4, Some(Verdict::NotMigrated)), older]);
    assert_eq!((status.state, status.verdict), (MoveState::Moving(Action::Commit), Verdict::NotMigrated));
}

fn guardian() -> Guardian {
    let command = |name: &str| name.parse().expect("a command");
    Guardian { name: "ha".to_owned(), hands_off: command("off"), give_back: command("back"), timeout_ms: 100 }
}

fn intended(ask: Ask) -> JournalKind {
    JournalKind::CommandIntended { call: guardian().call(ask) }
}

fn done(ask: Ask) -> JournalKind {
    JournalKind::CommandDone { call: guardian().call(ask) }
}

fn failed(ask: Ask) -> JournalKind {
    JournalKind::CommandFailed { call: guardian().call(ask), error: "no".to_owned() }
}

fn settled() -> JournalKind {
    let host = "s2".parse().ok();
    let (outcome, verdict) = (Outcome::Migrated, Verdict::FullyMigrated);
    JournalKind::Settled { outcome, verdict, attempts: 1, downtime_ms: None, host }
}

#[test]
fn custody_follows_the_journal() {
    use Ask::{GiveBack, HandsOff};
    let rows = [
        (vec![], None),
        (vec![settled()], None),
        (vec![intended(HandsOff)], Some((CustodyState::TakingOff, None))),
        (vec![intended(HandsOff), failed(HandsOff)], Some((CustodyState::TakingOff, Some("no")))),
        (vec![intended(HandsOff), failed(HandsOff), intended(HandsOff)], Some((CustodyState::TakingOff, None))),
        (vec![intended(HandsOff), done(HandsOff)], Some((CustodyState::HandsOff, None))),
        // Whether a command had its effect isn't known where it failed or was cut short: it is given back all the same.
        (vec![intended(HandsOff), settled()], Some((CustodyState::Owed, None))),
        (vec![intended(HandsOff), failed(HandsOff), settled()], Some((CustodyState::Owed, None))),
        (vec![intended(HandsOff), done(HandsOff), settled()], Some((CustodyState::Owed, None))),
        (
            vec![intended(HandsOff), done(HandsOff), settled(), intended(GiveBack), failed(GiveBack)],
            Some((CustodyState::Owed, Some("no"))),
        ),
        (
            vec![intended(HandsOff), done(HandsOff), settled(), failed(GiveBack), intended(GiveBack), done(GiveBack)],
            Some((CustodyState::GivenBack, None)),
        ),
    ];
    for (kinds, expected) in rows {
        let status = folded(kinds.clone());
        let custody = status.custody.as_ref().map(|custody| (custody.state, custody.error.as_deref()));
        assert_eq!(custody, expected, "{kinds:?}");
        // A guardian's commands are no part of a move's outcome.
        assert_eq!(status.error, None, "{kinds:?}");
        let is_over = kinds.contains(&settled());
        assert_eq!((status.state == MoveState::Migrated, status.host.is_some()), (is_over, is_over), "{kinds:?}");
    }
}

#[test]
fn the_audit_trail_tells_of_guardians_in_plain_words() {
    let words = |kind: JournalKind| kind.guardian_words().unwrap_or_default();
    assert_eq!(words(intended(Ask::HandsOff)), "about to take ha's hands off it, by command off");
    assert_eq!(words(done(Ask::GiveBack)), "done: give it back to ha, by command back");
    assert_eq!(words(failed(Ask::HandsOff)), "failed to take ha's hands off it, by command off: no");
    assert_eq!(words(settled()), "");
}
