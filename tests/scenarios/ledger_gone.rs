//! A site's ledger is gone altogether, at any moment of a move: what can be known again is, nothing is made up, and recovery
//! finishes, undoes or holds the VM.
//!
//! Red if a rebuilt ledger holds an event or a proof of gone, if a VM runs twice, is lost or runs on stale memory, if a verdict
//! contradicts the truth, or if what both sides still show is not enough to settle a move that could be settled.

#![allow(clippy::print_stdout, reason = "how many points there were is this test's result")]

use muster_core::definition::{Disk, Mode};
use muster_core::ids::VmId;
use muster_core::ledger::{ArrivalRecord, SourceState, Standing, VmRow};
use muster_core::reading::Instance;
use muster_recovery::error::RecoveryError;
use muster_recovery::recover::{Recovered, Sites, recover};
use muster_recovery::roll_call::Account;
use muster_tests::judge::{contradiction, violation};
use muster_tests::life::{Hit, Moment};
use muster_tests::{Process, Stage, StageOptions};
use std::time::Duration;

/// More points than a move has.
const POINTS_MAX: u64 = 60;
/// How long a move is waited for, in simulated time.
const LONGEST: Duration = Duration::from_secs(60);
/// Recoveries, one after the other, after which a move that could be settled is.
const RECOVERIES: usize = 3;

/// What became of the VMs.
#[derive(Debug, Default)]
struct Ends {
    at_destination: usize,
    at_source: usize,
    held: usize,
    unknown: usize,
}

#[tokio::test(start_paused = true)]
async fn the_destinations_ledger_is_gone_at_every_point() {
    let ends = at_every_point(Process::Destination, true).await;
    assert!(ends.at_destination >= 3 && ends.at_source >= 3 && ends.held == 0, "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn the_sources_ledger_is_gone_at_every_point() {
    let ends = at_every_point(Process::Source, true).await;
    assert!(ends.at_destination >= 3, "{ends:?}");
}

/// Nobody's roll is at hand: the marks are all there is.
#[tokio::test(start_paused = true)]
async fn the_destinations_ledger_is_gone_and_no_other_is_at_hand() {
    let ends = at_every_point(Process::Destination, false).await;
    assert!(ends.at_destination >= 1, "{ends:?}");
}

/// The source's ledger is made anew from what its sealed definitions tell.
#[tokio::test(start_paused = true)]
async fn the_sources_ledger_is_gone_and_no_roll_is_at_hand() {
    let ends = at_every_point(Process::Source, false).await;
    assert!(ends.at_destination >= 3 && ends.at_source >= 1, "{ends:?}");
}

async fn at_every_point(process: Process, with_rolls: bool) -> Ends {
    let mut ends = Ends::default();
    for point in 1..=POINTS_MAX {
        let mut stage = Stage::set(StageOptions::default()).await;
        let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
        stage.kill(process);
        let life = stage.start_worker(process, Some(Hit { point, moment: Moment::Before })).await;
        stage.start_orchestrator(None).await;
        let ordered = stage.try_order(&stage.runbook_of_all()).await.ok();
        tokio::select! {
            biased;
            () = life.until_struck() => {}
            () = tokio::time::sleep(LONGEST) => {
                println!("{process:?}, rolls {with_rolls}: {} points, {ends:?}", point - 1);
                return ends;
            }
        }
        stage.kill(Process::Orchestrator);
        stage.kill(process);
        let what = format!("{process:?}, point {point} ({:?}), ordered {ordered:?}", life.points().last());
        let rebuilt = stage.rebuild_ledger(process, with_rolls).await;
        rebuilt.rows.iter().for_each(|row| nothing_is_made_up(row, &what));
        stage.start_worker(process, None).await;
        recovered(&mut stage, vm, &what, &mut ends).await;
    }
    panic!("a move has more points than {POINTS_MAX}");
}

fn nothing_is_made_up(row: &VmRow, what: &str) {
    match row.standing() {
        Some(Standing::Destination(at)) => match &at.record {
            // Closed only where the source's ledger proves that.
            ArrivalRecord::Enrolled | ArrivalRecord::Started(_) | ArrivalRecord::Closed(_) => {}
            ArrivalRecord::Abandoned(_) | ArrivalRecord::Completed(_) => {
                panic!("{what}: {row:?}")
            }
        },
        Some(Standing::Source(at)) => assert!(!matches!(at.state, SourceState::Gone { .. }), "{what}: {row:?}"),
        None => panic!("{what}: a row of nothing"),
    }
}

async fn recovered(stage: &mut Stage, vm: VmId, what: &str, ends: &mut Ends) {
    let mut last = None;
    for _ in 0..RECOVERIES {
        last = once(stage, what).await;
        let truth = stage.truth_of(vm).await;
        assert_eq!(violation(&truth), None, "{what}: {truth:#?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let truth = stage.truth_of(vm).await;
    let Some(recovered) = last.filter(|recovered| !recovered.lines.is_empty()) else {
        // Nobody has ever heard of the move: the VM runs where it was.
        assert_eq!(truth.runs_on(), [(stage.source.clone(), stage.source_host(1))], "{what}: {truth:#?}");
        ends.unknown += 1;
        return;
    };
    let [line] = recovered.lines.as_slice() else { panic!("{what}: {:?}", recovered.lines) };
    let wrong = contradiction(line.decision.verdict, Mode::Live, &truth, &stage.source, &stage.destination);
    assert_eq!(wrong, None, "{what}: {truth:#?}");
    match line.account() {
        Account::Settled => {
            let runs_on = truth.runs_on();
            let [(site, _)] = runs_on.as_slice() else { panic!("{what}: {truth:#?}") };
            let count = if *site == stage.destination { &mut ends.at_destination } else { &mut ends.at_source };
            *count += 1;
        }
        Account::Held(hold) => {
            println!("{what}: held, {}", hold.sentence());
            let holds_memory = |instance| matches!(instance, Instance::Running | Instance::Paused);
            assert!(truth.places.iter().any(|place| holds_memory(place.instance)), "{what}: {truth:#?}");
            ends.held += 1;
        }
        Account::CanGoOn => panic!("{what}: {line:#?} {truth:#?}"),
    }
}

async fn once(stage: &mut Stage, what: &str) -> Option<Recovered> {
    let sites =
        Sites { destination: stage.link(Process::Destination).await, source: Some(stage.link(Process::Source).await) };
    let (env, order) = (stage.caller_env(), stage.recover_order(true));
    match recover(&sites, &env, &order).await {
        Ok(recovered) => Some(recovered),
        Err(RecoveryError::NoEvacuation { .. }) => None,
        Err(error) => panic!("{what}: {error}"),
    }
}
