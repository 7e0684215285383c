//! A started record stands and no event: everything that can go wrong in a transfer.
//!
//! Invariant 2 (None lost) rules here: until the event the source's definition, memory and disk stay as they are,
//! and whatever would make the source run again comes only after the attempt was abandoned at the destination.

use super::source::SourceStanding;
use super::{Case, act, doubt, hold, wait};
use crate::definition::Mode;
use crate::evidence::{ArrivalKind, CopyState, DiskEvidence, Freshness, OtherCopy, Seal, TransferTrace};
use crate::ids::Attempt;
use crate::step::{Action, Decision, Hold, Step, Wait};
use crate::verdict::{Doubt, Verdict};

impl Case<'_> {
    pub(super) fn started(&self, attempt: Attempt, kind: ArrivalKind) -> Decision {
        if self.retired_without_event() {
            return doubt(Doubt::RecordsDisagree, Hold::Contradiction);
        }
        if self.destination.other == OtherCopy::Running {
            return doubt(Doubt::ForeignCopy, Hold::ForeignCopy);
        }
        let takes_no_part = matches!(self.seal(), Some(Seal::Closed | Seal::NotOnRoll));
        let decision = match kind {
            // A cold start needs nothing of its source but that it stays fenced.
            ArrivalKind::ColdStart if takes_no_part && self.source == SourceStanding::Fenced => {
                Decision { verdict: Verdict::NotMigrated, ..self.cold_start() }
            }
            ArrivalKind::Transfer | ArrivalKind::ColdStart if takes_no_part => return self.source_takes_no_part(),
            ArrivalKind::Transfer => self.transfer(),
            ArrivalKind::ColdStart => self.cold_start(),
        };
        self.give_up_if_unwanted(attempt, kind, decision)
    }

    fn transfer(&self) -> Decision {
        match self.destination.copy {
            CopyState::Absent | CopyState::Placeholder => self.not_arrived(),
            CopyState::Incoming => self.arriving(),
            CopyState::Paused => self.arrived_paused(),
            CopyState::Running => self.runs_without_event(),
            CopyState::Crashed | CopyState::ShutDown => self.arrived_and_ended(),
            CopyState::HostSilent => self.destination_host_silent(),
        }
    }

    /// An attempt that nobody wants any more, or that a site refuses, is given up where a step forward stood, or
    /// where only the job keeps it alive.
    fn give_up_if_unwanted(&self, attempt: Attempt, kind: ArrivalKind, decision: Decision) -> Decision {
        // A person's order for this VM counts for more than the wish that all be undone.
        let ordered = kind == ArrivalKind::ColdStart && self.order.cold_start == super::ColdStart::Ordered;
        let undone = self.order.goal == super::Goal::Undo && !ordered;
        let unwanted = undone || self.order.refused == Some(attempt);
        if !unwanted {
            return decision;
        }
        let has_arrived = matches!(self.destination.copy, CopyState::Paused | CopyState::Running);
        let job_can_be_ended = kind == ArrivalKind::Transfer
            && self.seal() == Some(Seal::Sealed(TransferTrace::Begun))
            && self.source == SourceStanding::Busy
            && !self.source_host_is_silent()
            && !has_arrived;
        match decision.step {
            Step::Act(Action::MakePlaceholder | Action::Seal | Action::Transfer)
            | Step::Hold(Hold::NotRunning | Hold::NotOff | Hold::ForeignCopy | Hold::NotOnRoll) => {
                act(decision.verdict, Action::Abandon)
            }
            Step::Wait(Wait::Job) if job_can_be_ended => act(decision.verdict, Action::AbortTransfer),
            Step::Act(_) | Step::Wait(_) | Step::Hold(_) | Step::ObserveFenced | Step::Settled(_) => decision,
        }
    }

    /// The source's ledger says that it takes no part in this move: nothing can be handed over any more.
    fn source_takes_no_part(&self) -> Decision {
        if self.source == SourceStanding::Busy {
            let runs_here = self.destination.copy == CopyState::Running;
            let unknown = Verdict::Indeterminate(Doubt::RunsWithoutEvent);
            return wait(if runs_here { unknown } else { Verdict::NotMigrated }, Wait::Job);
        }
        match self.destination.copy {
            CopyState::Absent | CopyState::Placeholder => act(Verdict::NotMigrated, Action::Abandon),
            CopyState::HostSilent if self.source == SourceStanding::Running => {
                act(Verdict::NotMigrated, Action::Abandon)
            }
            CopyState::HostSilent => doubt(Doubt::DestinationHostSilent, Hold::DestinationHostSilent),
            CopyState::Incoming | CopyState::Paused | CopyState::Running | CopyState::Crashed | CopyState::ShutDown => {
                doubt(Doubt::RecordsDisagree, Hold::Contradiction)
            }
        }
    }

    /// The placeholder, or not even that: no memory is at the destination. What moves by its disk may have arrived all
    /// the same.
    fn not_arrived(&self) -> Decision {
        let moves_by_disk = self.order.mode != Mode::Live;
        let disk_may_be_here =
            self.destination.copy == CopyState::Placeholder && self.destination.disk != DiskEvidence::Partial;
        match self.source {
            SourceStanding::Silent if moves_by_disk && disk_may_be_here && !self.nothing_can_have_arrived() => {
                doubt(Doubt::SourceSilent, Hold::SourceSilent)
            }
            SourceStanding::Silent => hold(Verdict::NotMigrated, Hold::SourceSilent),
            SourceStanding::Fenced if self.order.mode == Mode::Off => {
                self.towards_cold_start(Verdict::NotMigrated, Action::Abandon)
            }
            SourceStanding::Fenced => self.towards_cold_start(Verdict::MemoryLost, Action::Abandon),
            SourceStanding::Busy => wait(Verdict::NotMigrated, Wait::Job),
            SourceStanding::Running => self.line_of_a_move(),
            SourceStanding::Paused | SourceStanding::ShutDown if self.is_sealed() => {
                act(Verdict::NotMigrated, Action::Abandon)
            }
            SourceStanding::Paused if self.order.mode == Mode::Off => hold(Verdict::NotMigrated, Hold::NotOff),
            SourceStanding::Paused | SourceStanding::ShutDown => hold(Verdict::NotMigrated, Hold::NotRunning),
            SourceStanding::Gone => self.gone_without_memory_here(),
            SourceStanding::Stopped => self.stopped_without_memory_here(),
            SourceStanding::Several => hold(Verdict::SplitBrain, Hold::SplitBrain),
        }
    }

    /// Lines 2 to 4 of a move, each where the evidence stands.
    fn line_of_a_move(&self) -> Decision {
        let is_off = self.source == SourceStanding::Stopped || self.source == SourceStanding::Gone;
        if self.order.mode == Mode::Off && !is_off {
            return hold(Verdict::NotMigrated, Hold::NotOff);
        }
        if self.destination.other == OtherCopy::Foreign {
            return hold(Verdict::NotMigrated, Hold::ForeignCopy);
        }
        let no_placeholder = self.destination.copy == CopyState::Absent;
        match self.seal() {
            Some(Seal::Sealed(TransferTrace::Begun | TransferTrace::Failed) | Seal::Gone { .. }) => {
                act(Verdict::NotMigrated, Action::Abandon)
            }
            Some(Seal::Unsealed | Seal::Sealed(TransferTrace::NotBegun)) if no_placeholder => {
                act(Verdict::NotMigrated, Action::MakePlaceholder)
            }
            Some(Seal::Unsealed) => act(Verdict::NotMigrated, Action::Seal),
            Some(Seal::Sealed(TransferTrace::NotBegun)) => act(Verdict::NotMigrated, Action::Transfer),
            Some(Seal::NotOnRoll) => hold(Verdict::NotMigrated, Hold::NotOnRoll),
            Some(Seal::Closed | Seal::Retired) | None => hold(Verdict::NotMigrated, Hold::Contradiction),
        }
    }

    fn gone_without_memory_here(&self) -> Decision {
        let disk_is_here = self.destination.disk != DiskEvidence::Partial;
        match self.order.mode {
            // What arrived leaves its definition behind, whatever becomes of it: this memory may have gone to a third host, by
            // somebody else's hand, and run there.
            Mode::Live => doubt(Doubt::RecordsDisagree, Hold::Contradiction),
            Mode::Cold | Mode::Off if self.destination.copy == CopyState::Placeholder && disk_is_here => self.commit(),
            Mode::Cold | Mode::Off => act(Verdict::NotMigrated, Action::Abandon),
        }
    }

    fn stopped_without_memory_here(&self) -> Decision {
        match self.order.mode {
            Mode::Live if self.is_sealed() => act(Verdict::MemoryLost, Action::Abandon),
            Mode::Live => hold(Verdict::NotMigrated, Hold::NotRunning),
            Mode::Cold | Mode::Off => self.line_of_a_move(),
        }
    }

    /// Memory is arriving. What ends this is the hypervisor; past the deadline the attempt is given up.
    fn arriving(&self) -> Decision {
        let late = self.evidence.past_deadline;
        match self.source {
            SourceStanding::Busy => wait(Verdict::NotMigrated, Wait::Job),
            SourceStanding::Silent => doubt(Doubt::SourceSilent, Hold::SourceSilent),
            SourceStanding::Gone if late => doubt(Doubt::HandoverUnderWay, Hold::Contradiction),
            SourceStanding::Gone => wait(Verdict::Indeterminate(Doubt::HandoverUnderWay), Wait::Handover),
            SourceStanding::Running | SourceStanding::ShutDown => abandon_if(late, Verdict::NotMigrated),
            SourceStanding::Paused => abandon_if(late, Verdict::Indeterminate(Doubt::HandoverUnderWay)),
            SourceStanding::Stopped => abandon_if(late, self.lost_with_the_source()),
            SourceStanding::Fenced if late => self.towards_cold_start(Verdict::MemoryLost, Action::Abandon),
            SourceStanding::Fenced => wait(Verdict::MemoryLost, Wait::Handover),
            SourceStanding::Several => hold(Verdict::SplitBrain, Hold::SplitBrain),
        }
    }

    /// The copy is whole and paused. Whose turn it is depends on the source alone.
    fn arrived_paused(&self) -> Decision {
        match self.source {
            SourceStanding::Gone => self.commit(),
            SourceStanding::Running | SourceStanding::ShutDown => act(Verdict::NotMigrated, Action::Abandon),
            SourceStanding::Paused => {
                abandon_if(self.evidence.past_deadline, Verdict::Indeterminate(Doubt::HandoverUnderWay))
            }
            SourceStanding::Busy => wait(Verdict::Indeterminate(Doubt::HandoverUnderWay), Wait::Job),
            SourceStanding::Silent => doubt(Doubt::SourceSilent, Hold::SourceSilent),
            SourceStanding::Stopped => self.arrived_paused_source_stopped(),
            SourceStanding::Fenced => self.arrived_paused_source_fenced(),
            SourceStanding::Several => hold(Verdict::SplitBrain, Hold::SplitBrain),
        }
    }

    /// Off, and nobody can say why: it may have ended where it was to end, as when its hypervisor's daemon died in the last
    /// steps of the handover, and then this copy is the newest; or it may have run on, and written. The copy can't be told
    /// from a stale one, so it is not run; and it may be all that is left of the guest's memory, so it isn't thrown away
    /// unless somebody allowed the disk to be started instead.
    fn arrived_paused_source_stopped(&self) -> Decision {
        let lost = self.lost_with_the_source();
        match (self.order.mode, self.order.cold_start) {
            (Mode::Live, super::ColdStart::Never) => hold(lost, Hold::ColdStartNotAllowed),
            (Mode::Live, super::ColdStart::Policy | super::ColdStart::Ordered) | (Mode::Cold | Mode::Off, _) => {
                act(lost, Action::Abandon)
            }
        }
    }

    /// Fenced without proof of gone: the source may have run on and written since.
    fn arrived_paused_source_fenced(&self) -> Decision {
        match (self.destination.disk, self.order.cold_start) {
            // The copied disk is the one that this memory belongs to: together they are consistent.
            (DiskEvidence::Complete, super::ColdStart::Ordered) => act(Verdict::MemoryLost, Action::Commit),
            (DiskEvidence::Complete, super::ColdStart::Never | super::ColdStart::Policy) => {
                hold(Verdict::MemoryLost, Hold::ColdStartNotAllowed)
            }
            (DiskEvidence::Shared | DiskEvidence::Partial, _) => {
                self.towards_cold_start(Verdict::MemoryLost, Action::Abandon)
            }
        }
    }

    /// Handover is complete: the event is the only thing missing. The source's worker is calling already; whoever
    /// settles commits in its stead only behind raised floors.
    fn commit(&self) -> Decision {
        match self.evidence.freshness {
            Freshness::Streamed if !self.evidence.past_deadline => wait(Verdict::HandedOver, Wait::Commit),
            Freshness::Streamed | Freshness::Fenced => act(Verdict::HandedOver, Action::Commit),
        }
    }

    /// Somebody resumed it.
    fn runs_without_event(&self) -> Decision {
        match self.source {
            SourceStanding::Gone => act(Verdict::FullyMigrated, Action::Commit),
            SourceStanding::Busy => wait(Verdict::Indeterminate(Doubt::RunsWithoutEvent), Wait::Job),
            SourceStanding::Silent => doubt(Doubt::RunsWithoutEvent, Hold::SourceSilent),
            SourceStanding::Fenced | SourceStanding::Paused | SourceStanding::Stopped | SourceStanding::ShutDown => {
                doubt(Doubt::RunsWithoutEvent, Hold::Contradiction)
            }
            SourceStanding::Running | SourceStanding::Several => hold(Verdict::SplitBrain, Hold::SplitBrain),
        }
    }

    /// It had arrived, and its memory is gone again: only the source can still have it.
    fn arrived_and_ended(&self) -> Decision {
        match self.source {
            SourceStanding::Running | SourceStanding::Paused | SourceStanding::ShutDown => {
                act(Verdict::NotMigrated, Action::Abandon)
            }
            SourceStanding::Gone | SourceStanding::Stopped => act(self.lost_with_the_source(), Action::Abandon),
            SourceStanding::Silent => doubt(Doubt::SourceSilent, Hold::SourceSilent),
            SourceStanding::Fenced => self.towards_cold_start(Verdict::MemoryLost, Action::Abandon),
            SourceStanding::Busy => wait(Verdict::Indeterminate(Doubt::HandoverUnderWay), Wait::Job),
            SourceStanding::Several => hold(Verdict::SplitBrain, Hold::SplitBrain),
        }
    }

    /// The host may hold a whole copy, or nothing. Only a source that has the memory itself settles it.
    fn destination_host_silent(&self) -> Decision {
        let fenced = self.evidence.destination_host_fenced;
        let unknown = Doubt::DestinationHostSilent;
        if self.nothing_can_have_arrived() {
            let decision = self.not_arrived();
            return match decision.step {
                // Nothing can be placed on a silent host: the next attempt goes to another.
                Step::Act(_) => act(decision.verdict, Action::Abandon),
                Step::ObserveFenced | Step::Wait(_) | Step::Hold(_) | Step::Settled(_) => decision,
            };
        }
        match self.source {
            SourceStanding::Running | SourceStanding::ShutDown => act(Verdict::NotMigrated, Action::Abandon),
            SourceStanding::Busy => wait(Verdict::Indeterminate(unknown), Wait::Job),
            SourceStanding::Silent => doubt(Doubt::SourceSilent, Hold::SourceSilent),
            SourceStanding::Paused if fenced => act(Verdict::NotMigrated, Action::Abandon),
            SourceStanding::Gone | SourceStanding::Stopped if fenced => {
                act(self.lost_with_the_source(), Action::Abandon)
            }
            SourceStanding::Fenced if fenced => self.towards_cold_start(Verdict::MemoryLost, Action::Abandon),
            SourceStanding::Paused | SourceStanding::Gone | SourceStanding::Stopped | SourceStanding::Fenced => {
                doubt(unknown, Hold::DestinationHostSilent)
            }
            SourceStanding::Several => hold(Verdict::SplitBrain, Hold::SplitBrain),
        }
    }

    /// What a stopped source leaves where no whole copy counts: the memory is lost, if it was to be moved at all.
    fn lost_with_the_source(&self) -> Verdict {
        match self.order.mode {
            Mode::Live => Verdict::MemoryLost,
            Mode::Cold | Mode::Off => Verdict::NotMigrated,
        }
    }

    /// A cold start under way: the source must stay fenced or stopped until its event.
    fn cold_start(&self) -> Decision {
        if self.destination.copy == CopyState::Running {
            return self.runs_without_event();
        }
        match self.source {
            SourceStanding::Running | SourceStanding::Paused | SourceStanding::ShutDown => {
                act(Verdict::NotMigrated, Action::Abandon)
            }
            SourceStanding::Busy => wait(Verdict::NotMigrated, Wait::Job),
            SourceStanding::Silent => hold(Verdict::NotMigrated, Hold::SourceSilent),
            SourceStanding::Gone if self.source_host_is_silent() && self.evidence.source_fenced => {
                self.cold_start_source_fenced()
            }
            // It answers again, and its disk is the newest.
            SourceStanding::Gone | SourceStanding::Stopped => act(Verdict::MemoryLost, Action::Abandon),
            SourceStanding::Fenced => self.cold_start_source_fenced(),
            SourceStanding::Several => hold(Verdict::SplitBrain, Hold::SplitBrain),
        }
    }

    fn cold_start_source_fenced(&self) -> Decision {
        let lost = Verdict::MemoryLost;
        match self.destination.copy {
            CopyState::Absent | CopyState::Placeholder if self.destination.other == OtherCopy::Foreign => {
                hold(lost, Hold::ForeignCopy)
            }
            CopyState::Absent => self.towards_cold_start(lost, Action::MakePlaceholder),
            CopyState::Placeholder => self.towards_cold_start(lost, Action::Commit),
            CopyState::HostSilent if self.evidence.destination_host_fenced => act(lost, Action::Abandon),
            CopyState::HostSilent => hold(lost, Hold::DestinationHostSilent),
            CopyState::Running => doubt(Doubt::RunsWithoutEvent, Hold::Contradiction),
            CopyState::Incoming | CopyState::Paused | CopyState::Crashed | CopyState::ShutDown => {
                doubt(Doubt::RecordsDisagree, Hold::Contradiction)
            }
        }
    }
}

/// Waits for the hypervisors within the deadline; past it the direction is back, and recorded.
fn abandon_if(late: bool, verdict: Verdict) -> Decision {
    if late { act(verdict, Action::Abandon) } else { wait(verdict, Wait::Handover) }
}
