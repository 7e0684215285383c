//! The stream of news: from a mark on, nothing missed.

use crate::stage::{Stage, VM};
use muster_core::definition::{Disk, Mode};
use muster_core::evidence::Outcome;
use muster_core::ids::{Attempt, VmId};
use muster_core::ledger::{ArrivalRecord, Standing};
use muster_core::reading::SiteReading;
use muster_core::step::Side;
use muster_proto::convert::{News, SiteAction, SiteNews};
use muster_proto::worker::v1 as pb;
use std::time::Duration;
use tonic::Streaming;
use uuid::Uuid;

const OTHER: VmId = VmId(Uuid::from_u128(0x2));

async fn watch(stage: &Stage, side: Side, after_sequence: u64) -> Streaming<pb::SiteEvent> {
    stage.client(side).watch(pb::WatchRequest { after_sequence }).await.unwrap().into_inner()
}

async fn next(news: &mut Streaming<pb::SiteEvent>) -> SiteNews {
    let message = tokio::time::timeout(Duration::from_secs(60), news.message()).await.expect("it is alive");
    SiteNews::try_from(message.unwrap().expect("it goes on")).unwrap()
}

/// What comes up to the first sign of life, and the mark that it carries.
async fn caught_up(news: &mut Streaming<pb::SiteEvent>) -> (Vec<SiteReading>, u64) {
    let mut readings = Vec::new();
    loop {
        let SiteNews { sequence, news } = next(news).await;
        match news {
            News::Reading(reading) => readings.push(*reading),
            News::Alive => return (readings, sequence),
            News::Claims(_) | News::Alarm(_) => {}
        }
    }
}

fn is_closed(reading: &SiteReading) -> bool {
    reading.standing.as_ref().is_some_and(Standing::is_closed)
}

#[tokio::test(start_paused = true)]
async fn a_watch_begins_with_every_vm_of_open_evacuations_and_goes_on_with_what_changes() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.enrolled(OTHER, Mode::Live, Disk::Shared).await;
    stage.act(OTHER, SiteAction::CloseDestination(Outcome::StayedAtSource)).await.unwrap();
    let mut news = watch(&stage, Side::Destination, 0).await;
    let (readings, _) = caught_up(&mut news).await;
    assert_eq!(readings.iter().map(|reading| reading.vm).collect::<Vec<_>>(), [VM, OTHER]);

    stage.placed(VM).await;
    let placed = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if let News::Reading(reading) = next(&mut news).await.news
                && !reading.sight.sightings.is_empty()
                && !reading.mutation_under_way
            {
                return reading;
            }
        }
    });
    let placed = placed.await.unwrap();
    let Some(Standing::Destination(at)) = placed.standing else { panic!("{:?}", placed.standing) };
    assert!(matches!(at.record, ArrivalRecord::Started(_)));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_broke_goes_on_from_its_mark() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.enrolled(OTHER, Mode::Live, Disk::Shared).await;
    let mut news = watch(&stage, Side::Destination, 0).await;
    caught_up(&mut news).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (_, mark) = caught_up(&mut news).await;
    drop(news);

    // The last move of the evacuation ends while nobody watches: nothing of it is open any more.
    for vm in [VM, OTHER] {
        stage.act(vm, SiteAction::CloseDestination(Outcome::StayedAtSource)).await.unwrap();
    }
    let mut news = watch(&stage, Side::Destination, 0).await;
    assert_eq!(caught_up(&mut news).await.0, Vec::new(), "from the beginning only what is open is told");
    for round in ["on", "after a restart"] {
        let mut news = watch(&stage, Side::Destination, mark).await;
        let (readings, later) = caught_up(&mut news).await;
        assert_eq!(readings.iter().map(|reading| reading.vm).collect::<Vec<_>>(), [VM, OTHER], "{round}");
        assert!(readings.iter().all(is_closed) && later > mark, "{round}");
        let mut news = watch(&stage, Side::Destination, later).await;
        assert_eq!(caught_up(&mut news).await.0, Vec::new(), "{round}: it has been told all of that");
        stage.restart(Side::Destination).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_change_of_the_ledger_is_told_once_its_mark_has_passed() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    let mut news = watch(&stage, Side::Destination, 0).await;
    caught_up(&mut news).await;
    for count in 1..=5 {
        let attempt = Attempt::new(count).unwrap();
        stage.act(VM, crate::stage::open()).await.unwrap();
        stage.act(VM, SiteAction::Abandon { attempt }).await.unwrap();
        let newest = stage.worker(Side::Destination).site.newest_sequence();
        let mut latest = None;
        loop {
            let SiteNews { sequence, news } = next(&mut news).await;
            if let News::Reading(reading) = news {
                latest = Some(reading);
            }
            if sequence >= newest {
                break;
            }
        }
        let Some(Standing::Destination(at)) = latest.expect("a reading").standing else { panic!() };
        assert!(matches!(at.record, ArrivalRecord::Abandoned(started) if started.attempt == attempt));
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_site_says_that_it_is_alive_and_an_idle_one_does_not_spin() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    let mut news = watch(&stage, Side::Destination, 0).await;
    caught_up(&mut news).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    while tokio::time::timeout(Duration::from_millis(1), news.message()).await.is_ok() {}
    let mut pieces = 0;
    let a_minute = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            assert_eq!(next(&mut news).await.news, News::Alive);
            pieces += 1;
        }
    });
    a_minute.await.unwrap_err();
    assert!((25..=31).contains(&pieces), "{pieces} in a minute");
}
