//! An evacuation, and lists of them.

use super::{counted, given, instant, moves::Move, table};
use muster_proto::v1 as wire;
use serde::Serialize;

/// An evacuation as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Evacuation {
    pub(crate) evacuation: String,
    pub(crate) name: String,
    pub(crate) source_site: String,
    pub(crate) destination_site: String,
    /// "planning", "planned", "running", "paused" or "finished".
    pub(crate) state: &'static str,
    pub(crate) paused_because: Option<String>,
    pub(crate) cancelled: bool,
    pub(crate) ordered_by: String,
    pub(crate) ordered_at_ms: u64,
    pub(crate) finished_at_ms: Option<u64>,
    pub(crate) counts: Counts,
    pub(crate) warnings: Vec<String>,
    /// By the plan, and once it runs by what its moves have told.
    pub(crate) expected_end_at_ms: Option<u64>,
    pub(crate) planned_end_at_ms: Option<u64>,
    /// What no order of its moves ends before, and what that hangs on.
    pub(crate) bound_at_ms: Option<u64>,
    pub(crate) bottleneck: Option<String>,
    /// Moves that aren't expected to end by the runbook's deadline.
    pub(crate) late_moves: u32,
    /// Moves wait for the runbook's windows, which open then.
    pub(crate) opens_at_ms: Option<u64>,
}

/// How many moves are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) waiting: u32,
    pub(crate) moving: u32,
    pub(crate) held: u32,
    pub(crate) migrated: u32,
    pub(crate) stayed_at_source: u32,
    /// Of those that are over: VMs that their guardians haven't got back yet.
    pub(crate) give_back_owed: u32,
}

impl Counts {
    /// All moves.
    pub(crate) fn total(&self) -> u32 {
        self.waiting + self.moving + self.held + self.migrated + self.stayed_at_source
    }
}

/// An evacuation and its moves.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    #[serde(flatten)]
    pub(crate) evacuation: Evacuation,
    pub(crate) moves: Vec<Move>,
}

/// Evacuations, newest first.
#[derive(Debug, Serialize)]
pub(crate) struct List {
    pub(crate) evacuations: Vec<Evacuation>,
}

/// A runbook that was checked and planned.
#[derive(Debug, Serialize)]
pub(crate) struct Validated {
    pub(crate) valid: bool,
    pub(crate) name: String,
    pub(crate) source_site: String,
    pub(crate) destination_site: String,
    pub(crate) moves: u32,
    pub(crate) warnings: Vec<String>,
}

impl Evacuation {
    /// Whether nothing will happen any more.
    pub(crate) fn is_finished(&self) -> bool {
        self.state == state(wire::EvacuationState::Finished)
    }
}

impl From<wire::Evacuation> for Evacuation {
    fn from(message: wire::Evacuation) -> Self {
        Evacuation {
            state: state(message.state()),
            evacuation: message.evacuation,
            name: message.name,
            source_site: message.source_site,
            destination_site: message.destination_site,
            paused_because: given(&message.paused_because),
            cancelled: message.cancelled,
            ordered_by: message.ordered_by,
            ordered_at_ms: message.ordered_at_ms,
            finished_at_ms: message.finished_at_ms,
            counts: message.counts.map(Counts::from).unwrap_or_default(),
            warnings: message.warnings,
            expected_end_at_ms: message.expected_end_at_ms,
            planned_end_at_ms: message.planned_end_at_ms,
            bound_at_ms: message.bound_at_ms,
            bottleneck: given(&message.bottleneck),
            late_moves: message.late_moves,
            opens_at_ms: message.opens_at_ms,
        }
    }
}

impl From<wire::MoveCounts> for Counts {
    fn from(message: wire::MoveCounts) -> Self {
        let wire::MoveCounts { waiting, moving, held, migrated, stayed_at_source, give_back_owed } = message;
        Counts { waiting, moving, held, migrated, stayed_at_source, give_back_owed }
    }
}

impl From<wire::Evacuation> for Validated {
    fn from(message: wire::Evacuation) -> Self {
        let Evacuation { name, source_site, destination_site, counts, warnings, .. } = message.into();
        Validated { valid: true, name, source_site, destination_site, moves: counts.total(), warnings }
    }
}

/// An evacuation in a few lines.
pub(crate) fn text(evacuation: &Evacuation) -> String {
    let Evacuation { counts, .. } = evacuation;
    let mut lines = vec![
        format!("{} ({})", evacuation.name, evacuation.evacuation),
        format!("{} → {}, {}", evacuation.source_site, evacuation.destination_site, standing(evacuation)),
        format!(
            "{}: {} migrated, {} moving, {} waiting, {} held, {} stayed at the source",
            counted(u64::from(counts.total()), "VM", "VMs"),
            counts.migrated,
            counts.moving,
            counts.waiting,
            counts.held,
            counts.stayed_at_source
        ),
        format!("ordered by {} at {}", evacuation.ordered_by, instant(evacuation.ordered_at_ms)),
    ];
    if let Some(finished_at_ms) = evacuation.finished_at_ms {
        lines.push(format!("finished at {}", instant(finished_at_ms)));
    }
    if let (None, Some(expected_ms)) = (evacuation.finished_at_ms, evacuation.expected_end_at_ms) {
        let hangs = evacuation.bottleneck.as_ref().map(|of| format!(", for the {of}")).unwrap_or_default();
        lines.push(format!("expected to be over at {}{hangs}", instant(expected_ms)));
    }
    if let Some(opens_at_ms) = evacuation.opens_at_ms {
        lines.push(format!("no move begins before {}: the runbook's windows are closed", instant(opens_at_ms)));
    }
    if evacuation.late_moves > 0 && evacuation.finished_at_ms.is_none() {
        let late = counted(u64::from(evacuation.late_moves), "move is", "moves are");
        lines.push(format!("{late} not expected to be over by the deadline"));
    }
    if counts.give_back_owed > 0 {
        let vms = counted(u64::from(counts.give_back_owed), "VM", "VMs");
        lines.push(format!("{vms} still to be given back to what starts and stops them; it is tried again and again"));
    }
    lines.extend(evacuation.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}

/// An evacuation and its moves.
pub(crate) fn status_text(status: &Status) -> String {
    let alarms = super::moves::alarms_text(&status.moves);
    let parts = [text(&status.evacuation), super::moves::text(&status.moves), alarms];
    parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("\n")
}

/// Evacuations, a row each.
pub(crate) fn list_text(list: &List) -> String {
    if list.evacuations.is_empty() {
        return "no evacuations yet".to_owned();
    }
    let mut table = table(["Evacuation", "Name", "From", "To", "State", "Migrated", "Held", "Of", "Ordered at"]);
    for one in &list.evacuations {
        table.row([
            one.evacuation.clone(),
            one.name.clone(),
            one.source_site.clone(),
            one.destination_site.clone(),
            standing(one),
            one.counts.migrated.to_string(),
            one.counts.held.to_string(),
            one.counts.total().to_string(),
            instant(one.ordered_at_ms),
        ]);
    }
    table.to_string()
}

/// That a runbook is right.
pub(crate) fn validated_text(validated: &Validated) -> String {
    let Validated { name, source_site, destination_site, moves, warnings, .. } = validated;
    let vms = counted(u64::from(*moves), "VM", "VMs");
    let mut lines = vec![format!("{name}: right; {vms} would move from {source_site} to {destination_site}")];
    lines.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}

fn standing(evacuation: &Evacuation) -> String {
    let cancelled = if evacuation.cancelled { ", cancelled" } else { "" };
    match &evacuation.paused_because {
        Some(because) => format!("{}{cancelled}: {because}", evacuation.state),
        None => format!("{}{cancelled}", evacuation.state),
    }
}

fn state(state: wire::EvacuationState) -> &'static str {
    match state {
        wire::EvacuationState::Unspecified => "unknown",
        wire::EvacuationState::Planning => "planning",
        wire::EvacuationState::Planned => "planned",
        wire::EvacuationState::Running => "running",
        wire::EvacuationState::Paused => "paused",
        wire::EvacuationState::Finished => "finished",
    }
}
