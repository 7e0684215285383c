//! Hosts that restart, are cut off from their worker, die, and come back; and a whole source site that does.

use crate::hypervisor::{self, Event};
use crate::protocol::Protocol;
use crate::state::{Broken, Reach, State};
use muster_core::ledger::SourceState;
use muster_core::reading::{Instance, OffCause, Stored};

/// What may happen to hosts now.
pub(crate) fn events(protocol: &Protocol, state: &State, events: &mut Vec<Event>) {
    if may_vanish(protocol, state) {
        match (protocol.hosts_vanish, state.source.reach) {
            (true, Reach::Answers) => {
                events.extend([Event::SourceHostIsCut, Event::SourceHostDies, Event::SourceSiteDies]);
            }
            (true, Reach::Cut) => events.push(Event::SourceHostDies),
            (false, _) if restart_shows(state) => events.push(Event::SourceHostRestarts),
            (true | false, _) => {}
        }
    }
    if state.source.reach != Reach::Answers && may_come_back(state) {
        events.push(Event::SourceComesBack);
    }
    for (host, reach) in state.destination.hosts.iter().enumerate() {
        let has_instance =
            state.destination.copies.iter().any(|copy| state.host(copy.attempt) == host && !copy.is_off());
        match reach {
            Reach::Answers if protocol.hosts_vanish => {
                events.extend([Event::DestinationHostIsCut(host), Event::DestinationHostDies(host)]);
            }
            Reach::Answers if has_instance => events.push(Event::DestinationHostRestarts(host)),
            Reach::Answers => {}
            Reach::Cut => events.extend([Event::DestinationHostDies(host), Event::DestinationHostComesBack(host)]),
            Reach::Dead | Reach::SiteDead => events.push(Event::DestinationHostComesBack(host)),
        }
    }
}

fn may_vanish(protocol: &Protocol, state: &State) -> bool {
    !state.is_sworn() || protocol.sworn_vanishes_again
}

/// A restart that changes nothing which anybody could see is left out.
fn restart_shows(state: &State) -> bool {
    match state.source.instance {
        Instance::Running | Instance::Paused | Instance::Incoming => true,
        Instance::Off(OffCause::Migrated | OffCause::ShutDown) => true,
        Instance::Off(OffCause::Crashed | OffCause::Saved | OffCause::Unknown) => state.source.stored == Stored::Real,
    }
}

/// Who has sworn that the source can't run anything sees to it that this stays so: of what could start there by itself the
/// host stays away.
pub(crate) fn may_come_back(state: &State) -> bool {
    !(state.is_sworn() && state.source.reach.is_dead() && state.source.stored == Stored::Real)
}

pub(crate) fn source_restarts(state: &mut State) {
    source_dies(state);
    if state.source.stored == Stored::Real {
        boot_source(state);
    }
}

/// It dies: its host, or all of its site.
pub(crate) fn source_goes(state: &mut State, reach: Reach) {
    source_dies(state);
    state.source.reach = reach;
    if reach == Reach::SiteDead {
        // With its worker die the calls that it had not made yet; its intent is in the ledger.
        state.source.call = None;
    }
}

fn source_dies(state: &mut State) {
    let proven = matches!(state.at_source().state, SourceState::Gone { .. } | SourceState::Retired);
    state.memory_lost |= match state.source.instance {
        Instance::Running | Instance::Paused | Instance::Incoming => !state.has_event(),
        // Nor what its owner wanted.
        Instance::Off(OffCause::ShutDown) => !state.has_event(),
        // After the restart nothing tells an arrival from a crash: nobody can prove any more where the memory is.
        Instance::Off(OffCause::Migrated) => !proven && !state.has_event(),
        Instance::Off(OffCause::Crashed | OffCause::Saved | OffCause::Unknown) => false,
    };
    if let Some(job) = state.source.job.take()
        && let Some(copy) = state.copy_mut(job.attempt)
        && hypervisor::is_whole(copy)
    {
        copy.job = false;
    }
    state.source.instance = Instance::Off(OffCause::Unknown);
    state.shut_down = false;
}

pub(crate) fn source_comes_back(state: &mut State) {
    let was_dead = state.source.reach.is_dead();
    state.source.reach = Reach::Answers;
    if was_dead && state.source.stored == Stored::Real {
        boot_source(state);
    }
}

/// It comes up from its disk.
pub(crate) fn boot_source(state: &mut State) {
    if state.newest_is_there() && !state.memory_lost {
        state.breaks(Broken::MemoryThrownAway);
    }
    state.source.instance = Instance::Running;
    (state.memory_lost, state.shut_down) = (false, false);
    state.source_ran();
}

pub(crate) fn destination_restarts(state: &mut State, host: usize) {
    destination_goes(state, host);
    destination_comes_back(state, host);
}

pub(crate) fn destination_goes(state: &mut State, host: usize) {
    state.destination.hosts[host] = Reach::Dead;
    let source_is_alive = state.source_is_alive();
    let Some(copy) = copy_on(state, host) else { return };
    let newest = copy.holds_newest();
    if !copy.is_off() {
        copy.instance = Instance::Off(OffCause::Unknown);
    }
    copy.job = false;
    state.memory_lost |= newest && !source_is_alive;
}

/// What has its event is started by its host; nothing else there can be.
pub(crate) fn destination_comes_back(state: &mut State, host: usize) {
    let was_dead = state.destination.hosts[host].is_dead();
    state.destination.hosts[host] = Reach::Answers;
    let Some(copy) = copy_on(state, host) else { return };
    if was_dead && copy.stored == Stored::Real && copy.is_off() {
        copy.instance = Instance::Running;
        copy.stale = false;
        state.memory_lost = false;
    }
}

fn copy_on(state: &mut State, host: usize) -> Option<&mut crate::state::Copy> {
    let attempt = state.destination.copies.iter().map(|copy| copy.attempt).find(|at| state.host(*at) == host)?;
    state.copy_mut(attempt)
}
