//! The sites' alarms, in the journal: each once, none lost, and no flood.

use crate::stage::{Stage, host, runbook, site, vm};
use muster_core::definition::Definition;
use muster_core::evacuation::{ALARMS_JOURNALED_MAX, ALARMS_SHOWN_MAX};
use muster_core::step::Side;
use muster_proto::v1 as pb;
use muster_worker::hypervisor::Hypervisor;
use muster_worker::hypervisor::sim::direct::DirectHypervisors;
use muster_worker::hypervisor::sim::world::{Deed, Fault};
use muster_worker::site::alarms::ALARM_AGAIN_AFTER_MS;
use std::time::Duration;

/// Puts the real definition over the source's inert one.
async fn edit(stage: &Stage, definition: &Definition) {
    let deed = Deed::Store(Box::new(definition.clone()));
    stage.world.inject(Fault::ByHand(site(Side::Source), host(Side::Source, 1), vm(0), deed)).await.unwrap();
}

async fn definition(stage: &Stage) -> Definition {
    let hypervisors = DirectHypervisors::new(stage.world.clone(), site(Side::Source));
    hypervisors.definition(&host(Side::Source, 1), vm(0)).await.unwrap()
}

async fn journaled(stage: &Stage) -> Vec<serde_json::Value> {
    let request = pb::ListAuditRequest { page_size: 1_000, ..pb::ListAuditRequest::default() };
    let lines = stage.client().await.list_audit(request).await.unwrap().into_inner().lines;
    let alarms = lines.iter().filter(|line| line.record == "alarm_raised");
    alarms.map(|line| serde_json::from_str(&line.detail_json).unwrap()).collect()
}

async fn until_journaled(stage: &Stage, count: usize) {
    let waiting = async {
        while journaled(stage).await.len() < count {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(300), waiting).await.expect("as many alarms in the journal");
}

async fn shown(stage: &Stage) -> Vec<pb::Alarm> {
    stage.moves().await.into_iter().find(|one| one.vm == vm(0).to_string()).unwrap().alarms
}

async fn quiet() {
    tokio::time::sleep(Duration::from_millis(ALARM_AGAIN_AFTER_MS)).await;
}

#[tokio::test(start_paused = true)]
async fn an_alarm_is_journaled_once_whoever_was_away_and_shown_also_after_the_end() {
    let mut stage = Stage::set(1).await;
    let real = definition(&stage).await;
    stage.create_evacuation(&runbook("")).await;
    stage.until_finished().await;
    assert!(shown(&stage).await.is_empty() && journaled(&stage).await.is_empty());

    edit(&stage, &real).await;
    until_journaled(&stage, 1).await;
    let alarm = shown(&stage).await.remove(0);
    assert_eq!((alarm.site.as_str(), alarm.reason.as_str()), ("source", "MADE_INERT_AGAIN"));
    assert!(alarm.message.contains(&vm(0).to_string()) && alarm.at_ms > 0, "{alarm:?}");

    // One is raised while nobody listens; what is known already is not told again.
    quiet().await;
    let disk = stage.kill_orchestrator();
    edit(&stage, &real).await;
    quiet().await;
    stage.start_orchestrator(disk).await;
    until_journaled(&stage, 2).await;
    stage.restart_orchestrator().await;
    quiet().await;
    let lines = journaled(&stage).await;
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0]["sequence"].as_u64() < lines[1]["sequence"].as_u64(), "{lines:#?}");
    assert_eq!(shown(&stage).await.len(), 2);

    // Nor is it when its worker has restarted.
    let disk = stage.kill_worker(Side::Source);
    stage.start_worker(Side::Source, disk).await;
    quiet().await;
    edit(&stage, &real).await;
    until_journaled(&stage, 3).await;
    quiet().await;
    assert_eq!(journaled(&stage).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_flood_ends_in_the_journal_and_the_newest_are_shown() {
    let mut stage = Stage::set(1).await;
    let real = definition(&stage).await;
    stage.create_evacuation(&runbook("")).await;
    stage.until_finished().await;
    let most = usize::try_from(ALARMS_JOURNALED_MAX).unwrap();
    for _ in 0..most + 4 {
        edit(&stage, &real).await;
        quiet().await;
    }
    let lines = journaled(&stage).await;
    assert_eq!(lines.len(), most);
    let newest = lines.iter().rev().take(ALARMS_SHOWN_MAX).map(|line| line["raised_at"].as_u64().unwrap());
    let shown: Vec<u64> = shown(&stage).await.iter().map(|alarm| alarm.at_ms).collect();
    assert_eq!(shown, newest.collect::<Vec<_>>(), "the newest first");
}
