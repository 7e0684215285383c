//! One move's settling, in a task of its own: settle, and say what came of it and what was seen around it.

use super::gate::{Barred, Gate};
use super::held::View;
use crate::parts::Pair;
use futures::FutureExt;
use muster_core::evacuation::PlannedMove;
use muster_core::ids::{HostName, VmId};
use muster_core::ledger::{ArrivalRecord, Standing, Started};
use muster_core::reading::{HostListing, SiteReading};
use muster_recovery::settle::{Move, Settled, Settler};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What came of one task.
pub(super) struct Done {
    pub(super) vm: VmId,
    /// What was seen when it began.
    pub(super) before: View,
    pub(super) end: End,
}

pub(super) enum End {
    /// It came to an end of its own.
    Settled {
        subject: Box<Move>,
        settled: Settled,
        /// The host that its next attempt should go to, where the last one's was no good.
        other_host: Option<HostName>,
    },
    /// It has not passed the gate; nothing of it was touched.
    Barred(Barred),
    /// A flaw of muster's own.
    Panicked,
}

/// What a task settles.
pub(super) struct Task {
    pub(super) settler: Arc<Settler>,
    pub(super) pair: Pair,
    pub(super) subject: Move,
    pub(super) stop: CancellationToken,
    /// What another host has to offer to be chosen.
    pub(super) needs: Needs,
    /// What it passes before an attempt; none for what goes on with what was begun.
    pub(super) gate: Option<(Arc<Gate>, PlannedMove)>,
}

/// What a host has to offer.
pub(super) struct Needs {
    pub(super) memory_mib: u64,
    pub(super) may_go_to: Box<dyn Fn(&HostName) -> bool + Send + Sync>,
}

pub(super) async fn settle(task: Task) -> Done {
    let vm = task.subject.vm;
    let before = View::of(task.settler.evacuation, vm, &task.pair.source, &task.pair.destination);
    let end = AssertUnwindSafe(Box::pin(run(task))).catch_unwind().await;
    Done { vm, before, end: end.unwrap_or(End::Panicked) }
}

async fn run(task: Task) -> End {
    let Task { settler, pair, mut subject, stop, needs, gate } = task;
    if let Some((gate, planned)) = gate
        && let Some(barred) = gate.bars(&planned, &subject.destination_host, &stop).await
    {
        return End::Barred(barred);
    }
    let settled = settler.settle(&mut subject, &stop).await;
    let other_host = match &settled {
        Settled::BetweenAttempts { was_transferred, .. } => other_host(&pair, &subject, &needs, *was_transferred).await,
        Settled::Over { .. } | Settled::Held { .. } | Settled::Superseded | Settled::Stopped => None,
    };
    End::Settled { subject: Box::new(subject), settled, other_host }
}

/// Another host with room, if the last attempt's host doesn't answer or wouldn't have the VM.
async fn other_host(pair: &Pair, subject: &Move, needs: &Needs, was_transferred: bool) -> Option<HostName> {
    let destination = pair.destination.feed().last_reading(subject.vm)?;
    let last = given_up(&destination)?;
    let host_is_silent = destination.sight.silent_hosts.contains(&last.host);
    if !host_is_silent && was_transferred {
        return None;
    }
    let inventory = pair.destination.inventory().await.ok()?;
    let has_room = |host: &&HostListing| {
        host.answers
            && host.host != last.host
            && host.memory_mib.saturating_sub(host.used_mib) >= needs.memory_mib
            && (needs.may_go_to)(&host.host)
    };
    let freest =
        inventory.hosts.iter().filter(has_room).max_by_key(|host| host.memory_mib.saturating_sub(host.used_mib));
    freest.map(|host| host.host.clone())
}

fn given_up(destination: &SiteReading) -> Option<&Started> {
    match &destination.standing {
        Some(Standing::Destination(at)) => match &at.record {
            ArrivalRecord::Abandoned(started) => Some(started),
            ArrivalRecord::Enrolled
            | ArrivalRecord::Started(_)
            | ArrivalRecord::Completed(_)
            | ArrivalRecord::Closed(_) => None,
        },
        Some(Standing::Source(_)) | None => None,
    }
}
