//! A ledger that nobody can confirm to be whole counts as of its newest entry, and whoever asks is told so: at the workers and through the
//! orchestrator alike.
//!
//! Red if a roll call rests on a ledger that no other site has vouched for since its worker began, and doesn't say so; or says so where one has.

use muster_core::definition::{Disk, Mode};
use muster_core::ids::EvacuationId;
use muster_proto::v1 as pb;
use muster_tests::{Process, Stage, StageOptions};

/// Whose ledgers a roll call through the orchestrator calls unconfirmed, and since when each is known.
async fn unconfirmed(stage: &Stage, evacuation: EvacuationId) -> Vec<(String, bool)> {
    let request = pb::RecoverEvacuationRequest { evacuation: evacuation.to_string(), ..Default::default() };
    let mut lines = stage.client().await.recover_evacuation(request).await.expect("a roll call").into_inner();
    let (mut told, mut first) = (Vec::new(), true);
    while let Some(line) = lines.message().await.expect("a line") {
        assert!(first || line.unconfirmed_ledgers.is_empty(), "once for the whole roll");
        told.extend(line.unconfirmed_ledgers.into_iter().map(|of| (of.site, of.as_of_ms.is_some())));
        first = false;
    }
    assert!(!first, "the roll has lines");
    told
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_nobody_confirms_is_told_through_the_orchestrator_too() {
    let mut stage = Stage::set(StageOptions::default()).await;
    for number in 0..3 {
        stage.vm(&format!("web-{number}"), Mode::Live, Disk::Shared).await;
    }
    stage.start_orchestrator(None).await;
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    stage.until_finished(evacuation).await;
    assert_eq!(unconfirmed(&stage, evacuation).await, [], "each has seen the other");

    // The source is gone, and the destination's worker starts anew: nobody is left who could say that its ledger is whole.
    stage.kill(Process::Source);
    stage.kill(Process::Destination);
    stage.start_worker(Process::Destination, None).await;
    let lonely = [("destination".to_owned(), true)];
    assert_eq!(unconfirmed(&stage, evacuation).await, lonely);
    let by_workers = stage.recover(false, false).await;
    let sites: Vec<String> = by_workers.unconfirmed.iter().map(|of| of.site.to_string()).collect();
    assert_eq!(sites, ["destination"], "the same as the workers say");

    stage.start_worker(Process::Source, None).await;
    for _ in 0..600 {
        if unconfirmed(&stage, evacuation).await.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("it stays unconfirmed: {:?}", unconfirmed(&stage, evacuation).await);
}
