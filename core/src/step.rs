//! The one next step for a VM.

use crate::evidence::{ArrivalKind, Outcome};
use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What the evidence proves and what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decision {
    /// What is proven.
    pub verdict: Verdict,
    /// What to do next.
    pub step: Step,
}

/// The next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Make a fenced observe and decide again: what follows must not rest on streamed evidence.
    ObserveFenced,
    /// One command to one site.
    Act(Action),
    /// Nothing, until the evidence changes by itself.
    Wait(Wait),
    /// Nothing, until a person or a returning site changes the evidence.
    Hold(Hold),
    /// Nothing ever: the move is over on both sides.
    Settled(Outcome),
}

/// A command to one site. Each can be repeated, and every reply can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Destination: allocate the next attempt and write its started record.
    OpenAttempt(ArrivalKind),
    /// Destination: define the inert placeholder.
    MakePlaceholder,
    /// Source: replace the stored definition by one that can't start, autostart off.
    Seal,
    /// Source: begin the transfer.
    Transfer,
    /// Source: end the transfer's job, then look again: a cancel can lose to an arrival.
    AbortTransfer,
    /// Destination: write the completion event, then let the VM run.
    Commit,
    /// Destination: let the VM run, or start it, after its event.
    Run,
    /// Source: Not Runnable for good, after the event.
    Retire,
    /// Destination: record that this attempt can never get an event. The direction is back.
    Abandon,
    /// Destination: take the abandonment back, since the memory did arrive and the source is gone.
    Reopen,
    /// Destination: destroy what is left of attempts that were given up.
    Discard,
    /// Source: resume the paused guest.
    ResumeSource,
    /// Source: real definition back, then start the VM from its disk.
    StartSource,
    /// Source: real definition back, autostart as it was.
    Unseal,
    /// Source: this side's part is over.
    CloseSource,
    /// Destination: the move is over.
    CloseDestination(Outcome),
}

/// Which site a command goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The site that is left.
    Source,
    /// The site that is moved to.
    Destination,
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Side::Source => "source",
            Side::Destination => "destination",
        })
    }
}

impl Action {
    /// The site that carries it out.
    #[must_use]
    pub fn side(self) -> Side {
        match self {
            Action::OpenAttempt(_)
            | Action::MakePlaceholder
            | Action::Commit
            | Action::Run
            | Action::Abandon
            | Action::Reopen
            | Action::Discard
            | Action::CloseDestination(_) => Side::Destination,
            Action::Seal
            | Action::Transfer
            | Action::AbortTransfer
            | Action::Retire
            | Action::ResumeSource
            | Action::StartSource
            | Action::Unseal
            | Action::CloseSource => Side::Source,
        }
    }

    /// Whether it may only follow from a fenced observe: whatever discards, kills, unseals, resumes a source,
    /// commits in a worker's stead or starts from a disk. The others only carry a move forward.
    #[must_use]
    pub fn needs_fence(self) -> bool {
        match self {
            Action::OpenAttempt(ArrivalKind::Transfer)
            | Action::MakePlaceholder
            | Action::Seal
            | Action::Transfer
            | Action::Run
            | Action::Retire
            | Action::CloseSource
            | Action::CloseDestination(Outcome::Migrated) => false,
            Action::OpenAttempt(ArrivalKind::ColdStart)
            | Action::AbortTransfer
            | Action::Commit
            | Action::Abandon
            | Action::Reopen
            | Action::Discard
            | Action::ResumeSource
            | Action::StartSource
            | Action::Unseal
            | Action::CloseDestination(Outcome::StayedAtSource) => true,
        }
    }

    /// The action in plain words, as the journal and a person read it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Action::OpenAttempt(ArrivalKind::Transfer) => "write the started record",
            Action::OpenAttempt(ArrivalKind::ColdStart) => "write the started record of a cold start",
            Action::MakePlaceholder => "make the placeholder",
            Action::Seal => "seal the source",
            Action::Transfer => "transfer",
            Action::AbortTransfer => "abort the transfer",
            Action::Commit => "commit the arrival",
            Action::Run => "let it run at the destination",
            Action::Retire => "retire the source's copy",
            Action::Abandon => "give the attempt up",
            Action::Reopen => "take the arrived copy after all",
            Action::Discard => "discard what is left at the destination",
            Action::ResumeSource => "resume the source",
            Action::StartSource => "start it at the source",
            Action::Unseal => "unseal the source",
            Action::CloseSource => "close at the source",
            Action::CloseDestination(Outcome::Migrated) => "close: migrated",
            Action::CloseDestination(Outcome::StayedAtSource) => "close: stays at the source",
        }
    }
}

/// What a move waits for. Each wait has a deadline in whoever waits; past it the move is held, visibly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Wait {
    /// The transfer's job, or a hypervisor call, to end.
    Job,
    /// The hypervisors to finish or give up a handover by themselves.
    Handover,
    /// The source's worker to commit the arrival: it has the proof and is calling.
    Commit,
}

/// Why a move is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Hold {
    /// The source does not answer.
    SourceSilent,
    /// The destination does not answer.
    DestinationSilent,
    /// The destination host of the attempt does not answer.
    DestinationHostSilent,
    /// It is at the destination and runs; only the source's copy is still to be retired, and the source is silent.
    RetireOwed,
    /// Left behind at a source that is fenced; nothing of it was begun.
    LeftBehind,
    /// Its memory is lost and the runbook doesn't allow a cold start by itself.
    ColdStartNotAllowed,
    /// Its memory is lost and the destination has no disk that a new attempt could start from.
    NoGoodDisk,
    /// Two copies run.
    SplitBrain,
    /// The evidence contradicts itself.
    Contradiction,
    /// It was to be moved running, and somebody has shut it down.
    NotRunning,
    /// It was to be moved powered off, and it has an instance.
    NotOff,
    /// Its roll entry never reached this site.
    NotOnRoll,
    /// A VM with its UUID is at the destination that no evacuation put there.
    ForeignCopy,
    /// A site keeps refusing or failing the next step. Never decided; found by whoever settles.
    StepFails,
    /// Something was waited for longer than it may take. Never decided; found by whoever settles.
    Overdue,
    /// Preflight, made again right before the move, found something that blocks it. Never decided; found by whoever admits it.
    NotReady,
    /// The command that takes its guardian's hands off failed; nothing of it was begun. Never decided; found by whoever admits it.
    HandsOffFails,
}

impl Hold {
    /// Every hold there is.
    pub const ALL: [Hold; 17] = [
        Hold::SourceSilent,
        Hold::DestinationSilent,
        Hold::DestinationHostSilent,
        Hold::RetireOwed,
        Hold::LeftBehind,
        Hold::ColdStartNotAllowed,
        Hold::NoGoodDisk,
        Hold::SplitBrain,
        Hold::Contradiction,
        Hold::NotRunning,
        Hold::NotOff,
        Hold::NotOnRoll,
        Hold::ForeignCopy,
        Hold::StepFails,
        Hold::Overdue,
        Hold::NotReady,
        Hold::HandsOffFails,
    ];

    /// Why it is held, in a sentence.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Hold::SourceSilent => "the source does not answer",
            Hold::DestinationSilent => "the destination does not answer",
            Hold::DestinationHostSilent => "the destination host does not answer",
            Hold::RetireOwed => "runs at the destination; the silent source still has to retire its sealed copy",
            Hold::LeftBehind => "left behind at the source, which is fenced",
            Hold::ColdStartNotAllowed => {
                "no copy of its memory is proven to be the newest, and a cold start is not allowed by itself"
            }
            Hold::NoGoodDisk => {
                "its memory is lost, and the destination has no disk that it could be started from anew"
            }
            Hold::SplitBrain => "two copies run",
            Hold::Contradiction => "the evidence contradicts itself",
            Hold::NotRunning => "it was to be moved running, but it is shut down",
            Hold::NotOff => "it was to be moved powered off, but it runs or is paused",
            Hold::NotOnRoll => "it is not on this evacuation's roll",
            Hold::ForeignCopy => "a VM with its UUID is at the destination that no evacuation put there",
            Hold::StepFails => "the next step keeps failing",
            Hold::Overdue => "a job or call has not ended in the time it may take",
            Hold::NotReady => "preflight, made again right before its move, found something in its way",
            Hold::HandsOffFails => "its guardian's hands could not be taken off it; nothing of it was touched",
        }
    }

    /// What a person could do about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Hold::SourceSilent => {
                "bring the source back; or, sure that it can't run anything, recover with --assert-source-fenced \"reason\""
            }
            Hold::DestinationSilent => "bring the destination's worker back and run recover again",
            Hold::DestinationHostSilent => {
                "bring the host back; or, sure that it is off, recover with --assert-host-fenced HOST \"reason\""
            }
            Hold::RetireOwed => "nothing now; when the source is back, recover retires its copy",
            Hold::LeftBehind => "bring the source back; or start it from its disk with --cold-start VM",
            Hold::ColdStartNotAllowed => "start it from its disk with --cold-start VM, or bring the other side back",
            Hold::NoGoodDisk => "bring the source back, or restore its disk from a backup",
            Hold::SplitBrain => "stop one of the two by hand, after comparing their disks; muster touches neither",
            Hold::Contradiction => "look at --explain VM and at both hypervisors; muster touches nothing",
            Hold::NotRunning => "start it at the source and retry, or move it with mode \"off\"",
            Hold::NotOff => "shut it down and retry, or move it with mode \"live\" or \"cold\"",
            Hold::NotOnRoll => "retry the evacuation, so that the roll is written again",
            Hold::ForeignCopy => "find out whose it is; move it away or delete it, then retry",
            Hold::StepFails => "mend what its last error says, then retry",
            Hold::Overdue => "look at the job at the hypervisor; end it there or let it end, then retry",
            Hold::NotReady | Hold::HandsOffFails => "mend what its last error says, then retry",
        }
    }
}
