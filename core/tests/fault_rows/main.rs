//! DESIGN §3's fault table, a test a row: the verdict and the step that each row names.

mod arriving;
mod lost_source;
mod off;
mod silence;

#[allow(dead_code, reason = "the table uses them all")]
#[path = "../oracle/values.rs"]
mod values;

use muster_core::decide::{ColdStart, Goal, Leftovers, MoveOrder, decide};
use muster_core::definition::Mode;
use muster_core::evidence::{
    ArrivalKind, CopyState, DestinationEvidence, DiskEvidence, Evidence, Freshness, Heard, OtherCopy, Outcome, Record,
    Seal, SourceEvidence, SourceInstance, TransferTrace,
};
use muster_core::ids::Attempt;
use muster_core::step::{Action, Hold, Step, Wait};
use muster_core::verdict::{Doubt, Verdict};

const STARTED: Record = Record::Started { attempt: Attempt::FIRST, kind: ArrivalKind::Transfer };
const COLD_STARTED: Record = Record::Started { attempt: Attempt::FIRST, kind: ArrivalKind::ColdStart };
const ABANDONED: Record = Record::Abandoned { attempt: Attempt::FIRST };
const EVENT: Record = Record::Completed { attempt: Attempt::FIRST, kind: ArrivalKind::Transfer };
const BEGUN: Seal = Seal::Sealed(TransferTrace::Begun);
const GONE: Seal = Seal::Gone { of_this_attempt: true };

/// One VM's evidence, behind a fenced observe, with shared storage and nothing odd.
struct Row {
    order: MoveOrder,
    evidence: Evidence,
}

fn row(record: Record, copy: CopyState) -> Row {
    let destination =
        DestinationEvidence { record, copy, other: OtherCopy::Absent, busy: false, disk: DiskEvidence::Shared };
    Row {
        order: MoveOrder {
            mode: Mode::Live,
            goal: Goal::Finish,
            attempts_max: 3,
            cold_start: ColdStart::Policy,
            refused: None,
            leftovers: Leftovers::AreDiscarded,
        },
        evidence: Evidence {
            freshness: Freshness::Fenced,
            destination: Heard::Answer(destination),
            source: Heard::Silent,
            source_fenced: false,
            destination_host_fenced: false,
            past_deadline: false,
        },
    }
}

impl Row {
    fn source(mut self, seal: Seal, instance: SourceInstance) -> Self {
        self.evidence.source = Heard::Answer(SourceEvidence { seal, instance, busy: false });
        self
    }

    fn source_busy(mut self) -> Self {
        if let Heard::Answer(source) = &mut self.evidence.source {
            source.busy = true;
        }
        self
    }

    fn destination(mut self, change: impl FnOnce(&mut DestinationEvidence)) -> Self {
        if let Heard::Answer(destination) = &mut self.evidence.destination {
            change(destination);
        }
        self
    }

    fn disk(self, disk: DiskEvidence) -> Self {
        self.destination(|at| at.disk = disk)
    }

    fn other(self, other: OtherCopy) -> Self {
        self.destination(|at| at.other = other)
    }

    fn source_fenced(mut self) -> Self {
        self.evidence.source_fenced = true;
        self
    }

    fn host_fenced(mut self) -> Self {
        self.evidence.destination_host_fenced = true;
        self
    }

    fn late(mut self) -> Self {
        self.evidence.past_deadline = true;
        self
    }

    fn streamed(mut self) -> Self {
        self.evidence.freshness = Freshness::Streamed;
        self
    }

    fn cold_start(mut self, cold_start: ColdStart) -> Self {
        self.order.cold_start = cold_start;
        self
    }

    fn mode(mut self, mode: Mode) -> Self {
        self.order.mode = mode;
        self
    }

    fn undo(mut self) -> Self {
        self.order.goal = Goal::Undo;
        self
    }

    #[track_caller]
    fn is(&self, verdict: Verdict, step: Step) {
        let decision = decide(&self.order, &self.evidence);
        assert_eq!((decision.verdict, decision.step), (verdict, step));
    }

    #[track_caller]
    fn acts(&self, verdict: Verdict, action: Action) {
        self.is(verdict, Step::Act(action));
    }

    #[track_caller]
    fn holds(&self, verdict: Verdict, hold: Hold) {
        self.is(verdict, Step::Hold(hold));
    }
}

/// Undone as a whole, and started anew by a person's order for this VM: the one who says less general things is heard.
#[test]
fn an_ordered_cold_start_goes_on_though_all_else_is_undone() {
    let ordered = |record, copy| row(record, copy).undo().cold_start(ColdStart::Ordered).source_fenced();
    ordered(ABANDONED, Absent).acts(Verdict::MemoryLost, Action::OpenAttempt(ArrivalKind::ColdStart));
    ordered(COLD_STARTED, Absent).acts(Verdict::MemoryLost, Action::MakePlaceholder);
    ordered(COLD_STARTED, Placeholder).acts(Verdict::MemoryLost, Action::Commit);
    let by_policy = ordered(COLD_STARTED, Absent).cold_start(ColdStart::Policy);
    by_policy.holds(Verdict::MemoryLost, Hold::ColdStartNotAllowed);
    // Nor does it matter what part the source's ledger says that it takes: it would be opened and given up without end.
    ordered(COLD_STARTED, Absent)
        .source(Seal::Closed, SourceInstance::HostSilent)
        .acts(Verdict::NotMigrated, Action::MakePlaceholder);
}

/// A late "open" has started an attempt after the source's part was closed, and its host is gone: nothing can be there.
#[test]
fn an_attempt_that_the_source_takes_no_part_in_is_given_up_though_its_host_is_silent() {
    let closed = |instance| row(STARTED, HostSilent).undo().source(Seal::Closed, instance);
    closed(SourceInstance::Running).acts(Verdict::NotMigrated, Action::Abandon);
    let unknown = Verdict::Indeterminate(Doubt::DestinationHostSilent);
    closed(SourceInstance::Stopped).holds(unknown, Hold::DestinationHostSilent);
}

use CopyState::{Absent, Crashed, HostSilent, Incoming, Paused, Placeholder, Running, ShutDown};

#[test]
fn the_lines_of_an_ordinary_move_follow_each_other_on_streamed_evidence() {
    let runs = SourceInstance::Running;
    let off = SourceInstance::Stopped;
    let line = |record, copy, seal, instance| row(record, copy).streamed().source(seal, instance);
    line(Record::Enrolled, Absent, Seal::Unsealed, runs)
        .acts(Verdict::NotStarted, Action::OpenAttempt(ArrivalKind::Transfer));
    line(STARTED, Absent, Seal::Unsealed, runs).acts(Verdict::NotMigrated, Action::MakePlaceholder);
    line(STARTED, Placeholder, Seal::Unsealed, runs).acts(Verdict::NotMigrated, Action::Seal);
    line(STARTED, Placeholder, Seal::Sealed(TransferTrace::NotBegun), runs)
        .acts(Verdict::NotMigrated, Action::Transfer);
    line(STARTED, Incoming, BEGUN, runs).source_busy().is(Verdict::NotMigrated, Step::Wait(Wait::Job));
    line(STARTED, Paused, GONE, off).is(Verdict::HandedOver, Step::Wait(Wait::Commit));
    line(EVENT, Paused, GONE, off).acts(Verdict::FullyMigrated, Action::Run);
    line(EVENT, Running, GONE, off).acts(Verdict::FullyMigrated, Action::Retire);
    line(EVENT, Running, Seal::Retired, off).acts(Verdict::FullyMigrated, Action::CloseSource);
    line(EVENT, Running, Seal::Closed, off).acts(Verdict::FullyMigrated, Action::CloseDestination(Outcome::Migrated));
    line(Record::Closed(Outcome::Migrated), Absent, Seal::Closed, off)
        .is(Verdict::FullyMigrated, Step::Settled(Outcome::Migrated));
}

#[test]
fn a_started_record_that_was_not_acknowledged_is_read_again() {
    // Not written after all: the same order again. Written: on with it.
    let before = row(Record::Enrolled, Absent).source(Seal::Unsealed, SourceInstance::Running);
    before.acts(Verdict::NotStarted, Action::OpenAttempt(ArrivalKind::Transfer));
    row(STARTED, Absent)
        .source(Seal::Unsealed, SourceInstance::Running)
        .acts(Verdict::NotMigrated, Action::MakePlaceholder);
}

#[test]
fn a_record_without_placeholder_goes_on_or_back() {
    let there = || row(STARTED, Absent).source(Seal::Sealed(TransferTrace::NotBegun), SourceInstance::Running);
    there().acts(Verdict::NotMigrated, Action::MakePlaceholder);
    there().undo().acts(Verdict::NotMigrated, Action::Abandon);
    let abandoned = || row(ABANDONED, Absent).undo();
    abandoned()
        .source(Seal::Sealed(TransferTrace::NotBegun), SourceInstance::Running)
        .acts(Verdict::NotMigrated, Action::Unseal);
    abandoned().source(Seal::Unsealed, SourceInstance::Running).acts(Verdict::NotMigrated, Action::CloseSource);
    abandoned()
        .source(Seal::Closed, SourceInstance::Running)
        .acts(Verdict::NotMigrated, Action::CloseDestination(Outcome::StayedAtSource));
}

#[test]
fn a_broken_transfer_is_attached_to_again_or_cancelled_and_looked_at() {
    let running = || row(STARTED, Incoming).source(BEGUN, SourceInstance::Running);
    running().source_busy().is(Verdict::NotMigrated, Step::Wait(Wait::Job));
    running().source_busy().undo().acts(Verdict::NotMigrated, Action::AbortTransfer);
    running().source_busy().undo().streamed().is(Verdict::NotMigrated, Step::ObserveFenced);
    // The cancel lost to an arrival: what was given up is taken back, not destroyed.
    row(ABANDONED, Paused).source(GONE, SourceInstance::Stopped).acts(Verdict::HandedOver, Action::Reopen);
}

#[test]
fn a_placeholder_of_another_attempt_is_discarded_and_the_move_goes_on() {
    row(ABANDONED, Placeholder)
        .source(Seal::Sealed(TransferTrace::Failed), SourceInstance::Running)
        .acts(Verdict::NotMigrated, Action::Discard);
    // Between two attempts it is its site's again.
    row(ABANDONED, Absent)
        .source(Seal::Sealed(TransferTrace::Failed), SourceInstance::Running)
        .acts(Verdict::NotMigrated, Action::Unseal);
    row(ABANDONED, Absent)
        .source(Seal::Unsealed, SourceInstance::Running)
        .acts(Verdict::NotMigrated, Action::OpenAttempt(ArrivalKind::Transfer));
}

#[test]
fn what_can_not_be_removed_is_left_and_the_move_goes_on_unless_it_holds_memory() {
    let left = |mut row: Row| {
        row.order.leftovers = Leftovers::AreLeft;
        row
    };
    let failed = Seal::Sealed(TransferTrace::Failed);
    let runs = |record, copy| left(row(record, copy).source(failed, SourceInstance::Running));
    runs(ABANDONED, Placeholder).acts(Verdict::NotMigrated, Action::Unseal);
    let unsealed = left(row(ABANDONED, Placeholder).source(Seal::Unsealed, SourceInstance::Running));
    unsealed.acts(Verdict::NotMigrated, Action::OpenAttempt(ArrivalKind::Transfer));
    runs(ABANDONED, Placeholder).undo().acts(Verdict::NotMigrated, Action::Unseal);
    runs(ABANDONED, Paused).acts(Verdict::NotMigrated, Action::Discard);
    let fenced = |copy| left(row(ABANDONED, copy).source_fenced());
    fenced(Placeholder).acts(Verdict::MemoryLost, Action::OpenAttempt(ArrivalKind::ColdStart));
    let arrived = |other| left(row(EVENT, Running).other(other).source(GONE, SourceInstance::Stopped));
    arrived(OtherCopy::Inert).acts(Verdict::FullyMigrated, Action::Retire);
    arrived(OtherCopy::HoldsMemory).acts(Verdict::FullyMigrated, Action::Discard);
    // What lies about proves nothing of the VM.
    let enrolled = || row(Record::Enrolled, Placeholder).source(failed, SourceInstance::Stopped);
    enrolled().acts(Verdict::MemoryLost, Action::Discard);
    left(enrolled()).acts(Verdict::MemoryLost, Action::StartSource);
}

#[test]
fn a_copy_with_memory_is_destroyed_only_while_the_source_is_seen_to_run() {
    row(ABANDONED, Paused).source(BEGUN, SourceInstance::Running).acts(Verdict::NotMigrated, Action::Discard);
    let discards = |row: Row| decide(&row.order, &row.evidence).step == Step::Act(Action::Discard);
    for instance in [SourceInstance::Paused, SourceInstance::HostSilent] {
        assert!(!discards(row(ABANDONED, Paused).source(BEGUN, instance)), "{instance:?}");
    }
    assert!(!discards(row(ABANDONED, Paused)), "silent");
    assert!(!discards(row(ABANDONED, Paused).source(BEGUN, SourceInstance::Running).source_busy()), "with a job on it");
}

#[test]
fn the_destination_died_in_the_transfer_and_the_source_runs() {
    row(STARTED, HostSilent)
        .source(Seal::Sealed(TransferTrace::Failed), SourceInstance::Running)
        .acts(Verdict::NotMigrated, Action::Abandon);
    row(ABANDONED, HostSilent)
        .source(Seal::Sealed(TransferTrace::Failed), SourceInstance::Running)
        .acts(Verdict::NotMigrated, Action::Unseal);
    row(ABANDONED, HostSilent)
        .source(Seal::Unsealed, SourceInstance::Running)
        .acts(Verdict::NotMigrated, Action::OpenAttempt(ArrivalKind::Transfer));
}

#[test]
fn the_source_is_paused_and_the_copy_is_not_there() {
    row(STARTED, Absent).source(BEGUN, SourceInstance::Paused).acts(Verdict::NotMigrated, Action::Abandon);
    row(ABANDONED, Absent).source(BEGUN, SourceInstance::Paused).acts(Verdict::NotMigrated, Action::ResumeSource);
}

#[test]
fn both_are_paused_and_the_hypervisor_may_still_finish() {
    let both = || row(STARTED, Paused).source(BEGUN, SourceInstance::Paused);
    let doubt = Verdict::Indeterminate(Doubt::HandoverUnderWay);
    both().is(doubt, Step::Wait(Wait::Handover));
    both().late().acts(doubt, Action::Abandon);
    row(ABANDONED, Paused).source(BEGUN, SourceInstance::Paused).acts(Verdict::NotMigrated, Action::ResumeSource);
}

#[test]
fn the_source_host_died_in_the_transfer() {
    let died = || row(STARTED, Placeholder).source(BEGUN, SourceInstance::HostSilent);
    died().holds(Verdict::NotMigrated, Hold::SourceSilent);
    died().source_fenced().acts(Verdict::MemoryLost, Action::Abandon);
    died().source_fenced().cold_start(ColdStart::Never).holds(Verdict::MemoryLost, Hold::ColdStartNotAllowed);
    died().source_fenced().disk(DiskEvidence::Partial).holds(Verdict::MemoryLost, Hold::NoGoodDisk);
    let cold = |record, copy| row(record, copy).source(BEGUN, SourceInstance::HostSilent).source_fenced();
    cold(ABANDONED, Absent).acts(Verdict::MemoryLost, Action::OpenAttempt(ArrivalKind::ColdStart));
    cold(COLD_STARTED, Absent).acts(Verdict::MemoryLost, Action::MakePlaceholder);
    cold(COLD_STARTED, Placeholder).acts(Verdict::MemoryLost, Action::Commit);
    cold(COLD_STARTED, Placeholder).streamed().is(Verdict::MemoryLost, Step::ObserveFenced);
}

#[test]
fn arrived_and_paused_with_the_source_gone_is_committed() {
    let handover = || row(STARTED, Paused).source(GONE, SourceInstance::Stopped);
    handover().acts(Verdict::HandedOver, Action::Commit);
    handover().undo().acts(Verdict::HandedOver, Action::Commit);
    handover().streamed().late().is(Verdict::HandedOver, Step::ObserveFenced);
    // The proof is durable: the host that wrote it need not answer.
    row(STARTED, Paused).source(GONE, SourceInstance::HostSilent).acts(Verdict::HandedOver, Action::Commit);
}

#[test]
fn arrived_and_paused_but_the_source_was_resumed_by_its_hypervisor() {
    row(STARTED, Paused).source(BEGUN, SourceInstance::Running).acts(Verdict::NotMigrated, Action::Abandon);
    row(ABANDONED, Paused).source(BEGUN, SourceInstance::Running).acts(Verdict::NotMigrated, Action::Discard);
}

#[test]
fn arrived_and_paused_with_a_silent_source_is_held() {
    row(STARTED, Paused).holds(Verdict::Indeterminate(Doubt::SourceSilent), Hold::SourceSilent);
    row(STARTED, Paused).late().holds(Verdict::Indeterminate(Doubt::SourceSilent), Hold::SourceSilent);
}

#[test]
fn arrived_and_paused_with_the_source_fenced_without_proof() {
    let fenced = || row(STARTED, Paused).source_fenced();
    fenced().acts(Verdict::MemoryLost, Action::Abandon);
    row(ABANDONED, Paused).source_fenced().acts(Verdict::MemoryLost, Action::Discard);
    let copied = || fenced().disk(DiskEvidence::Complete);
    copied().holds(Verdict::MemoryLost, Hold::ColdStartNotAllowed);
    copied().cold_start(ColdStart::Ordered).acts(Verdict::MemoryLost, Action::Commit);
    fenced().disk(DiskEvidence::Partial).holds(Verdict::MemoryLost, Hold::NoGoodDisk);
}

#[test]
fn arrived_and_paused_with_the_source_off_and_nobody_knows_why() {
    let stopped = || row(STARTED, Paused).source(BEGUN, SourceInstance::Stopped);
    let never = || stopped().cold_start(ColdStart::Never);
    never().holds(Verdict::MemoryLost, Hold::ColdStartNotAllowed);
    never().undo().holds(Verdict::MemoryLost, Hold::ColdStartNotAllowed);
    stopped().cold_start(ColdStart::Policy).acts(Verdict::MemoryLost, Action::Abandon);
    stopped().cold_start(ColdStart::Ordered).acts(Verdict::MemoryLost, Action::Abandon);
}

#[test]
fn memory_that_was_let_go_and_left_no_trace_here_is_held() {
    let elsewhere = Verdict::Indeterminate(Doubt::RecordsDisagree);
    for copy in [Absent, Placeholder] {
        row(STARTED, copy).source(GONE, SourceInstance::Stopped).holds(elsewhere, Hold::Contradiction);
        row(STARTED, copy).source(GONE, SourceInstance::HostSilent).undo().holds(elsewhere, Hold::Contradiction);
    }
    // What arrived and died left its definition.
    row(STARTED, Crashed).source(GONE, SourceInstance::Stopped).acts(Verdict::MemoryLost, Action::Abandon);
}

#[test]
fn arrived_and_running_without_an_event() {
    let runs = || row(STARTED, Running);
    let doubt = Verdict::Indeterminate(Doubt::RunsWithoutEvent);
    runs().source(GONE, SourceInstance::Stopped).acts(Verdict::FullyMigrated, Action::Commit);
    runs().source(BEGUN, SourceInstance::Running).holds(Verdict::SplitBrain, Hold::SplitBrain);
    runs().holds(doubt, Hold::SourceSilent);
    runs().source(BEGUN, SourceInstance::Paused).holds(doubt, Hold::Contradiction);
}

#[test]
fn arrived_then_its_host_was_proven_dead_with_the_source_gone() {
    let dead = || row(STARTED, HostSilent).source(GONE, SourceInstance::Stopped);
    dead().holds(Verdict::Indeterminate(Doubt::DestinationHostSilent), Hold::DestinationHostSilent);
    dead().host_fenced().acts(Verdict::MemoryLost, Action::Abandon);
    row(ABANDONED, HostSilent)
        .host_fenced()
        .source(GONE, SourceInstance::Stopped)
        .acts(Verdict::MemoryLost, Action::StartSource);
}

#[test]
fn an_event_with_the_vm_paused_lets_it_run() {
    row(EVENT, Paused).source(GONE, SourceInstance::Stopped).acts(Verdict::FullyMigrated, Action::Run);
    row(EVENT, Paused).acts(Verdict::FullyMigrated, Action::Run);
    row(EVENT, Paused).undo().acts(Verdict::FullyMigrated, Action::Run);
}

#[test]
fn an_event_with_the_source_not_yet_retired() {
    row(EVENT, Running).source(GONE, SourceInstance::Stopped).acts(Verdict::FullyMigrated, Action::Retire);
    row(EVENT, Running).holds(Verdict::FullyMigrated, Hold::RetireOwed);
}

#[test]
fn an_event_with_the_copy_crashed_starts_it_on_its_host_and_nowhere_else() {
    row(EVENT, Crashed).source(GONE, SourceInstance::Stopped).acts(Verdict::FullyMigrated, Action::Run);
    row(EVENT, HostSilent)
        .source(GONE, SourceInstance::Stopped)
        .holds(Verdict::FullyMigrated, Hold::DestinationHostSilent);
    // Shut down in order is somebody's wish.
    row(EVENT, ShutDown).source(GONE, SourceInstance::Stopped).acts(Verdict::FullyMigrated, Action::Retire);
}

#[test]
fn an_event_without_the_vm_is_held() {
    row(EVENT, Absent)
        .source(GONE, SourceInstance::Stopped)
        .holds(Verdict::Indeterminate(Doubt::EventWithoutVm), Hold::Contradiction);
}

#[test]
fn nothing_is_cold_started_from_a_partial_disk() {
    for cold_start in [ColdStart::Policy, ColdStart::Ordered] {
        row(COLD_STARTED, Placeholder)
            .source_fenced()
            .cold_start(cold_start)
            .disk(DiskEvidence::Partial)
            .holds(Verdict::MemoryLost, Hold::NoGoodDisk);
    }
}

#[test]
fn a_guest_that_its_owner_shuts_down_is_given_back_off() {
    let down = |record, copy, seal| row(record, copy).source(seal, SourceInstance::ShutDown);
    let abandons = |row: Row| row.acts(Verdict::NotMigrated, Action::Abandon);
    for trace in [TransferTrace::NotBegun, TransferTrace::Begun, TransferTrace::Failed] {
        abandons(down(STARTED, Placeholder, Seal::Sealed(trace)));
        abandons(down(STARTED, HostSilent, Seal::Sealed(trace)));
        down(ABANDONED, Absent, Seal::Sealed(trace)).acts(Verdict::NotMigrated, Action::Unseal);
    }
    // Its own hypervisor drops what no longer arrives; what had arrived is older than the disk that it wrote.
    down(STARTED, Incoming, BEGUN).is(Verdict::NotMigrated, Step::Wait(Wait::Handover));
    abandons(down(STARTED, Incoming, BEGUN).late());
    abandons(down(STARTED, Paused, BEGUN));
    down(ABANDONED, Paused, BEGUN).acts(Verdict::NotMigrated, Action::Discard);
    down(ABANDONED, HostSilent, BEGUN).acts(Verdict::NotMigrated, Action::Unseal);
    // Then it is a person's to say.
    down(ABANDONED, Absent, Seal::Unsealed).holds(Verdict::NotMigrated, Hold::NotRunning);
    down(ABANDONED, Absent, Seal::Unsealed).undo().acts(Verdict::NotMigrated, Action::CloseSource);
    // Neither what was let go nor what moves by its disk has been shut down by its owner.
    down(STARTED, Paused, GONE).acts(Verdict::HandedOver, Action::Commit);
    down(STARTED, Placeholder, GONE).mode(Mode::Cold).acts(Verdict::HandedOver, Action::Commit);
    down(ABANDONED, Absent, BEGUN).mode(Mode::Cold).undo().acts(Verdict::NotMigrated, Action::StartSource);
    // Crashed, or nobody knows: its memory is lost, and it is started.
    let crashed = row(ABANDONED, Absent).source(BEGUN, SourceInstance::Stopped);
    crashed.acts(Verdict::MemoryLost, Action::StartSource);
}

#[test]
fn two_that_run_are_held_whoever_they_are() {
    let several = row(STARTED, Placeholder).source(BEGUN, SourceInstance::Several);
    several.holds(Verdict::SplitBrain, Hold::SplitBrain);
    row(EVENT, Running).other(OtherCopy::Running).holds(Verdict::SplitBrain, Hold::SplitBrain);
    row(EVENT, Running).source(GONE, SourceInstance::Running).holds(Verdict::SplitBrain, Hold::SplitBrain);
    row(EVENT, Running).source(GONE, SourceInstance::Running).streamed().is(Verdict::SplitBrain, Step::ObserveFenced);
}

#[test]
fn a_stranger_with_its_uuid_at_the_destination_refuses_the_move() {
    row(Record::Enrolled, Absent)
        .other(OtherCopy::Foreign)
        .source(Seal::Unsealed, SourceInstance::Running)
        .holds(Verdict::NotStarted, Hold::ForeignCopy);
}

#[test]
fn cold_and_powered_off_vms_hand_over_their_disk() {
    for mode in [Mode::Cold, Mode::Off] {
        for disk in [DiskEvidence::Shared, DiskEvidence::Complete] {
            row(STARTED, Placeholder)
                .mode(mode)
                .disk(disk)
                .source(GONE, SourceInstance::Stopped)
                .acts(Verdict::HandedOver, Action::Commit);
        }
        row(STARTED, Placeholder)
            .mode(mode)
            .disk(DiskEvidence::Partial)
            .source(GONE, SourceInstance::Stopped)
            .acts(Verdict::NotMigrated, Action::Abandon);
    }
}
