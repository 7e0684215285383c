//! A move as scheduling sees it, and where it stands.

use crate::evacuation::PlannedMove;
use crate::ids::{HostName, VmId};
use crate::time::Timestamp;

/// A move as far as scheduling it needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScheduledMove {
    /// The VM.
    pub vm: VmId,
    /// Its wave. Lower ones go first.
    pub wave: usize,
    /// The host it leaves.
    pub source_host: HostName,
    /// The host it goes to.
    pub destination_host: HostName,
    /// It reads a disk from its source host's storage, and writes it to its destination host's.
    pub copies_disk: bool,
    /// The group it belongs to.
    pub group: Option<String>,
    /// The groups that have nothing left to start and nothing under way when it starts. None of them comes after its own.
    pub after: Vec<String>,
}

impl From<&PlannedMove> for ScheduledMove {
    fn from(planned: &PlannedMove) -> Self {
        ScheduledMove {
            vm: planned.vm,
            wave: usize::try_from(planned.wave).unwrap_or(usize::MAX),
            source_host: planned.source_host.clone(),
            destination_host: planned.destination_host.clone(),
            copies_disk: planned.disk_mib.is_some(),
            group: planned.turn.group.clone(),
            after: planned.turn.after.clone(),
        }
    }
}

/// Where a move stands, as scheduling sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MoveStanding {
    /// To be started.
    Waiting {
        /// Not before this, as after a failed attempt.
        not_before: Option<Timestamp>,
    },
    /// Under way: counts against every limit.
    Running,
    /// Its guest runs at the destination, and what is left is to retire the source's copy and to close the records: keeps its
    /// wave, and no room, since nothing of it is on the link any more.
    Finishing,
    /// Waits for a person or a returning site. Keeps neither room nor its wave.
    Held,
    /// Failed for good: counts against the failure budget until it is set to wait again.
    Failed,
    /// Arrived.
    Done,
    /// Called off.
    Cancelled,
}

/// How many moves stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Counts {
    /// To be started, those included that wait after a failed attempt.
    pub waiting: usize,
    /// Under way.
    pub running: usize,
    /// Arrived, and being tidied up after.
    pub finishing: usize,
    /// Waiting for a person or a returning site.
    pub held: usize,
    /// Failed for good.
    pub failed: usize,
    /// Arrived.
    pub done: usize,
    /// Called off.
    pub cancelled: usize,
}

impl Counts {
    pub(super) fn of(&mut self, standing: MoveStanding) -> &mut usize {
        match standing {
            MoveStanding::Waiting { .. } => &mut self.waiting,
            MoveStanding::Running => &mut self.running,
            MoveStanding::Finishing => &mut self.finishing,
            MoveStanding::Held => &mut self.held,
            MoveStanding::Failed => &mut self.failed,
            MoveStanding::Done => &mut self.done,
            MoveStanding::Cancelled => &mut self.cancelled,
        }
    }
}
