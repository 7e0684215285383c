//! Definitions, modes, sides and roll entries.

use super::invalid::{InvalidMessage, Problem};
use super::read::{at, bounded_text, enumerated, parsed, require_items, required, size_mib};
use crate::limits::TAG_MAX_BYTES;
use crate::worker::v1 as pb;
use muster_core::definition::{DOCUMENT_MAX_BYTES, Definition, Disk, Mode, TAGS_MAX};
use muster_core::ledger::RollEntry;
use muster_core::step::Side;

impl From<Definition> for pb::Definition {
    fn from(definition: Definition) -> Self {
        pb::Definition {
            name: definition.name.into(),
            memory_mib: definition.memory_mib,
            vcpus: definition.vcpus,
            local_disk_mib: local_disk_mib(definition.disk),
            autostart: definition.autostart,
            tags: definition.tags,
            document: definition.document,
        }
    }
}

impl TryFrom<pb::Definition> for Definition {
    type Error = InvalidMessage;
    fn try_from(message: pb::Definition) -> Result<Self, InvalidMessage> {
        require_items("tags", message.tags.len(), TAGS_MAX)?;
        let tag = |(index, tag)| bounded_text(&at("tags", index), tag, TAG_MAX_BYTES);
        let tags = message.tags.into_iter().enumerate().map(tag).collect::<Result<_, _>>()?;
        let given = message.document.len();
        if given > DOCUMENT_MAX_BYTES {
            return Err(InvalidMessage::new("document", Problem::TooLong { given, max: DOCUMENT_MAX_BYTES }));
        }
        Ok(Definition {
            name: parsed("name", &message.name)?,
            memory_mib: size_mib("memory_mib", message.memory_mib)?,
            vcpus: message.vcpus,
            disk: disk("local_disk_mib", message.local_disk_mib)?,
            autostart: message.autostart,
            tags,
            document: message.document,
        })
    }
}

/// How a disk goes over the wire: its size, or nothing where it is shared.
pub(super) fn local_disk_mib(disk: Disk) -> Option<u64> {
    match disk {
        Disk::Shared => None,
        Disk::Local { size_mib } => Some(size_mib),
    }
}

pub(super) fn disk(field: &str, local_disk_mib: Option<u64>) -> Result<Disk, InvalidMessage> {
    match local_disk_mib {
        None => Ok(Disk::Shared),
        Some(given) => Ok(Disk::Local { size_mib: size_mib(field, given)? }),
    }
}

impl From<Mode> for pb::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Live => pb::Mode::Live,
            Mode::Cold => pb::Mode::Cold,
            Mode::Off => pb::Mode::Off,
        }
    }
}

pub(super) fn mode(field: &str, value: i32) -> Result<Mode, InvalidMessage> {
    enumerated(field, "Mode", value, |mode| match mode {
        pb::Mode::Unspecified => None,
        pb::Mode::Live => Some(Mode::Live),
        pb::Mode::Cold => Some(Mode::Cold),
        pb::Mode::Off => Some(Mode::Off),
    })
}

impl From<Side> for pb::Side {
    fn from(side: Side) -> Self {
        match side {
            Side::Source => pb::Side::Source,
            Side::Destination => pb::Side::Destination,
        }
    }
}

pub(super) fn side(field: &str, value: i32) -> Result<Side, InvalidMessage> {
    enumerated(field, "Side", value, |side| match side {
        pb::Side::Unspecified => None,
        pb::Side::Source => Some(Side::Source),
        pb::Side::Destination => Some(Side::Destination),
    })
}

impl From<RollEntry> for pb::RollEntry {
    fn from(entry: RollEntry) -> Self {
        pb::RollEntry {
            evacuation: entry.evacuation.to_string(),
            vm: entry.vm.to_string(),
            mode: pb::Mode::from(entry.mode).into(),
            source_site: entry.source_site.into(),
            destination_site: entry.destination_site.into(),
            destination_host: entry.destination_host.into(),
            definition: Some(entry.definition.into()),
        }
    }
}

impl TryFrom<pb::RollEntry> for RollEntry {
    type Error = InvalidMessage;
    fn try_from(message: pb::RollEntry) -> Result<Self, InvalidMessage> {
        Ok(RollEntry {
            evacuation: parsed("evacuation", &message.evacuation)?,
            vm: parsed("vm", &message.vm)?,
            mode: mode("mode", message.mode)?,
            source_site: parsed("source_site", &message.source_site)?,
            destination_site: parsed("destination_site", &message.destination_site)?,
            destination_host: parsed("destination_host", &message.destination_host)?,
            definition: required("definition", message.definition)?,
        })
    }
}
