//! What every ledger must keep.

use super::LedgerPlace;
use super::sample::{caller, claim, enrol, evacuation, fact, host, order, vm};
use crate::chain::Linked;
use crate::{COMMANDS_MAX, Ledger, Receipt, RowQuery, StoreError, StoredEvent};
use muster_core::claim::Claims;
use muster_core::evidence::{ArrivalKind, Outcome};
use muster_core::fingerprint::Fingerprint;
use muster_core::ids::{Attempt, SiteName};
use muster_core::ledger::command::{
    Applied, Caller, EventKind, Execution, FactKind, LedgerCommand, MutationResult, Refusal, VmOrder,
};
use muster_core::ledger::{HighWater, HistoryEntry, VmRow};
use muster_core::time::Timestamp;
use muster_core::token::{Epoch, Token};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Callers at a time in the case of many.
const CALLERS: u32 = 32;

/// Runs every case, each on a place of its own.
pub async fn suite<P: LedgerPlace>(place: impl Fn() -> P) {
    begins_empty(&place()).await;
    keeps_rows_over_reopening(&place()).await;
    keeps_floors_over_reopening(&place()).await;
    answers_an_equal_token_again(&place()).await;
    refuses_per_command(&place()).await;
    runs_commands_of_a_call_in_order(&place()).await;
    keeps_a_whole_move(&place()).await;
    keeps_facts(&place()).await;
    numbers_events_densely(&place()).await;
    chains_its_history(&place()).await;
    claims_by_compare_and_set(&place()).await;
    pages_rows(&place()).await;
    counts_open_evacuations(&place()).await;
    serialises_concurrent_callers(&place()).await;
    wakes_those_who_wait(&place()).await;
    takes_no_more_than_fits(&place()).await;
    keeps_what_was_seen_of_other_ledgers(&place()).await;
    says_nothing_once_it_cannot_be_trusted(&place()).await;
}

async fn keeps_what_was_seen_of_other_ledgers<P: LedgerPlace>(place: &P) {
    let ledger = open(place).await;
    let site: SiteName = "old".parse().expect("a name");
    let link = Some(Fingerprint([3; 32]));
    let seen = |sequence| HighWater { rebuilt_at: None, sequence, at: Timestamp(sequence), link };
    let witness = |high_water| LedgerCommand::Witness { site: site.clone(), high_water };
    assert!(ledger.witnesses().await.expect("witnesses can be read").is_empty());
    ledger.execute(vec![witness(seen(7)), witness(seen(3))]).await.expect("it is kept");
    ledger.execute(vec![witness(seen(5))]).await.expect("it is kept");
    assert_eq!(ledger.newest(), 0, "what was seen of others is no history");
    drop(ledger);
    let ledger = open(place).await;
    assert_eq!(ledger.witnesses().await.expect("witnesses can be read"), [(site.clone(), seen(7))]);
    let rebuilt = HighWater { rebuilt_at: Some(Timestamp(9)), sequence: 1, at: Timestamp(9), link: None };
    ledger.execute(vec![witness(rebuilt)]).await.expect("it is kept");
    assert_eq!(ledger.witnesses().await.expect("witnesses can be read"), [(site, rebuilt)]);
}

async fn says_nothing_once_it_cannot_be_trusted<P: LedgerPlace>(place: &P) {
    let ledger = open(place).await;
    apply(&ledger, enrol(1, evacuation(1), Token::new(1, 1))).await;
    let by: SiteName = "new".parse().expect("a name");
    let at = |sequence| HighWater { rebuilt_at: None, sequence, at: Timestamp(1), link: None };
    ledger.fail(StoreError::Behind { newest: Box::new(at(1)), seen: Box::new(at(5)), by });
    assert!(!ledger.health().is_working());
    assert!(ledger.row(vm(1)).await.is_err(), "it was read all the same");
    assert!(ledger.execute(vec![enrol(2, evacuation(1), Token::new(1, 1))]).await.is_err());
}

async fn begins_empty<P: LedgerPlace>(place: &P) {
    let ledger = open(place).await;
    assert_eq!(ledger.newest(), 0);
    assert!(ledger.health().is_working());
    assert_eq!(row(&ledger, 1).await, VmRow::unknown(vm(1)));
    assert_eq!(ledger.claims(evacuation(1)).await.expect("claims can be read"), Claims::default());
    assert!(ledger.rows(RowQuery::all()).await.expect("rows can be read").is_empty());
    assert!(ledger.evacuations().await.expect("evacuations can be read").is_empty());
    assert!(ledger.events(0, 10).await.expect("events can be read").is_empty());
    assert!(ledger.execute(Vec::new()).await.expect("no command is a good call").is_empty());
    assert_eq!(ledger.newest(), 0);
}

async fn keeps_rows_over_reopening<P: LedgerPlace>(place: &P) {
    let ledger = open(place).await;
    let applied = apply(&ledger, enrol(1, evacuation(1), Token::new(1, 1))).await;
    assert_eq!(row(&ledger, 1).await, applied.row, "what was acknowledged is read at once");
    drop(ledger);
    let ledger = open(place).await;
    assert_eq!(row(&ledger, 1).await, applied.row);
    assert_eq!(ledger.newest(), 1);
}

async fn keeps_floors_over_reopening<P: LedgerPlace>(place: &P) {
    let ledger = open(place).await;
    // Of a VM that is on no roll, and beyond what fits into 63 bits.
    let floor = Token::new(u64::MAX - 1, 1 << 63);
    apply(&ledger, order(1, evacuation(1), floor, VmOrder::RaiseFloor)).await;
    drop(ledger);
    let ledger = open(place).await;
    assert_eq!(row(&ledger, 1).await.floor, floor);
    let older = Token::new(u64::MAX - 1, 7);
    let refused = execute_one(&ledger, order(1, evacuation(1), older, VmOrder::RaiseFloor)).await;
    assert_eq!(refused, Err(Refusal::BelowFloor { vm: vm(1), token: older, floor }));
}

async fn answers_an_equal_token_again<P: LedgerPlace>(place: &P) {
    let ledger = open(place).await;
    let command = enrol(1, evacuation(1), Token::new(1, 1));
    let first = apply(&ledger, command.clone()).await;
    assert_eq!(first.execution, Execution::Now);
    let again = apply(&ledger, command.clone()).await;
    assert_eq!((again.execution, &again.row, again.events.len()), (Execution::Before, &first.row, 0));
    drop(ledger);
    let ledger = open(place).await;
    assert_eq!(apply(&ledger, command).await.execution, Execution::Before);
    assert_eq!(ledger.newest(), 1, "a repeated command was written down twice");
}

async fn refuses_per_command<P: LedgerPlace>(place: &P) {
    let ledger = open(place).await;
    let of = evacuation(1);
    let answers = execute(
        &ledger,
        vec![
            enrol(1, of, Token::new(1, 1)),
            order(2, of, Token::new(1, 1), VmOrder::BeginRun),
            enrol(1, evacuation(2), Token::new(1, 2)),
            enrol(3, of, Token::new(1, 1)),
        ],
    )
    .await;
    let good: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, false, true]);
    assert_eq!(answers[2], Err(Refusal::InAnotherEvacuation { vm: vm(1), other: of }));
    assert_eq!(row(&ledger, 1).await.floor, Token::new(1, 1), "a refused command raised the floor");
    assert_eq!(row(&ledger, 2).await, VmRow::unknown(vm(2)));
    assert!(row(&ledger, 3).await.enrolled.is_some());
    assert_eq!(ledger.newest(), 2);
}

async fn runs_commands_of_a_call_in_order<P: LedgerPlace>(place: &P) {
    let ledger = open(place).await;
    let of = evacuation(1);
    let answers = execute(
        &ledger,
        vec![
            order(1, of, Token::new(1, 5), VmOrder::RaiseFloor),
            enrol(1, of, Token::new(1, 4)),
            enrol(1, of, Token::new(1, 6)),
            order(1, of, Token::new(1, 7), open_attempt()),
        ],
    )
    .await;
    assert_eq!(answers[1], Err(Refusal::BelowFloor { vm: vm(1), token: Token::new(1, 4), floor: Token::new(1, 5) }));
    let last = answers.into_iter().next_back().expect("four answers to four commands").expect("it is in order");
    assert_eq!(last.into_applied().map(|applied| applied.row), Some(row(&ledger, 1).await));
}

async fn keeps_a_whole_move<P: LedgerPlace>(place: &P) {
    let of = evacuation(1);
    let attempt = Attempt::FIRST;
    let steps = [
        enrol(1, of, Token::new(1, 1)),
        order(1, of, Token::new(1, 2), open_attempt()),
        order(1, of, Token::new(1, 3), VmOrder::BeginPlace { attempt }),
        ended(Token::new(1, 3), MutationResult::Done),
        order(1, of, Token::new(1, 4), VmOrder::Complete { attempt, late: false }),
        ended(Token::new(1, 4), MutationResult::Ran { downtime_ms: Some(40) }),
        order(1, of, Token::new(1, 5), VmOrder::CloseDestination { outcome: Outcome::Migrated }),
    ];
    let mut written = Vec::new();
    for step in steps {
        // Opened again before each: nothing may live in memory alone.
        let ledger = open(place).await;
        let applied = apply(&ledger, step).await;
        assert_eq!(row(&ledger, 1).await, applied.row);
        written.extend(applied.events);
    }
    let ledger = open(place).await;
    let read: Vec<_> =
        ledger.events(0, 100).await.expect("events can be read").into_iter().map(|(_, event)| event).collect();
    assert_eq!(read, written);
    assert!(read.iter().any(|event| matches!(event.kind, EventKind::Completed { late: false, .. })));
}

async fn keeps_facts<P: LedgerPlace>(place: &P) {
    let ledger = open(place).await;
    apply(&ledger, enrol(1, evacuation(1), Token::new(1, 1))).await;
    let stale = apply(&ledger, ended(Token::new(1, 1), MutationResult::Done)).await;
    assert_eq!(stale.execution, Execution::Before, "no mutation was under way");
    let seen = apply(&ledger, fact(1, FactKind::MadeInertAgain)).await;
    assert_eq!((seen.execution, seen.row.floor), (Execution::Now, Token::new(1, 1)));
    // About a VM on no roll: it is told, and makes no row.
    apply(&ledger, fact(9, FactKind::MadeInertAgain)).await;
    assert_eq!(row(&ledger, 9).await, VmRow::unknown(vm(9)));
    assert_eq!(ledger.rows(RowQuery::all()).await.expect("rows can be read").len(), 1);
    assert_eq!(ledger.newest(), 3);
}

async fn numbers_events_densely<P: LedgerPlace>(place: &P) {
    for round in 0..3_u32 {
        let ledger = open(place).await;
        let commands = (0..5).map(|number| enrol(round * 5 + number, evacuation(1), Token::new(1, 1))).collect();
        execute(&ledger, commands).await;
        assert_eq!(ledger.newest(), u64::from(round + 1) * 5);
    }
    let ledger = open(place).await;
    let mut after = 0;
    let mut seen = Vec::new();
    loop {
        let page = ledger.events(after, 4).await.expect("events can be read");
        let Some((last, _)) = page.last() else { break };
        assert!(page.len() <= 4);
        after = *last;
        seen.extend(page.iter().map(|(sequence, _)| *sequence));
    }
    assert_eq!(seen, (1..=15).collect::<Vec<u64>>());
    assert!(ledger.events(u64::MAX, 4).await.expect("events can be read").is_empty());
}

async fn chains_its_history<P: LedgerPlace>(place: &P) {
    for round in 0..3 {
        let ledger = open(place).await;
        let enrolled = enrol(round, evacuation(1), Token::new(1, 1));
        let commands =
            vec![claim(evacuation(1), round.into(), 0, "one"), enrolled, fact(round, FactKind::MadeInertAgain)];
        execute(&ledger, commands).await;
        apply(&ledger, enrol(10 + round, evacuation(1), Token::new(1, 1))).await;
    }
    let ledger = open(place).await;
    let history = ledger.events(0, 100).await.expect("events can be read");
    let mut head = StoredEvent::genesis();
    for (sequence, event) in &history {
        let ordered = event.kind != EventKind::MadeInertAgain;
        assert_eq!(event.caller, if ordered { caller() } else { Caller::default() }, "who ordered it");
        let stored = StoredEvent::after(head, event).expect("an event can be stored");
        head = stored.head();
        assert_eq!(head.sequence, *sequence);
        let entry = ledger.entry(*sequence).await.expect("entries can be read");
        assert_eq!(entry, Some(HistoryEntry { at: event.at, link: head.link }));
    }
    assert_eq!(head.sequence, 12);
    for none in [0, 13, u64::MAX] {
        assert_eq!(ledger.entry(none).await.expect("entries can be read"), None);
    }
}

async fn claims_by_compare_and_set<P: LedgerPlace>(place: &P) {
    let ledger = open(place).await;
    let of = evacuation(1);
    let answers = execute(&ledger, vec![claim(of, 0, 0, "one"), claim(of, 0, 0, "other")]).await;
    assert_eq!(claims(&answers[0]).map(|claims| claims.epoch), Some(Epoch(1)));
    let found = Epoch(1);
    assert_eq!(answers[1], Err(Refusal::ClaimedInBetween { evacuation: of, expected: Epoch(0), found }));
    drop(ledger);
    let ledger = open(place).await;
    let answer = execute_one(&ledger, claim(of, 1, 40, "other")).await;
    assert_eq!(claims(&answer).map(|claims| claims.epoch), Some(Epoch(41)), "above every known epoch and floor");
    let standing = ledger.claims(of).await.expect("claims can be read");
    assert_eq!(Some(&standing), claims(&answer));
    assert_eq!(ledger.claims(evacuation(2)).await.expect("claims can be read"), Claims::default());
    let told: Vec<_> = ledger.events(0, 10).await.expect("events can be read");
    assert_eq!(told.len(), 2);
}

async fn pages_rows<P: LedgerPlace>(place: &P) {
    let ledger = open(place).await;
    let numbers = [9, 3, 7, 1, 5, 8, 2];
    let of = |number: u32| evacuation(if number % 2 == 1 { 1 } else { 2 });
    execute(&ledger, numbers.iter().map(|number| enrol(*number, of(*number), Token::new(1, 1))).collect()).await;
    for (query, expected) in [
        (RowQuery { limit: 2, ..RowQuery::all() }, vec![1, 2, 3, 5, 7, 8, 9]),
        (RowQuery { limit: 2, ..RowQuery::of(evacuation(1)) }, vec![1, 3, 5, 7, 9]),
        (RowQuery { limit: 100, ..RowQuery::of(evacuation(2)) }, vec![2, 8]),
        (RowQuery::of(evacuation(3)), vec![]),
    ] {
        let mut query = query;
        let mut seen = Vec::new();
        loop {
            let page = ledger.rows(query).await.expect("rows can be read");
            assert!(page.len() <= query.limit);
            let Some(last) = page.last() else { break };
            query = query.after(last.vm);
            seen.extend(page.iter().map(|row| row.vm));
        }
        assert_eq!(seen, expected.into_iter().map(vm).collect::<Vec<_>>());
    }
}

async fn counts_open_evacuations<P: LedgerPlace>(place: &P) {
    let ledger = open(place).await;
    let stayed = VmOrder::CloseDestination { outcome: Outcome::StayedAtSource };
    let commands = vec![
        claim(evacuation(3), 0, 0, "one"),
        enrol(1, evacuation(2), Token::new(1, 1)),
        enrol(2, evacuation(2), Token::new(1, 1)),
        enrol(3, evacuation(1), Token::new(1, 1)),
        order(1, evacuation(2), Token::new(1, 2), stayed.clone()),
        order(3, evacuation(1), Token::new(1, 2), stayed),
    ];
    let answers = execute(&ledger, commands).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    drop(ledger);
    let ledger = open(place).await;
    let found = ledger.evacuations().await.expect("evacuations can be read");
    let counts: Vec<_> = found.iter().map(|one| (one.evacuation, one.vms, one.open, one.claims.epoch)).collect();
    assert_eq!(
        counts,
        [(evacuation(1), 1, 0, Epoch(0)), (evacuation(2), 2, 1, Epoch(0)), (evacuation(3), 0, 0, Epoch(1)),]
    );
}

async fn serialises_concurrent_callers<P: LedgerPlace>(place: &P) {
    let ledger = open(place).await;
    let of = evacuation(1);
    apply(&ledger, enrol(1, of, Token::new(1, 1))).await;
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let ledger = Arc::clone(&ledger);
        // All claim at once, all raise one VM's floor at once, and each enrols a VM of its own.
        let commands = vec![
            claim(of, 0, 0, &format!("caller {caller}")),
            order(1, of, Token::new(2, u64::from(caller)), VmOrder::RaiseFloor),
            enrol(100 + caller, of, Token::new(1, 1)),
        ];
        callers.push(tokio::spawn(async move { ledger.execute(commands).await }));
    }
    let (mut claimed, mut told) = (0, 1);
    for caller in callers {
        let answers = caller.await.expect("no caller panics").expect("the ledger works");
        claimed += usize::from(answers[0].is_ok());
        told += answers.iter().filter(|answer| answer.is_ok()).count();
        assert!(answers[2].is_ok());
    }
    assert_eq!(claimed, 1, "two held one claim");
    assert_eq!(row(&ledger, 1).await.floor, Token::new(2, u64::from(CALLERS - 1)), "a floor fell");
    let events = ledger.events(0, 1000).await.expect("events can be read");
    let sequences: BTreeSet<u64> = events.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!((events.len(), sequences.len(), ledger.newest()), (told, told, told as u64));
}

async fn wakes_those_who_wait<P: LedgerPlace>(place: &P) {
    let ledger = open(place).await;
    let waiting = tokio::spawn({
        let ledger = Arc::clone(&ledger);
        async move { ledger.wait_past(0).await }
    });
    tokio::task::yield_now().await;
    apply(&ledger, enrol(1, evacuation(1), Token::new(1, 1))).await;
    assert_eq!(waiting.await.expect("it doesn't panic").expect("the ledger works"), 1);
    assert_eq!(ledger.wait_past(0).await.expect("the ledger works"), 1, "what is there already is not waited for");
}

async fn takes_no_more_than_fits<P: LedgerPlace>(place: &P) {
    let ledger = open(place).await;
    let commands = |count: usize| vec![order(1, evacuation(1), Token::new(1, 1), VmOrder::RaiseFloor); count];
    let refused = ledger.execute(commands(COMMANDS_MAX + 1)).await;
    assert!(matches!(refused, Err(StoreError::TooMany { .. })), "{refused:?}");
    assert_eq!(ledger.newest(), 0);
    assert_eq!(execute(&ledger, commands(COMMANDS_MAX)).await.len(), COMMANDS_MAX);
}

async fn open<P: LedgerPlace>(place: &P) -> Arc<dyn Ledger> {
    place.open().await.expect("the ledger opens")
}

async fn row(ledger: &Arc<dyn Ledger>, number: u32) -> VmRow {
    ledger.row(vm(number)).await.expect("rows can be read")
}

async fn execute(ledger: &Arc<dyn Ledger>, commands: Vec<LedgerCommand>) -> Vec<Result<Receipt, Refusal>> {
    let asked = commands.len();
    let answers = ledger.execute(commands).await.expect("the ledger works");
    assert_eq!(answers.len(), asked, "an answer a command");
    answers
}

async fn execute_one(ledger: &Arc<dyn Ledger>, command: LedgerCommand) -> Result<Receipt, Refusal> {
    execute(ledger, vec![command]).await.remove(0)
}

async fn apply(ledger: &Arc<dyn Ledger>, command: LedgerCommand) -> Applied {
    let receipt = execute_one(ledger, command).await.expect("the command is in order");
    receipt.into_applied().expect("it is about a VM")
}

fn claims(answer: &Result<Receipt, Refusal>) -> Option<&Claims> {
    match answer {
        Ok(Receipt::Evacuation(claims)) => Some(claims),
        Ok(Receipt::Vm(_) | Receipt::Written) | Err(_) => None,
    }
}

fn open_attempt() -> VmOrder {
    VmOrder::OpenAttempt { host: host("new-1"), kind: ArrivalKind::Transfer }
}

fn ended(token: Token, result: MutationResult) -> LedgerCommand {
    fact(1, FactKind::MutationEnded { token, result })
}
