//! Which fields of which list a filter may name.

use super::{Field, Kind, Listed};
use muster_core::verdict::Verdict;
use muster_proto::v1::{Evacuation, Move};

pub(super) const MOVE_STATES: [&str; 5] = ["WAITING", "MOVING", "HELD", "MIGRATED", "STAYED_AT_SOURCE"];
pub(super) const MOVE_STATE_PREFIX: &str = "MOVE_STATE_";
pub(super) const EVACUATION_STATES: [&str; 5] = ["PLANNING", "PLANNED", "RUNNING", "PAUSED", "FINISHED"];
pub(super) const EVACUATION_STATE_PREFIX: &str = "EVACUATION_STATE_";

impl Listed for Move {
    const FIELDS: &'static [Field<Self>] = &[
        Field {
            name: "state",
            kind: Kind::Word {
                known: &MOVE_STATES,
                prefix: MOVE_STATE_PREFIX,
                read: |one| bare(one.state().as_str_name(), MOVE_STATE_PREFIX),
            },
        },
        Field {
            name: "verdict",
            kind: Kind::Word { known: &Verdict::NAMES, prefix: "", read: |one| one.verdict.as_str() },
        },
        Field {
            name: "mode",
            kind: Kind::Word { known: &["live", "cold", "off"], prefix: "", read: |one| one.mode.as_str() },
        },
        Field { name: "wave", kind: Kind::Number(|one| one.wave.into()) },
        Field { name: "priority", kind: Kind::Number(|one| one.priority.into()) },
        Field { name: "attempts", kind: Kind::Number(|one| one.attempts.into()) },
        Field { name: "source_host", kind: Kind::Text(|one, test| test(&one.source_host)) },
        Field { name: "destination_host", kind: Kind::Text(|one, test| test(&one.destination_host)) },
        Field { name: "host", kind: Kind::Text(|one, test| test(&one.source_host) || test(&one.destination_host)) },
        Field { name: "tag", kind: Kind::Labels(|one| &one.tags) },
        Field { name: "name", kind: Kind::Text(|one, test| test(&one.name)) },
        Field { name: "vm", kind: Kind::Text(|one, test| test(&one.vm)) },
        Field { name: "group", kind: Kind::Text(|one, test| test(&one.group)) },
        Field { name: "guardian", kind: Kind::Text(|one, test| test(&one.guardian)) },
        Field { name: "error", kind: Kind::Text(|one, test| test(&one.error)) },
    ];

    fn searched(&self, test: &dyn Fn(&str) -> bool) -> bool {
        test(&self.name) || test(&self.vm)
    }
}

impl Listed for Evacuation {
    const FIELDS: &'static [Field<Self>] = &[
        Field {
            name: "state",
            kind: Kind::Word {
                known: &EVACUATION_STATES,
                prefix: EVACUATION_STATE_PREFIX,
                read: |one| bare(one.state().as_str_name(), EVACUATION_STATE_PREFIX),
            },
        },
        Field { name: "name", kind: Kind::Text(|one, test| test(&one.name)) },
        Field { name: "evacuation", kind: Kind::Text(|one, test| test(&one.evacuation)) },
        Field { name: "source_site", kind: Kind::Text(|one, test| test(&one.source_site)) },
        Field { name: "destination_site", kind: Kind::Text(|one, test| test(&one.destination_site)) },
        Field { name: "site", kind: Kind::Text(|one, test| test(&one.source_site) || test(&one.destination_site)) },
        Field { name: "ordered_by", kind: Kind::Text(|one, test| test(&one.ordered_by)) },
        Field { name: "cancelled", kind: Kind::Truth(|one| one.cancelled) },
    ];

    fn searched(&self, test: &dyn Fn(&str) -> bool) -> bool {
        test(&self.name) || test(&self.evacuation)
    }
}

/// An enum's value without its type's name.
pub(super) fn bare<'n>(name: &'n str, prefix: &str) -> &'n str {
    name.strip_prefix(prefix).unwrap_or(name)
}
