//! What ledgers and journals keep: rows, events and records as JSON, as a real evacuation left them, with pieces changed, as a
//! damaged or a newer file has them. They are read or refused; what is read is written and read the same again, and the
//! transitions and folds that go on from it refuse or carry out, whatever numbers stand in it.

use crate::choices::{Choices, numbers};
use crate::run::{Counts, Target, regressions, run};
use muster_core::claim::{Claims, Holder, HolderKind};
use muster_core::decide::decide;
use muster_core::definition::{Disk, Mode};
use muster_core::evacuation::{EvacuationStatus, JournalRecord, MoveStatus};
use muster_core::evidence::{ArrivalKind, Freshness, Heard, Outcome};
use muster_core::ids::{Attempt, EvacuationId, HostName};
use muster_core::ledger::command::{Caller, EvacuationCommand, EvacuationOrder, LedgerEvent, VmCommand, VmOrder};
use muster_core::ledger::weigh::Readings;
use muster_core::ledger::{ArrivalRecord, Standing, VmRow, transition};
use muster_core::reading::{Sight, SiteReading};
use muster_core::time::Timestamp;
use muster_core::token::{Epoch, Token};
use muster_recovery::roll_call::Wishes;
use muster_store::memory::{MemoryJournal, MemoryLedger};
use muster_store::{Journal, JournalQuery, PAGE_MAX, ReadLedger, RowQuery};
use muster_tests::life::{Hit, Moment};
use muster_tests::{Process, Stage, StageOptions};
use proptest::prelude::{any, prop_assert, prop_assert_eq};
use proptest::test_runner::TestCaseError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::fmt::Debug;
use std::time::Duration;

/// Numbers that one case is drawn from.
const NUMBERS_MAX: usize = 60;

/// Points of the orchestrator's life at which it leaves a live move in the middle: with its record begun, sealed, arrived,
/// completed.
const LEFT_AT: [u64; 10] = [28, 29, 30, 31, 32, 33, 34, 36, 38, 42];

/// Where counting ends.
const ENDS: [u64; 4] = [0, u32::MAX as u64, i64::MAX as u64, u64::MAX];

/// A form that is kept as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Row,
    Event,
    Claims,
    Record,
    Evacuation,
    Move,
}

const FORMS: [Form; 6] = [Form::Row, Form::Event, Form::Claims, Form::Record, Form::Evacuation, Form::Move];

#[test]
fn what_is_stored_is_read_or_refused_and_gone_on_from() {
    let kept = kept_by_evacuations();
    for form in FORMS {
        assert!(kept.iter().any(|(kept, _)| *kept == form), "nothing was kept as {form:?}");
    }
    // Rows of every stage of a move.
    for state in ["Enrolled", "Started", "Completed", "Closed", "Unsealed", "Sealed", "Gone", "Retired"] {
        let has_it = kept.iter().any(|(form, value)| *form == Form::Row && value.to_string().contains(state));
        assert!(has_it, "no row was kept in the state {state}");
    }
    let counts = Counts::default();
    for (form, value) in &kept {
        let Ok(()) = tried(*form, &value.to_string(), &counts, None) else {
            panic!("{form:?} as it was kept: {value}")
        };
    }
    assert_eq!(counts.refused.into_inner(), 0, "what was kept as it is, is read");

    let target = Target { name: "stored", regressions: regressions!("stored"), few: 40_000, of_ordered: 1 };
    let input = (0..FORMS.len(), any::<usize>(), 0..kept.len(), numbers(NUMBERS_MAX));
    run(&target, &input, |(form, one, other, drawn), counts| {
        let choices = &mut Choices::of(&drawn, &[]);
        let of_form: Vec<_> = kept.iter().filter(|(kept, _)| *kept == FORMS[form]).collect();
        let (form, value) = of_form[one % of_form.len()];
        let mut value = value.clone();
        for _ in 0..=choices.below(3) {
            if choices.below(3) == 2 {
                change(&mut value, &kept[other].1, choices);
            } else {
                change_an_end(&mut value, choices);
            }
        }
        // Now and then as something else than it was kept as.
        let form = if choices.below(16) == 15 { FORMS[choices.below(FORMS.len())] } else { *form };
        let mut text = value.to_string();
        if choices.below(12) == 11 {
            let cut = choices.below(text.len());
            text.truncate((0..=cut).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
        }
        tried(form, &text, counts, Some(choices))
    });
}

fn tried(form: Form, text: &str, counts: &Counts, choices: Option<&mut Choices<'_>>) -> Result<(), TestCaseError> {
    match form {
        Form::Row => {
            let Some(row) = read::<VmRow>(text, counts)? else { return Ok(()) };
            // Mostly above the row's floor: what is refused at the door tells little.
            let token = choices.map_or(Token::new(1, 1), |choices| match choices.below(3) {
                0 => Token::new(choices.number(), choices.number()),
                _ => Token::new(u64::MAX, 0),
            });
            goes_on(&row, token);
            Ok(())
        }
        Form::Event => read::<LedgerEvent>(text, counts).map(drop),
        Form::Claims => {
            let Some(claims) = read::<Claims>(text, counts)? else { return Ok(()) };
            claimed(&claims)
        }
        Form::Record => {
            let Some(record) = read::<JournalRecord>(text, counts)? else { return Ok(()) };
            if let Some(mut status) = EvacuationStatus::ordered(&record) {
                status.apply(&record);
            }
            Ok(())
        }
        Form::Evacuation => folded(text, counts, EvacuationStatus::apply),
        Form::Move => folded(text, counts, MoveStatus::apply),
    }
}

fn read<T>(text: &str, counts: &Counts) -> Result<Option<T>, TestCaseError>
where
    T: DeserializeOwned + Serialize + PartialEq + Debug,
{
    let read = serde_json::from_str::<T>(text);
    counts.count(read.is_ok());
    match read {
        Ok(value) => {
            let again =
                serde_json::to_string(&value).map_err(|error| TestCaseError::fail(format!("{value:?}: {error}")))?;
            let second =
                serde_json::from_str::<T>(&again).map_err(|error| TestCaseError::fail(format!("{again}: {error}")))?;
            prop_assert_eq!(&second, &value, "it is read otherwise once written again");
            Ok(Some(value))
        }
        Err(error) => {
            prop_assert!(!error.to_string().is_empty(), "it is refused without a word");
            Ok(None)
        }
    }
}

/// Every kind of order on the row, under this token, and every other one after it; what comes of each is decided on.
fn goes_on(row: &VmRow, token: Token) {
    let evacuation = row.enrolled.as_ref().map_or(EvacuationId(row.vm.0), |enrolled| enrolled.standing.evacuation());
    let command = |token, order: &VmOrder| VmCommand {
        evacuation,
        vm: row.vm,
        token,
        caller: Caller::default(),
        at: Timestamp(u64::MAX),
        order: order.clone(),
    };
    let orders = orders(row);
    is_decided(row, evacuation);
    for order in &orders {
        let Ok(first) = transition::vm(row, &command(token, order)) else { continue };
        is_decided(&first.row, evacuation);
        for order in &orders {
            if let Ok(second) = transition::vm(&first.row, &command(Token::new(u64::MAX, u64::MAX), order)) {
                is_decided(&second.row, evacuation);
            }
        }
    }
}

/// Every kind of order, for the first attempt, the last one that can be counted, and the row's own.
fn orders(row: &VmRow) -> Vec<VmOrder> {
    let host: HostName = "a".parse().unwrap();
    let own = match row.standing() {
        Some(Standing::Destination(at)) => match &at.record {
            ArrivalRecord::Started(started) | ArrivalRecord::Abandoned(started) => Some(started.attempt),
            ArrivalRecord::Completed(completed) => Some(completed.started.attempt),
            ArrivalRecord::Enrolled | ArrivalRecord::Closed(_) => None,
        },
        Some(Standing::Source(_)) | None => None,
    };
    let attempts = [Attempt::FIRST, Attempt::new(u32::MAX).unwrap()].into_iter().chain(own);
    let mut orders = vec![
        VmOrder::RaiseFloor,
        VmOrder::OpenAttempt { host: host.clone(), kind: ArrivalKind::Transfer },
        VmOrder::OpenAttempt { host: host.clone(), kind: ArrivalKind::ColdStart },
        VmOrder::BeginRun,
        VmOrder::BeginDiscard,
        VmOrder::CloseDestination { outcome: Outcome::Migrated },
        VmOrder::CloseDestination { outcome: Outcome::StayedAtSource },
        VmOrder::BeginAbort,
        VmOrder::BeginAdjust,
        VmOrder::BeginResume,
        VmOrder::BeginStart,
        VmOrder::BeginUnseal,
        VmOrder::BeginRetire { keep_ms: Some(u64::MAX) },
        VmOrder::BeginRelease,
        VmOrder::BeginDelete,
        VmOrder::CloseSource,
    ];
    for attempt in attempts {
        orders.extend([
            VmOrder::BeginPlace { attempt },
            VmOrder::Abandon { attempt },
            VmOrder::Reopen { attempt },
            VmOrder::Complete { attempt, late: true },
            VmOrder::BeginTransfer { attempt, host: host.clone() },
        ]);
    }
    orders
}

fn is_decided(row: &VmRow, evacuation: EvacuationId) {
    let reading = SiteReading {
        vm: row.vm,
        floor: row.floor,
        standing: row.standing().cloned(),
        sight: Sight::default(),
        mutation_under_way: row.intent.is_some(),
        at: Timestamp(0),
    };
    let claims = Claims::default();
    let readings = Readings {
        evacuation,
        freshness: Freshness::Fenced,
        destination: Heard::Answer(&reading),
        source: Heard::Answer(&reading),
        claims: &claims,
        past_deadline: true,
    };
    if let Some(enrolled) = &row.enrolled {
        let order = Wishes::default().order(&enrolled.entry, &Heard::Answer(reading.clone()));
        let _decision = decide(&order, &readings.weigh());
    }
}

/// A claim goes above every epoch there is, except the last.
fn claimed(claims: &Claims) -> Result<(), TestCaseError> {
    let order = EvacuationOrder::Claim {
        holder: Holder::new("a", HolderKind::Recovery),
        expected: claims.epoch,
        at_least: claims.epoch,
        take_over: Some("a".to_owned()),
    };
    let evacuation = "0e000000-0000-4000-8000-000000000001".parse().unwrap();
    let command = EvacuationCommand { evacuation, caller: Caller::default(), at: Timestamp(0), order };
    let Ok((after, _)) = transition::evacuation(claims, &command) else {
        return Err(TestCaseError::fail("a claim that takes over was refused"));
    };
    prop_assert!(after.epoch > claims.epoch || claims.epoch == Epoch(u64::MAX), "{claims:?}, then {after:?}");
    Ok(())
}

/// A status, with a record of the same text's making folded in where one can be made of it.
fn folded<S>(text: &str, counts: &Counts, apply: impl Fn(&mut S, &JournalRecord)) -> Result<(), TestCaseError>
where
    S: DeserializeOwned + Serialize + PartialEq + Debug + Clone,
{
    let Some(status) = read::<S>(text, counts)? else { return Ok(()) };
    for record in records() {
        let mut status = status.clone();
        apply(&mut status, record);
        let written = serde_json::to_string(&status).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(serde_json::from_str::<S>(&written).ok(), Some(status), "folded, it is read otherwise");
    }
    Ok(())
}

/// Puts another value of its kind in the place of one that stands at the end of a path, all of which are as likely.
fn change_an_end(value: &mut Value, choices: &mut Choices<'_>) {
    let mut ends = Vec::new();
    ends_of(value, String::new(), &mut ends);
    let end = ends.get(choices.below(ends.len())).and_then(|end| value.pointer_mut(end));
    match end {
        Some(end @ Value::Number(_)) => {
            let number = choices.number();
            *end = json!(ENDS.get(choices.below(2 * ENDS.len())).unwrap_or(&number));
        }
        Some(end @ Value::String(_)) => *end = json!(choices.text()),
        Some(Value::Bool(is_so)) => *is_so = !*is_so,
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => {}
    }
}

fn ends_of(value: &Value, path: String, ends: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, inner)| ends_of(inner, format!("{path}/{key}"), ends)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, inner)| ends_of(inner, format!("{path}/{at}"), ends));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => ends.push(path),
    }
}

/// Takes something out of a value, puts something else in, or something of another one.
fn change(value: &mut Value, other: &Value, choices: &mut Choices<'_>) {
    match value {
        Value::Object(fields) if choices.below(8) != 7 && !fields.is_empty() => {
            let key = fields.keys().nth(choices.below(fields.len())).cloned().unwrap_or_default();
            match choices.below(10) {
                8 => drop(fields.remove(&key)),
                9 => drop(fields.insert(choices.text(), other.clone())),
                _ => {
                    let inner = other.get(&key).unwrap_or(other);
                    if let Some(field) = fields.get_mut(&key) {
                        change(field, inner, choices);
                    }
                }
            }
        }
        Value::Array(items) if choices.below(8) != 7 && !items.is_empty() => {
            let at = choices.below(items.len());
            match choices.below(4) {
                2 => drop(items.remove(at)),
                3 => items.push(items[at].clone()),
                _ => change(&mut items[at], other, choices),
            }
        }
        Value::Number(_) if choices.below(4) != 3 => *value = json!(choices.number()),
        Value::String(_) if choices.below(4) != 3 => *value = json!(choices.text()),
        Value::Bool(is_so) if choices.below(4) != 3 => *is_so = !*is_so,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            *value = match choices.below(8) {
                0 => Value::Null,
                1 => json!(choices.number()),
                2 => json!(choices.text()),
                3 => json!(-1),
                4 => json!(0.5),
                5 => json!([]),
                6 => Value::Object(Map::new()),
                _ => other.clone(),
            };
        }
    }
}

fn records() -> &'static [JournalRecord] {
    static RECORDS: std::sync::OnceLock<Vec<JournalRecord>> = std::sync::OnceLock::new();
    RECORDS.get_or_init(|| {
        let kept = kept_by_evacuations();
        let records = kept.into_iter().filter(|(form, _)| *form == Form::Record);
        let mut records: Vec<JournalRecord> =
            records.filter_map(|(_, value)| serde_json::from_value(value).ok()).collect();
        // One of each kind is enough.
        let mut seen = Vec::new();
        records.retain(|record| {
            let kind = std::mem::discriminant(&record.kind);
            let is_new = !seen.contains(&kind);
            seen.push(kind);
            is_new
        });
        records
    })
}

/// All that both ledgers and the journal keep: of an evacuation of three VMs, one of each mode, and a recovery after it; and of
/// some that their orchestrator has left in the middle.
fn kept_by_evacuations() -> Vec<(Form, Value)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut kept = Vec::new();
        let mut stage = Stage::set(StageOptions::default()).await;
        stage.vm("a", Mode::Live, Disk::Shared).await;
        stage.vm("b", Mode::Cold, Disk::Local { size_mib: 2_048 }).await;
        stage.vm("c", Mode::Off, Disk::Local { size_mib: 2_048 }).await;
        stage.start_orchestrator(None).await;
        let evacuation = stage.order(&stage.runbook_of_all()).await;
        stage.until_finished(evacuation).await;
        let _settled = stage.recover(true, true).await;
        keep(&mut stage, evacuation, &mut kept).await;
        for point in LEFT_AT {
            let mut stage = Stage::set(StageOptions::default()).await;
            stage.vm("a", Mode::Live, Disk::Shared).await;
            let life = stage.start_orchestrator(Some(Hit { point, moment: Moment::After })).await;
            let evacuation = stage.order(&stage.runbook_of_all()).await;
            life.until_struck().await;
            // What the workers were told is still carried out.
            tokio::time::sleep(Duration::from_secs(30)).await;
            keep(&mut stage, evacuation, &mut kept).await;
        }
        kept
    })
}

async fn keep(stage: &mut Stage, evacuation: EvacuationId, kept: &mut Vec<(Form, Value)>) {
    let mut keep = |form, value: Result<Value, serde_json::Error>| kept.push((form, value.unwrap()));
    for process in [Process::Source, Process::Destination] {
        stage.kill(process);
        let ledger = MemoryLedger::open(&stage.ledgers[&process]).unwrap();
        for row in ledger.rows(RowQuery::all()).await.unwrap() {
            keep(Form::Row, serde_json::to_value(row));
        }
        for (_, event) in ledger.events(0, PAGE_MAX).await.unwrap() {
            keep(Form::Event, serde_json::to_value(event));
        }
        keep(Form::Claims, serde_json::to_value(ledger.claims(evacuation).await.unwrap()));
    }
    stage.kill(Process::Orchestrator);
    let journal = MemoryJournal::open(&stage.journal).unwrap();
    for (_, record) in journal.records(JournalQuery::all()).await.unwrap() {
        keep(Form::Record, serde_json::to_value(record));
    }
    for status in journal.evacuations().await.unwrap() {
        keep(Form::Evacuation, serde_json::to_value(status));
    }
    for status in journal.moves(evacuation, None, PAGE_MAX).await.unwrap() {
        keep(Form::Move, serde_json::to_value(status));
    }
}
