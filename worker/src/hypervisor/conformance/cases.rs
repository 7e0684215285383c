//! The cases, one for each promise.

use super::stage::{Seen, Stage, Subject, hold};
use super::{HypervisorError, WAIT_MAX_MS};
use crate::hypervisor::{Change, VmChange};
use futures::stream::StreamExt;
use muster_core::definition::Definition;
use muster_core::ids::{Attempt, VmId};
use muster_core::reading::{Instance, OffCause, Stored};
use muster_core::step::Side::{Destination, Source};
use std::time::Duration;
use uuid::Uuid;

/// A promise, and the case that checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Changes,
    Inventory,
    Look,
    Placeholder,
    NoRoom,
    Foreign,
    Sealed,
    Transfer,
    TransferWithDisk,
    TransferWithoutPlaceholder,
    Abort,
    Cold,
    Back,
}

impl Case {
    pub(super) const ALL: [Case; 13] = [
        Case::Changes,
        Case::Inventory,
        Case::Look,
        Case::Placeholder,
        Case::NoRoom,
        Case::Foreign,
        Case::Sealed,
        Case::Transfer,
        Case::TransferWithDisk,
        Case::TransferWithoutPlaceholder,
        Case::Abort,
        Case::Cold,
        Case::Back,
    ];

    pub(super) fn words(self) -> &'static str {
        match self {
            Case::Changes => "changes begin with everything",
            Case::Inventory => "the inventory lists hosts and VMs",
            Case::Look => "a look keeps the order",
            Case::Placeholder => "a placeholder is inert and holds its room",
            Case::NoRoom => "a placeholder without room is refused",
            Case::Foreign => "a foreign VM is left alone",
            Case::Sealed => "a sealed VM runs on and does not start",
            Case::Transfer => "a transfer arrives paused",
            Case::TransferWithDisk => "a transfer takes the disk along",
            Case::TransferWithoutPlaceholder => "a transfer needs its placeholder",
            Case::Abort => "an aborted transfer leaves all as it was",
            Case::Cold => "a cold move copies the disk",
            Case::Back => "a retired VM gives way to its return",
        }
    }

    /// The VM that it takes.
    pub(super) fn subject(self) -> Subject {
        match self {
            Case::Abort => Subject::Endless,
            Case::Cold | Case::TransferWithDisk => Subject::LocalDisk,
            Case::Changes
            | Case::Inventory
            | Case::Look
            | Case::Placeholder
            | Case::NoRoom
            | Case::Foreign
            | Case::Sealed
            | Case::Transfer
            | Case::TransferWithoutPlaceholder
            | Case::Back => Subject::Quiet,
        }
    }

    pub(super) async fn run(self, stage: &Stage) -> Seen {
        match self {
            Case::Changes => changes(stage).await,
            Case::Inventory => inventory(stage).await,
            Case::Look => look(stage).await,
            Case::Placeholder => placeholder(stage).await,
            Case::NoRoom => no_room(stage).await,
            Case::Foreign => foreign(stage).await,
            Case::Sealed => sealed(stage).await,
            Case::Transfer => transfer(stage).await,
            Case::TransferWithDisk => transfer_with_disk(stage).await,
            Case::TransferWithoutPlaceholder => transfer_without_placeholder(stage).await,
            Case::Abort => abort(stage).await,
            Case::Cold => cold(stage).await,
            Case::Back => back(stage).await,
        }
    }
}

async fn changes(stage: &Stage) -> Seen {
    let mut changes = stage.destination.changes().await.map_err(|error| format!("changes: {error}"))?;
    let first = changes.next().await;
    hold(first == Some(Change::Everything), "the stream does not begin with Everything", &first)?;
    stage.must(Destination, stage.placeholder(Attempt::FIRST)).await?;
    let told = async {
        while let Some(change) = changes.next().await {
            if change == Change::Everything || change == Change::Vm(stage.vm) {
                return true;
            }
        }
        false
    };
    let told = tokio::time::timeout(Duration::from_millis(WAIT_MAX_MS), told).await;
    hold(told == Ok(true), "a new placeholder is not told of", &told)
}

async fn inventory(stage: &Stage) -> Seen {
    let inventory = stage.source.inventory().await.map_err(|error| format!("inventory: {error}"))?;
    let host = inventory.hosts.iter().find(|host| host.host == stage.source_host);
    let host_is_listed = host.is_some_and(|host| host.answers && host.used_mib >= stage.definition.memory_mib);
    hold(host_is_listed, "the host is not listed with what it holds", &host)?;
    let vm = inventory.vms.iter().find(|listed| listed.vm == stage.vm);
    let vm_is_listed = vm.is_some_and(|listed| {
        listed.host == stage.source_host
            && listed.instance == Instance::Running
            && listed.stored == Stored::Real
            && listed.definition == stage.definition
    });
    hold(vm_is_listed, "the VM is not listed as it is", &vm)?;
    let stored = stage.source.definition(&stage.source_host, stage.vm).await;
    hold(stored.as_ref() == Ok(&stage.definition), "the stored definition reads otherwise", &stored)?;
    let elsewhere = stage.destination.definition(&stage.destination_host, stage.vm).await;
    hold(matches!(elsewhere, Err(HypervisorError::Refused { .. })), "a definition is where none is", &elsewhere)
}

async fn look(stage: &Stage) -> Seen {
    let nobody = VmId(Uuid::from_u128(stage.vm.0.as_u128() ^ 1));
    let sights = stage.source.look(&[nobody, stage.vm]).await.map_err(|error| format!("look: {error}"))?;
    let fits = match sights.as_slice() {
        [first, second] => first.sightings.is_empty() && second.sightings.len() == 1 && !second.call_under_way,
        _ => false,
    };
    hold(fits, "the answers do not stand in the order asked", &sights)?;
    let none = stage.source.look(&[]).await;
    hold(none == Ok(Vec::new()), "a look at nothing shows something", &none)
}

async fn placeholder(stage: &Stage) -> Seen {
    let before_mib = stage.destination_used_mib().await?;
    for attempt in [Attempt::FIRST, Attempt::FIRST, Attempt::FIRST.next()] {
        stage.must(Destination, stage.placeholder(attempt)).await?;
        let seen = stage.seen(Destination).await?;
        let is_inert = seen.stored == Stored::Placeholder && matches!(seen.instance, Instance::Off(_));
        hold(is_inert, "the placeholder is not inert", &seen)?;
        hold(seen.mark == Some(stage.mark(attempt, 1)), "the mark is not the placeholder's", &seen)?;
        let used_mib = stage.destination_used_mib().await?;
        hold(used_mib == before_mib + stage.definition.memory_mib, "the room is not held once", &used_mib)?;
    }
    let reason = stage.must_be_refused(Destination, VmChange::Start).await?;
    hold(!reason.is_empty(), "no reason is given for not starting", &reason)?;
    stage.must_be_refused(Destination, VmChange::Resume).await?;
    let autostart = stage.destination.definition(&stage.destination_host, stage.vm).await.map(|d| d.autostart);
    hold(autostart == Ok(false), "the placeholder would start at boot", &autostart)?;
    stage.must_be_refused(Destination, stage.remove(Attempt::FIRST)).await?;
    for _ in 0..2 {
        stage.must(Destination, stage.remove(Attempt::FIRST.next())).await?;
        let left = stage.sighting(Destination).await?;
        hold(left.is_none(), "something is left after its removal", &left)?;
    }
    let used_mib = stage.destination_used_mib().await?;
    hold(used_mib == before_mib, "the room is not given back", &used_mib)
}

async fn no_room(stage: &Stage) -> Seen {
    let inventory = stage.destination.inventory().await.map_err(|error| format!("inventory: {error}"))?;
    let memory_mib = inventory.hosts.iter().map(|host| host.memory_mib).max().unwrap_or(0) + 1;
    let definition = Definition { memory_mib, ..stage.definition.clone() };
    let change = VmChange::DefinePlaceholder { definition, mark: stage.mark(Attempt::FIRST, 1) };
    stage.must_be_refused(Destination, change).await?;
    let left = stage.sighting(Destination).await?;
    hold(left.is_none(), "something is left of what was refused", &left)
}

async fn foreign(stage: &Stage) -> Seen {
    stage.must_be_refused(Source, stage.placeholder(Attempt::FIRST)).await?;
    let seen = stage.seen(Source).await?;
    hold(seen.instance == Instance::Running && seen.stored == Stored::Real, "the VM was touched", &seen)
}

async fn sealed(stage: &Stage) -> Seen {
    for _ in 0..2 {
        stage.must(Source, stage.seal()).await?;
        let seen = stage.seen(Source).await?;
        let runs_sealed = seen.instance == Instance::Running && seen.stored == Stored::Sealed;
        hold(runs_sealed, "the sealed guest does not run on", &seen)?;
    }
    let listed = stage.listed_at_source().await?;
    hold(listed.seal.as_ref() == Some(&stage.sealed_for()), "the sealed definition does not tell its move", &listed)?;
    let keeps_document = listed.definition.document == stage.definition.document;
    hold(keeps_document, "the sealed definition does not keep the real document", &listed)?;
    let autostart = stage.source.definition(&stage.source_host, stage.vm).await.map(|d| d.autostart);
    hold(autostart == Ok(false), "the sealed VM would start at boot", &autostart)?;
    for _ in 0..2 {
        stage.must(Source, VmChange::ShutDown).await?;
        let seen = stage.seen(Source).await?;
        hold(seen.instance == Instance::Off(OffCause::ShutDown), "it was not shut down in order", &seen)?;
    }
    let reason = stage.must_be_refused(Source, VmChange::Start).await?;
    hold(reason.contains("sealed by the suite"), "the reason of the seal is not given", &reason)?;
    stage.must(Source, stage.real(None)).await?;
    stage.must(Source, VmChange::Start).await?;
    let seen = stage.seen(Source).await?;
    hold(seen.instance == Instance::Running && seen.stored == Stored::Real, "it does not run again", &seen)?;
    let listed = stage.listed_at_source().await?;
    hold(listed.seal.is_none(), "the real definition still tells a seal", &listed)?;
    let stored = stage.source.definition(&stage.source_host, stage.vm).await;
    hold(stored.as_ref() == Ok(&stage.definition), "the real definition did not come back", &stored)
}

/// Lines 2 to 4 of a move.
async fn hand_over(stage: &Stage) -> Seen {
    stage.must(Destination, stage.placeholder(Attempt::FIRST)).await?;
    stage.must(Source, stage.seal()).await?;
    stage.must(Source, stage.transfer(Attempt::FIRST)).await?;
    let source = stage.wait_for(Source, "end of the job", |seen| seen.job.is_none()).await?;
    let is_gone = source.instance == Instance::Off(OffCause::Migrated) && source.stored == Stored::Sealed;
    hold(is_gone, "the source was not let go, sealed", &source)?;
    let arrived = stage.wait_for(Destination, "end of the job", |seen| seen.job.is_none()).await?;
    let is_whole = arrived.instance == Instance::Paused && arrived.stored == Stored::Arrived && arrived.disk_complete;
    hold(is_whole, "it did not arrive paused, and stored so that nobody starts it", &arrived)?;
    hold(arrived.mark == Some(stage.mark(Attempt::FIRST, 2)), "it does not carry the transfer's mark", &arrived)?;
    hold(arrived.stood_still_ms.is_some(), "nobody knows how long it stood still", &arrived)
}

async fn transfer(stage: &Stage) -> Seen {
    hand_over(stage).await?;
    let autostart = stage.destination.definition(&stage.destination_host, stage.vm).await.map(|d| d.autostart);
    hold(autostart == Ok(false), "it would start at boot before its event", &autostart)?;
    stage.must_be_refused(Source, VmChange::Start).await?;
    stage.must(Destination, stage.real(Some(stage.mark(Attempt::FIRST, 2)))).await?;
    let stored = stage.destination.definition(&stage.destination_host, stage.vm).await;
    hold(stored.as_ref() == Ok(&stage.definition), "what is stored is not what was sent", &stored)?;
    let seen = stage.seen(Destination).await?;
    hold(seen.instance == Instance::Paused, "its definition let it run", &seen)?;
    for _ in 0..2 {
        stage.must(Destination, VmChange::Resume).await?;
        let seen = stage.seen(Destination).await?;
        hold(seen.instance == Instance::Running, "it does not run on", &seen)?;
    }
    stage.must(Source, VmChange::DefineRetired { reason: "retired by the suite".to_owned() }).await?;
    let seen = stage.seen(Source).await?;
    hold(seen.stored == Stored::Retired, "the source is not retired", &seen)?;
    let reason = stage.must_be_refused(Source, VmChange::Start).await?;
    hold(reason.contains("retired by the suite"), "the reason is not given", &reason)?;
    stage.must_be_refused(Destination, VmChange::DeleteRetired).await?;
    for _ in 0..2 {
        stage.must(Source, VmChange::DeleteRetired).await?;
        let shown = stage.sighting(Source).await?;
        hold(shown.is_none(), "the retired copy is still there", &shown)?;
    }
    stage.must_be_refused(Destination, stage.remove(Attempt::FIRST)).await?;
    let seen = stage.seen(Destination).await?;
    hold(seen.instance == Instance::Running, "a running VM was removed", &seen)
}

async fn transfer_with_disk(stage: &Stage) -> Seen {
    hand_over(stage).await?;
    let stored = stage.destination.definition(&stage.destination_host, stage.vm).await;
    let as_sent = Definition { autostart: false, ..stage.definition.clone() };
    hold(stored.as_ref() == Ok(&as_sent), "what arrived is not what was sent, autostart off", &stored)?;
    stage.must(Destination, stage.real(Some(stage.mark(Attempt::FIRST, 2)))).await?;
    stage.must(Destination, VmChange::Resume).await?;
    let seen = stage.seen(Destination).await?;
    let runs = seen.instance == Instance::Running && seen.disk_complete;
    hold(runs, "it does not run on with its copied disk", &seen)?;
    stage.must(Source, VmChange::DefineRetired { reason: "retired by the suite".to_owned() }).await
}

async fn transfer_without_placeholder(stage: &Stage) -> Seen {
    stage.must(Source, stage.seal()).await?;
    // A sealed one is no retired one.
    stage.must_be_refused(Source, VmChange::DeleteRetired).await?;
    stage.must_be_refused(Source, stage.transfer(Attempt::FIRST)).await?;
    stage.must(Destination, stage.placeholder(Attempt::FIRST)).await?;
    // Nor is one that is off and inert in another way.
    stage.must_be_refused(Destination, VmChange::DeleteRetired).await?;
    stage.must_be_refused(Source, stage.transfer(Attempt::FIRST.next())).await?;
    stage.must_be_refused(Source, stage.disk_copy(Attempt::FIRST)).await?;
    let seen = stage.seen(Source).await?;
    hold(seen.instance == Instance::Running && seen.job.is_none(), "the source was touched", &seen)?;
    let seen = stage.seen(Destination).await?;
    hold(seen.stored == Stored::Placeholder && seen.job.is_none(), "the placeholder was touched", &seen)
}

async fn abort(stage: &Stage) -> Seen {
    let adjust = VmChange::AdjustJob { bandwidth_mib_s: Some(1), downtime_ms: Some(1_000) };
    for change in [VmChange::AbortJob, adjust.clone()] {
        // Where no job is, there is nothing to end or to change.
        stage.must(Source, change).await?;
    }
    stage.must(Destination, stage.placeholder(Attempt::FIRST)).await?;
    stage.must(Source, stage.seal()).await?;
    stage.must(Source, stage.transfer(Attempt::FIRST)).await?;
    let seen = stage.seen(Source).await?;
    hold(seen.job.is_some(), "the call returned and no job has begun", &seen)?;
    let seen = stage.wait_for(Destination, "incoming copy", |seen| seen.instance == Instance::Incoming).await?;
    hold(seen.job.is_some(), "the destination shows no job", &seen)?;
    let busy = stage.call(Source, stage.seal()).await;
    let is_busy = matches!(busy, Err(HypervisorError::Busy { vm }) if vm == stage.vm);
    hold(is_busy, "another change was let in during the job", &busy)?;
    stage.must(Source, adjust).await?;
    let seen = stage.seen(Source).await?;
    hold(seen.job.is_some(), "adjusting the job has ended it", &seen)?;
    stage.must(Source, VmChange::AbortJob).await?;
    let seen = stage.wait_for(Source, "end of the job", |seen| seen.job.is_none()).await?;
    hold(seen.instance == Instance::Running, "the source does not run on", &seen)?;
    hold(seen.job_error.is_some(), "nothing says why the job ended", &seen)?;
    let seen = stage.wait_for(Destination, "end of the job", |seen| seen.job.is_none()).await?;
    let is_inert = seen.stored == Stored::Placeholder && matches!(seen.instance, Instance::Off(_));
    hold(is_inert, "the placeholder is not as it was", &seen)
}

async fn cold(stage: &Stage) -> Seen {
    stage.must(Destination, stage.placeholder(Attempt::FIRST)).await?;
    let seen = stage.seen(Destination).await?;
    hold(!seen.disk_complete, "the disk is complete before it was copied", &seen)?;
    stage.must(Source, stage.seal()).await?;
    stage.must(Source, VmChange::ShutDown).await?;
    stage.must(Source, stage.disk_copy(Attempt::FIRST)).await?;
    stage.wait_for(Source, "end of the job", |seen| seen.job.is_none()).await?;
    let seen = stage.wait_for(Destination, "end of the job", |seen| seen.job.is_none()).await?;
    let is_copied = seen.disk_complete && seen.stored == Stored::Placeholder;
    hold(is_copied, "the disk is not complete, with the placeholder as it was", &seen)?;
    stage.must(Destination, stage.real(Some(stage.mark(Attempt::FIRST, 2)))).await?;
    stage.must(Destination, VmChange::Start).await?;
    let seen = stage.seen(Destination).await?;
    hold(seen.instance == Instance::Running && seen.disk_complete, "it does not run from its copy", &seen)
}

async fn back(stage: &Stage) -> Seen {
    hand_over(stage).await?;
    stage.must_be_refused(Destination, stage.remove(Attempt::FIRST)).await?;
    stage.must(Destination, stage.real(Some(stage.mark(Attempt::FIRST, 2)))).await?;
    stage.must(Destination, VmChange::Resume).await?;
    stage.must(Source, VmChange::DefineRetired { reason: "it has moved".to_owned() }).await?;
    stage.must(Source, stage.placeholder(Attempt::FIRST.next())).await?;
    let seen = stage.seen(Source).await?;
    hold(seen.stored == Stored::Placeholder, "the retired copy did not give way", &seen)
}
