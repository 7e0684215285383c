//! The roll call: what is proven of every VM of an evacuation, and what comes next for it. Reads only.
//!
//! It observes unfenced, the source first, and says of when each line is. A line's step is what `settle` would do if a
//! fenced observe showed the same. Nothing stands still for it: a VM that moves on between the two sites' answers would
//! seem to run at both, so the source is asked once more afterwards, and what has changed there is looked at again.

use crate::link::SiteLink;
use muster_core::claim::Claims;
use muster_core::decide::{ColdStart, Goal, Leftovers, MoveOrder, decide};
use muster_core::evidence::{Evidence, Freshness, Heard};
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::weigh::Readings;
use muster_core::ledger::{ArrivalRecord, Enrolled, RollEntry, Standing, VmRow};
use muster_core::reading::{Sight, SiteReading};
use muster_core::step::{Action, Decision, Hold, Step};
use muster_core::time::Timestamp;
use muster_core::token::{Epoch, Token};
use muster_core::verdict::Verdict;
use muster_proto::convert::SiteFailure;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often a site is asked before it counts as silent.
pub const ASK_TRIES: u32 = 4;
/// How long until it is asked again.
pub const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How often a VM is looked at whose source has changed while the destination answered. A move changes its source
/// about ten times in all, and fewer VMs are looked at each time, so the last look finds them still.
pub const LOOKS_MAX: u32 = 10;

/// One VM's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollCallLine {
    /// The VM, as the roll has it.
    pub entry: RollEntry,
    /// What is proven, and what comes next.
    pub decision: Decision,
    /// What it was decided from.
    pub evidence: Evidence,
    /// The readings behind the evidence.
    pub readings: Both,
    /// Nothing older than the evacuation's claim can change what was read: both sites have been looked at under it and
    /// refuse what is older, or the move is over.
    pub fenced: bool,
    /// The last error met while acting on it.
    pub error: Option<String>,
}

/// What both sides said of one VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Both {
    /// The destination.
    pub destination: Heard<SiteReading>,
    /// The source.
    pub source: Heard<SiteReading>,
}

/// How a line stands in an account of the whole evacuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// Nothing is left to be done: over, or never begun and at its source.
    Settled,
    /// The next step can be taken by `recover --apply`.
    CanGoOn,
    /// It waits for a person or a returning site.
    Held(Hold),
}

impl RollCallLine {
    /// How it stands.
    #[must_use]
    pub fn account(&self) -> Account {
        let never_begun = self.decision.verdict == Verdict::NotStarted;
        match self.decision.step {
            Step::Settled(_) => Account::Settled,
            Step::Act(Action::OpenAttempt(_)) if never_begun => Account::Settled,
            // It is where it was, and the source has not even been told of it: whoever runs the evacuation on writes the roll again.
            Step::Hold(Hold::NotOnRoll) if never_begun => Account::Settled,
            // Nothing of it was begun, so it is where it was; only the silence of the site is to be told.
            Step::Hold(hold) => Account::Held(hold),
            Step::Act(_) | Step::Wait(_) | Step::ObserveFenced => Account::CanGoOn,
        }
    }

    /// When the destination was read, or the source where it is silent.
    #[must_use]
    pub fn as_of(&self) -> Option<Timestamp> {
        match (&self.readings.destination, &self.readings.source) {
            (Heard::Answer(reading), _) | (Heard::Silent, Heard::Answer(reading)) => Some(reading.at),
            (Heard::Silent, Heard::Silent) => None,
        }
    }
}

/// What a roll call asks for: how the next steps are to be decided.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Back to the source instead of on to the destination.
    pub undo: bool,
    /// VMs that may be brought up from their disk, by a person's order.
    pub cold_start: BTreeSet<VmId>,
    /// Attempts allowed beyond those that were made.
    pub further_attempts: u32,
}

impl Wishes {
    /// The order for one VM.
    #[must_use]
    pub fn order(&self, entry: &RollEntry, destination: &Heard<SiteReading>) -> MoveOrder {
        MoveOrder {
            mode: entry.mode,
            goal: if self.undo { Goal::Undo } else { Goal::Finish },
            attempts_max: attempts_made(destination).saturating_add(self.further_attempts),
            cold_start: if self.cold_start.contains(&entry.vm) { ColdStart::Ordered } else { ColdStart::Never },
            refused: None,
            leftovers: Leftovers::AreDiscarded,
        }
    }
}

/// Calls the roll over both sites, or over what answers.
pub async fn roll_call(
    destination: &SiteLink,
    source: Option<&SiteLink>,
    roll: &BTreeMap<VmId, RollEntry>,
    claims: &Claims,
    wishes: &Wishes,
) -> Vec<RollCallLine> {
    let mut lines = BTreeMap::new();
    let mut wanted: Vec<&RollEntry> = roll.values().collect();
    for _ in 0..LOOKS_MAX {
        let looked = look(destination, source, &wanted, claims, wishes).await;
        let moved_on = match source {
            Some(source) => moved_on(source, &looked, claims).await,
            None => BTreeSet::new(),
        };
        lines.extend(looked.into_iter().map(|line| (line.entry.vm, line)));
        wanted.retain(|entry| moved_on.contains(&entry.vm));
        if wanted.is_empty() {
            break;
        }
    }
    lines.into_values().collect()
}

/// One look at each, the source first.
async fn look(
    destination: &SiteLink,
    source: Option<&SiteLink>,
    wanted: &[&RollEntry],
    claims: &Claims,
    wishes: &Wishes,
) -> Vec<RollCallLine> {
    let Some(evacuation) = wanted.first().map(|entry| entry.evacuation) else { return Vec::new() };
    let vms: Vec<_> = wanted.iter().map(|entry| (entry.vm, None)).collect();
    let mut from_source = match source {
        Some(source) => ask(source, evacuation, &vms).await,
        None => BTreeMap::new(),
    };
    let mut from_destination = ask(destination, evacuation, &vms).await;
    let heard = |answer: Option<Result<SiteReading, _>>| match answer {
        Some(Ok(reading)) => Heard::Answer(reading),
        Some(Err(_)) | None => Heard::Silent,
    };
    wanted
        .iter()
        .map(|entry| {
            let destination = heard(from_destination.remove(&entry.vm));
            let source = heard(from_source.remove(&entry.vm));
            line(evacuation, (*entry).clone(), Both { destination, source }, claims, wishes)
        })
        .collect()
}

/// The VMs of which the source says something else now than before the destination answered: what the two said is not of
/// one moment, and proves nothing together. A source that has fallen silent meanwhile counts as changed; what is over
/// hangs on no source any more.
async fn moved_on(source: &SiteLink, lines: &[RollCallLine], claims: &Claims) -> BTreeSet<VmId> {
    let both_answered = |line: &&RollCallLine| {
        let over = matches!(line.decision.step, Step::Settled(_));
        !over && line.readings.destination != Heard::Silent && line.readings.source != Heard::Silent
    };
    let hinge: Vec<&RollCallLine> = lines.iter().filter(both_answered).collect();
    let Some(evacuation) = hinge.first().map(|line| line.entry.evacuation) else { return BTreeSet::new() };
    let vms: Vec<_> = hinge.iter().map(|line| (line.entry.vm, None)).collect();
    let now = source.observe(evacuation, &vms).await.unwrap_or_default();
    let is_same = |line: &&RollCallLine| match now.get(&line.entry.vm) {
        Some(Ok(reading)) => {
            let destination = borrowed(&line.readings.destination);
            weigh(evacuation, destination, Heard::Answer(reading), claims) == line.evidence
        }
        Some(Err(_)) | None => false,
    };
    hinge.into_iter().filter(|line| !is_same(line)).map(|line| line.entry.vm).collect()
}

/// What a site says of these VMs; of none if it stays silent. A worker that is just coming back, that can't read a VM at
/// this moment, or that doesn't find it while a host is silent, is asked again: hosts come back as well.
async fn ask(
    site: &SiteLink,
    evacuation: EvacuationId,
    vms: &[(VmId, Option<Token>)],
) -> BTreeMap<VmId, Result<SiteReading, SiteFailure>> {
    let mut answers = BTreeMap::new();
    let mut unanswered = vms.to_vec();
    for try_number in 1..=ASK_TRIES {
        if let Ok(answered) = site.observe(evacuation, &unanswered).await {
            answers.extend(answered);
        }
        unanswered.retain(|(vm, _)| !answers.get(vm).is_some_and(is_found));
        if unanswered.is_empty() || try_number == ASK_TRIES {
            break;
        }
        tokio::time::sleep(ASK_AGAIN_AFTER).await;
    }
    answers
}

/// Whether asking again would find no more.
fn is_found(answer: &Result<SiteReading, SiteFailure>) -> bool {
    match answer {
        Ok(SiteReading { sight, .. }) => sight.silent_hosts.is_empty() || !sight.sightings.is_empty(),
        Err(_) => false,
    }
}

/// Calls the roll over a ledger's rows alone, with nobody left to ask: what its evidence proves by itself.
#[must_use]
pub fn roll_call_of_rows(rows: &[VmRow], claims: &Claims, wishes: &Wishes, as_of: Timestamp) -> Vec<RollCallLine> {
    rows.iter()
        .filter_map(|row| row.enrolled.as_ref().map(|enrolled| (row, enrolled)))
        .map(|(row, enrolled)| {
            let reading = unread_hypervisors(row, enrolled, as_of);
            let both = match enrolled.standing {
                Standing::Destination(_) => Both { destination: Heard::Answer(reading), source: Heard::Silent },
                Standing::Source(_) => Both { destination: Heard::Silent, source: Heard::Answer(reading) },
            };
            line(enrolled.entry.evacuation, enrolled.entry.clone(), both, claims, wishes)
        })
        .collect()
}

fn line(evacuation: EvacuationId, entry: RollEntry, both: Both, claims: &Claims, wishes: &Wishes) -> RollCallLine {
    let evidence = weigh(evacuation, borrowed(&both.destination), borrowed(&both.source), claims);
    let decision = decide(&wishes.order(&entry, &both.destination), &evidence);
    let is_over = matches!(decision.step, Step::Settled(_));
    let fenced = is_over || is_fenced(&both.destination, claims) && is_fenced(&both.source, claims);
    RollCallLine { entry, decision, evidence, readings: both, fenced, error: None }
}

/// Whether a site has been looked at under the newest claim, and nothing is under way there.
fn is_fenced(heard: &Heard<SiteReading>, claims: &Claims) -> bool {
    match heard {
        Heard::Answer(reading) => {
            // A job may be an older claim's, and may end by itself.
            let has_job = reading.sight.sightings.iter().any(|seen| seen.job.is_some());
            let under_way = reading.mutation_under_way || reading.sight.call_under_way || has_job;
            !under_way && claims.epoch > Epoch(0) && reading.floor.epoch == claims.epoch
        }
        Heard::Silent => false,
    }
}

fn weigh(
    evacuation: EvacuationId,
    destination: Heard<&SiteReading>,
    source: Heard<&SiteReading>,
    claims: &Claims,
) -> Evidence {
    let freshness = Freshness::Fenced;
    Readings { evacuation, freshness, destination, source, claims, past_deadline: false }.weigh()
}

/// A reading of a row whose site can't be asked: every host that matters is silent.
fn unread_hypervisors(row: &VmRow, enrolled: &Enrolled, as_of: Timestamp) -> SiteReading {
    let mut silent_hosts = vec![enrolled.entry.destination_host.clone()];
    if let Standing::Destination(at) = &enrolled.standing {
        let recorded = match &at.record {
            ArrivalRecord::Started(started) | ArrivalRecord::Abandoned(started) => Some(started),
            ArrivalRecord::Completed(completed) => Some(&completed.started),
            ArrivalRecord::Enrolled | ArrivalRecord::Closed(_) => None,
        };
        silent_hosts.extend(recorded.map(|started| started.host.clone()));
    }
    let sight = Sight { sightings: Vec::new(), silent_hosts, call_under_way: false };
    let standing = Some(enrolled.standing.clone());
    SiteReading { vm: row.vm, floor: row.floor, standing, sight, mutation_under_way: row.intent.is_some(), at: as_of }
}

fn attempts_made(destination: &Heard<SiteReading>) -> u32 {
    match destination {
        Heard::Answer(SiteReading { standing: Some(Standing::Destination(at)), .. }) => match &at.record {
            ArrivalRecord::Started(started) | ArrivalRecord::Abandoned(started) => started.attempt.count(),
            ArrivalRecord::Completed(completed) => completed.started.attempt.count(),
            ArrivalRecord::Closed(closed) => closed.attempts,
            ArrivalRecord::Enrolled => 0,
        },
        Heard::Answer(_) | Heard::Silent => 0,
    }
}

fn borrowed(heard: &Heard<SiteReading>) -> Heard<&SiteReading> {
    match heard {
        Heard::Silent => Heard::Silent,
        Heard::Answer(reading) => Heard::Answer(reading),
    }
}
