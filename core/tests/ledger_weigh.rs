//! From two sites' readings to evidence: the cases in which a careless reading would take silence, a pause or a stale
//! record for proof.

use muster_core::claim::{Assertion, Claims, Fenced};
use muster_core::decide::{ColdStart, Goal, Leftovers, MoveOrder, decide};
use muster_core::definition::{Disk, Mode};
use muster_core::evidence::{
    ArrivalKind, CopyState, DestinationEvidence, DiskEvidence, Evidence, Freshness, Heard, OtherCopy, Outcome, Record,
    Seal, SourceEvidence, SourceInstance, TransferTrace,
};
use muster_core::ids::{Attempt, EvacuationId, HostName, VmId};
use muster_core::ledger::weigh::Readings;
use muster_core::ledger::{
    ArrivalRecord, AtDestination, AtSource, Closed, Completed, Ran, RetiredCopy, SourceState, Standing, Started,
    Transfer,
};
use muster_core::reading::{Instance, Mark, OffCause, Sight, Sighting, SiteReading, Stored};
use muster_core::time::Timestamp;
use muster_core::token::Token;
use muster_core::verdict::{Doubt, Verdict};

const EVACUATION: EvacuationId = EvacuationId(uuid::Uuid::from_u128(1));
const ANOTHER: EvacuationId = EvacuationId(uuid::Uuid::from_u128(2));
const VM: VmId = VmId(uuid::Uuid::from_u128(7));
const AT: Timestamp = Timestamp(1_000);

fn host(name: &str) -> HostName {
    name.parse().expect("a name")
}

fn second() -> Attempt {
    Attempt::FIRST.next()
}

fn reading(standing: Option<Standing>, sightings: Vec<Sighting>) -> SiteReading {
    SiteReading {
        vm: VM,
        floor: Token::new(3, 5),
        standing,
        sight: Sight { sightings, ..Sight::default() },
        mutation_under_way: false,
        at: AT,
    }
}

fn started(attempt: Attempt) -> Started {
    Started { attempt, host: host("w1"), kind: ArrivalKind::Transfer, token: Token::new(3, 1), at: AT }
}

fn at_destination(record: ArrivalRecord, disk: Disk) -> Option<Standing> {
    let leftovers = Vec::new();
    Some(Standing::Destination(AtDestination { evacuation: EVACUATION, mode: Mode::Live, disk, record, leftovers }))
}

fn at_source(state: SourceState) -> Option<Standing> {
    Some(Standing::Source(AtSource {
        evacuation: EVACUATION,
        mode: Mode::Live,
        state,
        closed: false,
        retired_copy: RetiredCopy::Kept,
    }))
}

fn transfer(attempt: Attempt) -> Transfer {
    Transfer { attempt, token: Token::new(3, 4), host: host("w1"), failed: None }
}

fn sealed(attempt: Attempt) -> SourceState {
    SourceState::Sealed { transfer: Some(transfer(attempt)) }
}

fn sighting(name: &str, instance: Instance, stored: Stored, attempt: Option<Attempt>) -> Sighting {
    let mark = attempt.map(|attempt| Mark { evacuation: EVACUATION, attempt, token: Token::new(3, 2) });
    Sighting {
        host: host(name),
        instance,
        stored,
        mark,
        job: None,
        disk_complete: false,
        stood_still_ms: None,
        job_error: None,
        autostart: false,
    }
}

fn weigh(destination: Heard<&SiteReading>, source: Heard<&SiteReading>, claims: &Claims) -> Evidence {
    Readings { evacuation: EVACUATION, freshness: Freshness::Fenced, destination, source, claims, past_deadline: false }
        .weigh()
}

fn destination_of(
    record: ArrivalRecord,
    sightings: Vec<Sighting>,
    change: impl FnOnce(&mut SiteReading),
) -> DestinationEvidence {
    let mut reading = reading(at_destination(record, Disk::Shared), sightings);
    change(&mut reading);
    match weigh(Heard::Answer(&reading), Heard::Silent, &Claims::default()).destination {
        Heard::Answer(answer) => answer,
        Heard::Silent => panic!("it answered"),
    }
}

/// The source's evidence while the destination says that the second attempt is started.
fn source_of(state: SourceState, sightings: Vec<Sighting>, change: impl FnOnce(&mut SiteReading)) -> SourceEvidence {
    let destination = reading(at_destination(ArrivalRecord::Started(started(second())), Disk::Shared), Vec::new());
    let mut source = reading(at_source(state), sightings);
    change(&mut source);
    match weigh(Heard::Answer(&destination), Heard::Answer(&source), &Claims::default()).source {
        Heard::Answer(answer) => answer,
        Heard::Silent => panic!("it answered"),
    }
}

fn swear(fenced: Fenced) -> Claims {
    let assertion = Assertion { fenced, reason: "burnt".to_owned(), by: "ann".to_owned(), at: AT };
    Claims { assertions: vec![assertion], ..Claims::default() }
}

#[test]
fn the_copy_is_the_recorded_attempts_and_no_other() {
    let own = sighting("w1", Instance::Paused, Stored::Real, Some(second()));
    let old = sighting("w2", Instance::Paused, Stored::Real, Some(Attempt::FIRST));
    let seen = destination_of(ArrivalRecord::Started(started(second())), vec![old.clone(), own], |_| {});
    assert_eq!((seen.copy, seen.other), (CopyState::Paused, OtherCopy::HoldsMemory));
    let alone = destination_of(ArrivalRecord::Started(started(second())), vec![old], |_| {});
    assert_eq!((alone.copy, alone.other), (CopyState::Absent, OtherCopy::HoldsMemory));
}

#[test]
fn a_mark_of_another_evacuation_is_a_stranger() {
    let mut foreign = sighting("w1", Instance::Paused, Stored::Real, Some(second()));
    foreign.mark = foreign.mark.map(|mark| Mark { evacuation: ANOTHER, ..mark });
    let unmarked = sighting("w1", Instance::Off(OffCause::ShutDown), Stored::Real, None);
    for stranger in [foreign, unmarked] {
        let seen = destination_of(ArrivalRecord::Started(started(second())), vec![stranger], |_| {});
        assert_eq!((seen.copy, seen.other), (CopyState::Absent, OtherCopy::Foreign));
    }
    // What is off under a mark of this evacuation is its own leftover.
    let own = sighting("w1", Instance::Off(OffCause::Unknown), Stored::Real, Some(Attempt::FIRST));
    let seen = destination_of(ArrivalRecord::Started(started(second())), vec![own], |_| {});
    assert_eq!((seen.copy, seen.other), (CopyState::Absent, OtherCopy::Inert));
}

#[test]
fn the_worst_other_thing_counts() {
    let sightings = vec![
        sighting("w2", Instance::Off(OffCause::Unknown), Stored::Placeholder, Some(Attempt::FIRST)),
        sighting("w3", Instance::Running, Stored::Real, None),
        sighting("w4", Instance::Incoming, Stored::Placeholder, Some(Attempt::FIRST)),
    ];
    let seen = destination_of(ArrivalRecord::Started(started(second())), sightings, |_| {});
    assert_eq!(seen.other, OtherCopy::Running);
}

#[test]
fn a_silent_host_of_the_attempt_is_unknown_and_any_other_silent_host_is_not_the_copys() {
    let record = || ArrivalRecord::Started(started(second()));
    let silent = |name: &str| {
        let name = host(name);
        destination_of(record(), Vec::new(), |reading| reading.sight.silent_hosts.push(name)).copy
    };
    assert_eq!(silent("w1"), CopyState::HostSilent);
    assert_eq!(silent("w9"), CopyState::Absent);
}

#[test]
fn an_inert_definition_without_instance_is_a_placeholder_whatever_ended_there() {
    for cause in [OffCause::Crashed, OffCause::Unknown, OffCause::ShutDown, OffCause::Migrated] {
        let inert = sighting("w1", Instance::Off(cause), Stored::Placeholder, Some(second()));
        let seen = destination_of(ArrivalRecord::Started(started(second())), vec![inert], |_| {});
        assert_eq!(seen.copy, CopyState::Placeholder, "{cause:?}");
    }
    let restarted = sighting("w1", Instance::Off(OffCause::Unknown), Stored::Real, Some(second()));
    let shut_down = sighting("w1", Instance::Off(OffCause::ShutDown), Stored::Real, Some(second()));
    let copy = |seen| destination_of(ArrivalRecord::Started(started(second())), vec![seen], |_| {}).copy;
    assert_eq!(copy(restarted), CopyState::Crashed, "after its host's restart");
    assert_eq!(copy(shut_down), CopyState::ShutDown);
}

/// The worker died between giving it its definition and starting it.
#[test]
fn what_comes_up_from_its_disk_and_was_not_let_run_yet_is_still_to_start() {
    let copy = |mode, kind, ran| {
        let started = Started { kind, ..started(second()) };
        let completed = Completed { started, token: Token::new(3, 4), at: AT, late: false, ran };
        let off = sighting("w1", Instance::Off(OffCause::ShutDown), Stored::Real, Some(second()));
        let set = |reading: &mut SiteReading| match &mut reading.standing {
            Some(Standing::Destination(at)) => at.mode = mode,
            Some(Standing::Source(_)) | None => panic!("it is the destination's"),
        };
        destination_of(ArrivalRecord::Completed(completed), vec![off], set).copy
    };
    let ran = Some(Ran { at: AT, downtime_ms: None });
    for (mode, kind) in [(Mode::Cold, ArrivalKind::Transfer), (Mode::Live, ArrivalKind::ColdStart)] {
        assert_eq!(copy(mode, kind, None), CopyState::Placeholder, "{mode:?}, {kind:?}");
        assert_eq!(copy(mode, kind, ran), CopyState::ShutDown, "{mode:?}, {kind:?}: it ran, and somebody shut it down");
    }
    let arrived = copy(Mode::Live, ArrivalKind::Transfer, None);
    assert_eq!(arrived, CopyState::ShutDown, "its memory arrived, so it can have been shut down from inside");
}

#[test]
fn a_copied_disk_is_complete_only_for_the_recorded_attempt() {
    let disk = |attempt| {
        let mut seen = sighting("w1", Instance::Off(OffCause::Unknown), Stored::Placeholder, Some(attempt));
        seen.disk_complete = true;
        let local = at_destination(ArrivalRecord::Started(started(second())), Disk::Local { size_mib: 10 });
        let answer = reading(local, vec![seen]);
        match weigh(Heard::Answer(&answer), Heard::Silent, &Claims::default()).destination {
            Heard::Answer(at) => at.disk,
            Heard::Silent => panic!("it answered"),
        }
    };
    assert_eq!(disk(second()), DiskEvidence::Complete);
    assert_eq!(disk(Attempt::FIRST), DiskEvidence::Partial);
}

#[test]
fn every_kind_of_unfinished_work_makes_a_side_busy() {
    let record = || ArrivalRecord::Started(started(second()));
    assert!(!destination_of(record(), Vec::new(), |_| {}).busy);
    assert!(destination_of(record(), Vec::new(), |reading| reading.mutation_under_way = true).busy);
    assert!(destination_of(record(), Vec::new(), |reading| reading.sight.call_under_way = true).busy);
}

#[test]
fn off_without_the_durable_proof_is_stopped_and_not_gone() {
    let off = || vec![sighting("s1", Instance::Off(OffCause::Migrated), Stored::Sealed, None)];
    let seen = source_of(sealed(second()), off(), |_| {});
    assert_eq!((seen.seal, seen.instance), (Seal::Sealed(TransferTrace::Begun), SourceInstance::Stopped));
    let proven = source_of(SourceState::Gone { transfer: transfer(second()) }, off(), |_| {});
    assert_eq!(proven.seal, Seal::Gone { of_this_attempt: true });
    let older = source_of(SourceState::Gone { transfer: transfer(Attempt::FIRST) }, off(), |_| {});
    assert_eq!(older.seal, Seal::Gone { of_this_attempt: false });
}

#[test]
fn what_somebody_else_migrated_away_is_neither_gone_nor_stopped() {
    let off = || vec![sighting("s1", Instance::Off(OffCause::Migrated), Stored::Sealed, None)];
    let failed = Transfer { failed: Some("it was aborted".to_owned()), ..transfer(second()) };
    for last in [None, Some(failed)] {
        let seen = source_of(SourceState::Sealed { transfer: last }, off(), |_| {});
        assert_eq!(seen.instance, SourceInstance::Paused, "{seen:?}");
    }
    let cold = |reading: &mut SiteReading| match &mut reading.standing {
        Some(Standing::Source(at)) => at.mode = Mode::Cold,
        Some(Standing::Destination(_)) | None => panic!("it is the source's"),
    };
    assert_eq!(source_of(sealed(second()), off(), cold).instance, SourceInstance::Paused);
    // Neither what ended there otherwise, nor what an earlier evacuation took from there.
    for (cause, stored) in [(OffCause::Crashed, Stored::Sealed), (OffCause::Migrated, Stored::Retired)] {
        let never_sent = SourceState::Sealed { transfer: None };
        let seen = source_of(never_sent, vec![sighting("s1", Instance::Off(cause), stored, None)], |_| {});
        assert_eq!(seen.instance, SourceInstance::Stopped, "{cause:?} {stored:?}");
    }
}

/// What a start would go on from, past every seal.
#[test]
fn a_saved_image_holds_memory_on_either_side() {
    let saved = |host, stored, attempt| sighting(host, Instance::Off(OffCause::Saved), stored, attempt);
    let here = |stored| source_of(sealed(second()), vec![saved("s1", stored, None)], |_| {}).instance;
    assert_eq!((here(Stored::Sealed), here(Stored::Real)), (SourceInstance::Paused, SourceInstance::Paused));
    let there = |stored, attempt| {
        let seen = vec![saved("w1", stored, Some(attempt))];
        let seen = destination_of(ArrivalRecord::Started(started(second())), seen, |_| {});
        (seen.copy, seen.other)
    };
    assert_eq!(there(Stored::Arrived, second()), (CopyState::Paused, OtherCopy::Absent));
    assert_eq!(there(Stored::Arrived, Attempt::FIRST), (CopyState::Absent, OtherCopy::HoldsMemory));
}

#[test]
fn what_arrived_and_lost_its_memory_has_crashed_whatever_is_said_of_it() {
    for cause in [OffCause::Crashed, OffCause::Unknown, OffCause::ShutDown, OffCause::Migrated] {
        let off = sighting("w1", Instance::Off(cause), Stored::Arrived, Some(second()));
        let seen = destination_of(ArrivalRecord::Started(started(second())), vec![off], |_| {});
        assert_eq!(seen.copy, CopyState::Crashed, "{cause:?}");
    }
}

/// Only the hypervisor's own word: what nobody remembers may have been a crash.
#[test]
fn shut_down_in_order_is_what_the_hypervisor_says_of_every_copy() {
    let off = |name, cause, stored| sighting(name, Instance::Off(cause), stored, None);
    let shown = |sightings| source_of(sealed(second()), sightings, |_| {}).instance;
    let down = || off("s1", OffCause::ShutDown, Stored::Sealed);
    assert_eq!(shown(vec![down()]), SourceInstance::ShutDown);
    for cause in [OffCause::Crashed, OffCause::Unknown, OffCause::Migrated] {
        assert_eq!(shown(vec![off("s1", cause, Stored::Sealed)]), SourceInstance::Stopped, "{cause:?}");
        assert_eq!(shown(vec![down(), off("s2", cause, Stored::Real)]), SourceInstance::Stopped, "{cause:?}");
    }
    // An earlier evacuation's copy on another host has no say.
    assert_eq!(shown(vec![down(), off("s2", OffCause::Unknown, Stored::Retired)]), SourceInstance::ShutDown);
    assert_eq!(shown(vec![off("s2", OffCause::ShutDown, Stored::Retired)]), SourceInstance::Stopped);
}

#[test]
fn a_transfer_of_another_attempt_says_nothing_of_this_one() {
    let failed = SourceState::Sealed {
        transfer: Some(Transfer { failed: Some("link cut".to_owned()), ..transfer(Attempt::FIRST) }),
    };
    assert_eq!(source_of(failed, Vec::new(), |_| {}).seal, Seal::Sealed(TransferTrace::NotBegun));
    let this =
        SourceState::Sealed { transfer: Some(Transfer { failed: Some("link cut".to_owned()), ..transfer(second()) }) };
    assert_eq!(source_of(this, Vec::new(), |_| {}).seal, Seal::Sealed(TransferTrace::Failed));
}

#[test]
fn a_seal_that_somebody_broke_is_no_seal() {
    let broken = vec![sighting("s1", Instance::Running, Stored::Real, None)];
    assert_eq!(source_of(sealed(second()), broken, |_| {}).seal, Seal::Unsealed);
}

/// After a start whose end nobody saw, the ledger still says gone while the real definition is back.
#[test]
fn a_proof_of_gone_with_the_real_definition_back_is_no_proof() {
    let back = vec![sighting("s1", Instance::Running, Stored::Real, None)];
    let seen = source_of(SourceState::Gone { transfer: transfer(second()) }, back, |_| {});
    assert_eq!((seen.seal, seen.instance), (Seal::Unsealed, SourceInstance::Running));
}

/// Which attempt is recorded only the destination knows: a transfer that was begun may be that of the record.
#[test]
fn with_the_destination_silent_a_begun_transfer_stays_begun() {
    let source = reading(at_source(sealed(second())), vec![sighting("s1", Instance::Paused, Stored::Sealed, None)]);
    let seen = weigh(Heard::Silent, Heard::Answer(&source), &Claims::default()).source;
    let expected =
        SourceEvidence { seal: Seal::Sealed(TransferTrace::Begun), instance: SourceInstance::Paused, busy: false };
    assert_eq!(seen, Heard::Answer(expected));
}

#[test]
fn a_source_without_sightings_is_silent_while_any_of_its_hosts_is() {
    let silent = |reading: &mut SiteReading| reading.sight.silent_hosts.push(host("s1"));
    assert_eq!(source_of(sealed(second()), Vec::new(), silent).instance, SourceInstance::HostSilent);
    assert_eq!(source_of(sealed(second()), Vec::new(), |_| {}).instance, SourceInstance::Stopped);
    let elsewhere = vec![sighting("s2", Instance::Running, Stored::Sealed, None)];
    assert_eq!(source_of(sealed(second()), elsewhere, silent).instance, SourceInstance::Running);
}

/// Its definition is seen, so its host answers, and another host's silence says nothing about it.
#[test]
fn a_definition_that_is_seen_tells_which_host_has_the_vm() {
    let off = vec![sighting("s2", Instance::Off(OffCause::Unknown), Stored::Sealed, None)];
    let seen = source_of(sealed(second()), off, |reading| reading.sight.silent_hosts.push(host("s1")));
    assert_eq!(seen.instance, SourceInstance::Stopped);
}

#[test]
fn two_running_hosts_of_the_source_are_several() {
    let both = ["s1", "s2"].map(|name| sighting(name, Instance::Running, Stored::Sealed, None));
    assert_eq!(source_of(sealed(second()), both.to_vec(), |_| {}).instance, SourceInstance::Several);
}

const ORDER: MoveOrder = MoveOrder {
    mode: Mode::Live,
    goal: Goal::Finish,
    attempts_max: 3,
    cold_start: ColdStart::Never,
    refused: None,
    leftovers: Leftovers::AreDiscarded,
};

/// Its time has come, and it is gone: nothing of what was proven changes.
#[test]
fn a_source_whose_retired_copy_was_deleted_weighs_like_one_that_has_it() {
    let completed = Completed {
        started: started(second()),
        token: Token::new(3, 4),
        at: AT,
        late: false,
        ran: Some(Ran { at: AT, downtime_ms: None }),
    };
    let closed = Closed { outcome: Outcome::Migrated, attempts: 2, at: AT, downtime_ms: None };
    for record in [ArrivalRecord::Completed(completed), ArrivalRecord::Closed(closed)] {
        let running = sighting("w1", Instance::Running, Stored::Real, Some(second()));
        let destination = reading(at_destination(record, Disk::Shared), vec![running]);
        for heard in [Heard::Silent, Heard::Answer(&destination)] {
            let decided = [Vec::new(), vec![sighting("s1", Instance::Off(OffCause::Migrated), Stored::Retired, None)]]
                .map(|sightings| {
                    let is_gone = sightings.is_empty();
                    let mut source = reading(at_source(SourceState::Retired), sightings);
                    if let Some(Standing::Source(at)) = &mut source.standing {
                        at.closed = true;
                        at.retired_copy = if is_gone { RetiredCopy::Deleted { at: AT } } else { RetiredCopy::Kept };
                    }
                    decide(&ORDER, &weigh(heard, Heard::Answer(&source), &Claims::default()))
                });
            assert_eq!(decided[0], decided[1]);
            assert_eq!(decided[0].verdict, Verdict::FullyMigrated);
        }
    }
}

/// The destination's word goes before the source's closed record; without it, only what was given back stays unknown.
#[test]
fn a_closed_and_retired_source_proves_its_event_to_a_silent_destination() {
    let weighed = |state, destination: Heard<&SiteReading>| {
        let mut source = reading(at_source(state), Vec::new());
        if let Some(Standing::Source(at)) = &mut source.standing {
            at.closed = true;
        }
        let evidence = weigh(destination, Heard::Answer(&source), &Claims::default());
        match evidence.source {
            Heard::Answer(answer) => (answer.seal, decide(&ORDER, &evidence).verdict),
            Heard::Silent => panic!("it answered"),
        }
    };
    let unknown = Verdict::Indeterminate(Doubt::DestinationSilent);
    assert_eq!(weighed(SourceState::Retired, Heard::Silent), (Seal::Retired, Verdict::FullyMigrated));
    assert_eq!(weighed(SourceState::Unsealed, Heard::Silent), (Seal::Closed, unknown));
    let started = started(Attempt::FIRST);
    let completed = Completed { started, token: Token::new(3, 2), at: AT, late: false, ran: None };
    let destination = reading(at_destination(ArrivalRecord::Completed(completed), Disk::Shared), Vec::new());
    assert_eq!(weighed(SourceState::Retired, Heard::Answer(&destination)).0, Seal::Closed);
}

#[test]
fn what_is_sworn_counts_for_what_it_names() {
    let mut source = reading(at_source(sealed(second())), Vec::new());
    source.sight.silent_hosts = vec![host("s1"), host("s2")];
    let destination = reading(at_destination(ArrivalRecord::Started(started(second())), Disk::Shared), Vec::new());
    let fenced = |claims: &Claims| {
        let evidence = weigh(Heard::Answer(&destination), Heard::Answer(&source), claims);
        (evidence.source_fenced, evidence.destination_host_fenced)
    };
    assert_eq!(fenced(&swear(Fenced::Source)), (true, false));
    assert_eq!(fenced(&swear(Fenced::Host(host("w1")))), (false, true));
    let one = swear(Fenced::Host(host("s1")));
    assert_eq!(fenced(&one), (false, false), "the other silent host may run it");
    let mut both = one;
    both.assertions.extend(swear(Fenced::Host(host("s2"))).assertions);
    assert_eq!(fenced(&both), (true, false));
}

#[test]
fn a_site_that_knows_only_another_evacuation_has_no_part_in_this_one() {
    let other = Standing::Source(AtSource {
        evacuation: ANOTHER,
        mode: Mode::Live,
        state: SourceState::Unsealed,
        closed: false,
        retired_copy: RetiredCopy::Kept,
    });
    let answer = reading(Some(other), Vec::new());
    let evidence = weigh(Heard::Answer(&answer), Heard::Answer(&answer), &Claims::default());
    assert!(matches!(evidence.source, Heard::Answer(SourceEvidence { seal: Seal::NotOnRoll, .. })));
    assert!(matches!(evidence.destination, Heard::Answer(DestinationEvidence { record: Record::NotOnRoll, .. })));
}

/// Its attempt, and the host of that attempt, are not this one's.
#[test]
fn the_record_of_another_evacuation_names_neither_attempt_nor_host() {
    let mut destination = reading(at_destination(ArrivalRecord::Started(started(second())), Disk::Shared), Vec::new());
    if let Some(Standing::Destination(at)) = &mut destination.standing {
        at.evacuation = ANOTHER;
    }
    let source = reading(at_source(SourceState::Gone { transfer: transfer(Attempt::FIRST) }), Vec::new());
    let claims = swear(Fenced::Host(host("w1")));
    let evidence = weigh(Heard::Answer(&destination), Heard::Answer(&source), &claims);
    let gone = Seal::Gone { of_this_attempt: true };
    assert!(matches!(evidence.source, Heard::Answer(SourceEvidence { seal, .. }) if seal == gone), "{evidence:?}");
    assert!(!evidence.destination_host_fenced);
}

#[test]
fn the_event_is_the_records_own() {
    let completed = Completed { started: started(second()), token: Token::new(3, 4), at: AT, late: false, ran: None };
    let running = sighting("w1", Instance::Running, Stored::Real, Some(second()));
    let seen = destination_of(ArrivalRecord::Completed(completed), vec![running], |_| {});
    let expected = Record::Completed { attempt: second(), kind: ArrivalKind::Transfer };
    assert_eq!((seen.record, seen.copy, seen.other), (expected, CopyState::Running, OtherCopy::Absent));
}

/// The copy was moved within its site after the event: it runs, on another host than the record's.
#[test]
fn the_own_copy_is_known_by_its_mark_on_whichever_host() {
    let moved = sighting("w5", Instance::Running, Stored::Real, Some(second()));
    let seen = destination_of(ArrivalRecord::Started(started(second())), vec![moved], |reading| {
        reading.sight.silent_hosts.push(host("w1"));
    });
    assert_eq!(seen.copy, CopyState::Running);
}

/// Two of one attempt: the one that runs may not hide behind the one that doesn't.
#[test]
fn a_running_twin_of_the_copy_is_seen() {
    let twins = vec![
        sighting("w1", Instance::Paused, Stored::Real, Some(second())),
        sighting("w2", Instance::Running, Stored::Real, Some(second())),
    ];
    let seen = destination_of(ArrivalRecord::Started(started(second())), twins, |_| {});
    assert_eq!((seen.copy, seen.other), (CopyState::Paused, OtherCopy::Running));
}
