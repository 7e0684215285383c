//! Placeholders stay inert, whoever changes them, and what isn't proven to be one is left alone; autostart is switched off again;
//! alarms are kept, and not repeated without end.

use crate::stage::{Stage, VM, host, open, site};
use muster_core::definition::{Definition, Disk, Mode};
use muster_core::ids::Attempt;
use muster_core::reading::{Instance, SiteReading, Stored};
use muster_core::step::Side;
use muster_proto::convert::SiteAction;
use muster_proto::worker::v1 as pb;
use muster_worker::hypervisor::sim::world::{Deed, Fault};
use muster_worker::site::alarms::ALARM_AGAIN_AFTER_MS;
use muster_worker::site::inert::PATROL_EVERY;
use std::time::Duration;

fn stored(reading: &SiteReading) -> Option<Stored> {
    reading.sight.sightings.first().map(|seen| seen.stored)
}

fn is_placeholder(reading: &SiteReading) -> bool {
    stored(reading) == Some(Stored::Placeholder) && !reading.mutation_under_way
}

fn boxed(definition: &Definition) -> Box<Definition> {
    Box::new(definition.clone())
}

async fn by_hand(stage: &Stage, side: Side, deed: Deed) {
    stage.world.inject(Fault::ByHand(site(side), host(side, 1), VM, deed)).await.unwrap();
}

/// The reasons of the alarms that a ledger holds, oldest first.
async fn alarms(stage: &Stage, side: Side) -> Vec<String> {
    let asked = pb::ListEventsRequest { event: "alarmed".to_owned(), ..Default::default() };
    let answer = stage.client(side).list_events(asked).await.unwrap().into_inner();
    assert!(answer.lines.iter().all(|line| line.event == "alarmed" && line.vm == VM.to_string()));
    let reason = |line: pb::LedgerLine| {
        let detail: serde_json::Value = serde_json::from_str(&line.detail_json).unwrap();
        detail["reason"].as_str().unwrap().to_owned()
    };
    answer.lines.into_iter().map(reason).collect()
}

async fn until_alarmed(stage: &Stage, side: Side, reason: &str) {
    let waiting = async {
        while !alarms(stage, side).await.iter().any(|one| one == reason) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(300), waiting).await.expect("an alarm");
}

/// A VM whose placeholder stands.
async fn placed() -> (Stage, Definition) {
    let mut stage = Stage::set().await;
    let definition = stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    stage.until(Side::Destination, VM, is_placeholder).await;
    (stage, definition)
}

#[tokio::test(start_paused = true)]
async fn an_edited_placeholder_with_its_mark_is_made_inert_again() {
    let (mut stage, definition) = placed().await;
    let marked = stage.seen(Side::Destination, VM).await.sight.sightings[0].mark;
    by_hand(&stage, Side::Destination, Deed::Edit(boxed(&definition))).await;
    until_alarmed(&stage, Side::Destination, "MADE_INERT_AGAIN").await;
    let again = stage.until(Side::Destination, VM, is_placeholder).await;
    assert_eq!(again.sight.sightings[0].mark, marked);
    assert!(!again.sight.sightings[0].autostart);
    // The move goes on as if nothing had been.
    stage.act(VM, SiteAction::Seal).await.unwrap();
    stage.act(VM, crate::stage::transfer()).await.unwrap();
    let runs = |reading: &SiteReading| reading.sight.sightings.iter().any(|seen| seen.instance == Instance::Running);
    stage.until(Side::Destination, VM, runs).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_given_up_attempt_too() {
    let (mut stage, definition) = placed().await;
    stage.act(VM, SiteAction::Abandon { attempt: Attempt::FIRST }).await.unwrap();
    by_hand(&stage, Side::Destination, Deed::Edit(boxed(&definition))).await;
    until_alarmed(&stage, Side::Destination, "MADE_INERT_AGAIN").await;
    stage.until(Side::Destination, VM, is_placeholder).await;
}

#[tokio::test(start_paused = true)]
async fn without_its_mark_the_vms_own_definition_is_known_for_what_it_is() {
    let (stage, definition) = placed().await;
    by_hand(&stage, Side::Destination, Deed::Store(boxed(&definition))).await;
    until_alarmed(&stage, Side::Destination, "MADE_INERT_AGAIN").await;
    let again = stage.until(Side::Destination, VM, is_placeholder).await;
    assert_eq!(again.sight.sightings[0].mark.map(|mark| mark.attempt), Some(Attempt::FIRST));
}

#[tokio::test(start_paused = true)]
async fn another_definition_without_a_mark_is_left_alone() {
    let (stage, definition) = placed().await;
    let other = Definition { vcpus: definition.vcpus + 1, ..definition };
    by_hand(&stage, Side::Destination, Deed::Store(boxed(&other))).await;
    until_alarmed(&stage, Side::Destination, "NOT_ITS_PLACEHOLDER").await;
    tokio::time::sleep(PATROL_EVERY * 8).await;
    assert_eq!(stored(&stage.seen(Side::Destination, VM).await), Some(Stored::Real));
    assert!(!stage.history(Side::Destination, VM).await.contains(&"made_inert_again".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_was_put_there_while_the_worker_was_down_without_a_mark_is_left_alone() {
    let (mut stage, definition) = placed().await;
    let disk = stage.kill(Side::Destination);
    by_hand(&stage, Side::Destination, Deed::Store(boxed(&definition))).await;
    stage.start_again(Side::Destination, disk).await;
    until_alarmed(&stage, Side::Destination, "NOT_ITS_PLACEHOLDER").await;
    assert_eq!(stored(&stage.seen(Side::Destination, VM).await), Some(Stored::Real));
}

#[tokio::test(start_paused = true)]
async fn nobody_s_definition_is_taken_for_a_placeholder_that_was_never_made() {
    let mut stage = Stage::set().await;
    let definition = stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    by_hand(&stage, Side::Destination, Deed::Store(boxed(&definition))).await;
    stage.act(VM, open()).await.unwrap();
    until_alarmed(&stage, Side::Destination, "NOT_ITS_PLACEHOLDER").await;
    assert_eq!(stored(&stage.seen(Side::Destination, VM).await), Some(Stored::Real));
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_holds_memory_is_not_touched() {
    let (mut stage, definition) = placed().await;
    // Before its worker could see it, it runs already.
    let disk = stage.kill(Side::Destination);
    by_hand(&stage, Side::Destination, Deed::Edit(boxed(&definition))).await;
    by_hand(&stage, Side::Destination, Deed::Start).await;
    stage.start_again(Side::Destination, disk).await;
    tokio::time::sleep(PATROL_EVERY * 4).await;
    let reading = stage.seen(Side::Destination, VM).await;
    assert_eq!((stored(&reading), reading.sight.sightings[0].instance), (Some(Stored::Real), Instance::Running));
    assert_eq!(alarms(&stage, Side::Destination).await, Vec::<String>::new(), "nothing was tried");
}

#[tokio::test(start_paused = true)]
async fn autostart_is_switched_off_again_though_nobody_tells_of_it() {
    let (mut stage, _) = placed().await;
    stage.act(VM, SiteAction::Seal).await.unwrap();
    for side in [Side::Source, Side::Destination] {
        by_hand(&stage, side, Deed::Autostart(true)).await;
        assert!(stage.seen(side, VM).await.sight.sightings[0].autostart, "it is there to be seen");
        stage.until(side, VM, |reading| !reading.sight.sightings[0].autostart).await;
        until_alarmed(&stage, side, "AUTOSTART_OFF_AGAIN").await;
    }
    assert_eq!(stored(&stage.seen(Side::Source, VM).await), Some(Stored::Sealed));
    assert_eq!(stored(&stage.seen(Side::Destination, VM).await), Some(Stored::Placeholder));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_is_raised_again_only_after_a_while() {
    let (mut stage, definition) = placed().await;
    stage.act(VM, SiteAction::Seal).await.unwrap();
    let edit = async |stage: &Stage, times: usize| {
        by_hand(stage, Side::Source, Deed::Store(boxed(&definition))).await;
        stage.until(Side::Source, VM, |reading| stored(reading) == Some(Stored::Sealed)).await;
        let again = stage.history(Side::Source, VM).await.into_iter().filter(|event| event == "made_inert_again");
        assert_eq!(again.count(), times, "each edit is made good and stands in the history");
        stage.until(Side::Source, VM, |reading| !reading.mutation_under_way).await;
    };
    edit(&stage, 1).await;
    edit(&stage, 2).await;
    assert_eq!(alarms(&stage, Side::Source).await, ["MADE_INERT_AGAIN"]);
    tokio::time::sleep(Duration::from_millis(ALARM_AGAIN_AFTER_MS)).await;
    edit(&stage, 3).await;
    until_alarmed(&stage, Side::Source, "MADE_INERT_AGAIN").await;
    assert_eq!(alarms(&stage, Side::Source).await, ["MADE_INERT_AGAIN"; 2]);
}
