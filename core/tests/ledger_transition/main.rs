//! The ledger's rows: floors, what an event needs, what abandoning forbids, one open evacuation, intents; claims beside them.

mod claims;
mod let_go;

use muster_core::class::Class;
use muster_core::definition::{Definition, Disk, Mode};
use muster_core::evidence::{ArrivalKind, Outcome};
use muster_core::ids::{Attempt, EvacuationId, VmId};
use muster_core::ledger::command::{Caller, Execution, FactKind, MutationResult, Refusal, VmCommand, VmFact, VmOrder};
use muster_core::ledger::transition;
use muster_core::ledger::{
    ArrivalRecord, LEFTOVERS_MAX, Mutation, Ran, RollEntry, SourceState, Standing, Transfer, VmRow,
};
use muster_core::step::Side;
use muster_core::time::Timestamp;
use muster_core::token::Token;

const FIRST: EvacuationId = EvacuationId(uuid::Uuid::from_u128(1));
const SECOND: EvacuationId = EvacuationId(uuid::Uuid::from_u128(2));
const VM: VmId = VmId(uuid::Uuid::from_u128(7));
const AT: Timestamp = Timestamp(1_000);

fn definition() -> Definition {
    Definition {
        name: "web".parse().expect("a name"),
        memory_mib: 1024,
        vcpus: 1,
        disk: Disk::Shared,
        autostart: true,
        tags: Vec::new(),
        document: String::new(),
    }
}

fn entry(evacuation: EvacuationId) -> Box<RollEntry> {
    Box::new(RollEntry {
        evacuation,
        vm: VM,
        mode: Mode::Live,
        source_site: "east".parse().expect("a name"),
        destination_site: "west".parse().expect("a name"),
        destination_host: "w1".parse().expect("a name"),
        definition: definition(),
    })
}

/// A row with a counter of tokens, so that each order carries the next one.
struct Ledger {
    row: VmRow,
    token: Token,
}

impl Ledger {
    fn enrolled(side: Side) -> Self {
        let mut ledger = Ledger { row: VmRow::unknown(VM), token: Token::new(3, 0) };
        ledger.does(VmOrder::Enrol { entry: entry(FIRST), side });
        ledger
    }

    fn tries_in(&mut self, evacuation: EvacuationId, order: VmOrder) -> Result<Execution, Refusal> {
        self.token = self.token.next();
        let command = VmCommand { evacuation, vm: VM, token: self.token, caller: Caller::default(), at: AT, order };
        let applied = transition::vm(&self.row, &command)?;
        self.row = applied.row;
        Ok(applied.execution)
    }

    fn tries(&mut self, order: VmOrder) -> Result<Execution, Refusal> {
        self.tries_in(FIRST, order)
    }

    #[track_caller]
    fn does(&mut self, order: VmOrder) {
        assert_eq!(self.tries(order), Ok(Execution::Now));
    }

    #[track_caller]
    fn refuses(&mut self, order: VmOrder) {
        let before = self.row.clone();
        let refusal = self.tries(order.clone()).expect_err("it was taken");
        assert!(matches!(refusal, Refusal::NotInOrder { .. }), "{order:?}: {refusal}");
        assert_eq!(self.row, before);
    }

    fn fact(&mut self, kind: FactKind) -> Execution {
        let applied = transition::fact(&self.row, &VmFact { vm: VM, at: AT, kind });
        self.row = applied.row;
        applied.execution
    }

    /// The mutation begun by the last order has ended.
    fn ends(&mut self) {
        self.fact(FactKind::MutationEnded { token: self.token, result: MutationResult::Done });
    }

    fn opened() -> Self {
        let mut ledger = Self::enrolled(Side::Destination);
        ledger.does(open(ArrivalKind::Transfer));
        ledger
    }

    fn record(&self) -> &ArrivalRecord {
        match self.row.standing() {
            Some(Standing::Destination(at)) => &at.record,
            Some(Standing::Source(_)) | None => panic!("not the destination"),
        }
    }

    fn state(&self) -> &SourceState {
        match self.row.standing() {
            Some(Standing::Source(at)) => &at.state,
            Some(Standing::Destination(_)) | None => panic!("not the source"),
        }
    }
}

fn open(kind: ArrivalKind) -> VmOrder {
    VmOrder::OpenAttempt { host: "w1".parse().expect("a name"), kind }
}

fn complete(attempt: Attempt) -> VmOrder {
    VmOrder::Complete { attempt, late: false }
}

fn transfer(attempt: Attempt) -> VmOrder {
    VmOrder::BeginTransfer { attempt, host: "w1".parse().expect("a name") }
}

fn seal() -> VmOrder {
    VmOrder::BeginSeal { definition: Box::new(definition()) }
}

#[test]
fn below_the_floor_is_refused_equal_is_answered_again_above_is_executed() {
    let ledger = Ledger::opened();
    let abandon = |epoch, sequence| {
        let order = VmOrder::Abandon { attempt: Attempt::FIRST };
        let command = VmCommand {
            evacuation: FIRST,
            vm: VM,
            token: Token::new(epoch, sequence),
            caller: Caller::default(),
            at: AT,
            order,
        };
        transition::vm(&ledger.row, &command)
    };
    let floor = ledger.row.floor;
    for (epoch, sequence) in [(3, floor.sequence.0 - 1), (2, 900)] {
        assert!(matches!(abandon(epoch, sequence), Err(Refusal::BelowFloor { .. })), "{epoch}.{sequence}");
    }
    let again = abandon(3, floor.sequence.0).unwrap();
    assert_eq!((again.execution, again.row, again.events.len()), (Execution::Before, ledger.row.clone(), 0));
    let above = abandon(4, 0).unwrap();
    assert_eq!((above.execution, above.row.floor), (Execution::Now, Token::new(4, 0)));
}

#[test]
fn a_refused_command_leaves_the_floor_where_it_was() {
    let mut ledger = Ledger::opened();
    let floor = ledger.row.floor;
    ledger.refuses(complete(Attempt::FIRST.next()));
    assert_eq!(ledger.row.floor, floor);
}

#[test]
fn a_transfer_is_adjusted_while_it_is_under_way_and_not_otherwise() {
    let mut ledger = Ledger::enrolled(Side::Source);
    ledger.refuses(VmOrder::BeginAdjust);
    ledger.does(seal());
    ledger.ends();
    ledger.refuses(VmOrder::BeginAdjust);
    ledger.does(transfer(Attempt::FIRST));
    ledger.ends();
    let before = ledger.state().clone();
    ledger.does(VmOrder::BeginAdjust);
    assert_eq!(*ledger.state(), before, "it says nothing about where the VM is");
}

#[test]
fn a_raised_floor_keeps_out_what_is_older() {
    let mut ledger = Ledger::opened();
    let commit = VmCommand {
        evacuation: FIRST,
        vm: VM,
        token: ledger.token.next(),
        caller: Caller::default(),
        at: AT,
        order: complete(Attempt::FIRST),
    };
    ledger.token = Token::new(4, 0);
    ledger.does(VmOrder::RaiseFloor);
    assert!(matches!(transition::vm(&ledger.row, &commit), Err(Refusal::BelowFloor { .. })));
}

#[test]
fn an_event_needs_the_started_record_of_its_own_attempt() {
    Ledger::enrolled(Side::Destination).refuses(complete(Attempt::FIRST));
    let mut ledger = Ledger::opened();
    ledger.refuses(complete(Attempt::FIRST.next()));
    ledger.does(complete(Attempt::FIRST));
    assert!(matches!(ledger.record(), ArrivalRecord::Completed(_)));
    ledger.ends();
    ledger.refuses(complete(Attempt::FIRST));
}

#[test]
fn an_abandoned_attempt_gets_no_event_unless_it_is_taken_back() {
    let mut ledger = Ledger::opened();
    ledger.does(VmOrder::Abandon { attempt: Attempt::FIRST });
    ledger.refuses(complete(Attempt::FIRST));
    ledger.refuses(VmOrder::BeginPlace { attempt: Attempt::FIRST });
    ledger.refuses(VmOrder::BeginRun);
    ledger.does(VmOrder::Reopen { attempt: Attempt::FIRST });
    let taken_back = |at: &Standing| matches!(at, Standing::Destination(at) if at.leftovers.is_empty());
    assert!(ledger.row.standing().is_some_and(taken_back), "what was taken back is no leftover");
    ledger.does(complete(Attempt::FIRST));
}

#[test]
fn what_was_discarded_or_followed_by_another_attempt_is_not_taken_back() {
    let mut cleaned = Ledger::opened();
    cleaned.does(VmOrder::Abandon { attempt: Attempt::FIRST });
    cleaned.does(VmOrder::BeginDiscard);
    let result = MutationResult::Cleaned { attempts: vec![Attempt::FIRST] };
    cleaned.fact(FactKind::MutationEnded { token: cleaned.token, result });
    cleaned.refuses(VmOrder::Reopen { attempt: Attempt::FIRST });

    let mut followed = Ledger::opened();
    followed.does(VmOrder::Abandon { attempt: Attempt::FIRST });
    followed.does(open(ArrivalKind::Transfer));
    followed.refuses(VmOrder::Reopen { attempt: Attempt::FIRST });
    followed.refuses(complete(Attempt::FIRST));
    followed.does(complete(Attempt::FIRST.next()));
}

#[test]
fn after_the_event_there_is_only_forward() {
    let mut ledger = Ledger::opened();
    ledger.does(complete(Attempt::FIRST));
    ledger.ends();
    ledger.refuses(VmOrder::Abandon { attempt: Attempt::FIRST });
    ledger.refuses(open(ArrivalKind::Transfer));
    ledger.refuses(VmOrder::CloseDestination { outcome: Outcome::StayedAtSource });
    ledger.does(VmOrder::CloseDestination { outcome: Outcome::Migrated });
    ledger.refuses(complete(Attempt::FIRST));
    ledger.refuses(open(ArrivalKind::Transfer));
}

#[test]
fn a_move_closes_as_migrated_only_after_its_event_and_as_stayed_only_without_an_open_attempt() {
    let mut ledger = Ledger::opened();
    ledger.refuses(VmOrder::CloseDestination { outcome: Outcome::Migrated });
    ledger.refuses(VmOrder::CloseDestination { outcome: Outcome::StayedAtSource });
    ledger.does(VmOrder::Abandon { attempt: Attempt::FIRST });
    ledger.refuses(VmOrder::CloseDestination { outcome: Outcome::Migrated });
    ledger.does(VmOrder::CloseDestination { outcome: Outcome::StayedAtSource });
}

#[test]
fn attempts_are_bounded_by_what_they_leave_behind() {
    let mut ledger = Ledger::enrolled(Side::Destination);
    let mut attempt = Attempt::FIRST;
    for _ in 0..LEFTOVERS_MAX {
        ledger.does(open(ArrivalKind::Transfer));
        ledger.does(VmOrder::Abandon { attempt });
        attempt = attempt.next();
    }
    let refusal = ledger.tries(open(ArrivalKind::Transfer)).unwrap_err();
    assert!(matches!(refusal, Refusal::TooManyLeftovers { .. }));
}

#[test]
fn a_transfer_needs_the_seal_and_is_begun_once_per_attempt() {
    let mut ledger = Ledger::enrolled(Side::Source);
    ledger.refuses(transfer(Attempt::FIRST));
    ledger.does(seal());
    ledger.ends();
    ledger.does(transfer(Attempt::FIRST));
    ledger.ends();
    ledger.refuses(transfer(Attempt::FIRST));
    ledger.does(transfer(Attempt::FIRST.next()));
}

#[test]
fn a_source_that_was_retired_runs_only_by_a_release() {
    let mut ledger = Ledger::enrolled(Side::Source);
    ledger.does(seal());
    ledger.ends();
    ledger.does(transfer(Attempt::FIRST));
    ledger.ends();
    assert_eq!(ledger.fact(FactKind::Gone { attempt: Attempt::FIRST }), Execution::Now);
    ledger.refuses(VmOrder::BeginRelease);
    ledger.does(VmOrder::BeginRetire { keep_ms: None });
    ledger.ends();
    for order in [VmOrder::BeginResume, VmOrder::BeginStart, VmOrder::BeginUnseal, seal()] {
        ledger.refuses(order);
    }
    ledger.does(VmOrder::CloseSource);
    ledger.does(VmOrder::BeginRelease);
    ledger.ends();
    assert_eq!(ledger.state(), &SourceState::Unsealed);
}

#[test]
fn a_source_that_is_still_sealed_is_not_closed() {
    let mut ledger = Ledger::enrolled(Side::Source);
    ledger.does(seal());
    ledger.ends();
    ledger.refuses(VmOrder::CloseSource);
    ledger.does(VmOrder::BeginUnseal);
    ledger.ends();
    ledger.does(VmOrder::CloseSource);
}

/// A seal that was refused: the source is as it was, and can be closed. Nothing else is forgotten on that word.
#[test]
fn a_seal_that_did_not_come_through_is_none() {
    let mut source = Ledger::enrolled(Side::Source);
    assert_eq!(source.fact(FactKind::NotSealed), Execution::Before);
    source.does(seal());
    assert_eq!(source.fact(FactKind::NotSealed), Execution::Now);
    assert_eq!(source.state(), &SourceState::Unsealed);
    source.ends();
    source.does(VmOrder::CloseSource);

    let mut sent = Ledger::enrolled(Side::Source);
    sent.does(seal());
    sent.ends();
    assert_eq!(sent.fact(FactKind::NotSealed), Execution::Before, "the seal has ended");
    sent.does(transfer(Attempt::FIRST));
    sent.ends();
    sent.does(seal());
    assert_eq!(sent.fact(FactKind::NotSealed), Execution::Before, "a transfer may have handed it over");
    sent.ends();
    sent.fact(FactKind::TransferFailed { attempt: Attempt::FIRST, error: "cut".to_owned() });
    sent.does(seal());
    assert_eq!(sent.fact(FactKind::NotSealed), Execution::Now);
}

#[test]
fn what_is_cleaned_up_after_the_end_is_owed_no_more() {
    let mut ledger = Ledger::opened();
    ledger.does(VmOrder::Abandon { attempt: Attempt::FIRST });
    ledger.does(VmOrder::CloseDestination { outcome: Outcome::StayedAtSource });
    let owed = |ledger: &Ledger| match ledger.row.standing() {
        Some(Standing::Destination(at)) => at.leftovers.len(),
        Some(Standing::Source(_)) | None => panic!("not the destination"),
    };
    assert_eq!(owed(&ledger), 1);
    assert_eq!(ledger.fact(FactKind::Cleaned { attempts: vec![Attempt::FIRST.next()] }), Execution::Before);
    assert_eq!(ledger.fact(FactKind::Cleaned { attempts: vec![Attempt::FIRST] }), Execution::Now);
    assert_eq!(owed(&ledger), 0);
    assert!(matches!(ledger.record(), ArrivalRecord::Closed(_)));
}

#[test]
fn gone_is_believed_only_of_the_transfer_that_is_recorded() {
    let mut ledger = Ledger::enrolled(Side::Source);
    assert_eq!(ledger.fact(FactKind::Gone { attempt: Attempt::FIRST }), Execution::Before);
    ledger.does(seal());
    ledger.ends();
    ledger.does(transfer(Attempt::FIRST));
    ledger.ends();
    assert_eq!(ledger.fact(FactKind::Gone { attempt: Attempt::FIRST.next() }), Execution::Before);
    assert!(matches!(ledger.state(), SourceState::Sealed { .. }));
    assert_eq!(ledger.fact(FactKind::Gone { attempt: Attempt::FIRST }), Execution::Now);
    assert_eq!(ledger.fact(FactKind::Gone { attempt: Attempt::FIRST }), Execution::Before);
    let late = FactKind::TransferFailed { attempt: Attempt::FIRST, error: "late".to_owned() };
    assert_eq!(ledger.fact(late), Execution::Before);
}

#[test]
fn a_vm_is_in_one_open_evacuation_at_a_time() {
    let mut ledger = Ledger::enrolled(Side::Destination);
    let enrol = || VmOrder::Enrol { entry: entry(SECOND), side: Side::Source };
    let refusal = ledger.tries_in(SECOND, enrol()).unwrap_err();
    assert!(matches!(refusal, Refusal::InAnotherEvacuation { other: FIRST, .. }));
    ledger.does(VmOrder::CloseDestination { outcome: Outcome::StayedAtSource });
    assert_eq!(ledger.tries_in(SECOND, enrol()), Ok(Execution::Now));
    let old = ledger.tries(open(ArrivalKind::Transfer)).unwrap_err();
    assert!(matches!(old, Refusal::NotOnRoll { evacuation: FIRST, .. }));
}

#[test]
fn a_destination_obeys_the_evacuation_whose_roll_it_has_and_no_other() {
    let mut ledger = Ledger::enrolled(Side::Destination);
    let stranger = ledger.tries_in(SECOND, open(ArrivalKind::Transfer)).unwrap_err();
    assert!(matches!(stranger, Refusal::NotOnRoll { evacuation: SECOND, side: Side::Destination, .. }));
}

#[test]
fn only_the_recorded_attempt_is_placed_or_given_up() {
    let mut ledger = Ledger::opened();
    let next = Attempt::FIRST.next();
    ledger.refuses(VmOrder::BeginPlace { attempt: next });
    ledger.refuses(VmOrder::Abandon { attempt: next });
    ledger.does(VmOrder::BeginPlace { attempt: Attempt::FIRST });
}

#[test]
fn a_transfer_fails_once_and_by_a_word_of_its_own_attempt() {
    let mut ledger = Ledger::enrolled(Side::Source);
    ledger.does(seal());
    ledger.ends();
    ledger.does(transfer(Attempt::FIRST));
    let mut hears = |attempt, error: &str| ledger.fact(FactKind::TransferFailed { attempt, error: error.to_owned() });
    assert_eq!(hears(Attempt::FIRST.next(), "another's"), Execution::Before);
    assert_eq!(hears(Attempt::FIRST, "cut"), Execution::Now);
    assert_eq!(hears(Attempt::FIRST, "late"), Execution::Before);
}

#[test]
fn writing_the_roll_again_changes_nothing() {
    let mut ledger = Ledger::opened();
    let before = ledger.row.enrolled.clone();
    ledger.tries(VmOrder::Enrol { entry: entry(FIRST), side: Side::Destination }).unwrap();
    assert_eq!(ledger.row.enrolled, before);
}

#[test]
fn a_mutation_under_way_makes_busy_until_its_own_end() {
    let mut ledger = Ledger::opened();
    ledger.does(VmOrder::BeginPlace { attempt: Attempt::FIRST });
    let place = ledger.token;
    let refusal = ledger.tries(VmOrder::Abandon { attempt: Attempt::FIRST }).unwrap_err();
    assert!(matches!(refusal, Refusal::Busy { mutation: Mutation::Place, .. }));
    assert_eq!(refusal.class(), Class::Retry);
    ledger.does(VmOrder::RaiseFloor);
    assert!(ledger.row.intent.is_some(), "a fenced observe doesn't end a hanging call");
    let other = FactKind::MutationEnded { token: Token::new(9, 9), result: MutationResult::Done };
    assert_eq!(ledger.fact(other), Execution::Before);
    let unseen = FactKind::MutationEnded { token: place, result: MutationResult::Unseen };
    assert_eq!(ledger.fact(unseen), Execution::Now);
    ledger.does(VmOrder::Abandon { attempt: Attempt::FIRST });
}
