//! `decide`: from evidence to the verdict and the one next step. Serves running and recovering alike.
//!
//! Pure and total: every combination of evidence has an answer, checked by the exhaustive table test against an
//! oracle written from the design alone. It must never read a clock (a deadline's passing is part of the evidence)
//! and a passed deadline never changes a verdict, only the step.
//!
//! ```text
//!                 ┌ destination silent ─▶ silent.rs
//!   evidence ─────┤ record: none, given up ─▶ unstarted.rs   (go on, or go back)
//!                 │ record: started        ─▶ started.rs     (the faults of a transfer)
//!                 └ record: completed      ─▶ completed.rs   (forward only)
//! ```

mod completed;
mod silent;
mod source;
mod started;
mod unstarted;

use crate::definition::Mode;
use crate::evidence::{
    CopyState, DestinationEvidence, DiskEvidence, Evidence, Freshness, Heard, OtherCopy, Outcome, Record, Seal,
    SourceEvidence, SourceInstance, TransferTrace,
};
use crate::ids::Attempt;
use crate::step::{Action, Decision, Hold, Step, Wait};
use crate::verdict::{Doubt, Verdict};
use serde::{Deserialize, Serialize};
use source::SourceStanding;

/// What is wanted of one move: everything `decide` knows besides the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MoveOrder {
    /// How the VM is moved.
    pub mode: Mode,
    /// Which end is wanted.
    pub goal: Goal,
    /// How many attempts may be started in all.
    pub attempts_max: u32,
    /// Whether a VM whose memory is lost may be started from its disk at the destination.
    pub cold_start: ColdStart,
    /// An attempt that a site has refused to carry further, and will go on refusing.
    pub refused: Option<Attempt>,
    /// What is done about what given-up attempts have left.
    pub leftovers: Leftovers,
}

/// What is done about inert leftovers of given-up attempts. Memory is no inert leftover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Leftovers {
    /// They are removed before the move goes on.
    AreDiscarded,
    /// They could not be removed, again and again: the move goes on, and they stay the destination's to clean up.
    AreLeft,
}

/// Which end of a move is wanted. After the completion event it makes no difference any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Goal {
    /// At the destination.
    Finish,
    /// At the source, as before.
    Undo,
}

/// Whether a VM whose memory is lost may be started at the destination, from a good disk, with its source fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ColdStart {
    /// Never by itself.
    Never,
    /// Yes, for VMs whose move had begun: the runbook's policy.
    Policy,
    /// Yes, also for VMs left behind and for copies whose source may have run on: a person's order for this VM.
    Ordered,
}

/// Decides what is proven about a VM and what comes next.
#[must_use]
pub fn decide(order: &MoveOrder, evidence: &Evidence) -> Decision {
    let source = SourceStanding::of(order.mode, evidence);
    let decision = match evidence.destination {
        Heard::Silent => silent::decide(order.mode, source, evidence),
        Heard::Answer(destination) => {
            let case = Case { order, evidence, destination, source };
            case.not_while_busy(case.decide())
        }
    };
    only_forward_on_streams(evidence.freshness, decision)
}

/// Streamed evidence carries a move forward and nothing else: for the rest, look again behind raised floors.
fn only_forward_on_streams(freshness: Freshness, decision: Decision) -> Decision {
    let needs_fence = match decision.step {
        Step::Act(action) => action.needs_fence(),
        Step::Hold(_) => true,
        Step::ObserveFenced | Step::Wait(_) | Step::Settled(_) => false,
    };
    match freshness {
        Freshness::Streamed if needs_fence => Decision { step: Step::ObserveFenced, ..decision },
        Freshness::Streamed | Freshness::Fenced => decision,
    }
}

/// One VM's evidence with the destination's answer at hand.
struct Case<'a> {
    order: &'a MoveOrder,
    evidence: &'a Evidence,
    destination: DestinationEvidence,
    source: SourceStanding,
}

impl Case<'_> {
    fn decide(&self) -> Decision {
        if let Record::Closed(outcome) = self.destination.record {
            return settled(outcome);
        }
        if self.two_run() {
            return hold(Verdict::SplitBrain, Hold::SplitBrain);
        }
        match self.destination.record {
            Record::NotOnRoll if self.source_has_let_go() => doubt(Doubt::RecordsDisagree, Hold::Contradiction),
            Record::NotOnRoll => hold(Verdict::NotStarted, Hold::NotOnRoll),
            Record::Enrolled => self.enrolled(),
            Record::Abandoned { .. } => self.abandoned(),
            Record::Started { attempt, kind } => self.started(attempt, kind),
            Record::Completed { attempt: _, kind } => self.completed(kind),
            Record::Closed(outcome) => settled(outcome),
        }
    }

    /// Invariant 1: two hosts of one side, or both sides, run it.
    fn two_run(&self) -> bool {
        let copy_runs = self.destination.copy == CopyState::Running;
        let other_runs = self.destination.other == OtherCopy::Running;
        let source_runs = self.source == SourceStanding::Running;
        self.source == SourceStanding::Several
            || (copy_runs && other_runs)
            || ((copy_runs || other_runs) && source_runs)
    }

    /// No command while a call or job is under way on either side, but for the one that ends the job.
    fn not_while_busy(&self, decision: Decision) -> Decision {
        let busy = self.destination.busy || self.source == SourceStanding::Busy;
        match decision.step {
            Step::Act(Action::AbortTransfer) => decision,
            Step::Act(_) if busy => Decision { step: Step::Wait(Wait::Job), ..decision },
            Step::Act(_) | Step::ObserveFenced | Step::Wait(_) | Step::Hold(_) | Step::Settled(_) => decision,
        }
    }

    fn seal(&self) -> Option<Seal> {
        match self.evidence.source {
            Heard::Silent => None,
            Heard::Answer(SourceEvidence { seal, .. }) => Some(seal),
        }
    }

    fn is_sealed(&self) -> bool {
        match self.seal() {
            Some(Seal::Sealed(_) | Seal::Gone { .. }) => true,
            Some(Seal::NotOnRoll | Seal::Unsealed | Seal::Retired | Seal::Closed) | None => false,
        }
    }

    /// The source's ledger says that it was handed over: no record of none at the destination fits that.
    fn source_has_let_go(&self) -> bool {
        matches!(self.seal(), Some(Seal::Gone { .. } | Seal::Retired))
    }

    /// The host that has the VM at the source does not answer, whatever the ledger there proves.
    fn source_host_is_silent(&self) -> bool {
        match self.evidence.source {
            Heard::Silent => true,
            Heard::Answer(answer) => answer.instance == SourceInstance::HostSilent,
        }
    }

    /// By the source's own word no transfer of this attempt was ever begun, or, for what moves by its disk, none has
    /// handed over: nothing can have arrived, whatever the destination's host would say.
    fn nothing_can_have_arrived(&self) -> bool {
        if self.source == SourceStanding::Busy && self.source_host_is_silent() {
            return false;
        }
        match self.seal() {
            Some(Seal::Unsealed | Seal::Sealed(TransferTrace::NotBegun)) => true,
            Some(Seal::Sealed(TransferTrace::Failed)) if self.source == SourceStanding::Silent => true,
            Some(
                Seal::Sealed(TransferTrace::Begun | TransferTrace::Failed) | Seal::Gone { of_this_attempt: false },
            ) => self.order.mode != Mode::Live && self.source == SourceStanding::Stopped,
            Some(Seal::Gone { of_this_attempt: true } | Seal::NotOnRoll | Seal::Retired | Seal::Closed) | None => false,
        }
    }

    /// A retired copy without an event: retiring comes after the event, so one of the two ledgers is not what it was.
    fn retired_without_event(&self) -> bool {
        self.seal() == Some(Seal::Retired)
    }

    /// Whether this is to be removed before the move goes on.
    fn is_in_the_way(&self, left: OtherCopy) -> bool {
        match left {
            OtherCopy::Inert => self.order.leftovers == Leftovers::AreDiscarded,
            OtherCopy::HoldsMemory => true,
            OtherCopy::Absent | OtherCopy::Foreign | OtherCopy::Running => false,
        }
    }

    fn wants_another_attempt(&self, last: Option<Attempt>) -> bool {
        let used = last.map_or(0, Attempt::count);
        self.order.goal == Goal::Finish && used < self.order.attempts_max
    }

    /// The way to a cold start of a VM whose source is fenced: `first` if it is allowed, else the reason why not.
    fn towards_cold_start(&self, verdict: Verdict, first: Action) -> Decision {
        let moves_memory = self.order.mode != Mode::Off;
        let allowed = match self.order.cold_start {
            ColdStart::Never => false,
            ColdStart::Policy => moves_memory && self.order.goal == Goal::Finish,
            ColdStart::Ordered => true,
        };
        if self.destination.disk == DiskEvidence::Partial {
            hold(verdict, Hold::NoGoodDisk)
        } else if allowed && self.destination.disk == DiskEvidence::Complete {
            // The copy belongs to this attempt: another one would begin by destroying the last good disk.
            hold(verdict, Hold::NoGoodDisk)
        } else if allowed {
            act(verdict, first)
        } else if moves_memory {
            hold(verdict, Hold::ColdStartNotAllowed)
        } else {
            hold(verdict, Hold::LeftBehind)
        }
    }
}

fn act(verdict: Verdict, action: Action) -> Decision {
    Decision { verdict, step: Step::Act(action) }
}

fn wait(verdict: Verdict, wait: Wait) -> Decision {
    Decision { verdict, step: Step::Wait(wait) }
}

fn hold(verdict: Verdict, hold: Hold) -> Decision {
    Decision { verdict, step: Step::Hold(hold) }
}

fn doubt(doubt: Doubt, because: Hold) -> Decision {
    hold(Verdict::Indeterminate(doubt), because)
}

fn settled(outcome: Outcome) -> Decision {
    let verdict = match outcome {
        Outcome::Migrated => Verdict::FullyMigrated,
        Outcome::StayedAtSource => Verdict::NotMigrated,
    };
    Decision { verdict, step: Step::Settled(outcome) }
}
