//! Watchers: those that come back with a token, and those that read slowly or not at all.

use crate::stage::{Stage, runbook};
use muster_core::step::Side;
use muster_proto::status::Fault;
use muster_proto::v1 as pb;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};

/// What a watcher has been told so far.
#[derive(Default)]
struct Told {
    evacuation: pb::Evacuation,
    moves: BTreeMap<String, pb::Move>,
    resume_token: String,
    messages: usize,
}

impl Told {
    fn take(&mut self, message: pb::WatchEvacuationResponse) {
        self.evacuation = message.evacuation.expect("each message has it");
        self.moves.extend(message.moves.into_iter().map(|one| (one.vm.clone(), one)));
        if !message.resume_token.is_empty() {
            self.resume_token = message.resume_token;
        }
        self.messages += 1;
    }

    fn is_over(&self) -> bool {
        self.evacuation.state() == pb::EvacuationState::Finished
    }
}

async fn watch(
    stage: &Stage,
    evacuation: &str,
    resume_token: &str,
) -> Result<Streaming<pb::WatchEvacuationResponse>, Status> {
    let (evacuation, resume_token) = (evacuation.to_owned(), resume_token.to_owned());
    let request = pb::WatchEvacuationRequest { evacuation, resume_token };
    Ok(stage.client().await.watch_evacuation(request).await?.into_inner())
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_comes_back_misses_nothing_and_is_told_nothing_twice() {
    let mut stage = Stage::set(24).await;
    let begun = stage.create_evacuation(&runbook("limits.total = 2")).await;
    let (mut told, mut again) = (Told::default(), 0);
    while !told.is_over() {
        let mut stream = watch(&stage, &begun.evacuation, &told.resume_token).await.unwrap();
        let over_before: Vec<String> =
            told.moves.values().filter(|one| one.ended_at_ms.is_some()).map(|one| one.vm.clone()).collect();
        for number in 0..3 {
            let Some(message) = stream.message().await.unwrap() else { break };
            assert_eq!(message.evacuation.as_ref().map(|one| one.counts.unwrap()).map(sum), Some(24), "{message:#?}");
            if number == 0 && told.messages > 0 {
                let twice: Vec<&pb::Move> = message.moves.iter().filter(|one| over_before.contains(&one.vm)).collect();
                assert!(twice.is_empty(), "told again though nothing has changed: {twice:#?}");
            }
            told.take(message);
        }
        drop(stream);
        again += 1;
        // The second half also over an orchestrator that is killed in between.
        if again % 4 == 3 {
            stage.restart_orchestrator().await;
        }
        // Long enough for a move to begin and end unseen.
        tokio::time::sleep(Duration::from_millis(if again % 2 == 0 { 700 } else { 6_000 })).await;
    }
    assert!(again > 3, "it came back {again} times only");
    let listed: BTreeMap<String, pb::Move> = stage.moves().await.into_iter().map(|one| (one.vm.clone(), one)).collect();
    assert_eq!(told.moves, listed);
    assert_eq!(told.evacuation.counts, stage.evacuation().await.counts);
    // It is over, and so is a watch that begins now.
    let mut stream = watch(&stage, "", &told.resume_token).await.unwrap();
    let last = stream.message().await.unwrap().expect("a message");
    assert!(last.moves.is_empty() && last.evacuation.unwrap().state() == pb::EvacuationState::Finished);
    assert!(stream.message().await.unwrap().is_none());
}

fn sum(counts: pb::MoveCounts) -> u32 {
    counts.waiting + counts.moving + counts.held + counts.migrated + counts.stayed_at_source
}

#[tokio::test(start_paused = true)]
async fn what_waits_untouched_is_not_told_again_to_a_watcher_that_comes_back() {
    let mut stage = Stage::set(24).await;
    let begun = stage.create_evacuation(&runbook("limits.total = 2")).await;
    let mut told = Told::default();
    let mut stream = watch(&stage, &begun.evacuation, "").await.unwrap();
    while told.resume_token.is_empty() || told.moves.len() < 24 {
        told.take(stream.message().await.unwrap().expect("a message"));
    }
    drop(stream);
    let mut stream = watch(&stage, &begun.evacuation, &told.resume_token).await.unwrap();
    let message = stream.message().await.unwrap().expect("a message");
    let is_untouched = |one: &&pb::Move| one.state() == pb::MoveState::Waiting && one.started_at_ms.is_none();
    let again: Vec<&pb::Move> = message.moves.iter().filter(is_untouched).collect();
    assert!(again.is_empty(), "told again though nothing has changed: {again:#?}");
    assert!(message.evacuation.unwrap().counts.unwrap().waiting > 12, "too little waits to show it");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_belongs_to_something_else_is_refused() {
    let mut stage = Stage::set(2).await;
    let only = |name: &str| runbook("").replace("all = true", &format!("names = [\"{name}\"]"));
    let first = stage.create_evacuation(&only("vm-0")).await;
    stage.until_finished().await;
    let token = |message: pb::WatchEvacuationResponse| message.resume_token;
    let first_token = token(watch(&stage, &first.evacuation, "").await.unwrap().message().await.unwrap().unwrap());
    let second = stage.create_evacuation(&only("vm-1")).await;
    stage.until_finished().await;
    let second_token = token(watch(&stage, &second.evacuation, "").await.unwrap().message().await.unwrap().unwrap());
    assert!(!first_token.is_empty() && !second_token.is_empty());

    // Without an evacuation's name the token says which.
    let mut resumed = watch(&stage, "", &first_token).await.unwrap();
    assert_eq!(resumed.message().await.unwrap().unwrap().evacuation.unwrap().evacuation, first.evacuation);
    for wrong in [second_token.as_str(), "yesterday", &first_token[1..]] {
        let refused = watch(&stage, &first.evacuation, wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{wrong}: {refused:?}");
        assert_eq!(Fault::from(&refused).violations[0].field, "resume_token");
    }
    // Another journal, in which as many records stand.
    let mut another = Stage::set(2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    another.create_evacuation(&only("vm-0")).await;
    another.until_finished().await;
    let forged = first_token.clone();
    let refused = watch(&another, "", &forged).await.unwrap_err();
    assert!([Code::OutOfRange, Code::NotFound].contains(&refused.code()), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_newer_copy_of_the_journal_is_out_of_range() {
    let mut stage = Stage::set(3).await;
    let begun = stage.create_evacuation(&runbook("limits.total = 1")).await;
    stage.until(|evacuation| evacuation.counts.unwrap().migrated == 1).await;
    // What an operator does who puts yesterday's copy back.
    let disk = stage.kill_orchestrator();
    let older = disk.copy("an older journal");
    stage.start_orchestrator(disk).await;
    stage.until_finished().await;
    let mut stream = watch(&stage, &begun.evacuation, "").await.unwrap();
    let newest = stream.message().await.unwrap().unwrap().resume_token;
    stage.kill_orchestrator();
    stage.start_orchestrator(older).await;
    let refused = watch(&stage, &begun.evacuation, &newest).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    assert_eq!(Fault::from(&refused).reason, "NOT_THIS_JOURNAL");
}

/// How long the evacuation took, and how many messages a watcher got that read nothing before it was over, or read
/// all at once.
async fn course(reads: bool) -> (Duration, Told) {
    let mut stage = Stage::set(0).await;
    // Long labels, so that what is told doesn't fit what the transport puts aside: the window, and what the server sends ahead.
    let tags: Vec<String> = (0..50).map(|number| format!("{number:0>250}")).collect();
    for number in 0..60 {
        stage.create(number, &tags.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    let began = Instant::now();
    let begun = stage.create_evacuation(&runbook("limits.total = 1\nlimits.per_site = 1")).await;
    let request = pb::WatchEvacuationRequest { evacuation: begun.evacuation, ..Default::default() };
    let mut stream = stage.narrow_client(16 * 1024).watch_evacuation(request).await.unwrap().into_inner();
    let mut told = Told::default();
    let mut took = None;
    if !reads {
        stage.until_finished().await;
        took = Some(began.elapsed());
    }
    while let Some(message) = stream.message().await.unwrap() {
        told.take(message);
    }
    let took = took.unwrap_or_else(|| began.elapsed());
    stage.assert_all_run_at(Side::Destination).await;
    assert!(told.is_over());
    let listed: BTreeMap<String, pb::Move> = stage.moves().await.into_iter().map(|one| (one.vm.clone(), one)).collect();
    assert_eq!(told.moves, listed);
    (took, told)
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_does_not_read_slows_nothing_and_little_is_kept_for_it() {
    let (with_a_reader, read) = course(true).await;
    let (without, unread) = course(false).await;
    let difference = with_a_reader.abs_diff(without);
    assert!(difference < Duration::from_millis(500), "{with_a_reader:?} with a reader, {without:?} with none");
    // What had not gone out when it began to read was told in one, not message by message.
    assert!(unread.messages * 3 < read.messages, "{} messages, of {}", unread.messages, read.messages);
}
