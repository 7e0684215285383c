//! What the model's world consists of at one moment. Holds no rule of the protocol.

use muster_core::claim::Claims;
use muster_core::definition::{Definition, Disk, Mode};
use muster_core::evidence::{Heard, Outcome};
use muster_core::ids::{Attempt, EvacuationId, HostName, SiteName, VmId, VmName};
use muster_core::ledger::{ArrivalRecord, AtDestination, AtSource, Mutation, RollEntry, Standing, VmRow};
use muster_core::reading::{Instance, SiteReading, Stored};
use muster_core::step::{Hold, Side};
use muster_core::token::Token;
use muster_core::verdict::Verdict;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use uuid::Uuid;

/// The VM of the model.
pub(crate) const VM: VmId = VmId(Uuid::from_u128(1));

/// Its evacuation.
pub(crate) const EVACUATION: EvacuationId = EvacuationId(Uuid::from_u128(2));

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) source: SourceSite,
    pub(crate) destination: DestinationSite,
    pub(crate) claims: Claims,
    pub(crate) actors: [Actor; 2],
    /// Commands that were sent and may arrive at any time, or never. Sorted: their order means nothing.
    pub(crate) bag: Vec<Message>,
    /// Faults that may still happen.
    pub(crate) faults: u8,
    /// A host's crash has taken the guest's memory, or the only proof of where it is.
    pub(crate) memory_lost: bool,
    /// Its owner has shut the guest down, and the hypervisor still remembers.
    pub(crate) shut_down: bool,
    /// The first promise that a step broke.
    pub(crate) broken: Option<Broken>,
}

/// A value that is cheap to copy and to compare: most steps leave it as it was.
#[derive(Debug, Clone)]
pub(crate) struct Kept<T> {
    value: Arc<T>,
    fingerprint: u64,
}

impl<T: Hash> Kept<T> {
    pub(crate) fn new(value: T) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Kept { fingerprint: hasher.finish(), value: Arc::new(value) }
    }
}

impl<T> std::ops::Deref for Kept<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Kept<T> {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint && self.value == other.value
    }
}

impl<T: Eq> Eq for Kept<T> {}

impl<T> Hash for Kept<T> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.fingerprint.hash(hasher);
    }
}

/// The source: its ledger's row and its one host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SourceSite {
    pub(crate) row: Kept<VmRow>,
    pub(crate) stored: Stored,
    pub(crate) instance: Instance,
    pub(crate) job: Option<Transfer>,
    pub(crate) call: Option<Call>,
}

/// The destination: its ledger's row, and a host for each attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DestinationSite {
    pub(crate) row: Kept<VmRow>,
    pub(crate) copies: Vec<Copy>,
    pub(crate) call: Option<Call>,
}

/// The transfer's job at the source's hypervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Transfer {
    pub(crate) attempt: Attempt,
    pub(crate) stage: Stage,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// The guest runs and its memory is sent.
    PreCopy,
    /// The guest is paused, its memory is whole on the other side, whose job is still on it.
    Handover,
    /// The other side has finished; its answer is on its way.
    Finishing,
}

/// What a destination host has of the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Copy {
    pub(crate) attempt: Attempt,
    pub(crate) stored: Stored,
    pub(crate) instance: Instance,
    pub(crate) job: bool,
    /// The guest has run elsewhere since this memory was taken. Truth that nobody can read.
    pub(crate) stale: bool,
}

impl Copy {
    pub(crate) fn holds_newest(&self) -> bool {
        !self.stale && matches!(self.instance, Instance::Paused | Instance::Running)
    }
}

/// A hypervisor call that was made and has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    pub(crate) mutation: Mutation,
    pub(crate) attempt: Option<Attempt>,
    /// The worker that made it still waits for it.
    pub(crate) watched: bool,
    /// The first of its two changes was made (a start: definition, then instance).
    pub(crate) half_done: bool,
}

/// A command on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    pub(crate) sender: Sender,
    pub(crate) token: Token,
    pub(crate) order: Order,
}

impl Message {
    pub(crate) fn rank(&self) -> (Token, Sender, u8) {
        (self.token, self.sender, self.order.rank())
    }
}

/// Who sent a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Sender {
    Actor(u8),
    SourceWorker,
}

/// What a command asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    Open(Attempt),
    Place(Attempt),
    Commit(Attempt),
    Run,
    Abandon(Attempt),
    Reopen(Attempt),
    Discard,
    CloseDestination(Outcome),
    Seal,
    Transfer(Attempt),
    Abort,
    Resume,
    Start,
    Unseal,
    Retire,
    CloseSource,
}

impl Order {
    pub(crate) fn side(self) -> Side {
        match self {
            Order::Open(_)
            | Order::Place(_)
            | Order::Commit(_)
            | Order::Run
            | Order::Abandon(_)
            | Order::Reopen(_)
            | Order::Discard
            | Order::CloseDestination(_) => Side::Destination,
            Order::Seal
            | Order::Transfer(_)
            | Order::Abort
            | Order::Resume
            | Order::Start
            | Order::Unseal
            | Order::Retire
            | Order::CloseSource => Side::Source,
        }
    }

    /// The attempt that the hypervisor call is for.
    pub(crate) fn attempt(self) -> Option<Attempt> {
        match self {
            Order::Open(attempt)
            | Order::Place(attempt)
            | Order::Commit(attempt)
            | Order::Abandon(attempt)
            | Order::Reopen(attempt)
            | Order::Transfer(attempt) => Some(attempt),
            Order::Run
            | Order::Discard
            | Order::CloseDestination(_)
            | Order::Seal
            | Order::Abort
            | Order::Resume
            | Order::Start
            | Order::Unseal
            | Order::Retire
            | Order::CloseSource => None,
        }
    }

    fn rank(self) -> u8 {
        match self {
            Order::Open(_) => 0,
            Order::Place(_) => 1,
            Order::Commit(_) => 2,
            Order::Run => 3,
            Order::Abandon(_) => 4,
            Order::Reopen(_) => 5,
            Order::Discard => 6,
            Order::CloseDestination(_) => 7,
            Order::Seal => 8,
            Order::Transfer(_) => 9,
            Order::Abort => 10,
            Order::Resume => 11,
            Order::Start => 12,
            Order::Unseal => 13,
            Order::Retire => 14,
            Order::CloseSource => 15,
        }
    }
}

/// Somebody who settles: an orchestrator, and its successor or a recovery.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Actor {
    /// The last token it issued.
    pub(crate) last: Token,
    pub(crate) phase: Phase,
}

/// Where an actor is in `observe → decide → act`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// It has not claimed yet.
    Unclaimed,
    /// It acted, or has nothing to do; looks next at what is streamed to it.
    Idle,
    /// One of the two streamed readings is there.
    Glanced(Glance),
    /// It must make a fenced observe: a new epoch, or what it decided needs one.
    Doubting,
    /// The destination's floor is raised, unless it doesn't answer.
    DestinationFenced { silent: bool },
    /// Both are, unless one of them doesn't answer; most one of them is silent.
    BothFenced {
        /// Who is.
        silent: Option<Side>,
    },
    /// The first reading behind the raised floors.
    Read(Glance),
    /// Its token was refused, or the move is over.
    Over,
}

/// One side's reading, taken first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Glance {
    Source(Heard<Kept<SiteReading>>),
    Destination(Heard<Kept<SiteReading>>),
}

/// A promise that a step broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Broken {
    /// A completion event for a VM whose source had not let go.
    EventBeforeGone,
    /// A completion event for a copy whose guest had run on elsewhere.
    EventForStaleCopy,
    /// The VM was booted from its disk while its memory was whole elsewhere.
    MemoryThrownAway,
    /// A line of the move before the one that it follows.
    Order(&'static str),
    /// A hold that nothing in the model's world gives cause for.
    Hold(Hold),
    /// What fenced evidence was said to prove is not so.
    Verdict(Verdict),
}

impl Broken {
    fn badness(self) -> u8 {
        match self {
            Broken::Hold(_) => 0,
            Broken::Verdict(_) => 1,
            Broken::Order(_) => 2,
            Broken::EventBeforeGone | Broken::EventForStaleCopy => 3,
            Broken::MemoryThrownAway => 4,
        }
    }
}

impl State {
    /// The start: on both rolls, running at the source, claimed by nobody.
    pub(crate) fn start(faults: u8) -> Self {
        let unclaimed = Actor { last: Token::ZERO, phase: Phase::Unclaimed };
        State {
            source: SourceSite {
                row: Kept::new(enrolled(Side::Source)),
                stored: Stored::Real,
                instance: Instance::Running,
                job: None,
                call: None,
            },
            destination: DestinationSite {
                row: Kept::new(enrolled(Side::Destination)),
                copies: Vec::new(),
                call: None,
            },
            claims: Claims::default(),
            actors: [unclaimed.clone(), unclaimed],
            bag: Vec::new(),
            faults,
            memory_lost: false,
            shut_down: false,
            broken: None,
        }
    }

    pub(crate) fn copy(&self, attempt: Attempt) -> Option<&Copy> {
        self.destination.copies.iter().find(|copy| copy.attempt == attempt)
    }

    pub(crate) fn copy_mut(&mut self, attempt: Attempt) -> Option<&mut Copy> {
        self.destination.copies.iter_mut().find(|copy| copy.attempt == attempt)
    }

    /// The destination's record. The model enrols on both sides before its first step.
    pub(crate) fn record(&self) -> &ArrivalRecord {
        &at_destination(&self.destination.row).record
    }

    pub(crate) fn at_destination(&self) -> &AtDestination {
        at_destination(&self.destination.row)
    }

    pub(crate) fn at_source(&self) -> &AtSource {
        match self.source.row.standing() {
            Some(Standing::Source(at)) => at,
            Some(Standing::Destination(_)) | None => unreachable!("the source's row is the source's from the start"),
        }
    }

    /// The attempt that the destination's ledger is at.
    pub(crate) fn attempt(&self) -> Option<Attempt> {
        match self.record() {
            ArrivalRecord::Started(started) | ArrivalRecord::Abandoned(started) => Some(started.attempt),
            ArrivalRecord::Completed(completed) => Some(completed.started.attempt),
            ArrivalRecord::Enrolled | ArrivalRecord::Closed(_) => None,
        }
    }

    /// The completion event stands.
    pub(crate) fn has_event(&self) -> bool {
        match self.record() {
            ArrivalRecord::Completed(_) => true,
            ArrivalRecord::Closed(closed) => closed.outcome == Outcome::Migrated,
            ArrivalRecord::Enrolled | ArrivalRecord::Started(_) | ArrivalRecord::Abandoned(_) => false,
        }
    }

    /// The destination holds the guest's newest memory, whole.
    pub(crate) fn newest_is_there(&self) -> bool {
        self.destination.copies.iter().any(Copy::holds_newest)
    }

    /// The source holds the guest's memory.
    pub(crate) fn source_is_alive(&self) -> bool {
        matches!(self.source.instance, Instance::Running | Instance::Paused)
    }

    /// The guest runs, or runs anew, at the source: whatever memory the destination has is not the newest any more.
    pub(crate) fn source_ran(&mut self) {
        for copy in &mut self.destination.copies {
            copy.stale |= copy.instance == Instance::Paused;
        }
    }

    /// Keeps the worst broken promise; of equally bad ones, the first.
    pub(crate) fn breaks(&mut self, broken: Broken) {
        if self.broken.is_none_or(|known| known.badness() < broken.badness()) {
            self.broken = Some(broken);
        }
    }

    pub(crate) fn send(&mut self, message: Message) {
        self.bag.push(message);
    }
}

fn at_destination(row: &VmRow) -> &AtDestination {
    match row.standing() {
        Some(Standing::Destination(at)) => at,
        Some(Standing::Source(_)) | None => unreachable!("the destination's row is the destination's from the start"),
    }
}

/// The destination host of an attempt: each has its own.
pub(crate) fn destination_host(attempt: Attempt) -> HostName {
    format!("d{attempt}").parse().expect("a letter and a number are a name")
}

pub(crate) fn source_host() -> HostName {
    "s".parse().expect("a letter is a name")
}

/// The VM's real definition: live, on shared storage, started by its host at boot.
pub(crate) fn definition() -> Definition {
    let name: VmName = "v".parse().expect("a letter is a VM's name");
    Definition {
        name,
        memory_mib: 1,
        vcpus: 1,
        disk: Disk::Shared,
        autostart: true,
        tags: Vec::new(),
        document: String::new(),
    }
}

fn enrolled(side: Side) -> VmRow {
    use muster_core::ledger::command::{VmCommand, VmOrder};
    let site = |name: &str| -> SiteName { name.parse().expect("a letter is a name") };
    let entry = RollEntry {
        evacuation: EVACUATION,
        vm: VM,
        mode: Mode::Live,
        source_site: site("a"),
        destination_site: site("b"),
        destination_host: destination_host(Attempt::FIRST),
        definition: definition(),
    };
    let order = VmOrder::Enrol { entry: Box::new(entry), side };
    let command = VmCommand { evacuation: EVACUATION, vm: VM, token: Token::new(0, 1), at: Default::default(), order };
    let applied = muster_core::ledger::transition::vm(&VmRow::unknown(VM), &command);
    let mut row = applied.expect("an empty ledger takes a roll").row;
    row.floor = Token::ZERO;
    row
}
