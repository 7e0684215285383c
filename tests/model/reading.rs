//! What each site's worker answers: its ledger's standing, and what it can see of its hosts. Tokens are left out: nobody
//! weighs them.

use crate::protocol::{BadRule, Protocol};
use crate::state::{Call, Copy, Reach, State, VM, destination_host, source_host};
use muster_core::ids::HostName;
use muster_core::ledger::{AtSource, SourceState, Standing, VmRow};
use muster_core::reading::{Instance, Job, Mark, OffCause, Phase, Sight, Sighting, SiteReading, Stored};
use muster_core::time::Timestamp;
use muster_core::token::Token;

/// What the source's worker answers; in a world without seals, as if its ledger's word were enough.
pub(crate) fn source(protocol: &Protocol, state: &State) -> SiteReading {
    let ledger_is_enough = protocol.is(BadRule::NoSeal) && state.at_source().state != SourceState::Unsealed;
    let sighting = Sighting {
        stored: if ledger_is_enough { Stored::Sealed } else { state.source.stored },
        job: state.source.job.map(|_| Job::in_phase(Phase::PreCopy)),
        ..off(source_host())
    };
    let sighting = Sighting { instance: state.source.instance, ..sighting };
    let answers = state.source.reach == Reach::Answers;
    let (sightings, silent_hosts) = if answers { (vec![sighting], vec![]) } else { (vec![], vec![source_host()]) };
    let mut at: AtSource = state.at_source().clone();
    match &mut at.state {
        SourceState::Sealed { transfer: Some(transfer) } | SourceState::Gone { transfer } => {
            transfer.token = Token::ZERO;
        }
        SourceState::Sealed { transfer: None } | SourceState::Unsealed | SourceState::Retired => {}
    }
    let sight = sight(protocol, sightings, silent_hosts, state.source.call);
    reading(Standing::Source(at), sight, &state.source.row)
}

/// What the destination's worker answers.
pub(crate) fn destination(protocol: &Protocol, state: &State) -> SiteReading {
    let evacuation = state.leg.evacuation();
    let seen = |copy: &Copy| Sighting {
        instance: copy.instance,
        stored: copy.stored,
        mark: Some(Mark { evacuation, attempt: copy.attempt, token: Token::ZERO }),
        job: copy.job.then(|| Job::in_phase(Phase::PreCopy)),
        ..off(destination_host(state.host(copy.attempt)))
    };
    let hosts = &state.destination.hosts;
    let copies = state.destination.copies.iter();
    let mut sightings: Vec<Sighting> =
        copies.filter(|copy| state.host_reach(copy.attempt) == Reach::Answers).map(seen).collect();
    if state.destination.has_retired && hosts[0] == Reach::Answers {
        sightings.push(Sighting { stored: Stored::Retired, ..off(destination_host(0)) });
    }
    let silent = (0..hosts.len()).filter(|host| hosts[*host] != Reach::Answers).map(destination_host).collect();
    let sight = sight(protocol, sightings, silent, state.destination.call);
    reading(Standing::Destination(state.at_destination().clone()), sight, &state.destination.row)
}

fn off(host: HostName) -> Sighting {
    Sighting {
        host,
        instance: Instance::Off(OffCause::Unknown),
        stored: Stored::Nothing,
        mark: None,
        job: None,
        disk_complete: true,
        stood_still_ms: None,
        job_error: None,
        autostart: false,
    }
}

fn sight(protocol: &Protocol, sightings: Vec<Sighting>, silent: Vec<HostName>, call: Option<Call>) -> Sight {
    let silent_hosts = if protocol.is(BadRule::SilentIsAbsent) { Vec::new() } else { silent };
    Sight { sightings, silent_hosts, call_under_way: call.is_some() }
}

fn reading(standing: Standing, sight: Sight, row: &VmRow) -> SiteReading {
    SiteReading {
        vm: VM,
        floor: Token::ZERO,
        standing: Some(standing),
        sight,
        mutation_under_way: row.intent.is_some(),
        at: Timestamp::default(),
    }
}
