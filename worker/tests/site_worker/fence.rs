//! Floors, fenced observation, and mutations that hang.

use crate::stage::{Stage, VM, transfer};
use muster_core::definition::{Disk, Mode};
use muster_core::ids::{Attempt, VmId};
use muster_core::ledger::{ArrivalRecord, SourceState, Standing};
use muster_core::reading::{Instance, SiteReading, Stored};
use muster_core::step::Side;
use muster_core::token::Token;
use muster_proto::convert::SiteAction;
use muster_worker::hypervisor::sim::world::{CallKind, Fault, HostFault, Rule, RuleKind, Twist};
use std::time::Duration;
use uuid::Uuid;

fn place() -> SiteAction {
    SiteAction::MakePlaceholder { attempt: Attempt::FIRST }
}

fn is_gone(reading: &SiteReading) -> bool {
    matches!(&reading.standing, Some(Standing::Source(at)) if matches!(at.state, SourceState::Gone { .. }))
}

fn has_event(reading: &SiteReading) -> bool {
    let Some(Standing::Destination(at)) = &reading.standing else { return false };
    matches!(at.record, ArrivalRecord::Completed(_))
}

async fn hang(stage: &Stage, kind: CallKind, for_ms: u64) {
    stage.world.inject(Fault::once(VM, RuleKind::Call(Some(kind), Twist::Hang(for_ms)))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_below_the_floor_is_refused_and_what_equals_it_answered_again() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    let older = stage.token();
    stage.placed(VM).await;
    let token = stage.token();
    let first = stage.act_under(VM, token, SiteAction::Seal).await.unwrap();
    assert_eq!(first.sight.sightings[0].stored, Stored::Sealed);
    let history = stage.history(Side::Source, VM).await;

    for round in ["before a restart", "after it"] {
        let again = stage.act_under(VM, token, SiteAction::Seal).await.unwrap();
        assert_eq!(again.standing, first.standing, "{round}");
        assert_eq!(stage.history(Side::Source, VM).await, history, "{round}: executed again");
        let refused = stage.act_under(VM, older, SiteAction::Seal).await.unwrap_err();
        assert_eq!(refused.reason, "BELOW_FLOOR", "{round}");
        let refused = stage.observe(Side::Source, VM, Some(older)).await.unwrap_err();
        assert_eq!(refused.reason, "BELOW_FLOOR", "{round}");
        stage.restart(Side::Source).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_fenced_observe_shuts_out_what_is_older_also_after_a_restart() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    let older = stage.token();
    let fence = stage.token();
    let observed = stage.observe(Side::Source, VM, Some(fence)).await.unwrap();
    assert_eq!((observed.floor, observed.mutation_under_way), (fence, false));
    stage.restart(Side::Source).await;
    assert_eq!(stage.act_under(VM, older, SiteAction::Seal).await.unwrap_err().reason, "BELOW_FLOOR");
    assert_eq!(stage.seen(Side::Source, VM).await.sight.sightings[0].stored, Stored::Real);
    // Observing again under the same token is answered again.
    assert_eq!(stage.observe(Side::Source, VM, Some(fence)).await.unwrap().floor, fence);
}

#[tokio::test(start_paused = true)]
async fn a_hung_call_counts_until_it_has_ended_also_after_a_restart() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    hang(&stage, CallKind::DefineSealed, 60_000).await;
    let unknown = stage.act(VM, SiteAction::Seal).await.unwrap_err();
    assert_eq!((unknown.reason.as_str(), unknown.class), ("NOT_ENDED_YET", muster_core::class::Class::Unknown));
    for round in ["before a restart", "after it"] {
        let fence = stage.token();
        let observed = stage.observe(Side::Source, VM, Some(fence)).await.unwrap();
        assert!(observed.mutation_under_way && observed.sight.call_under_way, "{round}");
        assert_eq!(stage.act(VM, SiteAction::Seal).await.unwrap_err().reason, "BUSY", "{round}");
        stage.restart(Side::Source).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(stage.seen(Side::Source, VM).await.mutation_under_way, "its call is still under way");
    let ended = stage.until(Side::Source, VM, |reading| !reading.mutation_under_way).await;
    assert_eq!(ended.sight.sightings[0].stored, Stored::Sealed);
    let history = stage.history(Side::Source, VM).await;
    assert!(!history.contains(&"made_inert_again".to_owned()), "nobody has changed it: {history:?}");
    stage.act(VM, transfer()).await.unwrap();
    stage.until(Side::Destination, VM, has_event).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_cuts_nothing_short() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    hang(&stage, CallKind::DefineSealed, 2_000).await;
    let gone_away = tokio::time::timeout(Duration::from_millis(500), stage.act(VM, SiteAction::Seal)).await;
    assert!(gone_away.is_err());
    assert!(stage.seen(Side::Source, VM).await.mutation_under_way);
    let ended = stage.until(Side::Source, VM, |reading| !reading.mutation_under_way).await;
    assert_eq!(ended.sight.sightings[0].stored, Stored::Sealed);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_cleared_by_a_look_and_the_run_is_not_lost() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    let lose = RuleKind::Call(Some(CallKind::DefineReal), Twist::LoseReply);
    stage.world.inject(Fault::Rule(Rule { vm: Some(VM), times: 1, kind: lose })).await.unwrap();
    stage.transferred(VM).await;
    let ran = stage.until(Side::Destination, VM, |reading| has_event(reading) && !reading.mutation_under_way).await;
    let Some(Standing::Destination(at)) = ran.standing else { panic!("{ran:?}") };
    let ArrivalRecord::Completed(completed) = at.record else { panic!("{at:?}") };
    assert!(completed.ran.expect("it was seen to run").downtime_ms.is_some());
    assert_eq!(stage.truth(VM).await.runs_on().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_commit_is_refused_after_a_fenced_observe() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.transferred(VM).await;
    stage.cut_between_workers(true);
    stage.until(Side::Source, VM, is_gone).await;
    let fence = stage.token();
    stage.observe(Side::Source, VM, Some(fence)).await.unwrap();
    stage.observe(Side::Destination, VM, Some(fence)).await.unwrap();
    stage.cut_between_workers(false);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let waiting = stage.seen(Side::Destination, VM).await;
    assert!(!has_event(&waiting), "the transfer's token is below the floor");
    assert_eq!(waiting.sight.sightings[0].instance, Instance::Paused);

    let committed = stage.act(VM, SiteAction::Commit { attempt: Attempt::FIRST }).await.unwrap();
    assert!(has_event(&committed));
    assert_eq!(committed.sight.sightings[0].instance, Instance::Running);
    assert!(!stage.truth(VM).await.ran_twice);
}

#[tokio::test(start_paused = true)]
async fn no_commit_before_the_copy_is_whole() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    let commit = SiteAction::Commit { attempt: Attempt::FIRST };
    assert_eq!(stage.act(VM, commit.clone()).await.unwrap_err().reason, "NOT_ARRIVED");
    stage.placed(VM).await;
    assert_eq!(stage.act(VM, commit.clone()).await.unwrap_err().reason, "NOT_ARRIVED");
    stage.act(VM, SiteAction::Seal).await.unwrap();
    stage.act(VM, transfer()).await.unwrap();
    assert_eq!(stage.act(VM, commit).await.unwrap_err().reason, "NOT_ARRIVED");
    assert!(!stage.history(Side::Destination, VM).await.contains(&"completed".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_mutation_on_a_host_that_fell_silent_counts_and_others_go_on() {
    let other = VmId(Uuid::from_u128(0x2));
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.enrolled(other, Mode::Live, Disk::Shared).await;
    stage.act(VM, crate::stage::open()).await.unwrap();
    hang(&stage, CallKind::DefinePlaceholder, 5_000).await;
    let silent = Fault::Host(
        crate::stage::site(Side::Destination),
        crate::stage::host(Side::Destination, 1),
        HostFault::PowerLoss,
    );
    let world = stage.world.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.inject(silent).await.unwrap();
    });
    stage.act(VM, place()).await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(stage.seen(Side::Destination, VM).await.mutation_under_way, "silence is no end");
    assert!(!stage.seen(Side::Destination, other).await.mutation_under_way);
    stage.restart(Side::Destination).await;
    assert!(stage.seen(Side::Destination, VM).await.mutation_under_way, "nor is a restart");

    // A person's word that the host can't run anything ends it.
    stage.fence_host(crate::stage::host(Side::Destination, 1)).await;
    stage.until(Side::Destination, VM, |reading| !reading.mutation_under_way).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_under_way_is_not_executed_twice() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    hang(&stage, CallKind::DefineSealed, 30_000).await;
    let token = stage.token();
    stage.act_under(VM, token, SiteAction::Seal).await.unwrap_err();
    assert_eq!(stage.act_under(VM, token, SiteAction::Seal).await.unwrap_err().reason, "BUSY");
    stage.restart(Side::Source).await;
    let again = stage.act_under(VM, token, SiteAction::Seal).await.unwrap();
    assert!(again.mutation_under_way, "answered, not executed");
    let begun = stage.history(Side::Source, VM).await.iter().filter(|name| *name == "mutation_begun").count();
    assert_eq!(begun, 1);
    assert_eq!(token.against(Token::ZERO), muster_core::token::TokenStanding::Above);
}
