//! What a person changes of an evacuation's terms.

use super::invalid::{InvalidMessage, Problem};
use super::read::{at, enumerated, require_items, within_range};
use crate::v1 as pb;
use muster_core::ladder::{AutoConverge, Ladder};
use muster_core::runbook::{Deadlines, Limits};
use muster_core::terms::{Adjustment, Bandwidth, LimitChanges, Tuning};

impl From<Adjustment> for pb::Adjustment {
    fn from(adjustment: Adjustment) -> Self {
        let Adjustment {
            bandwidth,
            setup_ms,
            transfer_ms,
            handover_ms,
            finish_ms,
            downtimes_ms,
            auto_converge,
            stalled_rounds,
            limits,
        } = adjustment;
        pb::Adjustment {
            bandwidth_mib_s: bandwidth.map(|bandwidth| bandwidth.mib_s().unwrap_or(0)),
            setup_ms,
            transfer_ms,
            handover_ms,
            finish_ms,
            downtimes: downtimes_ms.map(|milliseconds| pb::Downtimes { milliseconds }),
            auto_converge: auto_converge.map(|choice| pb::AutoConverge::from(choice).into()),
            stalled_rounds,
            per_source_host: limits.per_source_host,
            per_destination_host: limits.per_destination_host,
            per_site: limits.per_site,
            total: limits.total,
        }
    }
}

impl TryFrom<pb::Adjustment> for Adjustment {
    type Error = InvalidMessage;
    fn try_from(message: pb::Adjustment) -> Result<Self, InvalidMessage> {
        let limit = |field: &str, given: Option<u64>| {
            given.map(|given| within_range(field, given, Deadlines::MIN_MS, Deadlines::MAX_MS)).transpose()
        };
        let rounds = message.stalled_rounds.map(|given| {
            let (least, most) = (Ladder::STALLED_ROUNDS_MIN.into(), Ladder::STALLED_ROUNDS_MAX.into());
            within_range("stalled_rounds", given.into(), least, most).map(|_| given)
        });
        let adjustment = Adjustment {
            bandwidth: message.bandwidth_mib_s.map(bandwidth).transpose()?,
            setup_ms: limit("setup_ms", message.setup_ms)?,
            transfer_ms: limit("transfer_ms", message.transfer_ms)?,
            handover_ms: limit("handover_ms", message.handover_ms)?,
            finish_ms: limit("finish_ms", message.finish_ms)?,
            downtimes_ms: message.downtimes.map(|given| downtimes(given.milliseconds)).transpose()?,
            auto_converge: message.auto_converge.map(auto_converge).transpose()?,
            stalled_rounds: rounds.transpose()?,
            limits: LimitChanges {
                per_source_host: at_once("per_source_host", message.per_source_host, Limits::PER_HOST_MAX)?,
                per_destination_host: at_once(
                    "per_destination_host",
                    message.per_destination_host,
                    Limits::PER_HOST_MAX,
                )?,
                per_site: at_once("per_site", message.per_site, Limits::TOTAL_MAX)?,
                total: at_once("total", message.total, Limits::TOTAL_MAX)?,
            },
        };
        // What changes nothing was hardly meant.
        if adjustment.is_empty() { Err(InvalidMessage::new("", Problem::Empty)) } else { Ok(adjustment) }
    }
}

fn at_once(field: &str, given: Option<u32>, most: u32) -> Result<Option<u32>, InvalidMessage> {
    given.map(|given| within_range(field, given.into(), 1, most.into()).map(|_| given)).transpose()
}

fn bandwidth(given: u64) -> Result<Bandwidth, InvalidMessage> {
    within_range("bandwidth_mib_s", given, 0, Tuning::BANDWIDTH_MAX_MIB_S)?;
    Ok(if given == 0 { Bandwidth::Unlimited } else { Bandwidth::Capped(given) })
}

fn downtimes(given: Vec<u64>) -> Result<Vec<u64>, InvalidMessage> {
    const FIELD: &str = "downtimes.milliseconds";
    require_items(FIELD, given.len(), Ladder::RUNGS_MAX)?;
    let mut least = 1;
    for (index, downtime_ms) in given.iter().enumerate() {
        within_range(&at(FIELD, index), *downtime_ms, least, Ladder::DOWNTIME_MAX_MS)?;
        least = downtime_ms + 1;
    }
    Ok(given)
}

fn auto_converge(given: i32) -> Result<AutoConverge, InvalidMessage> {
    enumerated("auto_converge", "AutoConverge", given, |choice| match choice {
        pb::AutoConverge::Unspecified => None,
        pb::AutoConverge::Never => Some(AutoConverge::Never),
        pb::AutoConverge::NextAttempt => Some(AutoConverge::NextAttempt),
        pb::AutoConverge::Always => Some(AutoConverge::Always),
    })
}

impl From<AutoConverge> for pb::AutoConverge {
    fn from(choice: AutoConverge) -> Self {
        match choice {
            AutoConverge::Never => pb::AutoConverge::Never,
            AutoConverge::NextAttempt => pb::AutoConverge::NextAttempt,
            AutoConverge::Always => pb::AutoConverge::Always,
        }
    }
}
