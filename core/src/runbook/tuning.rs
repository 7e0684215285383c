//! The sections [transfer] and [ladder]: how transfers are made, and what is done where one doesn't converge.

use super::mistake::Mistakes;
use super::reader::{At, Section};
use crate::ladder::{AutoConverge, Ladder};
use crate::terms::Tuning;

pub(super) fn transfer(top: &Section<'_>, mistakes: &mut Mistakes<'_>) -> Tuning {
    let Some(section) = top.section("transfer", mistakes) else { return Tuning::default() };
    section.knows(&["bandwidth_mib_s", "connections", "tls"], mistakes);
    let bandwidth = section.number("bandwidth_mib_s", &(1..=Tuning::BANDWIDTH_MAX_MIB_S), mistakes);
    let connections = section.small_number("connections", 1..=Tuning::CONNECTIONS_MAX.into(), mistakes);
    let tls = section.flag("tls", mistakes);
    if let Some(At { value: false, offset }) = tls {
        let mend = "leave it out: then the site's own configuration says whether there is TLS";
        mistakes.note(offset, "\"tls\" is false, and no runbook can take TLS away from a site", mend);
    }
    Tuning {
        bandwidth_mib_s: bandwidth.map(|at| at.value),
        connections: connections.and_then(|at| u16::try_from(at.value).ok()),
        needs_tls: tls.is_some_and(|at| at.value),
        auto_converge: false,
    }
}

pub(super) fn ladder(top: &Section<'_>, mistakes: &mut Mistakes<'_>) -> Ladder {
    let usual = Ladder::default();
    let Some(section) = top.section("ladder", mistakes) else { return usual };
    section.knows(&["downtimes_ms", "auto_converge", "stalled_rounds"], mistakes);
    let rounds = Ladder::STALLED_ROUNDS_MIN..=Ladder::STALLED_ROUNDS_MAX;
    Ladder {
        downtimes_ms: downtimes(&section, mistakes).unwrap_or(usual.downtimes_ms),
        auto_converge: section.choice("auto_converge", &AutoConverge::WORDS, mistakes).unwrap_or_default(),
        stalled_rounds: section
            .small_number("stalled_rounds", rounds, mistakes)
            .map_or(usual.stalled_rounds, |at| at.value),
    }
}

fn downtimes(section: &Section<'_>, mistakes: &mut Mistakes<'_>) -> Option<Vec<u64>> {
    let given = section.numbers("downtimes_ms", &(1..=Ladder::DOWNTIME_MAX_MS), mistakes)?;
    if given.value.len() > Ladder::RUNGS_MAX {
        let what = format!("\"downtimes_ms\" has {} rungs", given.value.len());
        mistakes.note(given.offset, what, format!("use {} at most", Ladder::RUNGS_MAX));
    }
    for pair in given.value.windows(2) {
        if let [before, after] = pair
            && after.value <= before.value
        {
            let what = format!("in \"downtimes_ms\", {} follows {}", after.value, before.value);
            mistakes.note(after.offset, what, "make each longer than the one before");
        }
    }
    Some(given.value.into_iter().map(|at| at.value).collect())
}
