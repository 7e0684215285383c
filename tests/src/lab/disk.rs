//! A guest's disk, read and written from outside: program, configuration, head record, clash mark, log of all records.

use super::error::LabError;
use super::files::write;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes of a sector.
const SECTOR: usize = 512;
/// Where the configuration is, in sectors. These numbers stand in guest.s too.
const CONFIGURATION_SECTOR: usize = 4;
const HEAD_SECTOR: u64 = 5;
const CLASH_SECTOR: u64 = 6;
const LOG_SECTOR: usize = 8;
/// The longest name of a guest, in bytes.
const NAME_BYTES_MAX: usize = 15;

/// What the guest's program reads from its disk.
pub(super) struct Configuration<'a> {
    pub(super) name: &'a str,
    pub(super) period_ticks: u32,
    pub(super) dirty_pages_per_tick: u32,
    pub(super) hot_pages: u32,
}

/// What a guest writes to its disk, about once a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Written {
    /// How often it has booted from this disk.
    pub boot: u32,
    /// Its counter, in memory: 1 after each boot.
    pub count: u32,
    /// Records since the disk was made.
    pub slot: u32,
    /// Its processor's time stamp.
    pub tsc: u64,
}

/// A disk, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// The newest record; none before the first.
    pub head: Option<Written>,
    /// Whether a guest found somebody else's record where its own was.
    pub is_marked: bool,
    /// Why the log can't have been written by one writer at a time; none if it can.
    pub broken: Option<String>,
}

/// Makes a disk of `size_mib`, sparse, or filled with what doesn't compress.
pub(super) fn make(
    path: &Path,
    program: &[u8],
    configuration: &Configuration<'_>,
    size_mib: u32,
    filled: bool,
) -> Result<(), LabError> {
    let size = size_mib as usize * 1024 * 1024;
    // A filled disk keeps its second half for the filling.
    let log_end = if filled { size / 2 } else { size };
    let mut image = program.to_vec();
    image.resize(CONFIGURATION_SECTOR * SECTOR, 0);
    let mut name = configuration.name.as_bytes().to_vec();
    name.truncate(NAME_BYTES_MAX);
    name.resize(NAME_BYTES_MAX + 1, 0);
    image.extend(name);
    let slots = u32::try_from(log_end / SECTOR - LOG_SECTOR).unwrap_or(u32::MAX);
    for number in [configuration.period_ticks, configuration.dirty_pages_per_tick, configuration.hot_pages, slots] {
        image.extend(number.to_le_bytes());
    }
    if filled {
        image.resize(log_end, 0);
        // Any stream that repeats nowhere in it: a xorshift generator's.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        while image.len() < size {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            image.extend(state.to_le_bytes());
        }
    }
    write(path, image)?;
    let failed = |source| LabError::File { path: path.into(), action: "made", source };
    File::options().write(true).open(path).and_then(|file| file.set_len(size as u64)).map_err(failed)
}

/// Reads a disk, while its guest may be writing to it.
///
/// # Errors
/// Where the file can't be read.
pub fn look(path: &Path) -> Result<Sequence, LabError> {
    let failed = |source| LabError::File { path: path.into(), action: "read", source };
    let mut file = File::open(path).map_err(failed)?;
    let mut sector = |number: u64| -> Result<[u8; SECTOR], LabError> {
        let mut bytes = [0; SECTOR];
        file.seek(SeekFrom::Start(number * SECTOR as u64)).map_err(failed)?;
        file.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes)
    };
    // The log is written before the head: what is up to this head is complete.
    let head = parse(&sector(HEAD_SECTOR)?);
    let is_marked = sector(CLASH_SECTOR)?.starts_with(b"CLSH");
    let slots = u64::from(number(&sector(CONFIGURATION_SECTOR as u64)?, 28)).max(1);
    let mut broken = None;
    let mut before: Option<Written> = None;
    let last = head.map_or(0, |head| u64::from(head.slot));
    for slot in last.saturating_sub(slots - 1).max(1)..=last {
        let found = parse(&sector(LOG_SECTOR as u64 + (slot - 1) % slots)?);
        broken = broken.or_else(|| contradiction(before, found, slot));
        before = found;
    }
    Ok(Sequence { head, is_marked, broken })
}

/// Why a record can't be the one writer's that follows another.
fn contradiction(before: Option<Written>, found: Option<Written>, slot: u64) -> Option<String> {
    let Some(found) = found else { return Some(format!("slot {slot} was never written")) };
    // A ring that was just overwritten at its oldest end holds what is newer, not what another writer left.
    if u64::from(found.slot) > slot && before.is_none() {
        return None;
    }
    if u64::from(found.slot) != slot {
        return Some(format!("slot {slot} holds slot {}", found.slot));
    }
    let before = before?;
    let goes_on = found.boot == before.boot && found.count == before.count + 1 && found.tsc > before.tsc;
    let begins = found.boot == before.boot + 1 && found.count == 1;
    (!goes_on && !begins).then(|| format!("{found:?} follows {before:?}"))
}

fn parse(sector: &[u8; SECTOR]) -> Option<Written> {
    sector.starts_with(b"MREC").then(|| Written {
        boot: number(sector, 4),
        count: number(sector, 8),
        slot: number(sector, 12),
        tsc: u64::from(number(sector, 20)) << 32 | u64::from(number(sector, 16)),
    })
}

fn number(sector: &[u8; SECTOR], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&sector[at..at + 4]);
    u32::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn record(boot: u32, count: u32, slot: u32) -> Written {
        Written { boot, count, slot, tsc: u64::from(slot) * 1_000 }
    }

    /// A disk with these records in its log, the last of them as its head.
    fn disk(records: &[Written]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("vm1.img");
        let configuration = Configuration { name: "vm1", period_ticks: 18, dirty_pages_per_tick: 0, hot_pages: 0 };
        make(&path, &[0; 4 * SECTOR], &configuration, 1, false).expect("a disk");
        let mut file = File::options().write(true).open(&path).expect("the disk");
        let slots = (1024 * 1024 / SECTOR - LOG_SECTOR) as u64;
        for (index, written) in records.iter().enumerate() {
            let Written { boot, count, slot, tsc } = written;
            let mut bytes = b"MREC".to_vec();
            for number in [boot, count, slot] {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend(tsc.to_le_bytes());
            let of_log = LOG_SECTOR as u64 + (u64::from(*slot) - 1) % slots;
            let head = (index + 1 == records.len()).then_some(HEAD_SECTOR);
            for sector in [of_log].into_iter().chain(head) {
                file.seek(SeekFrom::Start(sector * SECTOR as u64)).expect("a sector");
                file.write_all(&bytes).expect("a record");
            }
        }
        (folder, path)
    }

    fn broken(records: &[Written]) -> Option<String> {
        let (_folder, path) = disk(records);
        let sequence = look(&path).expect("a sequence");
        assert_eq!(sequence.head, records.last().copied());
        assert!(!sequence.is_marked);
        sequence.broken
    }

    #[test]
    fn one_writer_at_a_time_leaves_a_whole_sequence() {
        assert_eq!(broken(&[]), None);
        assert_eq!(broken(&[record(1, 1, 1), record(1, 2, 2), record(2, 1, 3), record(2, 2, 4)]), None);
        // So often that the log has begun anew.
        let long: Vec<Written> = (1..=5_000).map(|slot| record(1, slot, slot)).collect();
        assert_eq!(broken(&long), None);
    }

    #[test]
    fn two_writers_break_the_sequence() {
        let cases: [&[Written]; 5] = [
            &[record(1, 1, 1), record(1, 2, 2), record(2, 1, 2), record(1, 3, 3)],
            &[record(1, 1, 1), record(1, 3, 2)],
            &[record(1, 1, 1), record(1, 2, 3)],
            &[record(1, 1, 1), record(3, 1, 2)],
            &[record(2, 1, 1), record(1, 2, 2)],
        ];
        for records in cases {
            assert!(broken(records).is_some(), "{records:?}");
        }
    }

    #[test]
    fn a_mark_is_seen() {
        let (_folder, path) = disk(&[record(1, 1, 1)]);
        let mut file = File::options().write(true).open(&path).expect("the disk");
        file.seek(SeekFrom::Start(CLASH_SECTOR * SECTOR as u64)).expect("a sector");
        file.write_all(b"CLSH").expect("a mark");
        assert!(look(&path).expect("a sequence").is_marked);
    }
}
