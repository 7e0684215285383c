//! No attempt is open: none was ever started, or the last was given up. Go on with the next one, or go back.
//!
//! An abandoned attempt can never get an event, so the VM is the source's, unless its memory turns out to be whole
//! at the destination with the source gone: a cancel lost to an arrival, and the arrival is kept.

use super::source::SourceStanding;
use super::{Case, act, doubt, hold, wait};
use crate::definition::Mode;
use crate::evidence::{ArrivalKind, CopyState, DiskEvidence, OtherCopy, Outcome, Record, Seal};
use crate::ids::Attempt;
use crate::step::{Action, Decision, Hold, Step, Wait};
use crate::verdict::{Doubt, Verdict};

impl Case<'_> {
    pub(super) fn enrolled(&self) -> Decision {
        if self.source_has_let_go() {
            return doubt(Doubt::RecordsDisagree, Hold::Contradiction);
        }
        match self.leftover() {
            OtherCopy::Absent => {}
            // What lies about changes what is done next, not what is proven.
            left @ OtherCopy::Inert if self.is_in_the_way(left) => {
                return act(self.enrolled_by_source().verdict, Action::Discard);
            }
            OtherCopy::Inert => {}
            OtherCopy::HoldsMemory => return self.memory_without_record(),
            OtherCopy::Foreign => return hold(Verdict::NotStarted, Hold::ForeignCopy),
            OtherCopy::Running => return doubt(Doubt::ForeignCopy, Hold::ForeignCopy),
        }
        self.enrolled_by_source()
    }

    fn enrolled_by_source(&self) -> Decision {
        match self.source {
            SourceStanding::Silent => hold(Verdict::NotStarted, Hold::SourceSilent),
            SourceStanding::Fenced => self.left_behind(),
            SourceStanding::Busy => wait(Verdict::NotStarted, Wait::Job),
            SourceStanding::Running => self.next_attempt_or_back(Verdict::NotStarted, None),
            SourceStanding::Paused => self.resume_or_hold(Verdict::NotStarted, None),
            SourceStanding::Stopped => self.stopped_unstarted(),
            SourceStanding::ShutDown => self.shut_down(Verdict::NotStarted, None),
            SourceStanding::Gone | SourceStanding::Several => doubt(Doubt::RecordsDisagree, Hold::Contradiction),
        }
    }

    pub(super) fn abandoned(&self) -> Decision {
        if self.retired_without_event() {
            return doubt(Doubt::RecordsDisagree, Hold::Contradiction);
        }
        if self.leftover() == OtherCopy::Running {
            return self.abandoned_copy_runs();
        }
        let decision = self.abandoned_by_source();
        // A stranger at the destination changes what may be done, not what is proven.
        match decision.step {
            Step::Act(_) if self.destination.other == OtherCopy::Foreign => hold(decision.verdict, Hold::ForeignCopy),
            Step::Act(_) | Step::ObserveFenced | Step::Wait(_) | Step::Hold(_) | Step::Settled(_) => decision,
        }
    }

    fn abandoned_copy_runs(&self) -> Decision {
        let own_runs = self.destination.copy == CopyState::Running;
        match self.source {
            SourceStanding::Gone if own_runs => act(Verdict::FullyMigrated, Action::Reopen),
            SourceStanding::Busy => wait(Verdict::Indeterminate(Doubt::AbandonedCopyRuns), Wait::Job),
            SourceStanding::Silent
            | SourceStanding::Fenced
            | SourceStanding::Running
            | SourceStanding::Paused
            | SourceStanding::Gone
            | SourceStanding::Stopped
            | SourceStanding::ShutDown
            | SourceStanding::Several => doubt(Doubt::AbandonedCopyRuns, Hold::Contradiction),
        }
    }

    fn abandoned_by_source(&self) -> Decision {
        match self.source {
            SourceStanding::Silent => self.abandoned_source_silent(),
            SourceStanding::Fenced => self.abandoned_source_fenced(),
            SourceStanding::Busy => self.abandoned_source_busy(),
            SourceStanding::Running => self.abandoned_source_runs(),
            SourceStanding::Paused => self.abandoned_source_paused(),
            SourceStanding::Gone | SourceStanding::Stopped => self.abandoned_source_stopped(),
            SourceStanding::ShutDown => self.abandoned_source_shut_down(),
            SourceStanding::Several => hold(Verdict::SplitBrain, Hold::SplitBrain),
        }
    }

    fn abandoned_source_silent(&self) -> Decision {
        let disk_may_have_come = self.order.mode != Mode::Live && self.destination.disk != DiskEvidence::Partial;
        let verdict = match self.destination.copy {
            _ if self.nothing_can_have_arrived() => Verdict::NotMigrated,
            CopyState::Placeholder if disk_may_have_come => Verdict::Indeterminate(Doubt::SourceSilent),
            CopyState::Paused | CopyState::Incoming | CopyState::Crashed | CopyState::ShutDown => {
                Verdict::Indeterminate(Doubt::SourceSilent)
            }
            CopyState::HostSilent => Verdict::Indeterminate(Doubt::DestinationHostSilent),
            CopyState::Absent | CopyState::Placeholder | CopyState::Running => Verdict::NotMigrated,
        };
        hold(verdict, Hold::SourceSilent)
    }

    fn abandoned_source_busy(&self) -> Decision {
        let verdict = match self.destination.copy {
            CopyState::Paused | CopyState::Crashed | CopyState::ShutDown => {
                Verdict::Indeterminate(Doubt::HandoverUnderWay)
            }
            CopyState::HostSilent if self.nothing_can_have_arrived() => Verdict::NotMigrated,
            CopyState::HostSilent => Verdict::Indeterminate(Doubt::DestinationHostSilent),
            CopyState::Absent | CopyState::Placeholder | CopyState::Incoming | CopyState::Running => {
                Verdict::NotMigrated
            }
        };
        wait(verdict, Wait::Job)
    }

    fn abandoned_source_fenced(&self) -> Decision {
        let verdict = if self.order.mode == Mode::Off { Verdict::NotMigrated } else { Verdict::MemoryLost };
        if self.copy_host_is_unknown() {
            return doubt(Doubt::DestinationHostSilent, Hold::DestinationHostSilent);
        }
        if self.destination.copy == CopyState::HostSilent && !self.evidence.destination_host_fenced {
            return hold(verdict, Hold::DestinationHostSilent);
        }
        let next = if self.is_in_the_way(self.rubbish()) {
            // The copy is stale: its source may have run on and written since. Its disk is what counts.
            Action::Discard
        } else {
            Action::OpenAttempt(ArrivalKind::ColdStart)
        };
        self.towards_cold_start(verdict, next)
    }

    /// Between two attempts the guest is its site's again: nothing of muster's keeps its host from booting it.
    fn abandoned_source_runs(&self) -> Decision {
        if self.is_in_the_way(self.rubbish()) {
            act(Verdict::NotMigrated, Action::Discard)
        } else if self.is_sealed() && !self.contradicts_its_proof() {
            act(Verdict::NotMigrated, Action::Unseal)
        } else {
            self.next_attempt_or_back(Verdict::NotMigrated, self.last_attempt())
        }
    }

    /// It ran to its end in order here, so whatever memory of it is elsewhere is older than its disk.
    fn abandoned_source_shut_down(&self) -> Decision {
        if self.is_in_the_way(self.rubbish()) {
            act(Verdict::NotMigrated, Action::Discard)
        } else {
            self.shut_down(Verdict::NotMigrated, self.last_attempt())
        }
    }

    fn abandoned_source_paused(&self) -> Decision {
        if self.copy_host_is_unknown() {
            return doubt(Doubt::DestinationHostSilent, Hold::DestinationHostSilent);
        }
        self.resume_or_hold(Verdict::NotMigrated, self.last_attempt())
    }

    fn abandoned_source_stopped(&self) -> Decision {
        let gone = self.source == SourceStanding::Gone;
        if self.copy_host_is_unknown() {
            return doubt(Doubt::DestinationHostSilent, Hold::DestinationHostSilent);
        }
        match self.destination.copy {
            CopyState::Paused if gone => return act(Verdict::HandedOver, Action::Reopen),
            CopyState::Incoming if gone && self.evidence.past_deadline => {
                return doubt(Doubt::HandoverUnderWay, Hold::Contradiction);
            }
            CopyState::Incoming if gone => {
                return wait(Verdict::Indeterminate(Doubt::HandoverUnderWay), Wait::Handover);
            }
            CopyState::Absent
            | CopyState::Placeholder
            | CopyState::Incoming
            | CopyState::Paused
            | CopyState::Running
            | CopyState::Crashed
            | CopyState::ShutDown
            | CopyState::HostSilent => {}
        }
        let disk_came =
            self.destination.copy == CopyState::Placeholder && self.destination.disk != DiskEvidence::Partial;
        match self.order.mode {
            // Its proof stands, but its disk can't be reached there: as fenced as its host is. An older copy's memory is
            // kept all the same, until the source answers.
            Mode::Live
                if self.source_host_is_silent()
                    && self.evidence.source_fenced
                    && self.destination.other != OtherCopy::HoldsMemory =>
            {
                return self.abandoned_source_fenced();
            }
            Mode::Live => return self.stopped_live(self.last_attempt()),
            Mode::Cold | Mode::Off if self.source_host_is_silent() && gone && disk_came => {
                return act(Verdict::HandedOver, Action::Reopen);
            }
            Mode::Cold | Mode::Off if self.source_host_is_silent() => {
                return hold(Verdict::NotMigrated, Hold::SourceSilent);
            }
            Mode::Cold | Mode::Off => {}
        }
        match self.rubbish() {
            left @ OtherCopy::Inert if self.is_in_the_way(left) => act(Verdict::NotMigrated, Action::Discard),
            OtherCopy::Absent | OtherCopy::Inert | OtherCopy::HoldsMemory | OtherCopy::Foreign | OtherCopy::Running => {
                self.next_attempt_or_back(Verdict::NotMigrated, self.last_attempt())
            }
        }
    }

    /// Sealed and stopped: its memory is lost, start it where its disk is the newest. Unsealed: somebody shut it down.
    fn stopped_live(&self, last: Option<Attempt>) -> Decision {
        if self.is_sealed() && self.source_host_is_silent() {
            hold(Verdict::MemoryLost, Hold::SourceSilent)
        } else if self.is_sealed() {
            act(Verdict::MemoryLost, Action::StartSource)
        } else if self.wants_another_attempt(last) {
            hold(Verdict::NotMigrated, Hold::NotRunning)
        } else {
            self.back(Verdict::NotMigrated)
        }
    }

    /// Its owner has shut it down: given back off as it is, and then a person's to say whether it is to be moved.
    fn shut_down(&self, verdict: Verdict, last: Option<Attempt>) -> Decision {
        if self.is_sealed() {
            act(verdict, Action::Unseal)
        } else if self.wants_another_attempt(last) {
            hold(verdict, Hold::NotRunning)
        } else {
            self.back(verdict)
        }
    }

    fn stopped_unstarted(&self) -> Decision {
        match self.order.mode {
            Mode::Live if self.is_sealed() => self.stopped_live(None),
            Mode::Live if self.wants_another_attempt(None) => hold(Verdict::NotStarted, Hold::NotRunning),
            Mode::Live | Mode::Cold | Mode::Off => self.next_attempt_or_back(Verdict::NotStarted, None),
        }
    }

    fn left_behind(&self) -> Decision {
        match self.order.cold_start {
            super::ColdStart::Ordered => {
                self.towards_cold_start(Verdict::NotStarted, Action::OpenAttempt(ArrivalKind::ColdStart))
            }
            super::ColdStart::Never | super::ColdStart::Policy => hold(Verdict::NotStarted, Hold::LeftBehind),
        }
    }

    /// A sealed paused guest is a handover's remnant and goes on; an unsealed one was paused by somebody.
    fn resume_or_hold(&self, verdict: Verdict, last: Option<Attempt>) -> Decision {
        if self.contradicts_its_proof() {
            hold(verdict, Hold::Contradiction)
        } else if self.is_sealed() {
            act(verdict, Action::ResumeSource)
        } else if self.wants_another_attempt(last) && self.order.mode == Mode::Off {
            hold(verdict, Hold::NotOff)
        } else if self.wants_another_attempt(last) {
            hold(verdict, Hold::NotRunning)
        } else {
            self.back(verdict)
        }
    }

    fn memory_without_record(&self) -> Decision {
        if self.source == SourceStanding::Running {
            act(Verdict::NotStarted, Action::Discard)
        } else {
            doubt(Doubt::RecordsDisagree, Hold::Contradiction)
        }
    }

    fn next_attempt_or_back(&self, verdict: Verdict, last: Option<Attempt>) -> Decision {
        let source_takes_part = match self.seal() {
            Some(Seal::Unsealed | Seal::Sealed(_) | Seal::Gone { .. }) => true,
            Some(Seal::NotOnRoll | Seal::Retired | Seal::Closed) | None => false,
        };
        let has_instance = matches!(self.source, SourceStanding::Running | SourceStanding::Paused);
        if self.contradicts_its_proof() {
            hold(verdict, Hold::Contradiction)
        } else if !self.wants_another_attempt(last) {
            self.back(verdict)
        } else if self.order.mode == Mode::Off && has_instance {
            hold(verdict, Hold::NotOff)
        } else if source_takes_part {
            act(verdict, Action::OpenAttempt(ArrivalKind::Transfer))
        } else if self.seal() == Some(Seal::Closed) {
            act(verdict, Action::CloseDestination(Outcome::StayedAtSource))
        } else {
            hold(verdict, Hold::NotOnRoll)
        }
    }

    /// The way back: the source as it was before, then both records closed.
    fn back(&self, verdict: Verdict) -> Decision {
        let started_again = match self.order.mode {
            Mode::Live | Mode::Cold => Action::StartSource,
            Mode::Off => Action::Unseal,
        };
        match self.seal() {
            Some(Seal::Sealed(_) | Seal::Gone { .. }) => match self.source {
                SourceStanding::Running | SourceStanding::ShutDown => act(verdict, Action::Unseal),
                SourceStanding::Paused => act(verdict, Action::ResumeSource),
                SourceStanding::Stopped | SourceStanding::Gone => act(verdict, started_again),
                SourceStanding::Silent | SourceStanding::Fenced | SourceStanding::Busy | SourceStanding::Several => {
                    hold(verdict, Hold::SourceSilent)
                }
            },
            Some(Seal::Unsealed) => act(verdict, Action::CloseSource),
            Some(Seal::Closed | Seal::NotOnRoll) => act(verdict, Action::CloseDestination(Outcome::StayedAtSource)),
            Some(Seal::Retired) => doubt(Doubt::RecordsDisagree, Hold::Contradiction),
            None => hold(verdict, Hold::SourceSilent),
        }
    }

    /// The source is proven gone and has an instance all the same.
    fn contradicts_its_proof(&self) -> bool {
        let has_instance = matches!(self.source, SourceStanding::Running | SourceStanding::Paused);
        has_instance && matches!(self.seal(), Some(Seal::Gone { .. }))
    }

    fn last_attempt(&self) -> Option<Attempt> {
        match self.destination.record {
            Record::Abandoned { attempt } | Record::Started { attempt, .. } | Record::Completed { attempt, .. } => {
                Some(attempt)
            }
            Record::NotOnRoll | Record::Enrolled | Record::Closed(_) => None,
        }
    }

    /// The host of the attempt is silent and nobody has sworn that it is fenced.
    fn copy_host_is_unknown(&self) -> bool {
        self.destination.copy == CopyState::HostSilent
            && !self.evidence.destination_host_fenced
            && !self.nothing_can_have_arrived()
    }

    /// What of muster's own is left and may be cleaned up; a stranger is not.
    fn rubbish(&self) -> OtherCopy {
        match self.destination.other {
            OtherCopy::Foreign => self.own_leftover(),
            OtherCopy::Absent | OtherCopy::Inert | OtherCopy::HoldsMemory | OtherCopy::Running => self.leftover(),
        }
    }

    /// The worst of what is left at the destination, the given-up attempt's own copy included.
    fn leftover(&self) -> OtherCopy {
        self.own_leftover().max(self.destination.other)
    }

    fn own_leftover(&self) -> OtherCopy {
        match self.destination.copy {
            CopyState::Absent | CopyState::HostSilent => OtherCopy::Absent,
            CopyState::Placeholder | CopyState::Crashed | CopyState::ShutDown => OtherCopy::Inert,
            CopyState::Incoming | CopyState::Paused => OtherCopy::HoldsMemory,
            CopyState::Running => OtherCopy::Running,
        }
    }
}
