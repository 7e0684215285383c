//! A ledger that lost its newest entries says nothing more, as soon as another site can be asked that has seen them.

use crate::stage::{Stage, VM, site};
use muster_core::definition::{Disk, Mode};
use muster_core::step::Side;
use muster_proto::worker::v1 as pb;
use muster_store::memory::LedgerDisk;
use muster_worker::site::witness::{FIRST_ANSWER_DEADLINE, TELL_AGAIN_AFTER, TELL_EVERY};
use std::time::Duration;

/// Long enough for everybody to have told everybody.
const TOLD: Duration = TELL_EVERY.saturating_mul(3);
/// Long enough for a site that could not be reached to be told again.
const TOLD_AGAIN: Duration = TELL_AGAIN_AFTER.saturating_mul(3);

/// A move in which much has been written on both sides, and the destination's ledger as it was before.
async fn moved_on() -> (Stage, LedgerDisk) {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    tokio::time::sleep(TOLD).await;
    let before = stage.backup(Side::Destination);
    stage.transferred(VM).await;
    tokio::time::sleep(TOLD).await;
    (stage, before)
}

async fn says_nothing(stage: &Stage, because: &str) {
    let status = stage.status(Side::Destination).await;
    let why = status.working.expect_err("it takes work all the same");
    assert!(why.contains(because) && why.contains("muster ledger rebuild"), "{why}");
    let failure = stage.observe(Side::Destination, VM, None).await.expect_err("it was believed");
    assert!(!failure.message.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_whole_ledger_is_confirmed_by_the_other_site() {
    let (mut stage, _) = moved_on().await;
    for (side, other) in [(Side::Destination, Side::Source), (Side::Source, Side::Destination)] {
        stage.restart(side).await;
        let status = stage.status(side).await;
        assert_eq!((status.confirmed_by, status.working), (vec![site(other)], Ok(())));
        assert!(status.newest_entry_at.is_some() && status.rebuilt_at.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_history_that_was_written_anew_is_found_by_its_link() {
    let (stage, _) = moved_on().await;
    let prove = |ledger: Option<pb::HighWater>, witnessed| pb::ProvePathRequest {
        nonce: "n".to_owned(),
        source_site: site(Side::Source).to_string(),
        ledger,
        witnessed,
    };
    let mut client = stage.client(Side::Destination);
    let proof = client.prove_path(prove(None, None)).await.unwrap().into_inner();
    let (newest, source) = (proof.ledger.unwrap(), proof.witnessed.unwrap());
    assert!(newest.link.len() == 64 && source.link.len() == 64 && newest.link != source.link, "{newest:?} {source:?}");
    // What it has told of itself is in it.
    client.prove_path(prove(Some(source.clone()), Some(newest.clone()))).await.unwrap();
    assert_eq!(stage.status(Side::Destination).await.working, Ok(()));
    // The same entry, written at the same time, after others than these.
    let another = pb::HighWater { link: source.link.clone(), ..newest };
    client.prove_path(prove(Some(source), Some(another))).await.expect_err("it was believed");
    says_nothing(&stage, "which isn't in it").await;
}

#[tokio::test(start_paused = true)]
async fn an_old_copy_never_says_a_word() {
    let (mut stage, before) = moved_on().await;
    stage.kill(Side::Destination);
    stage.start_untrusted(Side::Destination, before).await;
    tokio::time::sleep(FIRST_ANSWER_DEADLINE).await;
    says_nothing(&stage, "site source has once seen entry").await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_file_at_a_wrong_path_never_says_a_word() {
    let (mut stage, _) = moved_on().await;
    stage.kill(Side::Destination);
    stage.start_untrusted(Side::Destination, LedgerDisk::new("a wrong path")).await;
    tokio::time::sleep(FIRST_ANSWER_DEADLINE).await;
    says_nothing(&stage, "this ledger ends with entry 0").await;
}

#[tokio::test(start_paused = true)]
async fn an_old_copy_that_was_written_on_is_found_once_the_other_site_can_be_asked() {
    let (mut stage, before) = moved_on().await;
    stage.kill(Side::Destination);
    stage.cut_between_workers(true);
    stage.start_again(Side::Destination, before).await;
    let status = stage.status(Side::Destination).await;
    assert_eq!(status.confirmed_by, Vec::new(), "nobody could be asked");
    let lost = stage.worker(Side::Source).site.newest_sequence() + 50;
    while stage.worker(Side::Destination).site.newest_sequence() < lost {
        let token = stage.token();
        stage.observe(Side::Destination, VM, Some(token)).await.unwrap();
    }
    stage.cut_between_workers(false);
    tokio::time::sleep(TOLD_AGAIN).await;
    says_nothing(&stage, "site source has once seen entry").await;
    // The other ledger is as it was.
    assert_eq!(stage.status(Side::Source).await.working, Ok(()));
}
