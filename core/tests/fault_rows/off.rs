//! The rows for VMs that are off, and for guests that somebody paused or shut down before the move touched them.

use super::*;

#[test]
fn what_is_unsealed_and_does_not_run_keeps_its_attempt_and_waits_for_a_person() {
    for instance in [SourceInstance::Paused, SourceInstance::ShutDown, SourceInstance::Stopped] {
        row(STARTED, Placeholder).source(Seal::Unsealed, instance).holds(Verdict::NotMigrated, Hold::NotRunning);
    }
    for mode in [Mode::Cold, Mode::Off] {
        let hold = if mode == Mode::Off { Hold::NotOff } else { Hold::NotRunning };
        let paused = row(STARTED, Placeholder).mode(mode).source(Seal::Unsealed, SourceInstance::Paused);
        paused.holds(Verdict::NotMigrated, hold);
    }
    // Sealed and not sent yet: the memory of what died is lost, that of what is paused is not.
    let sealed = Seal::Sealed(TransferTrace::NotBegun);
    row(STARTED, Placeholder).source(sealed, SourceInstance::Paused).acts(Verdict::NotMigrated, Action::Abandon);
    row(STARTED, Placeholder).source(sealed, SourceInstance::Stopped).acts(Verdict::MemoryLost, Action::Abandon);
}

#[test]
fn what_was_powered_off_has_no_memory_to_lose_and_is_left_behind() {
    let lost = || row(STARTED, Placeholder).mode(Mode::Off).source_fenced();
    lost().holds(Verdict::NotMigrated, Hold::LeftBehind);
    lost().cold_start(ColdStart::Ordered).acts(Verdict::NotMigrated, Action::Abandon);
    row(STARTED, Placeholder).mode(Mode::Cold).source_fenced().acts(Verdict::MemoryLost, Action::Abandon);
}

#[test]
fn what_was_powered_off_is_nobodys_to_start_again_but_the_persons_who_started_it() {
    let came = |copy| row(EVENT, copy).mode(Mode::Off).source(GONE, SourceInstance::Stopped);
    came(Crashed).acts(Verdict::FullyMigrated, Action::Retire);
    came(Running).acts(Verdict::FullyMigrated, Action::Retire);
}

#[test]
fn what_a_given_up_attempt_left_of_a_vm_that_is_off_is_discarded_first() {
    for mode in [Mode::Cold, Mode::Off] {
        let off = |copy| row(ABANDONED, copy).mode(mode).source(Seal::Unsealed, SourceInstance::Stopped);
        let next = Action::OpenAttempt(ArrivalKind::Transfer);
        off(Placeholder).acts(Verdict::NotMigrated, Action::Discard);
        off(Absent).other(OtherCopy::Inert).acts(Verdict::NotMigrated, Action::Discard);
        off(Absent).acts(Verdict::NotMigrated, next);
        // What can't be removed is in nobody's way.
        let mut left = off(Placeholder);
        left.order.leftovers = Leftovers::AreLeft;
        left.acts(Verdict::NotMigrated, next);
    }
}
