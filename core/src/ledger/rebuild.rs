//! What can be known again of a ledger that is gone altogether: from the marks in the definitions that its site's hypervisors
//! have stored, and from the rolls that the other sites' ledgers hold. Pure.
//!
//! It never invents an event, nor a proof that a source has let go: a copy that arrived counts as begun, and a copy that is
//! sealed as sealed, with no word on its transfer. What is right then is found as after any other fault, by looking at both sides.
//!
//! | what a host has stored | row |
//! |---|---|
//! | a placeholder, an arrived copy or a real definition, with a mark | destination: the started record of the mark's attempt, floor at its token |
//! | the same, real, and the other ledger says that the move is over and the source's copy retired | destination: closed, migrated; without the event |
//! | nothing of it, and a roll on which it comes here | destination: on the roll only |
//! | a sealed copy that tells its move, or a roll on which it leaves here | source: sealed, nothing known of its transfer, floor at the seal's token |
//! | a retired copy, and such a roll | source: retired |
//! | a real definition without a mark, or nothing, and such a roll | source: unsealed |
//! | a sealed copy that doesn't tell (an earlier version sealed it), and no roll at hand | none: nothing tells whose move it is; told to whoever asks for the rebuilding |

use super::command::{FactKind, LedgerCommand, VmFact};
use super::{
    ArrivalRecord, AtDestination, AtSource, Closed, Enrolled, RetiredCopy, RollEntry, SourceState, Standing, Started,
    VmRow,
};
use crate::definition::{Definition, Mode};
use crate::evidence::{ArrivalKind, Outcome};
use crate::ids::{EvacuationId, HostName, SiteName, VmId};
use crate::reading::{Inventory, Mark, Sight, Sighting, Stored};
use crate::time::Timestamp;
use crate::token::Token;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What there is to go by.
#[derive(Debug, Clone, Copy)]
pub struct Traces<'a> {
    /// Whose ledger it is.
    pub site: &'a SiteName,
    /// The only other site that VMs of unknown moves can have come from; none where there are several, or none.
    pub from: Option<&'a SiteName>,
    /// Everything on the site, each VM with its definition.
    pub inventory: &'a Inventory,
    /// The same VMs, as hosts show them.
    pub sights: &'a BTreeMap<VmId, Sight>,
    /// The rolls of the other sites' ledgers. Of several entries of one VM the last one counts.
    pub rolls: &'a [RollEntry],
    /// The moves that those ledgers say are over, their source's copy retired: proof that their events were written.
    pub moved: &'a BTreeSet<(EvacuationId, VmId)>,
    /// Now, by the site's clock.
    pub now: Timestamp,
}

/// What can be known again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// A row a VM, in the order of their ids.
    pub rows: Vec<VmRow>,
    /// What could not be known, or only in part.
    pub gaps: Vec<Gap>,
}

/// Something that could not be known again of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The VM.
    pub vm: VmId,
    /// Where something of it is.
    pub host: HostName,
    /// What.
    pub what: Missing,
}

/// What could not be known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Whose move a sealed copy belongs to: it stays sealed, and no row stands for it.
    Move,
    /// Where a copy came from: no row stands for it.
    Source,
    /// How it is moved and whether its host should start it at boot: taken as live, and no autostart.
    Mode,
}

impl Missing {
    /// For people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Missing::Move => {
                "it is sealed, and nothing at hand tells for whose move; name the site that it was to go to, with its worker up"
            }
            Missing::Source => "a copy of muster's, and nothing tells which site it came from; name that site",
            Missing::Mode => {
                "no roll of it is at hand: it is taken for a live move, and for a VM that its host doesn't start at boot"
            }
        }
    }
}

/// What can be known again from these traces.
#[must_use]
pub fn rebuild(traces: &Traces<'_>) -> Rebuilt {
    let rolls: BTreeMap<VmId, &RollEntry> = traces.rolls.iter().map(|entry| (entry.vm, entry)).collect();
    let vms: BTreeSet<VmId> =
        rolls.keys().copied().chain(traces.inventory.vms.iter().map(|listed| listed.vm)).collect();
    let mut seals = seals(traces);
    let (mut rows, mut gaps) = (Vec::new(), Vec::new());
    for vm in vms {
        let seal = seals.remove(&vm);
        let sightings = traces.sights.get(&vm).map_or(&[][..], |sight| &sight.sightings);
        let entry = rolls.get(&vm).copied();
        let marked = sightings.iter().filter_map(|seen| Some((seen, seen.mark?)));
        // Of several attempts' copies the newest is the one that its ledger stood for.
        let newest = marked.filter(|(seen, _)| is_arrival(seen)).max_by_key(|(_, mark)| mark.token);
        // A copy that an older move left on another host says nothing of the VM that is leaving now.
        let newest = newest.filter(|(_, mark)| seal.as_ref().is_none_or(|(_, sealed)| mark.token > *sealed));
        let row = match (newest, entry) {
            (Some((seen, mark)), _) => arrival(traces, vm, (seen, mark), entry, &mut gaps),
            // What a sealed copy tells of itself is newer than any roll of another evacuation.
            (None, _) if let Some((entry, token)) = seal => Some(departure(&entry, sightings, token)),
            (None, Some(entry)) if entry.destination_site == *traces.site => Some(on_the_roll(entry)),
            (None, Some(entry)) if entry.source_site == *traces.site => Some(departure(entry, sightings, Token::ZERO)),
            (None, Some(_) | None) => {
                let sealed = sightings.iter().find(|seen| seen.stored == Stored::Sealed);
                gaps.extend(sealed.map(|seen| Gap { vm, host: seen.host.clone(), what: Missing::Move }));
                None
            }
        };
        rows.extend(row);
    }
    Rebuilt { rows, gaps }
}

/// The commands that make a new ledger of rows. None of them can be refused there.
#[must_use]
pub fn commands(at: Timestamp, rows: &[VmRow]) -> Vec<LedgerCommand> {
    let found = |row: &VmRow| {
        let kind = FactKind::Found { row: Box::new(row.clone()) };
        LedgerCommand::Fact(VmFact { vm: row.vm, at, kind })
    };
    std::iter::once(LedgerCommand::Rebuilt { at }).chain(rows.iter().map(found)).collect()
}

/// Whether a definition is one that a move put there.
fn is_arrival(seen: &Sighting) -> bool {
    match seen.stored {
        Stored::Placeholder | Stored::Arrived | Stored::Real | Stored::Nothing => true,
        // These are a source's; a mark on them is that of the move which once brought the VM here.
        Stored::Sealed | Stored::Retired => false,
    }
}

fn arrival(
    traces: &Traces<'_>,
    vm: VmId,
    (seen, mark): (&Sighting, Mark),
    entry: Option<&RollEntry>,
    gaps: &mut Vec<Gap>,
) -> Option<VmRow> {
    let entry = entry.filter(|entry| entry.evacuation == mark.evacuation && entry.destination_site == *traces.site);
    let entry = match entry {
        Some(entry) => entry.clone(),
        None => {
            let gap = |what| Gap { vm, host: seen.host.clone(), what };
            let known = guessed(traces, vm, &seen.host, mark.evacuation);
            gaps.push(gap(if known.is_some() { Missing::Mode } else { Missing::Source }));
            known?
        }
    };
    let record = if seen.stored == Stored::Real && traces.moved.contains(&(mark.evacuation, vm)) {
        let (outcome, attempts) = (Outcome::Migrated, mark.attempt.count());
        ArrivalRecord::Closed(Closed { outcome, attempts, at: traces.now, downtime_ms: None })
    } else {
        ArrivalRecord::Started(started(seen, mark, traces.now))
    };
    Some(at_destination(entry, mark.token, record))
}

fn started(seen: &Sighting, mark: Mark, now: Timestamp) -> Started {
    Started { attempt: mark.attempt, host: seen.host.clone(), kind: ArrivalKind::Transfer, token: mark.token, at: now }
}

/// The entry of a roll that nobody has any more, from what stands at the destination.
fn guessed(traces: &Traces<'_>, vm: VmId, host: &HostName, evacuation: EvacuationId) -> Option<RollEntry> {
    let listed = traces.inventory.vms.iter().find(|listed| listed.vm == vm && listed.host == *host)?;
    Some(RollEntry {
        evacuation,
        vm,
        mode: Mode::Live,
        source_site: traces.from?.clone(),
        destination_site: traces.site.clone(),
        destination_host: host.clone(),
        definition: Definition { autostart: false, ..listed.definition.clone() },
    })
}

/// The moves that sealed copies on this site tell of, as their rolls had them, and the tokens that they were sealed with. Of several copies of
/// a VM the newest seal counts.
fn seals(traces: &Traces<'_>) -> BTreeMap<VmId, (RollEntry, Token)> {
    let mut seals: BTreeMap<VmId, (RollEntry, Token)> = BTreeMap::new();
    let sealed = traces.inventory.vms.iter().filter(|listed| listed.stored == Stored::Sealed);
    let told = sealed.filter_map(|listed| Some((listed, listed.seal.as_ref()?)));
    for (listed, seal) in told.filter(|(_, seal)| seal.source_site == *traces.site) {
        if seals.get(&listed.vm).is_some_and(|(_, token)| *token > seal.token) {
            continue;
        }
        let entry = RollEntry {
            evacuation: seal.evacuation,
            vm: listed.vm,
            mode: seal.mode,
            source_site: seal.source_site.clone(),
            destination_site: seal.destination_site.clone(),
            destination_host: seal.destination_host.clone(),
            definition: Definition { autostart: seal.autostart, ..listed.definition.clone() },
        };
        seals.insert(listed.vm, (entry, seal.token));
    }
    seals
}

fn on_the_roll(entry: &RollEntry) -> VmRow {
    at_destination(entry.clone(), Token::ZERO, ArrivalRecord::Enrolled)
}

fn at_destination(entry: RollEntry, floor: Token, record: ArrivalRecord) -> VmRow {
    let at = AtDestination {
        evacuation: entry.evacuation,
        mode: entry.mode,
        disk: entry.definition.disk,
        record,
        leftovers: Vec::new(),
    };
    row(entry, floor, Standing::Destination(at))
}

fn departure(entry: &RollEntry, sightings: &[Sighting], floor: Token) -> VmRow {
    let has = |stored| sightings.iter().any(|seen| seen.stored == stored);
    let state = if has(Stored::Real) || has(Stored::Nothing) {
        SourceState::Unsealed
    } else if has(Stored::Sealed) {
        SourceState::Sealed { transfer: None }
    } else if has(Stored::Retired) {
        SourceState::Retired
    } else {
        SourceState::Unsealed
    };
    let at = AtSource {
        evacuation: entry.evacuation,
        mode: entry.mode,
        state,
        closed: false,
        retired_copy: RetiredCopy::Kept,
    };
    row(entry.clone(), floor, Standing::Source(at))
}

fn row(entry: RollEntry, floor: Token, standing: Standing) -> VmRow {
    VmRow { vm: entry.vm, floor, enrolled: Some(Enrolled { entry, standing }), intent: None }
}
