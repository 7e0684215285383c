//! The runbook: what is to be moved, in which order and under which limits, as a person writes it in TOML.
//!
//! Validated as a whole: a text either becomes a [`Runbook`] or the list of everything that is wrong with it, each
//! [`Mistake`] with its line, its column and what to do about it. It decides nothing about a site: whether there is room and
//! what the selections match is [`crate::plan`]'s to say. It must never guess at what was meant.
//!
//! ```toml
//! name = "leave-hamburg"
//! [source]
//! site = "hamburg"
//! [destination]
//! site = "berlin"
//! [[select]]
//! all = true
//! ```

mod guardian;
mod mistake;
mod parse;
mod reader;
mod select;
pub mod selection;
mod timing;
mod tuning;

pub use crate::route::LINKS_MAX;
pub use mistake::{MISTAKES_MAX, Mistake};

use crate::calendar::Calendar;
use crate::decide::ColdStart;
use crate::definition::Mode;
use crate::guardian::Guardian;
use crate::ids::SiteName;
use crate::ladder::Ladder;
use crate::route::Link;
use crate::terms::Tuning;
use crate::time::Timestamp;
use selection::Selection;
use serde::Serialize;

/// Longest runbook, in bytes.
pub const RUNBOOK_MAX_BYTES: usize = 256 * 1024;

/// Longest name of a runbook or wave, in bytes.
pub const TITLE_MAX_BYTES: usize = 255;

/// Most waves of a runbook.
pub const WAVES_MAX: usize = 100;

/// Most selections of a wave.
pub const SELECTIONS_MAX: usize = 100;

/// The name of the one wave of a runbook that has its selections at the top.
pub const ONLY_WAVE: &str = "all";

/// An evacuation as somebody wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Runbook {
    /// What people call the evacuation.
    pub name: String,
    /// What it is for, in the writer's words.
    pub description: Option<String>,
    /// The site that is left.
    pub source: SiteName,
    /// The site that is moved to. Never the source.
    pub destination: SiteName,
    /// The waves, in the order they are carried out. At least one.
    pub waves: Vec<Wave>,
    /// How much may move at once.
    pub limits: Limits,
    /// What moves share on their way, beside their hosts' interfaces. At most [`LINKS_MAX`], each name once.
    pub links: Vec<Link>,
    /// When moves may begin.
    pub calendar: Calendar,
    /// When all is to be over. What ends later is planned all the same, after what is worth most.
    pub deadline_at: Option<Timestamp>,
    /// How a failed attempt is followed by the next.
    pub retry: Retry,
    /// When failures stop the rest.
    pub failure_budget: FailureBudget,
    /// What may be done by itself about VMs whose memory is lost.
    pub recovery: Recovery,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// What is kept afterwards.
    pub retention: Retention,
    /// How transfers are made. What it says of auto-converge stands in `ladder`.
    pub transfer: Tuning,
    /// What is done with transfers that don't converge.
    pub ladder: Ladder,
    /// What else starts and stops VMs, and how its hands are taken off one. At most [`Guardian::COUNT_MAX`], each name once.
    pub guardians: Vec<Guardian>,
}

impl Runbook {
    /// Reads a runbook.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file, at most [`MISTAKES_MAX`]. A text that isn't TOML
    /// has one mistake: where its reading broke off.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        parse::runbook(text)
    }

    /// The guardian of this name, if the runbook knows how to deal with it.
    #[must_use]
    pub fn guardian(&self, name: &str) -> Option<&Guardian> {
        self.guardians.iter().find(|guardian| guardian.name == name)
    }
}

/// A part of an evacuation that begins when the one before has nothing left to start and nothing under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wave {
    /// Its name; no other wave of the runbook has it.
    pub name: String,
    /// What it moves. At least one.
    pub selections: Vec<Selection>,
}

/// How a selection's VMs are to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ModeChoice {
    /// What runs is moved live, what is off is moved powered off.
    #[default]
    Auto,
    /// Running, with its memory.
    Live,
    /// Shut down, moved, started.
    Cold,
    /// Powered off: moved only, not started.
    Off,
}

impl ModeChoice {
    /// The mode that it fixes; none where it depends on the VM.
    #[must_use]
    pub fn fixed(self) -> Option<Mode> {
        match self {
            ModeChoice::Auto => None,
            ModeChoice::Live => Some(Mode::Live),
            ModeChoice::Cold => Some(Mode::Cold),
            ModeChoice::Off => Some(Mode::Off),
        }
    }
}

/// How many moves may be under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Limits {
    /// Away from one source host: 1 to 64, by default 4. Counted over all evacuations.
    pub per_source_host: u32,
    /// To one destination host: 1 to 64, by default 4. Counted over all evacuations.
    pub per_destination_host: u32,
    /// Of one site, those it sends and those it receives together: 1 to 10,000, by default the same as `total`. Counted
    /// over all evacuations.
    pub per_site: u32,
    /// Of this evacuation: 1 to 10,000, by default 16.
    pub total: u32,
    /// That read a disk from the storage of one source host, or write one to that of one destination host: 1 to 64, by default
    /// without a limit of their own. Counted over all evacuations.
    pub per_storage: Option<u32>,
    /// What a source host's interface carries, in megabits per second; by default it is no limit.
    pub source_host_mbit_s: Option<u64>,
    /// What a destination host's interface carries, in megabits per second; by default it is no limit.
    pub destination_host_mbit_s: Option<u64>,
    /// What one transfer reaches at most, in megabits per second; by default what its way carries.
    pub stream_mbit_s: Option<u64>,
}

impl Limits {
    /// Default of `per_source_host`. A move's fixed costs are mostly waiting, for QEMU to start and to end: measured, four at
    /// a time overlap them and take less than half as long as one after the other (docs/MEASURED.md). More would only share
    /// the link's rate.
    pub const PER_SOURCE_HOST: u32 = 4;
    /// Default of `per_destination_host`, for the same reason.
    pub const PER_DESTINATION_HOST: u32 = 4;
    /// Default of `total`.
    pub const TOTAL: u32 = 16;
    /// Most that a host may be allowed.
    pub const PER_HOST_MAX: u32 = 64;
    /// Most that a site or an evacuation may be allowed.
    pub const TOTAL_MAX: u32 = 10_000;
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            per_source_host: Limits::PER_SOURCE_HOST,
            per_destination_host: Limits::PER_DESTINATION_HOST,
            per_site: Limits::TOTAL,
            total: Limits::TOTAL,
            per_storage: None,
            source_host_mbit_s: None,
            destination_host_mbit_s: None,
            stream_mbit_s: None,
        }
    }
}

/// How a failed attempt is followed by the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Retry {
    /// How many attempts a move has in all: 1 to 10, by default 3.
    pub attempts: u32,
    /// The wait after the first failed attempt, in milliseconds: 10 to 600,000, by default 2,000. It doubles each time.
    pub backoff_ms: u64,
    /// The longest wait, in milliseconds: `backoff_ms` to 3,600,000, by default 60,000.
    pub backoff_max_ms: u64,
    /// Whether a wait is shortened by up to half at random, so that moves that failed together don't return together. By
    /// default true.
    pub jitter: bool,
}

impl Retry {
    /// Most attempts that a move may be given.
    pub const ATTEMPTS_MAX: u32 = 10;
    /// Shortest wait, in milliseconds.
    pub const BACKOFF_MIN_MS: u64 = 10;
    /// Longest first wait, in milliseconds.
    pub const BACKOFF_MAX_MS: u64 = 600_000;
    /// Longest wait of all, in milliseconds.
    pub const BACKOFF_CEILING_MS: u64 = 3_600_000;

    /// How long to wait after so many failed attempts, in milliseconds. `dice` is a random number from whoever calls.
    #[must_use]
    pub fn backoff_after_ms(&self, failed_attempts: u32, dice: u64) -> u64 {
        let doublings = failed_attempts.saturating_sub(1).min(63);
        let longest = self.backoff_ms.saturating_mul(1 << doublings).min(self.backoff_max_ms);
        if self.jitter { longest - dice % (longest / 2 + 1) } else { longest }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Retry { attempts: 3, backoff_ms: 2_000, backoff_max_ms: 60_000, jitter: true }
    }
}

/// When failures stop the rest. Whatever stands here, a failed VM alone never stops another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureBudget {
    /// Never.
    #[default]
    Unlimited,
    /// Nothing new is started once more moves than this have failed for good.
    Moves(u32),
    /// The same, as a share of the evacuation's moves in percent: 0 to 100, rounded down to whole moves.
    Percent(u8),
}

impl FailureBudget {
    /// Most moves that can be budgeted.
    pub const MOVES_MAX: u32 = 1_000_000;

    /// Whether so many failures, of so many moves in all, are more than it allows.
    #[must_use]
    pub fn is_overdrawn(self, failed: usize, moves: usize) -> bool {
        let allowed = match self {
            FailureBudget::Unlimited => return false,
            FailureBudget::Moves(allowed) => u128::from(allowed),
            FailureBudget::Percent(percent) => moves as u128 * u128::from(percent) / 100,
        };
        failed as u128 > allowed
    }
}

/// What may be done by itself about VMs whose memory is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Recovery {
    /// Whether they may be started from their disks.
    pub cold_start: ColdStartPolicy,
}

/// Whether a VM whose memory is lost may be started at the destination from a good disk, its source being fenced. A
/// person can order it for one VM whatever stands here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ColdStartPolicy {
    /// Never by itself.
    #[default]
    Never,
    /// Yes, if its move had begun.
    Policy,
}

impl From<ColdStartPolicy> for ColdStart {
    fn from(policy: ColdStartPolicy) -> ColdStart {
        match policy {
            ColdStartPolicy::Never => ColdStart::Never,
            ColdStartPolicy::Policy => ColdStart::Policy,
        }
    }
}

/// How long things may take, in milliseconds, each 100 to 604,800,000 (seven days).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Deadlines {
    /// A transfer's setup, until it sends. By default 60,000; past it the transfer is aborted.
    pub setup_ms: u64,
    /// What a transfer sends while its guest runs; none means that only its failure, or the ladder, ends it. By default none;
    /// past it the transfer is aborted.
    pub transfer_ms: Option<u64>,
    /// A handover: the guest stands still, and the source hasn't let go. Past it nothing is aborted; once the hypervisors have
    /// ended it, one direction is recorded and followed. By default 30,000.
    pub handover_ms: u64,
    /// All is sent, and the hypervisors settle who has it. Past it the move is visibly held. By default 30,000.
    pub finish_ms: u64,
    /// How long a silent site is waited for before the move is visibly held. By default 30,000.
    pub silence_ms: u64,
}

impl Deadlines {
    /// Shortest deadline, in milliseconds.
    pub const MIN_MS: u64 = 100;
    /// Longest deadline, in milliseconds: seven days.
    pub const MAX_MS: u64 = 7 * 24 * 3_600_000;
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines { setup_ms: 60_000, transfer_ms: None, handover_ms: 30_000, finish_ms: 30_000, silence_ms: 30_000 }
    }
}

/// What is kept after a VM has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Retention {
    /// How long the source keeps a retired copy without disks of its own, in milliseconds: 1,000 to 315,360,000,000 (ten
    /// years). By default for ever.
    pub retired_copies_ms: Option<u64>,
}

impl Retention {
    /// Shortest time that a retired copy can be kept, in milliseconds.
    pub const MIN_MS: u64 = 1_000;
    /// Longest time, in milliseconds: ten years.
    pub const MAX_MS: u64 = 3_650 * 24 * 3_600_000;
}
