//! What is asked of the audit trail.

use super::{ClientOrder, Order, VmGiven, evacuation, orchestrator, text, usage, vm};
use crate::args::{AuditArgs, AuditCommand, AuditFilter, AuditVerifyArgs, ExportFormat};
use crate::error::CliError;
use muster_core::evacuation::JournalKind;
use muster_core::ids::EvacuationId;
use muster_core::time::{Timestamp, days_since_epoch};
use muster_store::chain::Head;
use std::path::PathBuf;

/// What is asked of an orchestrator's audit trail.
#[derive(Debug)]
pub(crate) enum AuditOrder {
    List(Lines),
    Export { lines: Lines, format: ExportFormat, to: Option<PathBuf> },
    Head,
    Verify { against: Option<Head> },
}

/// Which lines.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) evacuation: Option<EvacuationId>,
    pub(crate) vm: Option<VmGiven>,
    pub(crate) by: Option<String>,
    pub(crate) records: Vec<String>,
    pub(crate) from: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

/// An audit trail without an orchestrator.
#[derive(Debug)]
pub(crate) struct TrailOrder {
    pub(crate) trail: Trail,
    pub(crate) against: Option<Head>,
}

/// Where it lies.
#[derive(Debug)]
pub(crate) enum Trail {
    Export(PathBuf),
    Journal(PathBuf),
    Ledger(PathBuf),
}

pub(super) fn order(args: AuditArgs) -> Result<Order, CliError> {
    let (address, order) = match args.command {
        None => (args.orchestrator, AuditOrder::List(lines(args.filter)?)),
        Some(AuditCommand::Export(args)) => {
            let (lines, format, to) = (lines(args.filter)?, args.format, args.to);
            (args.orchestrator, AuditOrder::Export { lines, format, to })
        }
        Some(AuditCommand::Head(args)) => (args.orchestrator, AuditOrder::Head),
        Some(AuditCommand::Verify(args)) => return verify(args),
    };
    Ok(Order::Client(orchestrator(&address)?, ClientOrder::Audit(order)))
}

fn verify(args: AuditVerifyArgs) -> Result<Order, CliError> {
    let against: Option<Head> =
        args.against.map(|given| given.parse().map_err(|error| usage("--against", &error))).transpose()?;
    let trail = match (args.export, args.journal, args.ledger) {
        (Some(export), _, _) => Trail::Export(export),
        (None, Some(journal), _) => Trail::Journal(journal),
        (None, None, Some(ledger)) => Trail::Ledger(ledger),
        (None, None, None) => {
            let order = ClientOrder::Audit(AuditOrder::Verify { against });
            return Ok(Order::Client(orchestrator(&args.orchestrator)?, order));
        }
    };
    Ok(Order::Trail(TrailOrder { trail, against }))
}

fn lines(filter: AuditFilter) -> Result<Lines, CliError> {
    if let Some(unknown) = filter.record.iter().find(|name| !JournalKind::NAMES.contains(&name.as_str())) {
        return Err(CliError::Usage {
            what: format!("--record {unknown}: no line has this name"),
            mend: format!("give one of {}", JournalKind::NAMES.join(", ")),
        });
    }
    Ok(Lines {
        evacuation: evacuation(filter.evacuation.as_deref())?,
        vm: filter.vm.as_deref().map(vm).transpose()?,
        by: filter.by.map(|by| text("--by", by)).transpose()?,
        records: filter.record,
        from: filter.from.map(|given| instant("--from", &given)).transpose()?,
        until: filter.until.map(|given| instant("--until", &given)).transpose()?,
    })
}

/// A day, or a moment of one, UTC.
fn instant(flag: &str, given: &str) -> Result<Timestamp, CliError> {
    let wrong = || CliError::Usage {
        what: format!("{flag} {given:?} is not a time"),
        mend: "write it like 2026-05-01, or 2026-05-01T14:30:00Z; times are UTC".to_owned(),
    };
    moment(given).ok_or_else(wrong)
}

fn moment(given: &str) -> Option<Timestamp> {
    let (date, time) = match given.split_once(['T', ' ']) {
        Some((date, time)) => (date, time.strip_suffix('Z')?),
        None => (given, "00:00:00"),
    };
    let number = |text: &str, digits: usize, below: u64| {
        let is_written_so = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|number| is_written_so && *number < below)
    };
    let [year, month, day] = date.split('-').collect::<Vec<_>>().try_into().ok()?;
    let [hour, minute, second] = time.split(':').collect::<Vec<_>>().try_into().ok()?;
    let (year, month, day) = (number(year, 4, 10_000)?, number(month, 2, 13)?, number(day, 2, 32)?);
    let (month, day) = (u8::try_from(month).ok()?, u8::try_from(day).ok()?);
    let seconds = (number(hour, 2, 24)? * 60 + number(minute, 2, 60)?) * 60 + number(second, 2, 60)?;
    if year < 1970 || month == 0 || day == 0 {
        return None;
    }
    let days = days_since_epoch(i64::try_from(year).ok()?, month, day);
    Some(Timestamp((u64::try_from(days).ok()? * 86_400 + seconds) * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_shown() {
        assert_eq!(moment("1970-01-02"), Some(Timestamp(86_400_000)));
        assert_eq!(moment("2025-12-31T23:59:59Z"), Some(Timestamp(1_767_225_599_000)));
        assert_eq!(moment("2025-12-31 23:59:59Z"), moment("2025-12-31T23:59:59Z"));
        for wrong in ["", "2025", "2025-13-01", "2025-1-1", "1969-12-31", "2025-01-01T00:00:00", "2025-01-01T24:00:00Z"]
        {
            assert_eq!(moment(wrong), None, "{wrong}");
        }
    }
}
