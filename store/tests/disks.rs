//! Disks that are really full and really read-only: a small filesystem in memory, where this user may mount one.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use muster_store::sqlite::SqliteLedger;
use muster_store::{Health, Ledger, ReadLedger, StoreError, Written};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use support::{raise, vm};
use tempfile::TempDir;

/// A filesystem of its own, gone when dropped.
struct Mounted(TempDir);

impl Mounted {
    /// None where this user may not mount.
    fn new(kib: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={kib}k");
        let mounted = mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], directory.path());
        mounted.then_some(Mounted(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    let output = Command::new("mount").args(arguments).arg(at).output();
    output.is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn a_full_filesystem_stops_the_ledger_which_goes_on_once_there_is_room() {
    let Some(disk) = Mounted::new(1024) else {
        eprintln!("not run: this user may not mount; the engine's own limit is tested in any case");
        return;
    };
    let path = disk.path().join("ledger.sqlite");
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0_u8; 256 * 1024]).unwrap();
    let ledger = SqliteLedger::open(&path).unwrap();
    let mut acknowledged = 0;
    let error = loop {
        match ledger.execute((acknowledged..acknowledged + 50).map(|number| raise(number, 1)).collect()).await {
            Ok(_) => acknowledged += 50,
            Err(error) => break error,
        }
        assert!(acknowledged < 1_000_000, "the filesystem does not fill");
    };
    assert!(matches!(error, StoreError::Full { written: Written::Nothing, .. }), "{error}");
    assert!(acknowledged > 0);
    assert!(matches!(ledger.health(), Health::Failed(StoreError::Full { .. })));
    assert!(matches!(ledger.execute(vec![raise(1, 2)]).await, Err(StoreError::Stopped { .. })));
    assert_eq!(ledger.row(vm(0)).await.unwrap().floor.sequence.0, 1, "what stands can be read");
    drop(ledger);

    fs::remove_file(&ballast).unwrap();
    let ledger = SqliteLedger::open(&path).unwrap();
    assert_eq!(ledger.newest(), u64::from(acknowledged), "half of a call was written, or an acknowledged one lost");
    ledger.execute(vec![raise(1, 2)]).await.unwrap();
}

#[tokio::test]
async fn a_filesystem_without_room_for_a_new_ledger_says_so() {
    let Some(disk) = Mounted::new(64) else {
        eprintln!("not run: this user may not mount");
        return;
    };
    let path = disk.path().join("ledger.sqlite");
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0_u8; 56 * 1024]).unwrap();
    let error = SqliteLedger::open(&path).expect_err("there is no room");
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(!path.exists(), "a ledger was left half begun");
    fs::remove_file(&ballast).unwrap();
    drop(disk);
}

#[tokio::test]
async fn what_may_not_be_written_is_refused_for_writing_and_can_be_read() {
    let Some(directory) = ReadOnly::with(async |path| {
        let ledger = SqliteLedger::open(path).unwrap();
        ledger.execute(vec![raise(1, 1)]).await.unwrap();
    })
    .await
    else {
        eprintln!("not run: this user may write everything, and may not mount");
        return;
    };
    let path = directory.path().join("ledger.sqlite");
    let error = SqliteLedger::open(&path).expect_err("it can't be written");
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    let reader = SqliteLedger::open_read_only(&path).unwrap();
    assert_eq!(reader.row(vm(1)).await.unwrap().floor.sequence.0, 1);
}

/// A directory that was filled and can't be written any more.
enum ReadOnly {
    Mounted(Mounted),
    Permitted(TempDir),
}

impl ReadOnly {
    async fn with(fill: impl AsyncFnOnce(&Path)) -> Option<Self> {
        if let Some(disk) = Mounted::new(4096) {
            fill(&disk.path().join("ledger.sqlite")).await;
            return mount(&["-o", "remount,ro"], disk.path()).then_some(ReadOnly::Mounted(disk));
        }
        let directory = tempfile::tempdir().unwrap();
        fill(&directory.path().join("ledger.sqlite")).await;
        for entry in fs::read_dir(directory.path()).unwrap() {
            fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o400)).unwrap();
        }
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o500)).unwrap();
        // Root isn't kept from anything by this.
        let kept = fs::write(directory.path().join("probe"), "").is_err();
        kept.then_some(ReadOnly::Permitted(directory))
    }

    fn path(&self) -> &Path {
        match self {
            ReadOnly::Mounted(disk) => disk.path(),
            ReadOnly::Permitted(directory) => directory.path(),
        }
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        match self {
            ReadOnly::Mounted(_) => {}
            ReadOnly::Permitted(directory) => {
                let _ = fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700));
            }
        }
    }
}
