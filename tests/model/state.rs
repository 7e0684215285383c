//! What the model's world consists of at one moment. Holds no rule of the protocol.

use crate::kept::Kept;
use crate::message::Message;
use muster_core::claim::Claims;
use muster_core::decide::Goal;
use muster_core::definition::{Definition, Disk, Mode};
use muster_core::evidence::{Heard, Outcome};
use muster_core::ids::{Attempt, EvacuationId, HostName, SiteName, VmId, VmName};
use muster_core::ledger::{ArrivalRecord, AtDestination, AtSource, Mutation, RollEntry, Standing, VmRow};
use muster_core::reading::{Instance, OffCause, SiteReading, Stored};
use muster_core::step::{Hold, Side};
use muster_core::token::{Epoch, Token};
use muster_core::verdict::Verdict;
use uuid::Uuid;

/// The VM of the model.
pub(crate) const VM: VmId = VmId(Uuid::from_u128(1));

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) leg: Leg,
    pub(crate) source: SourceSite,
    pub(crate) destination: DestinationSite,
    pub(crate) claims: Claims,
    /// Orchestrators first, in no order of their own.
    pub(crate) actors: Vec<Actor>,
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

/// Which evacuation it is: there, or back again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Leg {
    There,
    Back,
}

impl Leg {
    pub(crate) fn evacuation(self) -> EvacuationId {
        EvacuationId(Uuid::from_u128(match self {
            Leg::There => 2,
            Leg::Back => 3,
        }))
    }
}

/// How a host is reached, or a whole source site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    /// It answers.
    Answers,
    /// It is cut off from its worker, and goes on.
    Cut,
    /// It is dead: nothing runs on it.
    Dead,
    /// The source's site is dead, its worker too.
    SiteDead,
}

impl Reach {
    pub(crate) fn is_dead(self) -> bool {
        match self {
            Reach::Dead | Reach::SiteDead => true,
            Reach::Answers | Reach::Cut => false,
        }
    }
}

/// The source: its ledger's row and its one host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SourceSite {
    pub(crate) row: Kept<VmRow>,
    pub(crate) reach: Reach,
    pub(crate) stored: Stored,
    pub(crate) instance: Instance,
    pub(crate) job: Option<Transfer>,
    pub(crate) call: Option<Call>,
}

/// The destination: its ledger's row, and its hosts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DestinationSite {
    pub(crate) row: Kept<VmRow>,
    pub(crate) hosts: Vec<Reach>,
    /// Most one a host.
    pub(crate) copies: Vec<Copy>,
    /// The first host still has the retired copy of the move there.
    pub(crate) has_retired: bool,
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

    pub(crate) fn is_off(&self) -> bool {
        matches!(self.instance, Instance::Off(_))
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

/// Somebody who settles.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Actor {
    /// The last token it issued.
    pub(crate) last: Token,
    /// Which end it wants.
    pub(crate) goal: Goal,
    /// Both sites have raised their floors under its claim.
    pub(crate) is_fenced: bool,
    pub(crate) phase: Phase,
}

/// Where an actor is in `observe → decide → act`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// It has not claimed yet.
    Unclaimed,
    /// It has read what it needs to claim; others may be faster.
    Claiming { expected: Epoch, at_least: Epoch },
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
    /// The VM was booted from its disk, or its copy discarded, while its memory was whole there.
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
    pub(crate) fn start(faults: u8, hosts: usize, actors: Vec<Actor>) -> Self {
        State {
            leg: Leg::There,
            source: SourceSite {
                row: Kept::new(enrolled(&VmRow::unknown(VM), Leg::There, Side::Source)),
                reach: Reach::Answers,
                stored: Stored::Real,
                instance: Instance::Running,
                job: None,
                call: None,
            },
            destination: DestinationSite {
                row: Kept::new(enrolled(&VmRow::unknown(VM), Leg::There, Side::Destination)),
                hosts: vec![Reach::Answers; hosts],
                copies: Vec::new(),
                has_retired: false,
                call: None,
            },
            claims: Claims::default(),
            actors,
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

    /// The host of an attempt: they take turns.
    pub(crate) fn host(&self, attempt: Attempt) -> usize {
        (attempt.count() as usize - 1) % self.destination.hosts.len()
    }

    pub(crate) fn host_reach(&self, attempt: Attempt) -> Reach {
        self.destination.hosts[self.host(attempt)]
    }

    /// The destination's record. The model enrols on both sides before its first step.
    pub(crate) fn record(&self) -> &ArrivalRecord {
        &self.at_destination().record
    }

    pub(crate) fn at_destination(&self) -> &AtDestination {
        match self.destination.row.standing() {
            Some(Standing::Destination(at)) => at,
            Some(Standing::Source(_)) | None => {
                unreachable!("the destination's row is the destination's from the start")
            }
        }
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

    /// Somebody has sworn that the source can't run anything.
    pub(crate) fn is_sworn(&self) -> bool {
        !self.claims.assertions.is_empty()
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

    /// The VM has arrived, and its evacuation has left nothing to do anywhere.
    pub(crate) fn may_move_back(&self) -> bool {
        let one_runs = matches!(self.destination.copies.as_slice(), [copy] if copy.instance == Instance::Running);
        let idle = |row: &VmRow, call: Option<Call>| row.intent.is_none() && call.is_none();
        self.leg == Leg::There
            && matches!(self.record(), ArrivalRecord::Closed(closed) if closed.outcome == Outcome::Migrated)
            && one_runs
            && idle(&self.source.row, self.source.call)
            && idle(&self.destination.row, self.destination.call)
            && self.source.reach == Reach::Answers
            && self.destination.hosts.iter().all(|reach| *reach == Reach::Answers)
    }

    /// Another evacuation brings it back: the sites change places, each with its ledger, floors and all. What was sent for
    /// the first one is still under way.
    pub(crate) fn move_back(&mut self, actors: Vec<Actor>) {
        let hosts = self.destination.hosts.len();
        let start = State::start(self.faults, hosts, actors);
        let source_row = Kept::new(enrolled(&self.destination.row, Leg::Back, Side::Source));
        let destination_row = Kept::new(enrolled(&self.source.row, Leg::Back, Side::Destination));
        *self = State {
            leg: Leg::Back,
            source: SourceSite { row: source_row, ..start.source },
            destination: DestinationSite { row: destination_row, has_retired: true, ..start.destination },
            bag: std::mem::take(&mut self.bag),
            broken: self.broken,
            ..start
        };
    }
}

/// The name of one of the destination's hosts.
pub(crate) fn destination_host(host: usize) -> HostName {
    format!("d{host}").parse().expect("a letter and a number are a name")
}

pub(crate) fn source_host() -> HostName {
    "s".parse().expect("a letter is a name")
}

/// A placeholder's copy, or what is left of one.
pub(crate) fn placeholder(attempt: Attempt) -> Copy {
    let instance = Instance::Off(OffCause::ShutDown);
    Copy { attempt, stored: Stored::Placeholder, instance, job: false, stale: false }
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

fn enrolled(row: &VmRow, leg: Leg, side: Side) -> VmRow {
    use muster_core::ledger::command::{VmCommand, VmOrder};
    let site = |name: &str| -> SiteName { name.parse().expect("a letter is a name") };
    let evacuation = leg.evacuation();
    let entry = RollEntry {
        evacuation,
        vm: VM,
        mode: Mode::Live,
        source_site: site("a"),
        destination_site: site("b"),
        destination_host: destination_host(0),
        definition: definition(),
    };
    let order = VmOrder::Enrol { entry: Box::new(entry), side };
    // The roll's own token, which nobody compares: the first claim of an evacuation writes it.
    let command = VmCommand {
        evacuation,
        vm: VM,
        token: row.floor.next(),
        caller: Default::default(),
        at: Default::default(),
        order,
    };
    let applied = muster_core::ledger::transition::vm(row, &command);
    let mut enrolled = applied.expect("a ledger without an open evacuation takes a roll").row;
    enrolled.floor = row.floor;
    enrolled
}
