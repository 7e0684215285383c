//! Refusals as programs know them: their words go over the wire, and stay.

use muster_core::class::Class;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::Mutation;
use muster_core::ledger::command::Refusal;
use muster_core::step::Side;
use muster_core::token::{Epoch, Token};

#[test]
fn every_refusal_has_a_word_that_stays_and_a_class() {
    let (vm, evacuation) = (VmId(uuid::Uuid::from_u128(7)), EvacuationId(uuid::Uuid::from_u128(1)));
    let (expected, found) = (Epoch(1), Epoch(2));
    let holder = "north".to_owned();
    let all = [
        (Refusal::BelowFloor { vm, token: Token::new(1, 1), floor: Token::new(2, 0) }, "BELOW_FLOOR"),
        (Refusal::InAnotherEvacuation { vm, other: evacuation }, "IN_ANOTHER_EVACUATION"),
        (Refusal::NotOnRoll { vm, evacuation, side: Side::Source }, "NOT_ON_ROLL"),
        (Refusal::NotInOrder { vm, wanted: "a seal", because: "it is sealed" }, "NOT_IN_ORDER"),
        (Refusal::TooManyLeftovers { vm }, "TOO_MANY_LEFTOVERS"),
        (Refusal::ClaimedInBetween { evacuation, expected, found }, "CLAIMED_IN_BETWEEN"),
        (Refusal::HeldByRecovery { evacuation, holder }, "HELD_BY_RECOVERY"),
        (Refusal::TooManyAssertions { evacuation }, "TOO_MANY_ASSERTIONS"),
    ];
    for (refusal, word) in all {
        assert_eq!((refusal.reason(), refusal.class()), (word, Class::Refused));
    }
    // The only one that goes away by itself.
    let busy = Refusal::Busy { vm, mutation: Mutation::Seal };
    assert_eq!((busy.reason(), busy.class()), ("BUSY", Class::Retry));
}
