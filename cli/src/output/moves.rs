//! Moves: of an evacuation, or all of one VM.

use super::{given, instant, span, table};
use muster_proto::v1 as wire;
use serde::Serialize;
use std::cmp::Reverse;

/// Most alarms that a person is shown of a whole evacuation.
const ALARM_LINES_MAX: usize = 10;

/// One VM's part in an evacuation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Move {
    pub(crate) evacuation: String,
    pub(crate) vm: String,
    pub(crate) name: String,
    /// "live", "cold" or "off".
    pub(crate) mode: String,
    pub(crate) wave: u32,
    pub(crate) source_site: String,
    pub(crate) source_host: String,
    pub(crate) destination_site: String,
    pub(crate) destination_host: String,
    pub(crate) memory_mib: u64,
    /// "waiting", "moving", "held", "migrated" or "stayed_at_source".
    pub(crate) state: &'static str,
    pub(crate) verdict: Option<String>,
    pub(crate) step: Option<String>,
    pub(crate) phase: Option<String>,
    pub(crate) phase_done_basis_points: u32,
    pub(crate) attempts: u32,
    pub(crate) error: Option<String>,
    pub(crate) held_because: Option<String>,
    pub(crate) remedy: Option<String>,
    pub(crate) ordered_by: String,
    pub(crate) started_at_ms: Option<u64>,
    pub(crate) ended_at_ms: Option<u64>,
    pub(crate) downtime_ms: Option<u64>,
    pub(crate) dirty_rate_mib_s: u64,
    pub(crate) sent_mib: u64,
    pub(crate) left_mib: u64,
    pub(crate) round: u32,
    pub(crate) expected_downtime_ms: Option<u64>,
    pub(crate) auto_converge: bool,
    pub(crate) source_copy: String,
    pub(crate) guardian: Option<String>,
    pub(crate) guardian_state: Option<GuardianState>,
    pub(crate) guardian_error: Option<String>,
    pub(crate) source_copy_kept_until_ms: Option<u64>,
    pub(crate) planned_start_at_ms: Option<u64>,
    pub(crate) planned_duration_ms: Option<u64>,
    pub(crate) planned_downtime_ms: Option<u64>,
    pub(crate) priority: u32,
    pub(crate) group: Option<String>,
    pub(crate) tags: Vec<String>,
    /// The newest that either site raised about it, the newest first.
    pub(crate) alarms: Vec<Alarm>,
}

/// How it stands between a VM and what else starts and stops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GuardianState {
    TakingOff,
    HandsOff,
    GiveBackOwed,
    GivenBack,
}

/// Something that a site says a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Alarm {
    pub(crate) at_ms: u64,
    pub(crate) site: String,
    /// Stable, for programs.
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl From<wire::Alarm> for Alarm {
    fn from(message: wire::Alarm) -> Self {
        let wire::Alarm { at_ms, site, reason, message } = message;
        Alarm { at_ms, site, reason, message }
    }
}

/// Every move of one VM, newest first.
#[derive(Debug, Serialize)]
pub(crate) struct Vm {
    pub(crate) moves: Vec<Move>,
}

impl From<wire::Move> for Move {
    fn from(message: wire::Move) -> Self {
        Move {
            state: state(message.state()),
            guardian_state: guardian_state(message.guardian_state()),
            guardian: given(&message.guardian),
            guardian_error: given(&message.guardian_error),
            evacuation: message.evacuation,
            vm: message.vm,
            name: message.name,
            mode: message.mode,
            wave: message.wave,
            source_site: message.source_site,
            source_host: message.source_host,
            destination_site: message.destination_site,
            destination_host: message.destination_host,
            memory_mib: message.memory_mib,
            verdict: given(&message.verdict),
            step: given(&message.step),
            phase: given(&message.phase),
            phase_done_basis_points: message.phase_done_basis_points,
            attempts: message.attempts,
            error: given(&message.error),
            held_because: given(&message.held_because),
            remedy: given(&message.remedy),
            ordered_by: message.ordered_by,
            started_at_ms: message.started_at_ms,
            ended_at_ms: message.ended_at_ms,
            downtime_ms: message.downtime_ms,
            dirty_rate_mib_s: message.dirty_rate_mib_s,
            sent_mib: message.sent_mib,
            left_mib: message.left_mib,
            round: message.round,
            expected_downtime_ms: message.expected_downtime_ms,
            auto_converge: message.auto_converge,
            source_copy: message.source_copy,
            source_copy_kept_until_ms: message.source_copy_kept_until_ms,
            planned_start_at_ms: message.planned_start_at_ms,
            planned_duration_ms: message.planned_duration_ms,
            planned_downtime_ms: message.planned_downtime_ms,
            priority: message.priority,
            group: given(&message.group),
            tags: message.tags,
            alarms: message.alarms.into_iter().map(Alarm::from).collect(),
        }
    }
}

/// Moves, a row each.
pub(crate) fn text(moves: &[Move]) -> String {
    let mut table = table(["VM", "Mode", "State", "Phase", "Attempts", "Downtime", "Host", "Source's copy", "Remarks"]);
    for one in moves {
        table.row([
            one.name.clone(),
            one.mode.clone(),
            one.state.to_owned(),
            phase(one),
            one.attempts.to_string(),
            one.downtime_ms.map(span).unwrap_or_default(),
            format!("{} → {}", one.source_host, one.destination_host),
            one.source_copy.clone(),
            remarks(one),
        ]);
    }
    table.to_string()
}

/// Every move of one VM, at length.
pub(crate) fn vm_text(vm: &Vm) -> String {
    let one = |one: &Move| {
        let mut lines = vec![
            format!("{} ({}), evacuation {}", one.name, one.vm, one.evacuation),
            format!(
                "  {} on {} → {} on {}, {}, {} MiB",
                one.source_site, one.source_host, one.destination_site, one.destination_host, one.mode, one.memory_mib
            ),
            format!("  {}, {} attempts; ordered by {}", one.state, one.attempts, one.ordered_by),
        ];
        let optional = [
            ("verdict", one.verdict.clone()),
            ("step", one.step.clone()),
            ("phase", one.phase.as_ref().map(|_| phase(one))),
            ("transfer", transfer(one)),
            ("group", one.group.clone()),
            ("planned to begin", one.planned_start_at_ms.filter(|_| one.started_at_ms.is_none()).map(instant)),
            ("started", one.started_at_ms.map(instant)),
            ("ended", one.ended_at_ms.map(instant)),
            ("downtime", one.downtime_ms.map(span)),
            ("error", one.error.clone()),
            ("held", one.held_because.clone()),
            ("remedy", one.remedy.clone()),
            ("source's copy", given(&one.source_copy)),
            ("guardian", guardian(one)),
            ("kept until", one.source_copy_kept_until_ms.map(instant)),
        ];
        lines.extend(optional.iter().filter_map(|(what, text)| text.as_ref().map(|text| format!("  {what}: {text}"))));
        lines.extend(one.alarms.iter().map(|raised| format!("  {}", alarm(raised))));
        lines.join("\n")
    };
    vm.moves.iter().map(one).collect::<Vec<_>>().join("\n\n")
}

/// The newest alarms about any of these, a line each, the newest first.
pub(crate) fn alarms_text(moves: &[Move]) -> String {
    let mut alarms: Vec<(&Move, &Alarm)> =
        moves.iter().flat_map(|one| one.alarms.iter().map(move |alarm| (one, alarm))).collect();
    alarms.sort_by_key(|(_, alarm)| Reverse(alarm.at_ms));
    let left_out = alarms.len().saturating_sub(ALARM_LINES_MAX);
    let mut lines: Vec<String> =
        alarms.iter().take(ALARM_LINES_MAX).map(|(one, raised)| format!("{}, {}", alarm(raised), one.name)).collect();
    if left_out > 0 {
        lines.push(format!("and {left_out} older; `muster show VM` and `muster audit` have them"));
    }
    lines.join("\n")
}

fn alarm(raised: &Alarm) -> String {
    let Alarm { at_ms, site, reason, message } = raised;
    format!("ALARM {reason} at {}, {site}: {message}", instant(*at_ms))
}

/// The phase, how much of it is done, and in which round where one round was not enough.
pub(crate) fn phase(one: &Move) -> String {
    match &one.phase {
        Some(phase) if one.round > 1 => {
            format!("{phase} {} %, round {}", one.phase_done_basis_points / 100, one.round)
        }
        Some(phase) => format!("{phase} {} %", one.phase_done_basis_points / 100),
        None => String::new(),
    }
}

/// How the transfer goes, in figures.
fn transfer(one: &Move) -> Option<String> {
    one.phase.as_ref()?;
    let expected =
        one.expected_downtime_ms.map(|ms| format!(", downtime of {} expected", span(ms))).unwrap_or_default();
    let slowed = if one.auto_converge { ", guest slowed down" } else { "" };
    Some(format!(
        "{} MiB sent, {} MiB left, dirties {} MiB/s{expected}{slowed}",
        one.sent_mib, one.left_mib, one.dirty_rate_mib_s
    ))
}

fn remarks(one: &Move) -> String {
    let mut remarks = match (&one.held_because, &one.remedy, &one.error) {
        (Some(because), Some(remedy), _) => format!("{because}; {remedy}"),
        (Some(because), None, _) => because.clone(),
        (None, _, Some(error)) => error.clone(),
        (None, _, None) => String::new(),
    };
    let is_held = one.held_because.is_some();
    let concerns = match one.guardian_state {
        Some(GuardianState::GiveBackOwed) => true,
        Some(GuardianState::TakingOff | GuardianState::HandsOff) => is_held,
        Some(GuardianState::GivenBack) | None => false,
    };
    if concerns {
        let separated = if remarks.is_empty() { "" } else { "; " };
        remarks = [remarks.as_str(), separated, &guardian(one).unwrap_or_default()].concat();
    }
    remarks
}

/// How it stands with the VM's guardian, in words.
fn guardian(one: &Move) -> Option<String> {
    let name = one.guardian.as_ref()?;
    let stands = match one.guardian_state? {
        GuardianState::TakingOff if one.guardian_error.is_some() => format!("asking {name} failed"),
        GuardianState::TakingOff => format!("{name}'s hands are being taken off it"),
        GuardianState::HandsOff => format!("{name}'s hands are off it"),
        GuardianState::GiveBackOwed => format!("still to be given back to {name}"),
        GuardianState::GivenBack => format!("given back to {name}"),
    };
    Some(match &one.guardian_error {
        Some(error) => format!("{stands}: {error}"),
        None => stands,
    })
}

fn guardian_state(state: wire::GuardianState) -> Option<GuardianState> {
    match state {
        wire::GuardianState::Unspecified => None,
        wire::GuardianState::TakingOff => Some(GuardianState::TakingOff),
        wire::GuardianState::HandsOff => Some(GuardianState::HandsOff),
        wire::GuardianState::GiveBackOwed => Some(GuardianState::GiveBackOwed),
        wire::GuardianState::GivenBack => Some(GuardianState::GivenBack),
    }
}

fn state(state: wire::MoveState) -> &'static str {
    match state {
        wire::MoveState::Unspecified => "unknown",
        wire::MoveState::Waiting => "waiting",
        wire::MoveState::Moving => "moving",
        wire::MoveState::Held => "held",
        wire::MoveState::Migrated => "migrated",
        wire::MoveState::StayedAtSource => "stayed_at_source",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(name: &str, alarms: impl IntoIterator<Item = u64>) -> Move {
        let raised =
            |at_ms| wire::Alarm { at_ms, site: "north".to_owned(), reason: "R".to_owned(), message: "m".to_owned() };
        let alarms = alarms.into_iter().map(raised).collect();
        Move::from(wire::Move { name: name.to_owned(), alarms, ..wire::Move::default() })
    }

    #[test]
    fn the_newest_alarms_of_all_moves_come_first_and_the_rest_is_counted() {
        assert_eq!(alarms_text(&[moved("a", [])]), "");
        let text = alarms_text(&[moved("a", [2_000, 0]), moved("b", [1_000])]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "ALARM R at 1970-01-01 00:00:02Z, north: m, a");
        assert!(lines[1].ends_with(", b") && lines.len() == 3, "{text}");
        let text = alarms_text(&[moved("a", 0..8), moved("b", 0..8)]);
        assert_eq!(text.lines().count(), ALARM_LINES_MAX + 1, "{text}");
        assert!(text.ends_with("and 6 older; `muster show VM` and `muster audit` have them"), "{text}");
        let vm = Vm { moves: vec![moved("a", [0])] };
        assert!(vm_text(&vm).ends_with("  ALARM R at 1970-01-01 00:00:00Z, north: m"));
    }
}
