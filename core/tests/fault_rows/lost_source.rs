//! The rows for a source site that is lost, and for one that comes back after it was given up.

use super::*;

#[test]
fn the_whole_source_site_is_lost_without_an_event() {
    for (copy, verdict) in [
        (Absent, Verdict::NotMigrated),
        (Incoming, Verdict::Indeterminate(Doubt::SourceSilent)),
        (Paused, Verdict::Indeterminate(Doubt::SourceSilent)),
    ] {
        row(STARTED, copy).holds(verdict, Hold::SourceSilent);
        let fenced = decide(&row(STARTED, copy).source_fenced().order, &row(STARTED, copy).source_fenced().evidence);
        assert_eq!(fenced.verdict, Verdict::MemoryLost, "{copy:?}, fenced");
    }
}

#[test]
fn the_whole_source_site_is_lost_without_a_record() {
    let left = || row(Record::Enrolled, Absent);
    left().holds(Verdict::NotStarted, Hold::SourceSilent);
    left().source_fenced().holds(Verdict::NotStarted, Hold::LeftBehind);
    left()
        .source_fenced()
        .cold_start(ColdStart::Ordered)
        .acts(Verdict::NotStarted, Action::OpenAttempt(ArrivalKind::ColdStart));
    left()
        .source_fenced()
        .cold_start(ColdStart::Ordered)
        .disk(DiskEvidence::Partial)
        .holds(Verdict::NotStarted, Hold::NoGoodDisk);
}

#[test]
fn a_source_that_was_given_up_comes_back_and_only_retires() {
    let kind = ArrivalKind::ColdStart;
    let event = Record::Completed { attempt: Attempt::FIRST, kind };
    row(event, Running).source(BEGUN, SourceInstance::Stopped).acts(Verdict::FullyMigrated, Action::Retire);
    row(event, Running).source(BEGUN, SourceInstance::Running).holds(Verdict::SplitBrain, Hold::SplitBrain);
}
