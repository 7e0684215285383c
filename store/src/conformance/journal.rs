//! What every journal must keep.

use super::JournalPlace;
use super::sample::{evacuation, ordered, planned, record, request, vm};
use crate::chain::{ChainCheck, Linked};
use crate::journal::stored::StoredRecord;
use crate::{Journal, JournalError, JournalQuery, RECORDS_MAX, StoreError};
use muster_core::evacuation::{EvacuationState, EvacuationStatus, JournalKind, JournalRecord, MoveState, MoveStatus};
use muster_core::evidence::{ArrivalKind, Outcome};
use muster_core::ids::VmId;
use muster_core::step::{Action, Hold};
use muster_core::token::{Epoch, Token};
use muster_core::verdict::Verdict;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Callers at a time in the case of many.
const CALLERS: u32 = 32;

/// Runs every case, each on a place of its own.
pub async fn suite<P: JournalPlace>(place: impl Fn() -> P) {
    begins_empty(&place()).await;
    keeps_records_over_reopening(&place()).await;
    chains_records(&place()).await;
    knows_a_request_again(&place()).await;
    appends_all_or_none(&place()).await;
    refuses_what_was_never_ordered(&place()).await;
    folds_what_it_holds(&place()).await;
    finds_records(&place()).await;
    pages_moves(&place()).await;
    serialises_concurrent_callers(&place()).await;
    wakes_those_who_wait(&place()).await;
    takes_no_more_than_fits(&place()).await;
}

async fn begins_empty<P: JournalPlace>(place: &P) {
    let journal = open(place).await;
    assert_eq!(journal.newest(), 0);
    assert!(journal.health().is_working());
    assert!(journal.evacuations().await.expect("it can be read").is_empty());
    assert!(journal.records(JournalQuery::all()).await.expect("it can be read").is_empty());
    assert_eq!(journal.evacuation(evacuation(1)).await.expect("it can be read"), None);
    assert_eq!(journal.find_request(request(1)).await.expect("it can be read"), None);
    assert_eq!(append(&journal, Vec::new()).await, 0);
}

async fn keeps_records_over_reopening<P: JournalPlace>(place: &P) {
    let journal = open(place).await;
    let records = history();
    let newest = append(&journal, records.clone()).await;
    assert_eq!(newest, records.len() as u64);
    drop(journal);
    let journal = open(place).await;
    assert_eq!(journal.newest(), newest);
    let read = journal.records(JournalQuery::all()).await.expect("it can be read");
    assert_eq!(read, (1..).zip(records).collect::<Vec<_>>());
}

async fn chains_records<P: JournalPlace>(place: &P) {
    let empty = open(place).await;
    assert_eq!(empty.head().await.expect("it can be read"), StoredRecord::genesis());
    drop(empty);
    // In calls of several records, with the journal opened again in between.
    let history = history();
    let (begun, rest) = history.split_at(3);
    let (middle, end) = rest.split_at(7);
    for records in [begun, middle, end] {
        let journal = open(place).await;
        append(&journal, records.to_vec()).await;
    }
    let journal = open(place).await;
    let stored = journal.stored(JournalQuery::all()).await.expect("it can be read");
    let mut check = ChainCheck::new(None);
    for (one, record) in stored.iter().zip(&history) {
        check.take(one).expect("the chain is whole");
        assert_eq!(one.read().as_ref().ok(), Some(record));
    }
    assert_eq!(check.end(history.len() as u64), Ok(check.head()));
    assert_eq!(journal.head().await.expect("it can be read"), check.head());
    let of_two = JournalQuery { vm: Some(vm(2)), after_sequence: 4, limit: 2, ..JournalQuery::all() };
    let found = journal.stored(of_two).await.expect("it can be read");
    let expected: Vec<_> =
        stored.into_iter().filter(|one| one.sequence > 4 && one.vm == Some(vm(2).to_string())).take(2).collect();
    assert_eq!(found, expected);
}

async fn knows_a_request_again<P: JournalPlace>(place: &P) {
    let journal = open(place).await;
    let first = ordered(evacuation(1), request(1));
    append(&journal, vec![first.clone()]).await;
    drop(journal);
    for _ in 0..2 {
        let journal = open(place).await;
        let again = journal.append(vec![ordered(evacuation(2), request(1))]).await;
        let Err(JournalError::RequestKnown { request: known, sequence }) = again else {
            panic!("a request was taken twice: {again:?}");
        };
        assert_eq!((known, sequence), (request(1), 1));
        let found = journal.find_request(request(1)).await.expect("it can be read");
        assert_eq!(found, Some((1, first.clone())));
        assert_eq!(journal.evacuation(evacuation(2)).await.expect("it can be read"), None);
    }
}

async fn appends_all_or_none<P: JournalPlace>(place: &P) {
    let journal = open(place).await;
    append(&journal, vec![ordered(evacuation(1), request(1))]).await;
    let twice = vec![
        planned(evacuation(1), 1),
        JournalRecord {
            request: Some(request(2)),
            ..record(evacuation(1), None, JournalKind::Planned { outlook: None })
        },
        JournalRecord { request: Some(request(2)), ..record(evacuation(1), None, JournalKind::RollWritten) },
    ];
    let refused = journal.append(twice).await;
    assert!(matches!(refused, Err(JournalError::RequestTwice { .. })), "{refused:?}");
    let elsewhere = vec![
        planned(evacuation(1), 2),
        record(evacuation(1), Some(vm(2)), JournalKind::ColdStartOrdered),
        planned(evacuation(9), 1),
    ];
    let refused = journal.append(elsewhere).await;
    assert!(matches!(refused, Err(JournalError::NoSuchEvacuation { .. })), "{refused:?}");
    assert_eq!(journal.newest(), 1);
    assert!(journal.moves(evacuation(1), None, 10).await.expect("it can be read").is_empty());
    assert_eq!(journal.find_request(request(2)).await.expect("it can be read"), None);
    // What was refused left no trace on what follows.
    assert_eq!(append(&journal, vec![planned(evacuation(1), 1)]).await, 2);
    assert_eq!(state(&journal).await, EvacuationState::Planning);
}

async fn refuses_what_was_never_ordered<P: JournalPlace>(place: &P) {
    let journal = open(place).await;
    append(&journal, vec![ordered(evacuation(1), request(1))]).await;
    let again = journal.append(vec![ordered(evacuation(1), request(2))]).await;
    assert!(matches!(again, Err(JournalError::EvacuationKnown { .. })), "{again:?}");
    let both = journal.append(vec![ordered(evacuation(2), request(3)), ordered(evacuation(2), request(4))]).await;
    assert!(matches!(both, Err(JournalError::EvacuationKnown { .. })), "{both:?}");
    let unplanned = journal.append(vec![record(evacuation(1), Some(vm(1)), JournalKind::ColdStartOrdered)]).await;
    assert!(matches!(unplanned, Err(JournalError::NoSuchMove { .. })), "{unplanned:?}");
    let another = journal.append(vec![JournalRecord { vm: Some(vm(2)), ..planned(evacuation(1), 1) }]).await;
    assert!(matches!(another, Err(JournalError::PlansAnotherVm { .. })), "{another:?}");
    assert_eq!(journal.newest(), 1);
}

async fn folds_what_it_holds<P: JournalPlace>(place: &P) {
    // In one call, and in a call a record with the journal opened again in between.
    let whole = open(place).await;
    append(&whole, vec![ordered(evacuation(2), request(9))]).await;
    append(&whole, history()).await;
    check_fold(&whole).await;
    drop(whole);
    for (number, mut record) in (20..).zip(history()) {
        record.evacuation = evacuation(3);
        record.request = record.request.map(|_| request(number));
        let journal = open(place).await;
        append(&journal, vec![record]).await;
    }
    let journal = open(place).await;
    check_fold(&journal).await;
    let known = journal.evacuations().await.expect("it can be read");
    let known: Vec<_> = known.into_iter().map(|status| status.id).collect();
    assert_eq!(known, [evacuation(2), evacuation(1), evacuation(3)], "in the order in which they were ordered");
}

async fn finds_records<P: JournalPlace>(place: &P) {
    let journal = open(place).await;
    append(&journal, history()).await;
    let mut other: Vec<_> = history();
    for (number, record) in (50..).zip(&mut other) {
        record.evacuation = evacuation(2);
        record.request = record.request.map(|_| request(number));
    }
    append(&journal, other).await;
    let all = journal.records(JournalQuery::all()).await.expect("it can be read");
    for evacuation in [None, Some(evacuation(2)), Some(evacuation(7))] {
        for vm in [None, Some(vm(1)), Some(vm(99))] {
            let fits = |record: &JournalRecord| {
                evacuation.is_none_or(|wanted| record.evacuation == wanted)
                    && vm.is_none_or(|wanted| record.vm == Some(wanted))
            };
            let expected: Vec<_> = all.iter().filter(|(_, record)| fits(record)).cloned().collect();
            let mut query = JournalQuery { evacuation, vm, after_sequence: 0, limit: 3 };
            let mut found = Vec::new();
            loop {
                let page = journal.records(query).await.expect("it can be read");
                assert!(page.len() <= 3);
                let Some((last, _)) = page.last() else { break };
                query.after_sequence = *last;
                found.extend(page);
            }
            assert_eq!(found, expected);
        }
    }
}

async fn pages_moves<P: JournalPlace>(place: &P) {
    let journal = open(place).await;
    append(&journal, vec![ordered(evacuation(1), request(1)), ordered(evacuation(2), request(2))]).await;
    for number in [4, 1, 3, 5, 2] {
        append(&journal, vec![planned(evacuation(1), number)]).await;
    }
    append(&journal, vec![planned(evacuation(2), 6)]).await;
    let (mut after, mut seen): (Option<VmId>, Vec<VmId>) = (None, Vec::new());
    loop {
        let page = journal.moves(evacuation(1), after, 2).await.expect("it can be read");
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.planned.vm);
        seen.extend(page.iter().map(|status| status.planned.vm));
    }
    assert_eq!(seen, (1..=5).map(vm).collect::<Vec<_>>());
}

async fn serialises_concurrent_callers<P: JournalPlace>(place: &P) {
    let journal = open(place).await;
    append(&journal, vec![ordered(evacuation(1), request(1)), planned(evacuation(1), 1)]).await;
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let journal = Arc::clone(&journal);
        // All carry one request, as a call does that is repeated while it is under way.
        let retry = record(evacuation(1), Some(vm(1)), JournalKind::RetryOrdered);
        let records = vec![JournalRecord { request: Some(request(2)), ..retry }];
        callers.push(tokio::spawn(async move { journal.append(records).await }));
    }
    let mut taken = 0;
    for caller in callers {
        match caller.await.expect("no caller panics") {
            Ok(sequence) => {
                assert_eq!(sequence, 3);
                taken += 1;
            }
            Err(JournalError::RequestKnown { sequence, .. }) => assert_eq!(sequence, 3),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(taken, 1, "a request was carried out more than once");
    let status = journal.a_move(evacuation(1), vm(1)).await.expect("it can be read").expect("it is planned");
    assert_eq!(status.retries_ordered, 1);
}

async fn wakes_those_who_wait<P: JournalPlace>(place: &P) {
    let journal = open(place).await;
    let waiting = tokio::spawn({
        let journal = Arc::clone(&journal);
        async move { journal.wait_past(0).await }
    });
    tokio::task::yield_now().await;
    append(&journal, vec![ordered(evacuation(1), request(1))]).await;
    assert_eq!(waiting.await.expect("it doesn't panic").expect("the journal works"), 1);
}

async fn takes_no_more_than_fits<P: JournalPlace>(place: &P) {
    let journal = open(place).await;
    append(&journal, vec![ordered(evacuation(1), request(1))]).await;
    let records = |count: usize| vec![record(evacuation(1), None, JournalKind::Planned { outlook: None }); count];
    let refused = journal.append(records(RECORDS_MAX + 1)).await;
    assert!(matches!(refused, Err(JournalError::Store(StoreError::TooMany { .. }))), "{refused:?}");
    assert_eq!(append(&journal, records(RECORDS_MAX)).await, 1 + RECORDS_MAX as u64);
}

async fn open<P: JournalPlace>(place: &P) -> Arc<dyn Journal> {
    place.open().await.expect("the journal opens")
}

async fn append(journal: &Arc<dyn Journal>, records: Vec<JournalRecord>) -> u64 {
    journal.append(records).await.expect("the journal works")
}

async fn state(journal: &Arc<dyn Journal>) -> EvacuationState {
    let status = journal.evacuation(evacuation(1)).await.expect("it can be read");
    status.expect("it was ordered").state
}

/// Compares every status with the fold of the records, made here from core's rules alone.
async fn check_fold(journal: &Arc<dyn Journal>) {
    let mut evacuations = BTreeMap::new();
    let mut moves = BTreeMap::new();
    for (_, record) in journal.records(JournalQuery::all()).await.expect("it can be read") {
        if let Some(status) = EvacuationStatus::ordered(&record) {
            evacuations.insert(record.evacuation, status);
        }
        let status: &mut EvacuationStatus = evacuations.get_mut(&record.evacuation).expect("it was ordered");
        status.apply(&record);
        if let JournalKind::MovePlanned { planned } = &record.kind {
            let status = MoveStatus::planned(record.evacuation, planned.clone(), &status.by);
            moves.insert((record.evacuation, planned.vm), status);
        }
        if let Some(vm) = record.vm {
            let status: &mut MoveStatus = moves.get_mut(&(record.evacuation, vm)).expect("it was planned");
            status.apply(&record);
        }
    }
    for (id, expected) in &evacuations {
        assert_eq!(journal.evacuation(*id).await.expect("it can be read").as_ref(), Some(expected));
        let stored = journal.moves(*id, None, 100).await.expect("it can be read");
        let folded: Vec<_> = moves.iter().filter(|((of, _), _)| of == id).map(|(_, status)| status.clone()).collect();
        assert_eq!(stored, folded);
    }
    for ((id, vm), expected) in &moves {
        assert_eq!(journal.a_move(*id, *vm).await.expect("it can be read").as_ref(), Some(expected));
    }
    assert!(moves.values().any(|status| status.state == MoveState::Migrated), "the history is not a whole one");
}

/// An evacuation of two VMs: one arrives at its second attempt, one is held.
fn history() -> Vec<JournalRecord> {
    let of = evacuation(1);
    let about = |number: u32, kind| record(of, Some(vm(number)), kind);
    let intended = |number, action, sequence| {
        about(
            number,
            JournalKind::StepIntended { action, token: Token::new(1, sequence), verdict: None, attempt: None },
        )
    };
    vec![
        ordered(of, request(1)),
        planned(of, 1),
        planned(of, 2),
        record(of, None, JournalKind::Planned { outlook: None }),
        record(of, None, JournalKind::Claimed { epoch: Epoch(1) }),
        record(of, None, JournalKind::RollWritten),
        intended(1, Action::OpenAttempt(ArrivalKind::Transfer), 2),
        intended(2, Action::OpenAttempt(ArrivalKind::Transfer), 2),
        about(1, JournalKind::AttemptFailed { attempt: 1, error: "the link broke".to_owned() }),
        intended(1, Action::OpenAttempt(ArrivalKind::Transfer), 5),
        intended(1, Action::Transfer, 6),
        about(
            2,
            JournalKind::Held {
                hold: Hold::SourceSilent,
                verdict: Verdict::NotMigrated,
                error: Some("no answer".to_owned()),
            },
        ),
        JournalRecord { request: Some(request(2)), ..about(2, JournalKind::RetryOrdered) },
        about(
            1,
            JournalKind::Settled {
                outcome: Outcome::Migrated,
                verdict: Verdict::FullyMigrated,
                attempts: 2,
                downtime_ms: Some(70),
                host: None,
            },
        ),
    ]
}
