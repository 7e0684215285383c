//! The protocol with the bounds of one exploration, and the rules that are known to be bad.

use muster_core::decide::{ColdStart, Goal};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

/// What is explored.
#[derive(Debug, Clone)]
pub(crate) struct Protocol {
    /// The one rule that is not as shipped.
    pub(crate) broken: Option<BadRule>,
    /// How many orchestrators take part.
    pub(crate) orchestrators: usize,
    /// A recovery takes part, and which end it wants.
    pub(crate) recovery: Option<Goal>,
    /// Which end the orchestrators want.
    pub(crate) goal: Goal,
    /// A person may cancel, at each orchestrator at a moment of its own.
    pub(crate) may_cancel: bool,
    /// Most attempts.
    pub(crate) attempts_max: u32,
    /// How many hosts the destination has; attempts take turns.
    pub(crate) hosts: usize,
    /// Most faults in one history.
    pub(crate) faults: u8,
    /// Hosts are cut off or die, and come back at any later moment or never. Otherwise they restart at once.
    pub(crate) hosts_vanish: bool,
    /// A person may swear that a dead source can't run anything; what the runbook allows then.
    pub(crate) sworn: Option<ColdStart>,
    /// What was sworn to be fenced, and came back, may vanish once more.
    pub(crate) sworn_vanishes_again: bool,
    /// The source's worker asks the destination's before its copy may run. Else the rest has to hold without.
    pub(crate) asks_destination: bool,
    /// What has arrived is moved back by another evacuation.
    pub(crate) moves_back: bool,
    /// What has to be seen: names of [`crate::check::sights`].
    pub(crate) shows: &'static [&'static str],
    /// What was already found to settle.
    pub(crate) settled: Arc<Mutex<HashSet<u64>>>,
}

/// Most commands of those who settle that are under way at once.
pub(crate) const IN_FLIGHT_MAX: usize = 2;

/// A rule that the design forbids. Each has to be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadRule {
    /// Workers refuse nothing.
    NoFloor,
    /// Workers refuse only what is of an older epoch.
    FloorByEpoch,
    /// What needs a fenced observe is done on streams.
    Unfenced,
    /// A new claim begins on streams.
    ClaimsOnStreams,
    /// A fenced observe that only one side has heard is as good as one that both have.
    HalfAFence,
    /// The fenced observe reads the destination before the source.
    DestinationFirst,
    /// The source is resumed when the handover's deadline has passed, its attempt open.
    ResumesOnTimeout,
    /// The destination's hypervisor lets its guest run when it has finished, as libvirt does if left alone.
    RunsInFinish,
    /// The source's worker takes a paused guest for a proof that it is gone.
    PausedIsGone,
    /// Sealing leaves the stored definition as it is.
    NoSeal,
    /// The source is retired as soon as it is gone.
    RetiresBeforeEvent,
    /// A host that doesn't answer counts as one that has nothing.
    SilentIsAbsent,
    /// What a given-up attempt left is discarded, whatever it holds.
    DiscardsMemory,
    /// The source's worker answers a fenced observe before it has written down what it can prove.
    AnswersBeforeProof,
    /// The source's worker calls an unsealing done without another look.
    UnsealsBlindly,
    /// A mutation that went wrong ends before what should be inert is so again.
    InertTooLate,
}

impl BadRule {
    /// It is about what workers refuse.
    pub(crate) fn is_of_floors(self) -> bool {
        self == BadRule::NoFloor || self == BadRule::FloorByEpoch
    }
}

impl Protocol {
    /// The protocol as it is shipped: one orchestrator and its successor.
    pub(crate) fn shipped(faults: u8, attempts_max: u32) -> Self {
        Protocol {
            broken: None,
            orchestrators: 2,
            recovery: None,
            goal: Goal::Finish,
            may_cancel: false,
            attempts_max,
            hosts: 2,
            faults,
            hosts_vanish: false,
            sworn: None,
            sworn_vanishes_again: false,
            asks_destination: false,
            moves_back: false,
            shows: &[],
            settled: Arc::default(),
        }
    }

    /// The same with one rule broken.
    pub(crate) fn broken(self, rule: BadRule) -> Self {
        Protocol { broken: Some(rule), ..self }
    }

    /// Whether this rule is the broken one.
    pub(crate) fn is(&self, rule: BadRule) -> bool {
        self.broken == Some(rule)
    }

    /// Workers refuse what is below their floors.
    pub(crate) fn has_floors(&self) -> bool {
        self.broken.is_none_or(|rule| !rule.is_of_floors())
    }

    pub(crate) fn cold_start(&self) -> ColdStart {
        self.sworn.unwrap_or(ColdStart::Never)
    }
}
