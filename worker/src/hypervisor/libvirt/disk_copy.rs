//! Copies of the disks of a guest that is off: read at the source's host, written at the destination's, read back there.
//!
//! libvirt streams them through this process, a piece at a time, holes as holes. A copy is `partial` until what is read back
//! at the destination has the very checksum (SHA-256) of what was read at the source; only then is it recorded as complete,
//! by [`super::volumes::complete`]. If this process dies, its streams break with it, and the copy stays partial for ever: the
//! next attempt makes its volumes anew.

use super::Drivers;
use super::changing::There;
use super::config::PeerConfig;
use super::disks::{self, Format, LocalDisk};
use super::host::{Host, Purpose, on_thread_with};
use super::links::connect;
use super::trouble::Trouble;
use super::under_way::{JobGuard, Place};
use super::view::View;
use super::volumes::{self, NewVolume};
use crate::hypervisor::HypervisorError;
use muster_core::ids::VmId;
use muster_core::reading::{Job, Mark, Phase};
use muster_libvirt::virt::connect::Connect;
use muster_libvirt::virt::storage_vol::StorageVol;
use muster_libvirt::virt::stream::Stream;
use muster_libvirt::virt::sys;
use muster_libvirt::{Piece, receive, send, send_hole};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What is held of a disk at a time, in bytes: what libvirt puts into one message.
const PIECE_BYTES: usize = 256 * 1024;
/// Longest that a copy which is ahead of its rate waits before it looks again.
const PACE_WAIT_MAX: Duration = Duration::from_millis(500);

/// The copies that are under way.
#[derive(Default)]
pub(super) struct DiskCopies {
    running: Mutex<BTreeMap<Place, Arc<Running>>>,
}

impl DiskCopies {
    /// Ends the copy on this place, if there is one. Says whether there was.
    pub(super) fn cancel(&self, place: &Place) -> bool {
        let running = self.lock().get(place).cloned();
        running.inspect(|running| running.cancel()).is_some()
    }

    /// How far the copy is.
    pub(super) fn job(&self, place: &Place) -> Option<Job> {
        self.lock().get(place).map(|running| running.job())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One copy.
struct Running {
    state: Mutex<Progress>,
    cancelled: Condvar,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    phase: Phase,
    done_bytes: u64,
    total_bytes: u64,
    is_cancelled: bool,
}

impl Running {
    fn new(total_bytes: u64) -> Running {
        let state = Progress { phase: Phase::DiskCopy, done_bytes: 0, total_bytes, is_cancelled: false };
        Running { state: Mutex::new(state), cancelled: Condvar::new() }
    }

    fn cancel(&self) {
        self.state().is_cancelled = true;
        self.cancelled.notify_all();
    }

    fn job(&self) -> Job {
        let Progress { phase, done_bytes, total_bytes, .. } = *self.state();
        let left_bytes = total_bytes.saturating_sub(done_bytes);
        let basis_points = done_bytes.saturating_mul(10_000).checked_div(total_bytes).unwrap_or(0).min(10_000);
        Job {
            done_basis_points: u16::try_from(basis_points).unwrap_or(10_000),
            sent_mib: done_bytes >> 20,
            left_mib: left_bytes.div_ceil(1 << 20),
            ..Job::in_phase(phase)
        }
    }

    fn enters(&self, phase: Phase) {
        let mut state = self.state();
        (state.phase, state.done_bytes) = (phase, 0);
    }

    /// So many bytes more are done; waits as long as the rate wants it.
    fn advances(&self, bytes: u64, pace: Option<&Pace>) -> Result<(), Trouble> {
        let mut state = self.state();
        state.done_bytes = state.done_bytes.saturating_add(bytes);
        loop {
            if state.is_cancelled {
                return Err(Trouble::Failed("the copy of its disks was aborted".to_owned()));
            }
            let ahead = pace.map_or(Duration::ZERO, |pace| pace.ahead(state.done_bytes));
            if ahead.is_zero() {
                return Ok(());
            }
            let waited = self.cancelled.wait_timeout(state, ahead.min(PACE_WAIT_MAX));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, Progress> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The most that is to be sent.
struct Pace {
    bytes_s: u64,
    since: Instant,
}

impl Pace {
    fn ahead(&self, done_bytes: u64) -> Duration {
        let due = Duration::from_secs_f64(done_bytes as f64 / self.bytes_s.max(1) as f64);
        due.saturating_sub(self.since.elapsed())
    }
}

/// What the thread of a copy needs.
struct Order {
    vm: VmId,
    mark: Mark,
    peer: PeerConfig,
    disks: Vec<LocalDisk>,
    bandwidth_mib_s: Option<u64>,
}

impl Drivers {
    /// Begins to copy the disks of a guest that is off. On shared storage there is nothing to copy.
    pub(super) async fn begin_disk_copy(
        self: &Arc<Self>,
        host: &Arc<Host>,
        vm: VmId,
        there: There<'_>,
        mark: Mark,
    ) -> Result<(), HypervisorError> {
        let peer = self.find_placeholder(host, vm, there, mark).await?;
        let shared = self.config.shared_storage.clone();
        let disks = host.with(Purpose::Call, vm, move |at| disks_of_stopped(at, vm, &shared)).await?;
        if disks.is_empty() {
            return Ok(());
        }
        let failed = |message: String| HypervisorError::Failed { host: host.name.clone(), message };
        let Ok(permit) = Arc::clone(&host.jobs).try_acquire_owned() else {
            return Err(failed("as many transfers as it may have are under way from there already".to_owned()));
        };
        let total_bytes = disks.iter().fold(0_u64, |sum, disk| sum.saturating_add(disk.file_bytes));
        let (place, running) = ((host.name.clone(), vm), Arc::new(Running::new(total_bytes)));
        let order = Order { vm, mark, peer, disks, bandwidth_mib_s: self.config.transfer.bandwidth_mib_s };
        let guard = self.under_way.begin_job(place.clone());
        self.disk_copies.lock().insert(place.clone(), Arc::clone(&running));
        let (copies, here) = (Arc::clone(&self.disk_copies), Arc::clone(host));
        let copying = on_thread_with("disk-copy", permit, move || {
            let outcome = copy_all(&here, &order, &running);
            copies.lock().remove(&place);
            end(guard, outcome)
        });
        let ended = copying.map_err(|error| failed(format!("no thread could be started: {error}")))?;
        self.tell_progress(vm, ended);
        Ok(())
    }
}

fn end(guard: JobGuard, outcome: Result<(), Trouble>) -> Result<(), String> {
    let outcome = outcome.map_err(|trouble| muster_core::ids::clip(&trouble.to_string()));
    match &outcome {
        Ok(()) => drop(guard),
        Err(message) => guard.failed(message.clone()),
    }
    outcome
}

fn disks_of_stopped(connection: &Connect, vm: VmId, shared: &[PathBuf]) -> Result<Vec<LocalDisk>, Trouble> {
    let view: View = super::define::still(connection, vm)?;
    if view.is_active() {
        return Err(Trouble::Refused("its guest is not off".to_owned()));
    }
    view.must_have_no_image()?;
    disks::local(&view, shared)
}

fn copy_all(host: &Host, order: &Order, running: &Running) -> Result<(), Trouble> {
    // Of its own, so that nobody waits behind its data.
    let (from, to) = (connect(&host.config.uri)?, connect(&order.peer.worker_uri)?);
    let mut volumes = Vec::new();
    for disk in &order.disks {
        must_stand_alone(&from, disk)?;
        // Byte by byte: what is in the file makes it what it is.
        let (path, capacity_bytes, disk_bytes) = (disk.path.clone(), disk.file_bytes, disk.capacity_bytes);
        volumes.push(NewVolume { path, format: Format::Raw, capacity_bytes, disk_bytes, backing: None });
    }
    volumes::make(&to, order.vm, order.mark, &volumes)?;
    let pace = order.bandwidth_mib_s.map(|rate| Pace { bytes_s: rate << 20, since: Instant::now() });
    let mut sent = Vec::new();
    for disk in &order.disks {
        let (source, destination) = (volumes::lookup(&from, &disk.path)?, volumes::lookup(&to, &disk.path)?);
        sent.push(copy((&from, &source), (&to, &destination), running, pace.as_ref())?);
    }
    running.enters(Phase::DiskVerify);
    for (disk, sent) in order.disks.iter().zip(sent) {
        let arrived = read_back(&to, &volumes::lookup(&to, &disk.path)?, running)?;
        if arrived != sent {
            let what = format!("the copy of {} reads otherwise than what was sent", disk.path.display());
            return Err(Trouble::Failed(what));
        }
    }
    volumes::complete(&to, order.vm, order.mark)
}

/// Its file names what it rests on, by a path that means nothing elsewhere.
fn must_stand_alone(connection: &Connect, disk: &LocalDisk) -> Result<(), Trouble> {
    let text = volumes::lookup(connection, &disk.path)?.xml_desc(0)?;
    if disk.format == Format::Raw || !text.contains("<backingStore>") {
        return Ok(());
    }
    let (path, mend) = (disk.path.display(), "merge it (qemu-img rebase), or move the VM live");
    Err(Trouble::Refused(format!("{path} rests on another image and can't be copied alone; {mend}")))
}

type Checksum = [u8; 32];

fn copy(
    (from, source): (&Connect, &StorageVol),
    (to, destination): (&Connect, &StorageVol),
    running: &Running,
    pace: Option<&Pace>,
) -> Result<Checksum, Trouble> {
    let upload = Stream::new(to, 0)?;
    destination.upload(&upload, 0, 0, sys::VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)?;
    let copied = each_piece(from, source, |piece| {
        match piece {
            Content::Data(bytes) => send(&upload, bytes)?,
            Content::Hole(length) => send_hole(&upload, length)?,
        }
        running.advances(piece.length(), pace)
    });
    match copied {
        Ok(checksum) => {
            upload.finish()?;
            Ok(checksum)
        }
        Err(trouble) => {
            // It is of no more use, whatever this says.
            let _ = upload.abort();
            Err(trouble)
        }
    }
}

fn read_back(connection: &Connect, volume: &StorageVol, running: &Running) -> Result<Checksum, Trouble> {
    each_piece(connection, volume, |piece| running.advances(piece.length(), None))
}

/// What stands in a volume, one after the other.
#[derive(Clone, Copy)]
enum Content<'b> {
    Data(&'b [u8]),
    Hole(u64),
}

impl Content<'_> {
    fn length(self) -> u64 {
        match self {
            Content::Data(bytes) => bytes.len() as u64,
            Content::Hole(length) => length,
        }
    }
}

/// Reads a volume from end to end. A hole counts as the zeros that it reads as.
fn each_piece(
    connection: &Connect,
    volume: &StorageVol,
    mut take: impl FnMut(Content<'_>) -> Result<(), Trouble>,
) -> Result<Checksum, Trouble> {
    let stream = Stream::new(connection, 0)?;
    volume.download(&stream, 0, 0, sys::VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM)?;
    let (mut buffer, zeros, mut checksum) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES], Sha256::new());
    let mut next = || -> Result<bool, Trouble> {
        let content = match receive(&stream, &mut buffer)? {
            Piece::End => return Ok(false),
            Piece::Data(length) => {
                checksum.update(&buffer[..length]);
                Content::Data(&buffer[..length])
            }
            Piece::Hole(length) => {
                let mut left = length;
                while left > 0 {
                    let part = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
                    checksum.update(&zeros[..part]);
                    left -= part as u64;
                }
                Content::Hole(length)
            }
        };
        take(content).map(|()| true)
    };
    let outcome = loop {
        match next() {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(trouble) => break Err(trouble),
        }
    };
    match outcome {
        Ok(()) => {
            stream.finish()?;
            Ok(checksum.finalize().into())
        }
        Err(trouble) => {
            let _ = stream.abort();
            Err(trouble)
        }
    }
}
