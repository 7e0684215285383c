//! The state machine of a site's ledger, one row a VM. Pure: the store makes what it returns durable.
//!
//! A row says what this site has promised about a VM. [`command`] names what may be asked of it, [`transition`] is the
//! only code that changes one, [`weigh`] turns two sites' readings into evidence.
//!
//! ```text
//! destination:  Enrolled ─▶ Started n ─▶ Completed n ─▶ Closed(Migrated)
//!                  │          │    ▲
//!                  │          ▼    │ Reopen: it had arrived after all
//!                  │       Abandoned n ─▶ Started n+1 …
//!                  └──────────┴──────────▶ Closed(StayedAtSource)
//!
//! source:       Unsealed ─▶ Sealed ─▶ Gone ─▶ Retired ─▶ closed ─▶ its copy deleted, if it isn't kept for ever
//!                  ▲           │        │
//!                  └───────────┴────────┘ unsealed, only after the attempt was abandoned, or never sealed in truth
//! ```

pub mod command;
mod high_water;
pub mod rebuild;
pub mod transition;
pub mod weigh;

pub use high_water::{HighWater, HistoryEntry};

use crate::definition::{Definition, Disk, Mode};
use crate::evidence::{ArrivalKind, Outcome};
use crate::ids::{Attempt, EvacuationId, HostName, SiteName, VmId};
use crate::time::Timestamp;
use crate::token::Token;
use serde::{Deserialize, Serialize};

/// Most leftovers a row keeps. A further attempt is refused until one is cleaned up.
pub const LEFTOVERS_MAX: usize = 16;

/// One VM of an evacuation, as written on the roll of both sites before anything moves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RollEntry {
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// The VM.
    pub vm: VmId,
    /// How it is moved.
    pub mode: Mode,
    /// The site it leaves.
    pub source_site: SiteName,
    /// The site it goes to.
    pub destination_site: SiteName,
    /// The host that it is meant for.
    pub destination_host: HostName,
    /// Its real definition when the roll was made.
    pub definition: Definition,
}

/// What a site's ledger holds of one VM.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VmRow {
    /// The VM.
    pub vm: VmId,
    /// The greatest token seen; survives every evacuation.
    pub floor: Token,
    /// The evacuation that it belongs to, or last belonged to.
    pub enrolled: Option<Enrolled>,
    /// The hypervisor mutation that was begun and isn't known to have ended.
    pub intent: Option<Intent>,
}

impl VmRow {
    /// The row of a VM that the ledger has never heard of.
    #[must_use]
    pub fn unknown(vm: VmId) -> Self {
        VmRow { vm, floor: Token::ZERO, enrolled: None, intent: None }
    }

    /// Its standing, without the definition.
    #[must_use]
    pub fn standing(&self) -> Option<&Standing> {
        self.enrolled.as_ref().map(|enrolled| &enrolled.standing)
    }
}

/// A VM's place in an evacuation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Enrolled {
    /// Its entry of the roll.
    pub entry: RollEntry,
    /// How far it has come.
    pub standing: Standing,
}

/// How far a VM has come, by one site's ledger. Without definitions, so it is cheap to report.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// This site is where it goes.
    Destination(AtDestination),
    /// This site is what it leaves.
    Source(AtSource),
}

impl Standing {
    /// The evacuation.
    #[must_use]
    pub fn evacuation(&self) -> EvacuationId {
        match self {
            Standing::Destination(at) => at.evacuation,
            Standing::Source(at) => at.evacuation,
        }
    }

    /// Whether this side's part is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match self {
            Standing::Destination(at) => matches!(at.record, ArrivalRecord::Closed(_)),
            Standing::Source(at) => at.closed,
        }
    }
}

/// A VM at the ledger of the site it goes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AtDestination {
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// How it is moved.
    pub mode: Mode,
    /// Where its disk lives.
    pub disk: Disk,
    /// How far its arrival has come.
    pub record: ArrivalRecord,
    /// Attempts that were given up and may still have something on a host.
    pub leftovers: Vec<Started>,
}

/// How far an arrival has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ArrivalRecord {
    /// On the roll only.
    Enrolled,
    /// The started record.
    Started(Started),
    /// Given up for good: no event can be written for it.
    Abandoned(Started),
    /// The completion event.
    Completed(Completed),
    /// Over.
    Closed(Closed),
}

/// A started record: "VM v, attempt a, is about to arrive here".
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Started {
    /// The attempt.
    pub attempt: Attempt,
    /// The host it is sent to.
    pub host: HostName,
    /// How it comes up.
    pub kind: ArrivalKind,
    /// The token of the command that opened it.
    pub token: Token,
    /// When.
    pub at: Timestamp,
}

/// A completion event with the record it completes: "attempt a of v is here now". Never discarded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Completed {
    /// The record.
    pub started: Started,
    /// The token that the commit carried.
    pub token: Token,
    /// When the event was written.
    pub at: Timestamp,
    /// The copy ran already when it was written: somebody had resumed it.
    pub late: bool,
    /// Since when it runs here, once it does.
    pub ran: Option<Ran>,
}

/// That the VM was let run at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ran {
    /// When.
    pub at: Timestamp,
    /// How long its guest stood still, commit included; unknown for late events and for VMs that were not running.
    pub downtime_ms: Option<u64>,
}

/// The end of a move at the destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Closed {
    /// Where the VM is.
    pub outcome: Outcome,
    /// How many attempts it took.
    pub attempts: u32,
    /// When.
    pub at: Timestamp,
    /// How long its guest stood still in the attempt that arrived.
    pub downtime_ms: Option<u64>,
}

/// A VM at the ledger of the site it leaves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AtSource {
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// How it is moved.
    pub mode: Mode,
    /// How far it has been let go.
    pub state: SourceState,
    /// This side's part is over.
    pub closed: bool,
    /// What becomes of its copy once that is retired. Ledgers of before it could be deleted lack it.
    #[serde(default)]
    pub retired_copy: RetiredCopy,
}

impl AtSource {
    /// Whether its retired copy's time has come: this side's part is over, and the copy isn't kept for ever.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        match (&self.state, self.retired_copy) {
            (SourceState::Retired, RetiredCopy::KeptUntil { at, .. }) => self.closed && at <= now,
            (SourceState::Retired, RetiredCopy::Kept | RetiredCopy::Deleted { .. })
            | (SourceState::Unsealed | SourceState::Sealed { .. } | SourceState::Gone { .. }, _) => false,
        }
    }
}

/// What becomes of a source's retired copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum RetiredCopy {
    /// It is kept until a person deletes it.
    #[default]
    Kept,
    /// Its site deletes it when this time has come.
    KeptUntil {
        /// When, by the clock of its site's worker.
        at: Timestamp,
        /// How long that was after it was retired, or last made inert again, in milliseconds: 1,000 to 315,360,000,000.
        keep_ms: u64,
    },
    /// Its site has deleted it, or a person had before its time came.
    Deleted {
        /// When.
        at: Timestamp,
    },
}

/// How far the source has let go of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SourceState {
    /// As it was.
    Unsealed,
    /// Its stored definition can't start, or is about to be made so.
    Sealed {
        /// The transfer that was last begun.
        transfer: Option<Transfer>,
    },
    /// Proven to have stopped after this attempt's handover. Durable before the arrival is committed.
    Gone {
        /// The transfer it was handed over by.
        transfer: Transfer,
    },
    /// Not Runnable, after the event.
    Retired,
}

/// A transfer, as its source remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Transfer {
    /// The attempt it belongs to.
    pub attempt: Attempt,
    /// The token that its commit must carry: the transfer's own, never a newer one.
    pub token: Token,
    /// Where to.
    pub host: HostName,
    /// Why it ended without an arrival, if it did.
    pub failed: Option<String>,
}

/// A hypervisor mutation that was begun: durable before the call, cleared after it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Intent {
    /// What was ordered.
    pub mutation: Mutation,
    /// By which token.
    pub token: Token,
    /// When.
    pub at: Timestamp,
}

/// The hypervisor mutations a worker makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mutation {
    /// Define the placeholder.
    Place,
    /// Let the VM run after its event.
    Run,
    /// Remove what given-up attempts left.
    Discard,
    /// Seal the definition.
    Seal,
    /// Begin the transfer.
    Transfer,
    /// Abort the transfer.
    Abort,
    /// Change the transfer's bandwidth or downtime while it runs.
    Adjust,
    /// Resume the paused source.
    Resume,
    /// Real definition back, and start.
    Start,
    /// Real definition back.
    Unseal,
    /// Make it Not Runnable.
    Retire,
    /// Take Not Runnable back, by an admin's explicit order.
    Release,
    /// Delete the retired copy: its time has come.
    Delete,
}
