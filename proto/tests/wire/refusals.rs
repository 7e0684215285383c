//! What is wrong is refused, and the refusal names the field.

use crate::generate::Generator;
use muster_core::definition::{DOCUMENT_MAX_BYTES, TAGS_MAX};
use muster_core::ids::{IdError, NAME_MAX_BYTES, TEXT_MAX_BYTES};
use muster_core::ledger::{LEFTOVERS_MAX, RollEntry};
use muster_proto::convert::{
    AssertFenced, ClaimEvacuation, CommitArrival, EvacuationClaims, Execute, GreatestEpoch, InvalidMessage,
    InventoryEntry, LedgerLine, Observe, Problem, ProvePath, ReleaseClaim, SiteAction, SiteCommand, SiteNews,
    SiteStatus, VmAnswer, WriteRoll, page_size,
};
use muster_proto::limits;
use muster_proto::worker::v1 as pb;

/// Checks that a change to a valid message makes it invalid, at this field and for this reason.
fn refused<M, C>(valid: &M, field: &str, expected: Expected, spoil: impl FnOnce(&mut M))
where
    M: Clone,
    C: TryFrom<M, Error = InvalidMessage>,
{
    assert!(C::try_from(valid.clone()).is_ok(), "the message is valid before {field} is spoilt");
    let mut spoilt = valid.clone();
    spoil(&mut spoilt);
    let Err(invalid) = C::try_from(spoilt) else { panic!("a spoilt {field} was taken") };
    assert_eq!(invalid.field, field, "{invalid}");
    assert!(expected(&invalid.problem), "{invalid}");
    assert!(invalid.to_string().starts_with(field), "{invalid}");
}

/// Whether a problem is the one that was expected.
type Expected = fn(&Problem) -> bool;

fn missing(problem: &Problem) -> bool {
    matches!(problem, Problem::Missing)
}

fn not_uuid(problem: &Problem) -> bool {
    matches!(problem, Problem::Identity(IdError::NotUuid { .. }))
}

fn not_name(problem: &Problem) -> bool {
    matches!(problem, Problem::Identity(IdError::NotName { .. }))
}

fn attempt_zero(problem: &Problem) -> bool {
    matches!(problem, Problem::Identity(IdError::AttemptZero))
}

fn not_in_enum(problem: &Problem) -> bool {
    matches!(problem, Problem::NotInEnum { .. })
}

fn out_of_range(problem: &Problem) -> bool {
    matches!(problem, Problem::OutOfRange { .. })
}

fn too_many(problem: &Problem) -> bool {
    matches!(problem, Problem::TooMany { .. })
}

fn too_long(problem: &Problem) -> bool {
    matches!(problem, Problem::TooLong { .. })
}

fn marked_false(problem: &Problem) -> bool {
    matches!(problem, Problem::MarkedFalse)
}

#[test]
fn a_definition_out_of_bounds() {
    let valid: pb::RollEntry = Generator::seeded(1).roll_entry().into();
    let check = |field: &str, expected, spoil: fn(&mut pb::Definition)| {
        refused::<_, RollEntry>(&valid, field, expected, |entry| spoil(entry.definition.as_mut().unwrap()));
    };
    check("definition.name", |p| matches!(p, Problem::Identity(IdError::NotVmName { .. })), |d| d.name.clear());
    check("definition.name", |p| matches!(p, Problem::Identity(IdError::NotVmName { .. })), |d| d.name = "a/b".into());
    check("definition.memory_mib", out_of_range, |d| d.memory_mib = limits::SIZE_MAX_MIB + 1);
    check("definition.local_disk_mib", out_of_range, |d| d.local_disk_mib = Some(u64::MAX));
    check("definition.tags", too_many, |d| d.tags = vec!["t".into(); TAGS_MAX + 1]);
    check("definition.tags[1]", too_long, |d| d.tags = vec!["t".into(), "t".repeat(limits::TAG_MAX_BYTES + 1)]);
    check("definition.tags[0]", |p| matches!(p, Problem::Empty), |d| d.tags = vec![String::new()]);
    check("definition.document", too_long, |d| d.document = "x".repeat(DOCUMENT_MAX_BYTES + 1));
    let mut full = valid.clone();
    full.definition.as_mut().unwrap().document = "x".repeat(DOCUMENT_MAX_BYTES);
    full.definition.as_mut().unwrap().tags = vec!["t".into(); TAGS_MAX];
    assert!(RollEntry::try_from(full).is_ok(), "what is just within the bounds is taken");
}

#[test]
fn a_roll_with_a_bad_entry() {
    let valid: pb::WriteRollRequest = Generator::seeded(2).write_roll().into();
    let check = |field: &str, expected, spoil: fn(&mut pb::WriteRollRequest)| {
        refused::<_, WriteRoll>(&valid, field, expected, spoil);
    };
    check("request_id", not_uuid, |w| w.request_id.clear());
    check("side", not_in_enum, |w| w.side = 0);
    check("side", not_in_enum, |w| w.side = 77);
    check("epoch", out_of_range, |w| w.epoch = 0);
    check("epoch", out_of_range, |w| w.epoch = u64::MAX);
    check("entries", too_many, |w| w.entries = vec![w.entries[0].clone(); limits::ITEMS_MAX + 1]);
    check(
        "entries[2].vm",
        |p| matches!(p, Problem::Repeated { first: 0 }),
        |w| w.entries[2].vm = w.entries[0].vm.clone(),
    );
    check(
        "entries[1].evacuation",
        |p| matches!(p, Problem::Disagrees { .. }),
        |w| {
            w.entries[1].evacuation = w.entries[0].vm.clone();
        },
    );
    check("entries[1].evacuation", not_uuid, |w| w.entries[1].evacuation = "1".into());
    check("entries[1].vm", not_uuid, |w| w.entries[1].vm = "zebra".into());
    check("entries[0].mode", not_in_enum, |w| w.entries[0].mode = 0);
    check("entries[0].source_site", not_name, |w| w.entries[0].source_site = "../x".into());
    check("entries[0].destination_site", not_name, |w| w.entries[0].destination_site.clear());
    check("entries[0].destination_host", not_name, |w| {
        w.entries[0].destination_host = "h".repeat(NAME_MAX_BYTES + 1);
    });
    check("entries[0].definition", missing, |w| w.entries[0].definition = None);
}

#[test]
fn a_batch_of_commands_with_a_bad_one() {
    let valid: pb::ExecuteRequest = Generator::seeded(3).execute().into();
    let check = |field: &str, expected, spoil: fn(&mut pb::ExecuteRequest)| {
        refused::<_, Execute>(&valid, field, expected, spoil);
    };
    check("request_id", not_uuid, |e| e.request_id = "x".into());
    check("evacuation", not_uuid, |e| e.evacuation.clear());
    check("commands", too_many, |e| e.commands = vec![e.commands[0].clone(); limits::ITEMS_MAX + 1]);
    check("commands[3].token", missing, |e| e.commands[3].token = None);
    check("commands[3].token.epoch", out_of_range, |e| e.commands[3].token.as_mut().unwrap().epoch = 0);
    check("commands[3].vm", not_uuid, |e| e.commands[3].vm.clear());
    check(
        "commands[4].vm",
        |p| matches!(p, Problem::Repeated { first: 1 }),
        |e| {
            e.commands[4].vm = e.commands[1].vm.clone();
        },
    );
    check("commands[0].action", missing, |e| e.commands[0].action = None);
}

#[test]
fn an_action_that_says_nothing() {
    use pb::command::Action;
    let open = |host: &str, kind| Action::OpenAttempt(pb::OpenAttempt { host: host.into(), kind });
    let transfer = |attempt, site: &str, host: &str| {
        let (destination_site, destination_host) = (site.into(), host.into());
        Action::Transfer(pb::BeginTransfer {
            attempt,
            destination_site,
            destination_host,
            ..pb::BeginTransfer::default()
        })
    };
    let tuned = |bandwidth_mib_s, connections| {
        let Action::Transfer(begin) = transfer(1, "s", "h") else { unreachable!("a transfer") };
        Action::Transfer(pb::BeginTransfer { bandwidth_mib_s, connections, ..begin })
    };
    let adjust =
        |bandwidth_mib_s, downtime_ms| Action::AdjustTransfer(pb::AdjustTransfer { bandwidth_mib_s, downtime_ms });
    let table: Vec<(Action, &str, Expected)> = vec![
        (tuned(Some(0), None), "transfer.bandwidth_mib_s", out_of_range),
        (tuned(None, Some(0)), "transfer.connections", out_of_range),
        (tuned(None, Some(65)), "transfer.connections", out_of_range),
        (adjust(Some(0), None), "adjust_transfer.bandwidth_mib_s", out_of_range),
        (adjust(None, Some(0)), "adjust_transfer.downtime_ms", out_of_range),
        (adjust(None, Some(600_001)), "adjust_transfer.downtime_ms", out_of_range),
        (open("", 1), "open_attempt.host", not_name),
        (open("h", 0), "open_attempt.kind", not_in_enum),
        (Action::MakePlaceholder(0), "make_placeholder", attempt_zero),
        (Action::Seal(false), "seal", marked_false),
        (transfer(0, "s", "h"), "transfer.attempt", attempt_zero),
        (transfer(1, "", "h"), "transfer.destination_site", not_name),
        (transfer(1, "s", "-h"), "transfer.destination_host", not_name),
        (Action::AbortTransfer(false), "abort_transfer", marked_false),
        (Action::Commit(0), "commit", attempt_zero),
        (Action::Run(false), "run", marked_false),
        (Action::Retire(false), "retire", marked_false),
        (Action::Abandon(0), "abandon", attempt_zero),
        (Action::Reopen(0), "reopen", attempt_zero),
        (Action::Discard(false), "discard", marked_false),
        (Action::ResumeSource(false), "resume_source", marked_false),
        (Action::StartSource(false), "start_source", marked_false),
        (Action::Unseal(false), "unseal", marked_false),
        (Action::CloseSource(false), "close_source", marked_false),
        (Action::CloseDestination(0), "close_destination", not_in_enum),
        (Action::CloseDestination(9), "close_destination", not_in_enum),
        (Action::Release(String::new()), "release", |p| matches!(p, Problem::Empty)),
        (Action::Release("x".repeat(TEXT_MAX_BYTES + 1)), "release", too_long),
        (Action::Release("a\nb".into()), "release", |p| matches!(p, Problem::ControlCharacters)),
    ];
    for (action, field, expected) in table {
        let invalid = SiteAction::try_from(action.clone()).expect_err(field);
        assert_eq!(invalid.field, field, "{action:?}");
        assert!(expected(&invalid.problem), "{invalid}");
    }
    let kept = |action, kept_ms| {
        let token = Some(pb::Token { epoch: 1, sequence: 1 });
        let vm = uuid::Uuid::nil().to_string();
        SiteCommand::try_from(pb::Command { vm, token, action: Some(action), retired_copy_kept_ms: Some(kept_ms) })
    };
    for (action, kept_ms, expected) in [
        (Action::Retire(true), 999, out_of_range as Expected),
        (Action::Retire(true), 315_360_000_001, out_of_range),
        (Action::Seal(true), 1_000, |problem| matches!(problem, Problem::Disagrees { .. })),
    ] {
        let invalid = kept(action, kept_ms).unwrap_err();
        assert_eq!(invalid.field, "retired_copy_kept_ms");
        assert!(expected(&invalid.problem), "{invalid}");
    }
}

/// A reading with something in every place.
fn full_reading(generator: &mut Generator, source: bool) -> pb::SiteReading {
    let mut reading: pb::SiteReading = generator.reading().into();
    let mut sighting: pb::Sighting = generator.sighting().into();
    sighting.mark = Some(generator.mark().into());
    sighting.job = Some(generator.job().into());
    reading.sightings = vec![sighting.clone(), sighting];
    reading.silent_hosts = vec!["h1".into()];
    let standing = if source {
        pb::site_reading::Standing::Source(generator.at_source().into())
    } else {
        pb::site_reading::Standing::Destination(generator.at_destination().into())
    };
    reading.standing = Some(standing);
    reading
}

#[test]
fn a_reading_that_cannot_be_one() {
    let mut generator = Generator::seeded(4);
    let reading = full_reading(&mut generator, true);
    let vm = reading.vm.clone();
    let valid = pb::Observation { vm, result: Some(pb::observation::Result::Reading(reading)) };
    let check = |field: &str, expected, spoil: fn(&mut pb::SiteReading)| {
        refused::<_, VmAnswer>(&valid, field, expected, |observation| match &mut observation.result {
            Some(pb::observation::Result::Reading(reading)) => spoil(reading),
            Some(pb::observation::Result::Failure(_)) | None => unreachable!("it was made with a reading"),
        });
    };
    check("reading.vm", not_uuid, |r| r.vm.clear());
    check(
        "reading.vm",
        |p| matches!(p, Problem::Disagrees { other: "vm" }),
        |r| {
            r.vm = "6ba7b810-9dad-41d1-80b4-00c04fd430c8".into();
        },
    );
    check("reading.floor", missing, |r| r.floor = None);
    check("reading.silent_hosts[0]", not_name, |r| r.silent_hosts[0].clear());
    check("reading.silent_hosts", too_many, |r| r.silent_hosts = vec!["h".into(); limits::HOSTS_MAX + 1]);
    check("reading.sightings", too_many, |r| {
        r.sightings = vec![r.sightings[0].clone(); limits::SIGHTINGS_MAX + 1];
    });
    check("reading.sightings[1].host", not_name, |r| r.sightings[1].host.clear());
    check("reading.sightings[1].instance", not_in_enum, |r| r.sightings[1].instance = 0);
    check("reading.sightings[1].instance", not_in_enum, |r| r.sightings[1].instance = 99);
    check("reading.sightings[1].stored", not_in_enum, |r| r.sightings[1].stored = 0);
    check("reading.sightings[0].mark.evacuation", not_uuid, |r| {
        r.sightings[0].mark.as_mut().unwrap().evacuation.clear();
    });
    check("reading.sightings[0].mark.attempt", attempt_zero, |r| {
        r.sightings[0].mark.as_mut().unwrap().attempt = 0;
    });
    check("reading.sightings[0].mark.token", missing, |r| r.sightings[0].mark.as_mut().unwrap().token = None);
    check("reading.sightings[0].job.phase", not_in_enum, |r| r.sightings[0].job.as_mut().unwrap().phase = 0);
    check("reading.sightings[0].job.done_basis_points", out_of_range, |r| {
        r.sightings[0].job.as_mut().unwrap().done_basis_points = 10_001;
    });
    check("reading.sightings[0].job.sent_mib", out_of_range, |r| {
        r.sightings[0].job.as_mut().unwrap().sent_mib = u64::MAX;
    });
    check("reading.source.mode", not_in_enum, |r| match &mut r.standing {
        Some(pb::site_reading::Standing::Source(at)) => at.mode = 0,
        Some(pb::site_reading::Standing::Destination(_)) | None => unreachable!("it was made with a source"),
    });
}

#[test]
fn a_standing_that_cannot_be_one() {
    use muster_core::ledger::{AtDestination, AtSource};
    use pb::at_destination::Record;
    use pb::at_source::State;
    let mut generator = Generator::seeded(8);
    let started: pb::Started = generator.started().into();
    let mut valid: pb::AtDestination = generator.at_destination().into();
    valid.leftovers = vec![started.clone(); LEFTOVERS_MAX];
    let check = |field: &str, expected, spoil: &dyn Fn(&mut pb::AtDestination)| {
        refused::<_, AtDestination>(&valid, field, expected, spoil);
    };
    check("evacuation", not_uuid, &|at| at.evacuation.clear());
    check("mode", not_in_enum, &|at| at.mode = 0);
    check("record", missing, &|at| at.record = None);
    check("enrolled", marked_false, &|at| at.record = Some(Record::Enrolled(false)));
    check("leftovers", too_many, &|at| at.leftovers.push(started.clone()));
    check("leftovers[1].attempt", attempt_zero, &|at| at.leftovers[1].attempt = 0);
    let spoilt = |spoil: fn(&mut pb::Started)| {
        let mut spoilt = started.clone();
        spoil(&mut spoilt);
        spoilt
    };
    let no_kind = spoilt(|s| s.kind = 0);
    check("started.kind", not_in_enum, &|at| at.record = Some(Record::Started(no_kind.clone())));
    let no_token = spoilt(|s| s.token = None);
    check("abandoned.token", missing, &|at| at.record = Some(Record::Abandoned(no_token.clone())));
    let completed = |spoil: fn(&mut pb::Completed)| {
        let mut completed: pb::Completed = Generator::seeded(9).completed().into();
        completed.ran_at_ms = None;
        completed.downtime_ms = None;
        spoil(&mut completed);
        Some(Record::Completed(completed))
    };
    check("completed.started", missing, &|at| at.record = completed(|c| c.started = None));
    check("completed.token", missing, &|at| at.record = completed(|c| c.token = None));
    check("completed.ran_at_ms", missing, &|at| at.record = completed(|c| c.downtime_ms = Some(1)));
    let closed = pb::Closed { outcome: 0, attempts: 1, at_ms: 1, downtime_ms: None };
    check("closed.outcome", not_in_enum, &|at| at.record = Some(Record::Closed(closed)));

    let valid: pb::AtSource = generator.at_source().into();
    let transfer: pb::Transfer = generator.transfer().into();
    let check = |field: &str, expected, state: Option<State>| {
        refused::<_, AtSource>(&valid, field, expected, |at| at.state = state);
    };
    check("state", missing, None);
    check("unsealed", marked_false, Some(State::Unsealed(false)));
    check("retired", marked_false, Some(State::Retired(false)));
    let no_attempt = pb::Transfer { attempt: 0, ..transfer.clone() };
    check("sealed.transfer.attempt", attempt_zero, Some(State::Sealed(pb::Sealed { transfer: Some(no_attempt) })));
    check("gone.host", not_name, Some(State::Gone(pb::Transfer { host: String::new(), ..transfer.clone() })));
    check("gone.token", missing, Some(State::Gone(pb::Transfer { token: None, ..transfer })));
    let kept = pb::at_source::RetiredCopy::KeptUntil(pb::KeptUntil { at_ms: 1, keep_ms: 999 });
    refused::<_, AtSource>(&valid, "kept_until.keep_ms", out_of_range, |at| at.retired_copy = Some(kept));
}

#[test]
fn claims_that_nobody_can_hold() {
    let mut generator = Generator::seeded(10);
    let valid: pb::ClaimEvacuationRequest = generator.claim().into();
    let check = |field: &str, expected, spoil: fn(&mut pb::ClaimEvacuationRequest)| {
        refused::<_, ClaimEvacuation>(&valid, field, expected, spoil);
    };
    check("request_id", not_uuid, |c| c.request_id.clear());
    check("evacuation", not_uuid, |c| c.evacuation.clear());
    check("holder", missing, |c| c.holder = None);
    check("holder.name", |p| matches!(p, Problem::Empty), |c| c.holder.as_mut().unwrap().name.clear());
    check("holder.kind", not_in_enum, |c| c.holder.as_mut().unwrap().kind = 0);
    check("expected_epoch", out_of_range, |c| c.expected_epoch = u64::MAX);
    check("at_least_epoch", out_of_range, |c| c.at_least_epoch = u64::MAX);
    check("take_over_reason", too_long, |c| c.take_over_reason = Some("x".repeat(TEXT_MAX_BYTES + 1)));

    let valid: pb::ReleaseClaimRequest = generator.release_claim().into();
    refused::<_, ReleaseClaim>(&valid, "epoch", out_of_range, |r| r.epoch = 0);
    refused::<_, ReleaseClaim>(&valid, "request_id", not_uuid, |r| r.request_id.clear());

    let valid: pb::AssertFencedRequest = generator.assert_fenced().into();
    let check = |field: &str, expected, spoil: fn(&mut pb::AssertFencedRequest)| {
        refused::<_, AssertFenced>(&valid, field, expected, spoil);
    };
    check("fenced", missing, |a| a.fenced = None);
    check("fenced.what", missing, |a| a.fenced = Some(pb::Fenced { what: None }));
    let source = |given| Some(pb::Fenced { what: Some(pb::fenced::What::Source(given)) });
    refused::<_, AssertFenced>(&valid, "fenced.source", marked_false, |a| a.fenced = source(false));
    let host = Some(pb::Fenced { what: Some(pb::fenced::What::Host("no host".into())) });
    refused::<_, AssertFenced>(&valid, "fenced.host", not_name, |a| a.fenced = host);
    check("reason", |p| matches!(p, Problem::Empty), |a| a.reason.clear());
    check("by", |p| matches!(p, Problem::ControlCharacters), |a| a.by = "a\u{7}".into());

    let mut valid: pb::Claims = generator.claims().into();
    valid.assertions = vec![generator.assertion().into()];
    refused::<_, EvacuationClaims>(
        &valid,
        "assertions[0].reason",
        |p| matches!(p, Problem::Empty),
        |c| {
            c.assertions[0].reason.clear();
        },
    );
    refused::<_, EvacuationClaims>(&valid, "assertions", too_many, |c| {
        c.assertions = vec![c.assertions[0].clone(); limits::ASSERTIONS_MAX + 1];
    });
}

#[test]
fn observations_commits_and_proofs() {
    let mut generator = Generator::seeded(11);
    let vms = vec![generator.observed(), generator.observed()];
    let valid: pb::ObserveRequest = Observe { evacuation: generator.evacuation(), vms }.into();
    refused::<_, Observe>(&valid, "evacuation", not_uuid, |o| o.evacuation.clear());
    refused::<_, Observe>(&valid, "vms", too_many, |o| o.vms = vec![o.vms[0].clone(); limits::ITEMS_MAX + 1]);
    refused::<_, Observe>(&valid, "vms[1].vm", not_uuid, |o| o.vms[1].vm.clear());
    refused::<_, Observe>(
        &valid,
        "vms[1].vm",
        |p| matches!(p, Problem::Repeated { first: 0 }),
        |o| {
            o.vms[1].vm = o.vms[0].vm.clone();
        },
    );
    refused::<_, Observe>(&valid, "vms[0].token.epoch", out_of_range, |o| {
        o.vms[0].token = Some(pb::Token { epoch: 0, sequence: 1 });
    });

    let valid: pb::CommitArrivalRequest = generator.commit().into();
    let check = |field: &str, expected, spoil: fn(&mut pb::CommitArrivalRequest)| {
        refused::<_, CommitArrival>(&valid, field, expected, spoil);
    };
    check("request_id", not_uuid, |c| c.request_id.clear());
    check("evacuation", not_uuid, |c| c.evacuation.clear());
    check("vm", not_uuid, |c| c.vm.clear());
    check("attempt", attempt_zero, |c| c.attempt = 0);
    check("token", missing, |c| c.token = None);
    check("token.epoch", out_of_range, |c| c.token = Some(pb::Token::default()));
    check("source_site", not_name, |c| c.source_site.clear());

    let valid: pb::ProvePathRequest = generator.prove_path().into();
    refused::<_, ProvePath>(&valid, "nonce", too_long, |p| p.nonce = "n".repeat(limits::NONCE_MAX_BYTES + 1));
    refused::<_, ProvePath>(&valid, "source_site", not_name, |p| p.source_site.clear());
    let not_link = |problem: &Problem| matches!(problem, Problem::Fingerprint(_));
    refused::<_, ProvePath>(&valid, "witnessed.link", not_link, |p| {
        p.witnessed = Some(pb::HighWater { link: "f00d".into(), ..pb::HighWater::default() });
    });
    let valid: pb::GetGreatestEpochRequest = generator.greatest_epoch().into();
    refused::<_, GreatestEpoch>(&valid, "vms[0]", not_uuid, |g| g.vms = vec!["x".into()]);
    let vm = generator.vm().to_string();
    refused::<_, GreatestEpoch>(&valid, "vms", too_many, |g| g.vms = vec![vm; limits::ITEMS_MAX + 1]);
}

#[test]
fn answers_and_news_without_content() {
    let mut generator = Generator::seeded(12);
    let failure = pb::Failure::from(generator.failure());
    let valid = pb::CommandOutcome {
        vm: generator.vm().to_string(),
        result: Some(pb::command_outcome::Result::Failure(failure.clone())),
    };
    refused::<_, VmAnswer>(&valid, "result", missing, |o| o.result = None);
    refused::<_, VmAnswer>(&valid, "vm", not_uuid, |o| o.vm.clear());
    let with = |failure| Some(pb::command_outcome::Result::Failure(failure));
    let no_class = with(pb::Failure { class: 0, ..failure.clone() });
    refused::<_, VmAnswer>(&valid, "failure.class", not_in_enum, |o| o.result = no_class);
    let no_reason = with(pb::Failure { reason: String::new(), ..failure.clone() });
    refused::<_, VmAnswer>(&valid, "failure.reason", |p| matches!(p, Problem::Empty), |o| o.result = no_reason);

    let valid: pb::SiteEvent = generator.news().into();
    refused::<_, SiteNews>(&valid, "event", missing, |e| e.event = None);
    refused::<_, SiteNews>(&valid, "alive", marked_false, |e| e.event = Some(pb::site_event::Event::Alive(false)));
    let no_reason = pb::Alarm { reason: String::new(), ..generator.alarm().into() };
    refused::<_, SiteNews>(
        &valid,
        "alarm.reason",
        |p| matches!(p, Problem::Empty),
        |e| {
            e.event = Some(pb::site_event::Event::Alarm(no_reason));
        },
    );

    let valid: pb::InventoryItem = generator.inventory_entry().into();
    refused::<_, InventoryEntry>(&valid, "item", missing, |i| i.item = None);
    let vm = pb::InventoryVm { definition: None, ..generator.vm_listing().into() };
    refused::<_, InventoryEntry>(&valid, "vm.definition", missing, |i| {
        i.item = Some(pb::inventory_item::Item::Vm(vm));
    });
    let host = pb::Host { memory_mib: u64::MAX, ..generator.host_listing().into() };
    refused::<_, InventoryEntry>(&valid, "host.memory_mib", out_of_range, |i| {
        i.item = Some(pb::inventory_item::Item::Host(host));
    });

    let valid: pb::GetSiteResponse = generator.status().into();
    refused::<_, SiteStatus>(&valid, "site", not_name, |s| s.site.clear());
    let valid: pb::LedgerLine = generator.line().into();
    refused::<_, LedgerLine>(&valid, "vm", not_uuid, |l| l.vm = "x".into());
    refused::<_, LedgerLine>(&valid, "detail_json", too_long, |l| {
        l.detail_json = "x".repeat(limits::DETAIL_MAX_BYTES + 1);
    });
}

#[test]
fn words_for_people_are_clipped_where_their_presence_is_the_evidence() {
    let mut generator = Generator::seeded(13);
    let transfer = pb::Transfer { failed: Some("no\n".repeat(2_000)), ..generator.transfer().into() };
    let read = muster_core::ledger::Transfer::try_from(transfer).unwrap();
    let failed = read.failed.unwrap();
    assert!(failed.len() <= TEXT_MAX_BYTES && !failed.contains('\n'));
}

#[test]
fn a_page_has_a_default_and_a_limit() {
    assert_eq!(page_size("page_size", 0), Ok(limits::PAGE_DEFAULT as usize));
    assert_eq!(page_size("page_size", 1), Ok(1));
    assert_eq!(page_size("page_size", limits::PAGE_MAX), Ok(limits::PAGE_MAX as usize));
    let invalid = page_size("page_size", limits::PAGE_MAX + 1).unwrap_err();
    assert!(out_of_range(&invalid.problem) && invalid.field == "page_size");
}
