//! The rows for a destination whose ledger can't be reached.

use super::*;
use crate::values::{INSTANCES, SEALS};

#[test]
fn nothing_new_is_started_while_a_ledger_is_unreachable() {
    let mut silent = row(STARTED, Placeholder).source(Seal::Unsealed, SourceInstance::Running);
    silent.evidence.destination = Heard::Silent;
    silent.holds(Verdict::NotMigrated, Hold::DestinationSilent);
    row(STARTED, Placeholder).holds(Verdict::NotMigrated, Hold::SourceSilent);
}

#[test]
fn with_the_destinations_ledger_unreachable_nothing_is_done_but_end_a_transfer() {
    for source in every_source() {
        for freshness in [Freshness::Streamed, Freshness::Fenced] {
            for (mode, late) in [(Mode::Live, false), (Mode::Live, true), (Mode::Cold, true), (Mode::Off, true)] {
                let mut silent = row(STARTED, Placeholder).mode(mode);
                (silent.evidence.destination, silent.evidence.source) = (Heard::Silent, Heard::Answer(source));
                (silent.evidence.freshness, silent.evidence.past_deadline) = (freshness, late);
                let may_abort = mode == Mode::Live && late && freshness == Freshness::Fenced;
                if let Step::Act(action) = decide(&silent.order, &silent.evidence).step {
                    assert!(may_abort && action == Action::AbortTransfer, "{mode:?} {source:?}: {action:?}");
                }
            }
        }
    }
}

fn every_source() -> Vec<SourceEvidence> {
    let mut all = Vec::new();
    for seal in SEALS {
        for instance in INSTANCES {
            all.extend([false, true].map(|busy| SourceEvidence { seal, instance, busy }));
        }
    }
    all
}

#[test]
fn a_transfer_waits_for_a_restarting_destination_and_no_longer() {
    let silent = |instance| {
        let mut row = row(STARTED, Incoming).source(BEGUN, instance).source_busy();
        row.evidence.destination = Heard::Silent;
        row
    };
    for instance in [SourceInstance::Running, SourceInstance::Paused] {
        silent(instance).is(Verdict::NotMigrated, Step::Wait(Wait::Job));
        silent(instance).late().streamed().is(Verdict::NotMigrated, Step::ObserveFenced);
        silent(instance).late().acts(Verdict::NotMigrated, Action::AbortTransfer);
    }
    // The cancel lost to the arrival: the source is gone, and it waits.
    let mut lost = row(STARTED, Paused).source(GONE, SourceInstance::Stopped).late();
    lost.evidence.destination = Heard::Silent;
    lost.holds(Verdict::Indeterminate(Doubt::DestinationSilent), Hold::DestinationSilent);
    // What moves by its disk stands still anyway.
    let by_disk = silent(SourceInstance::Stopped).mode(Mode::Cold).late();
    by_disk.is(Verdict::NotMigrated, Step::Wait(Wait::Job));
}
