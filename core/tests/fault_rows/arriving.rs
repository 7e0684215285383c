//! The rows for memory that is on its way: the hypervisors have until the deadline, then the attempt is given up.

use super::*;

#[test]
fn an_arrival_has_until_its_deadline_whatever_the_source_shows() {
    let arriving = |seal, instance| row(STARTED, Incoming).source(seal, instance);
    let under_way = Verdict::Indeterminate(Doubt::HandoverUnderWay);
    for (at, verdict) in [
        (arriving(BEGUN, SourceInstance::Running), Verdict::NotMigrated),
        (arriving(BEGUN, SourceInstance::ShutDown), Verdict::NotMigrated),
        (arriving(BEGUN, SourceInstance::Paused), under_way),
        (arriving(BEGUN, SourceInstance::Stopped), Verdict::MemoryLost),
        (arriving(BEGUN, SourceInstance::HostSilent).source_fenced(), Verdict::MemoryLost),
    ] {
        at.is(verdict, Step::Wait(Wait::Handover));
        at.late().acts(verdict, Action::Abandon);
    }
    // All of it must have arrived before the source lets go: what still arrives then is nobody's to throw away.
    arriving(GONE, SourceInstance::Stopped).is(under_way, Step::Wait(Wait::Handover));
    arriving(GONE, SourceInstance::Stopped).late().holds(under_way, Hold::Contradiction);
}

#[test]
fn a_host_that_may_have_the_copy_is_waited_for_until_somebody_swears() {
    let unseen = Verdict::Indeterminate(Doubt::DestinationHostSilent);
    for source in [SourceInstance::Paused, SourceInstance::Stopped] {
        row(STARTED, HostSilent).source(BEGUN, source).holds(unseen, Hold::DestinationHostSilent);
    }
    row(STARTED, HostSilent).source_fenced().holds(unseen, Hold::DestinationHostSilent);
    let sworn = || row(STARTED, HostSilent).host_fenced();
    sworn().source(BEGUN, SourceInstance::Paused).acts(Verdict::NotMigrated, Action::Abandon);
    sworn().source(BEGUN, SourceInstance::Stopped).acts(Verdict::MemoryLost, Action::Abandon);
    sworn().source_fenced().acts(Verdict::MemoryLost, Action::Abandon);
    let anew = || row(COLD_STARTED, HostSilent).source_fenced();
    anew().holds(Verdict::MemoryLost, Hold::DestinationHostSilent);
    anew().host_fenced().acts(Verdict::MemoryLost, Action::Abandon);
}

#[test]
fn a_host_that_cant_have_the_copy_is_no_doubt() {
    let given_up = |seal| row(ABANDONED, HostSilent).source(seal, SourceInstance::Running).source_busy();
    let never_sent = [Seal::Unsealed, Seal::Sealed(TransferTrace::NotBegun)];
    never_sent.into_iter().for_each(|seal| given_up(seal).is(Verdict::NotMigrated, Step::Wait(Wait::Job)));
    given_up(BEGUN).is(Verdict::Indeterminate(Doubt::DestinationHostSilent), Step::Wait(Wait::Job));
}
