//! An evacuation's standing: claims by compare-and-set, what holds them, and what is sworn.

use super::{AT, FIRST};
use muster_core::claim::{Claims, Fenced, Holder, HolderKind};
use muster_core::ledger::command::{Caller, EvacuationCommand, EvacuationOrder, LedgerEvent, Refusal};
use muster_core::ledger::transition;
use muster_core::token::Epoch;

fn caller() -> Caller {
    Caller { by: Some("muster://admin/ann".to_owned()), origin: Some("127.0.0.1:40312".to_owned()) }
}

fn ordered(claims: &Claims, order: EvacuationOrder) -> Result<(Claims, LedgerEvent), Refusal> {
    let command = EvacuationCommand { evacuation: FIRST, caller: caller(), at: AT, order };
    transition::evacuation(claims, &command)
}

fn claim(
    claims: &Claims,
    kind: HolderKind,
    name: &str,
    expected: u64,
    take_over: Option<&str>,
) -> Result<Claims, Refusal> {
    let order = EvacuationOrder::Claim {
        holder: Holder::new(name, kind),
        expected: Epoch(expected),
        at_least: Epoch(0),
        take_over: take_over.map(str::to_owned),
    };
    ordered(claims, order).map(|(claims, _)| claims)
}

#[test]
fn a_claim_is_a_compare_and_set() {
    let first = claim(&Claims::default(), HolderKind::Orchestrator, "a", 0, None).unwrap();
    assert_eq!(first.epoch, Epoch(1));
    let lost = claim(&first, HolderKind::Orchestrator, "b", 0, None).unwrap_err();
    assert!(matches!(lost, Refusal::ClaimedInBetween { found: Epoch(1), .. }));
    assert_eq!(claim(&first, HolderKind::Orchestrator, "b", 1, None).unwrap().epoch, Epoch(2));
}

#[test]
fn a_claim_is_above_every_floor_that_is_known() {
    let order = EvacuationOrder::Claim {
        holder: Holder::new("a", HolderKind::Recovery),
        expected: Epoch(0),
        at_least: Epoch(41),
        take_over: None,
    };
    assert_eq!(ordered(&Claims::default(), order).unwrap().0.epoch, Epoch(42));
}

#[test]
fn a_recoverys_claim_holds_until_it_is_released_or_overridden() {
    let held = claim(&Claims::default(), HolderKind::Recovery, "r", 0, None).unwrap();
    for kind in [HolderKind::Orchestrator, HolderKind::Recovery] {
        let refused = claim(&held, kind, "other", 1, None).unwrap_err();
        assert!(matches!(refused, Refusal::HeldByRecovery { .. }), "{kind:?}");
    }
    assert!(claim(&held, HolderKind::Recovery, "r", 1, None).is_ok(), "its own");
    assert!(claim(&held, HolderKind::Orchestrator, "o", 1, Some("the recovery's host is gone")).is_ok());
    let release = |epoch| ordered(&held, EvacuationOrder::Release { epoch: Epoch(epoch) });
    assert!(release(0).is_err(), "an older claim's release");
    let free = release(1).unwrap().0;
    assert_eq!(free.epoch, Epoch(1), "an epoch is never given out twice");
    assert!(claim(&free, HolderKind::Orchestrator, "o", 1, None).is_ok());
}

#[test]
fn assertions_are_kept_with_their_reason() {
    let order = EvacuationOrder::Assert { fenced: Fenced::Source, reason: "burnt".to_owned(), by: "ann".to_owned() };
    let (claims, event) = ordered(&Claims::default(), order).unwrap();
    assert_eq!(event.caller, caller(), "who ordered it stands in the history");
    assert!(claims.source_is_fenced());
    assert_eq!((claims.assertions[0].reason.as_str(), claims.assertions[0].by.as_str()), ("burnt", "ann"));
    assert!(!claims.host_is_fenced(&"w1".parse().expect("a name")));
}
