//! What a source writes down of its letting go, and a destination of its first run.

use super::*;

fn third() -> Attempt {
    Attempt::FIRST.next().next()
}

/// A source whose second attempt has its transfer under way.
fn sends_the_second() -> Ledger {
    let mut ledger = Ledger::enrolled(Side::Source);
    ledger.does(seal());
    ledger.ends();
    ledger.does(transfer(Attempt::FIRST.next()));
    ledger.ends();
    ledger
}

#[test]
fn a_source_obeys_the_evacuation_whose_roll_it_has_and_no_other() {
    let stranger = Ledger::enrolled(Side::Source).tries_in(SECOND, seal()).unwrap_err();
    assert!(matches!(stranger, Refusal::NotOnRoll { evacuation: SECOND, side: Side::Source, .. }));
}

#[test]
fn the_word_that_a_transfer_failed_loses_to_the_proof_that_the_vm_is_gone() {
    let mut ledger = sends_the_second();
    let attempt = Attempt::FIRST.next();
    assert_eq!(ledger.fact(FactKind::TransferFailed { attempt, error: "cut".to_owned() }), Execution::Now);
    assert_eq!(ledger.fact(FactKind::Gone { attempt }), Execution::Now);
    assert!(matches!(ledger.state(), SourceState::Gone { transfer } if transfer.failed.is_none()));
}

/// What moves by its disk is off all the time: an attempt that was given up after it was let go is followed by another.
#[test]
fn what_was_let_go_is_sent_again_by_a_later_attempt_only() {
    let mut ledger = sends_the_second();
    ledger.fact(FactKind::Gone { attempt: Attempt::FIRST.next() });
    ledger.refuses(transfer(Attempt::FIRST));
    ledger.refuses(transfer(Attempt::FIRST.next()));
    ledger.does(transfer(third()));
    let is_the_third = |sent: &Transfer| sent.attempt == third() && sent.failed.is_none();
    assert!(matches!(ledger.state(), SourceState::Sealed { transfer: Some(sent) } if is_the_third(sent)));
}

#[test]
fn a_source_whose_part_is_over_changes_no_more() {
    let mut ledger = Ledger::enrolled(Side::Source);
    ledger.does(VmOrder::CloseSource);
    ledger.refuses(seal());
    ledger.refuses(VmOrder::CloseSource);
}

#[test]
fn the_first_run_is_written_down_and_stays() {
    let mut ledger = Ledger::opened();
    ledger.does(complete(Attempt::FIRST));
    for downtime_ms in [Some(40), None] {
        let result = MutationResult::Ran { downtime_ms };
        ledger.fact(FactKind::MutationEnded { token: ledger.token, result });
        let first = Ran { at: AT, downtime_ms: Some(40) };
        assert!(matches!(ledger.record(), ArrivalRecord::Completed(completed) if completed.ran == Some(first)));
        ledger.does(VmOrder::BeginRun);
    }
}
