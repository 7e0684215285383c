//! `decide` on whatever may come: it is pure, keeps the oracle's rules, and these whatever else it may think:
//!
//! - nothing that discards, kills, unseals, resumes or starts from a disk rests on streamed evidence, or on a silent site;
//! - after the event nothing runs the source's copy.
//!
//! The exhaustive table has every combination of evidence with few numbers; here the numbers are at their ends as well, and the
//! evidence is also weighed from readings, whose ids, hosts, numbers and times are of any kind.

use crate::choices::{Choices, numbers};
use crate::oracle::values::{COPIES, DISKS, INSTANCES, OTHERS};
use crate::oracle::{destination, has_event, permission, source};
use crate::run::{Counts, Target, regressions, run};
use crate::wire::generate::Generator;
use muster_core::claim::{Assertion, Claims};
use muster_core::decide::{ColdStart, Goal, Leftovers, MoveOrder, decide};
use muster_core::definition::Mode;
use muster_core::evidence::{
    ArrivalKind, CopyState, DestinationEvidence, Evidence, Freshness, Heard, OtherCopy, Outcome, Record, Seal,
    SourceEvidence, SourceInstance, TransferTrace,
};
use muster_core::ids::{Attempt, EvacuationId, HostName};
use muster_core::ledger::weigh::Readings;
use muster_core::ledger::{ArrivalRecord, SourceState, Standing, Started};
use muster_core::reading::SiteReading;
use muster_core::step::{Action, Step};
use proptest::prelude::{any, prop_assert, prop_assert_eq};
use proptest::prop_oneof;
use proptest::strategy::Strategy;
use proptest::test_runner::TestCaseError;

/// Numbers that one case is drawn from.
const NUMBERS_MAX: usize = 40;

#[test]
fn decide_keeps_its_rules_whatever_comes() {
    let target = Target { name: "deciding", regressions: regressions!("deciding"), few: 30_000, of_ordered: 1 };
    let input = prop_oneof![
        numbers(NUMBERS_MAX).prop_map(|drawn| Input::Evidence { drawn }),
        (any::<u64>(), numbers(NUMBERS_MAX)).prop_map(|(seed, drawn)| Input::Readings { seed, drawn }),
    ];
    run(&target, &input, |input, counts| input.decide(counts));
}

#[derive(Debug, Clone)]
enum Input {
    Evidence { drawn: Vec<u64> },
    Readings { seed: u64, drawn: Vec<u64> },
}

impl Input {
    fn decide(self, counts: &Counts) -> Result<(), TestCaseError> {
        let (order, evidence) = match self {
            Input::Evidence { drawn } => {
                let choices = &mut Choices::of(&drawn, &[]);
                (order(choices), evidence(choices))
            }
            Input::Readings { seed, drawn } => weighed(seed, &mut Choices::of(&drawn, &[]))?,
        };
        counts.count(true);
        holds(&order, &evidence)
    }
}

fn holds(order: &MoveOrder, evidence: &Evidence) -> Result<(), TestCaseError> {
    let decision = decide(order, evidence);
    prop_assert_eq!(decision, decide(order, evidence), "it isn't pure");
    let rule = permission::broken_rule(order, evidence, decision.verdict, decision.step);
    prop_assert!(rule.is_none(), "{rule:?}: {decision:?} of {order:?} on {evidence:?}");
    let Step::Act(action) = decision.step else { return Ok(()) };
    let (at_destination, at_source) = (destination(evidence), source(evidence));
    // Written out once more, apart from the oracle and from what the product says of its own actions.
    let is_destructive = match action {
        Action::Discard
        | Action::Abandon
        | Action::ResumeSource
        | Action::StartSource
        | Action::Unseal
        | Action::OpenAttempt(ArrivalKind::ColdStart) => true,
        Action::OpenAttempt(ArrivalKind::Transfer)
        | Action::MakePlaceholder
        | Action::Seal
        | Action::Transfer
        | Action::AbortTransfer
        | Action::Commit
        | Action::Run
        | Action::Retire
        | Action::Reopen
        | Action::CloseSource
        | Action::CloseDestination(_) => false,
    };
    if is_destructive {
        prop_assert_eq!(evidence.freshness, Freshness::Fenced, "{:?} on streamed evidence: {:?}", action, evidence);
        let is_sworn = at_source.is_none_or(|at| at.instance == SourceInstance::HostSilent) && evidence.source_fenced;
        let is_heard = at_source.is_some_and(|at| at.instance != SourceInstance::HostSilent);
        let has_proof = at_source.is_some_and(|at| matches!(at.seal, Seal::Gone { .. } | Seal::Closed));
        // What holds no memory is nobody's only copy; and once its event stands, the source's silence leaves nothing open.
        let is_cleaning = action == Action::Discard || action == Action::Abandon;
        let may_take_memory = at_destination.is_some_and(|at| {
            let is_here = matches!(at.copy, CopyState::Incoming | CopyState::Paused | CopyState::Running);
            // Giving an attempt up says nothing of the copies of earlier ones.
            let is_elsewhere = at.other == OtherCopy::HoldsMemory && action == Action::Discard;
            !has_event(at.record) && (is_here || is_elsewhere)
        });
        let is_known = is_sworn || is_heard || has_proof || (is_cleaning && !may_take_memory);
        prop_assert!(is_known && at_destination.is_some(), "{action:?} on silence: {order:?}, {evidence:?}");
    }
    let runs_the_source = matches!(action, Action::ResumeSource | Action::StartSource | Action::Unseal);
    let is_after = at_destination.is_some_and(|at| has_event(at.record));
    prop_assert!(!(runs_the_source && is_after), "{action:?} after the event: {evidence:?}");
    Ok(())
}

fn order(choices: &mut Choices<'_>) -> MoveOrder {
    MoveOrder {
        mode: mode(choices),
        goal: if choices.below(2) == 0 { Goal::Finish } else { Goal::Undo },
        attempts_max: choices.number() as u32,
        cold_start: [ColdStart::Never, ColdStart::Policy, ColdStart::Ordered][choices.below(3)],
        refused: (choices.below(3) == 2).then(|| attempt(choices)),
        leftovers: if choices.below(4) == 3 { Leftovers::AreLeft } else { Leftovers::AreDiscarded },
    }
}

fn mode(choices: &mut Choices<'_>) -> Mode {
    [Mode::Live, Mode::Cold, Mode::Off][choices.below(3)]
}

fn attempt(choices: &mut Choices<'_>) -> Attempt {
    Attempt::new(choices.number() as u32).unwrap_or(Attempt::FIRST)
}

fn kind(choices: &mut Choices<'_>) -> ArrivalKind {
    [ArrivalKind::Transfer, ArrivalKind::ColdStart][choices.below(2)]
}

fn flag(choices: &mut Choices<'_>) -> bool {
    choices.below(3) == 2
}

fn evidence(choices: &mut Choices<'_>) -> Evidence {
    Evidence {
        freshness: [Freshness::Streamed, Freshness::Fenced][choices.below(2)],
        destination: if choices.below(6) == 5 { Heard::Silent } else { Heard::Answer(the_destination(choices)) },
        source: if choices.below(6) == 5 { Heard::Silent } else { Heard::Answer(the_source(choices)) },
        source_fenced: flag(choices),
        destination_host_fenced: flag(choices),
        past_deadline: flag(choices),
    }
}

fn the_destination(choices: &mut Choices<'_>) -> DestinationEvidence {
    let record = match choices.below(7) {
        0 => Record::NotOnRoll,
        1 => Record::Enrolled,
        2 | 3 => Record::Started { attempt: attempt(choices), kind: kind(choices) },
        4 => Record::Abandoned { attempt: attempt(choices) },
        5 => Record::Completed { attempt: attempt(choices), kind: kind(choices) },
        _ => Record::Closed([Outcome::Migrated, Outcome::StayedAtSource][choices.below(2)]),
    };
    DestinationEvidence {
        record,
        copy: COPIES[choices.below(COPIES.len())],
        other: OTHERS[choices.below(OTHERS.len())],
        busy: flag(choices),
        disk: DISKS[choices.below(DISKS.len())],
    }
}

fn the_source(choices: &mut Choices<'_>) -> SourceEvidence {
    let seal = match choices.below(7) {
        0 => Seal::NotOnRoll,
        1 => Seal::Unsealed,
        2 | 3 => {
            let traces = [TransferTrace::NotBegun, TransferTrace::Begun, TransferTrace::Failed];
            Seal::Sealed(traces[choices.below(3)])
        }
        4 => Seal::Gone { of_this_attempt: choices.below(3) != 2 },
        5 => Seal::Retired,
        _ => Seal::Closed,
    };
    SourceEvidence { seal, instance: INSTANCES[choices.below(INSTANCES.len())], busy: flag(choices) }
}

/// Readings of both sites, as their workers might send them: mostly of this evacuation, with marks that mostly are its own.
/// What they are weighed to is the same however often.
fn weighed(seed: u64, choices: &mut Choices<'_>) -> Result<(MoveOrder, Evidence), TestCaseError> {
    let order = order(choices);
    let generator = &mut Generator::seeded(seed);
    let evacuation = generator.evacuation();
    let (mut here, mut there) = (generator.reading(), generator.reading());
    let mut begun = None;
    if choices.below(8) != 7 {
        let mut at = generator.at_destination();
        at.evacuation = evacuation;
        begun = started(&at.record).map(|started| (started.attempt, started.host.clone()));
        there.standing = Some(Standing::Destination(at));
    }
    if choices.below(8) != 7 {
        let mut at = generator.at_source();
        at.evacuation = evacuation;
        if let (Some((attempt, _)), SourceState::Gone { transfer }) = (&begun, &mut at.state) {
            transfer.attempt = *attempt;
        }
        here.standing = Some(Standing::Source(at));
    }
    for reading in [&mut here, &mut there] {
        mark(reading, evacuation, begun.as_ref(), generator, choices);
    }
    let assertions: Vec<Assertion> = (0..choices.below(3)).map(|_| generator.assertion()).collect();
    let claims = Claims { assertions, ..Claims::default() };
    let is_silent = |choices: &mut Choices<'_>| choices.below(8) == 7;
    let readings = Readings {
        evacuation,
        freshness: [Freshness::Streamed, Freshness::Fenced][choices.below(2)],
        destination: if is_silent(choices) { Heard::Silent } else { Heard::Answer(&there) },
        source: if is_silent(choices) { Heard::Silent } else { Heard::Answer(&here) },
        claims: &claims,
        past_deadline: flag(choices),
    };
    let evidence = readings.weigh();
    prop_assert_eq!(evidence, readings.weigh(), "weighing isn't pure");
    Ok((order, evidence))
}

fn started(record: &ArrivalRecord) -> Option<&Started> {
    match record {
        ArrivalRecord::Started(started) | ArrivalRecord::Abandoned(started) => Some(started),
        ArrivalRecord::Completed(completed) => Some(&completed.started),
        ArrivalRecord::Enrolled | ArrivalRecord::Closed(_) => None,
    }
}

/// What is seen is mostly this evacuation's, and mostly where it was begun.
fn mark(
    reading: &mut SiteReading,
    evacuation: EvacuationId,
    begun: Option<&(Attempt, HostName)>,
    generator: &mut Generator,
    choices: &mut Choices<'_>,
) {
    for sighting in &mut reading.sight.sightings {
        if choices.below(4) == 3 {
            continue;
        }
        let mut mark = generator.mark();
        mark.evacuation = evacuation;
        mark.attempt = attempt(choices);
        if let Some((attempt, host)) = begun.filter(|_| choices.below(3) != 2) {
            (mark.attempt, sighting.host) = (*attempt, host.clone());
        }
        sighting.mark = Some(mark);
    }
}
