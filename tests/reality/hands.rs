//! What a person does to guests in the middle of their move: a second instance of one that runs, a pause, a removal, a copy
//! that no evacuation put there. muster says what is so, holds what is not its own to mend, and goes on once that is mended.

use crate::called::Asked;
use crate::ends::End;
use crate::event;
use crate::row::Row;
use crate::stand::{DESTINATION, Part, SOURCE_HOST, Way};
use crate::witness::{Copy as Seen, Look};
use crate::{Case, Outcome, Speed, commit};
use muster_core::verdict::{Doubt, Verdict};
use muster_proto::v1::MoveState;
use muster_tests::lab::gate::Passage;

const OPEN: Passage = Passage::Open { delay_ms: 0 };
/// `muster` says by this that it was refused.
const REFUSED: i32 = 4;

pub(crate) static CASES: [Case; 5] = [
    Case { name: "hands: both sides run it", guests: &[(Speed::Slow, 1)], play: |row| Box::pin(both_sides(row)) },
    Case {
        name: "hands: two hosts of the destination run it",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(two_hosts(row)),
    },
    Case {
        name: "hands: it is paused after its event",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(paused(row)),
    },
    Case {
        name: "hands: it is taken away after its event",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(taken_away(row)),
    },
    Case {
        name: "hands: its UUID is at the destination already",
        guests: &[(Speed::Quick, 2)],
        play: |row| Box::pin(foreign(row)),
    },
];

/// Somebody starts the source's copy past its seal, and resumes the one that waits for its commit.
async fn both_sides(row: &mut Row<'_>) -> Outcome<()> {
    let (guest, host) = commit::hold(row).await?;
    // The proof that the source had let go has to stand first: without it nobody could tell afterwards which of the two is newer.
    row.call_until(Asked::BothWorkers, Verdict::HandedOver).await?;
    row.start_by_hand(SOURCE_HOST, &guest).await?;
    row.virsh(&host, &["resume", &guest]).await?;
    held_while_two_run(row, &guest).await?;
    row.note("somebody ends the source's");
    row.virsh(SOURCE_HOST, &["destroy", &guest]).await?;
    row.ways(&[Way::SourceToDestination], OPEN);
    ended_by_hand(row).await
}

/// Somebody starts a second one on the destination's other host.
async fn two_hosts(row: &mut Row<'_>) -> Outcome<()> {
    let (guest, host) = event::hold(row).await?;
    row.kill(Part::Orchestrator).await?;
    let other = row.lab.record().hosts.iter().find(|one| one.site == DESTINATION && one.name != host);
    let other = other.ok_or("the destination has one host only")?.name.clone();
    row.start_by_hand(&other, &guest).await?;
    row.ways(&[Way::OrchestratorToSource], OPEN);
    held_while_two_run(row, &guest).await?;
    row.note("somebody ends the second");
    row.virsh(&other, &["destroy", &guest]).await?;
    ended_by_hand(row).await
}

/// Whoever looks says that two run, and nobody touches either: the orchestrator holds it.
async fn held_while_two_run(row: &mut Row<'_>, guest: &str) -> Outcome<()> {
    row.call_the_roll(Asked::BothWorkers, &[Verdict::SplitBrain]).await?;
    row.start(Part::Orchestrator).await?;
    row.until(guest, "held, since two run", |one| {
        one.state() == MoveState::Held && one.verdict == Verdict::SplitBrain.name()
    })
    .await?;
    row.call_the_roll(Asked::Orchestrator, &[Verdict::SplitBrain]).await?;
    let look = row.look().await?;
    if look.guests.values().all(|seen| seen.running == 2) { Ok(()) } else { Err(format!("one was ended: {look:?}")) }
}

/// Its disk had two writers, which can't be undone: where it runs and how it is defined is right all the same.
async fn ended_by_hand(row: &mut Row<'_>) -> Outcome<()> {
    row.until_finished().await?;
    let look = row.look().await?;
    let is_there = look.guests.values().all(|seen| seen.running == 1 && seen.destination == Seen::Running);
    if !is_there {
        return Err(format!("it does not run at the destination alone: {look:?}"));
    }
    row.defined_as(End::Migrated).await?;
    row.call_the_roll(Asked::BothWorkers, &[Verdict::FullyMigrated]).await.map(drop)
}

async fn paused(row: &mut Row<'_>) -> Outcome<()> {
    let (guest, host) = event::hold(row).await?;
    row.kill(Part::Orchestrator).await?;
    row.virsh(&host, &["suspend", &guest]).await?;
    row.call_the_roll(Asked::BothWorkers, &[Verdict::FullyMigrated]).await?;
    row.ways(&[Way::OrchestratorToSource], OPEN);
    row.start(Part::Orchestrator).await?;
    row.until_finished().await?;
    row.ends(End::Migrated).await
}

/// Nothing of it is anywhere, and its disk is newer than any memory: neither side starts it by itself. It is put back by hand.
async fn taken_away(row: &mut Row<'_>) -> Outcome<()> {
    let (guest, host) = event::hold(row).await?;
    row.kill(Part::Orchestrator).await?;
    let real = row.lab.guest(&guest).map_err(|error| error.to_string())?.definition.display().to_string();
    row.virsh(&host, &["destroy", &guest]).await?;
    row.virsh(&host, &["undefine", &guest]).await?;
    row.note("somebody took it away");
    row.ways(&[Way::OrchestratorToSource], OPEN);
    let doubt = [Verdict::Indeterminate(Doubt::EventWithoutVm)];
    row.call_the_roll(Asked::BothWorkers, &doubt).await?;
    row.start(Part::Orchestrator).await?;
    row.until(&guest, "held", |one| one.state() == MoveState::Held).await?;
    row.call_the_roll(Asked::Orchestrator, &doubt).await?;
    row.until_seen("it runs nowhere", |look| look.guests.values().all(|seen| seen.running == 0)).await?;
    row.note("somebody brings it back by hand, on its host");
    row.virsh(&host, &["define", &real]).await?;
    row.virsh(&host, &["start", &guest]).await?;
    row.until_seen("it runs there", |look| look.guests.values().all(|seen| seen.destination == Seen::Running)).await
}

/// The order is refused as a whole and says why; nothing is touched, neither here nor there. Without that copy it goes.
async fn foreign(row: &mut Row<'_>) -> Outcome<()> {
    let (guest, host) = (row.first(), "south-2");
    let real = row.lab.guest(&guest).map_err(|error| error.to_string())?.definition.display().to_string();
    row.virsh(host, &["define", &real]).await?;
    let foreign = row.virsh(host, &["dumpxml", "--inactive", &guest]).await?;
    let refused = row.order("").await?;
    if refused.code != REFUSED || !refused.stderr.contains(&guest) {
        return Err(format!("a VM whose UUID is at the destination already was not refused: {refused:?}"));
    }
    row.note("refused");
    for guest in row.guests.clone() {
        let at_source = row.virsh(SOURCE_HOST, &["dumpxml", "--inactive", &guest]).await?;
        if row.definitions.get(&guest) != Some(&at_source) {
            return Err(format!("{guest} was touched at the source: {at_source}"));
        }
    }
    if row.virsh(host, &["dumpxml", "--inactive", &guest]).await? != foreign {
        return Err("what somebody had defined at the destination was touched".to_owned());
    }
    row.virsh(host, &["undefine", &guest]).await?;
    let look: Look = row.look().await?;
    if !look.nothing_has_begun() {
        return Err(format!("something was begun: {look:?}"));
    }
    row.evacuate("").await?;
    row.until_finished().await?;
    row.ends(End::Migrated).await
}
