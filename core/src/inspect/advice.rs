//! What to look at next: in words, for whoever has no record of the migration. It advises; it never says that something is
//! safe which a silent host could spoil.

use super::{Seen, SeenState, Standing, Urgency};
use crate::reading::{OffCause, Stored};

/// A piece of advice.
pub(super) struct Advice {
    pub(super) urgency: Urgency,
    pub(super) text: String,
}

pub(super) fn of(standing: Standing, seen: &[Seen], some_silent: bool) -> Vec<Advice> {
    let mut all = of_standing(standing, seen, some_silent);
    if standing == Standing::RunsOnce {
        all.extend(seen.iter().filter(|seen| !seen.runs()).filter_map(beside_the_running_one));
        all.extend(seen.iter().filter(|seen| seen.runs() && seen.stored == Stored::Nothing).map(transient));
    }
    all
}

fn of_standing(standing: Standing, seen: &[Seen], some_silent: bool) -> Vec<Advice> {
    let places = |is: fn(&Seen) -> bool| {
        let places: Vec<&str> = seen.iter().filter(|seen| is(seen)).map(|seen| seen.host.as_str()).collect();
        places.join(" and ")
    };
    match standing {
        Standing::RunsTwice => vec![alarm(format!(
            "it runs on {}: suspend one of them now, compare their disks and logs, and keep the one whose data counts; never both",
            places(Seen::runs)
        ))],
        Standing::Lost => vec![alarm(
            "its last host gave it away and no host that answers has it: look at the hosts that were not asked, and in the \
             destination's log; start it from its disk only when it is certain that it runs nowhere"
                .to_owned(),
        )],
        Standing::PausedTwice => vec![alarm(format!(
            "it is paused on {}: resume exactly one. The source's, unless the logs of both sides show that the transfer had \
             completed and the source had let go; then destroy the other before its host is started again",
            places(Seen::is_paused)
        ))],
        Standing::PausedOnce => vec![paused(seen, some_silent)],
        Standing::Incomplete => vec![alarm(
            "only an arriving copy is there, and its memory is not whole: it can't be used; find the source's host, and \
             start it from its disk when it is certain that it runs nowhere"
                .to_owned(),
        )],
        Standing::Stopped => vec![attention(
            "it has ended without being shut down: look at its log before it is started, and start it on one side only"
                .to_owned(),
        )],
        Standing::Migrating => vec![attention(
            "a migration is under way: virsh domjobinfo shows how far it is, virsh domjobabort at its source ends it"
                .to_owned(),
        )],
        Standing::ShutDown => shut_down(seen),
        Standing::Inert => vec![attention(
            "only copies that muster made inert are there: ask muster with \"muster recover\", or look for it elsewhere"
                .to_owned(),
        )],
        Standing::RunsOnce if some_silent => {
            vec![attention("it runs once as far as those that answer tell; a host is silent".to_owned())]
        }
        Standing::RunsOnce => Vec::new(),
    }
}

fn paused(seen: &[Seen], some_silent: bool) -> Advice {
    let Some(copy) = seen.iter().find(|seen| seen.is_paused()) else {
        return alarm("it is paused somewhere".to_owned());
    };
    let Seen { host, words, .. } = copy;
    if some_silent {
        return alarm(format!(
            "it is {words} on {host}, and a host is silent: it may run there. Resume nothing until that host answers or is \
             certainly off"
        ));
    }
    let was_given_away = seen.iter().any(|other| other.off_cause() == Some(OffCause::Migrated));
    if copy.state == SeenState::PausedByMigration || was_given_away {
        alarm(format!(
            "a migration has left it {words} on {host}, and no other host that was asked holds its memory: if these are all \
             hosts that it could be on, virsh resume there"
        ))
    } else {
        attention(format!("it is {words} on {host}: find out who paused it before it is resumed"))
    }
}

fn shut_down(seen: &[Seen]) -> Vec<Advice> {
    let startable: Vec<&Seen> = seen.iter().filter(|seen| !seen.is_inert()).collect();
    if startable.len() < 2 {
        return Vec::new();
    }
    let hosts: Vec<&str> = startable.iter().map(|seen| seen.host.as_str()).collect();
    vec![attention(format!(
        "it is off and can be started on {}: undefine all but one, or it may be started twice",
        hosts.join(" and ")
    ))]
}

/// What is left of a VM besides the one that runs.
fn beside_the_running_one(other: &Seen) -> Option<Advice> {
    let Seen { host, words, .. } = other;
    match other.state {
        SeenState::Paused | SeenState::PausedByMigration => {
            Some(alarm(format!("a second copy is {words} on {host}: it must never be resumed; destroy it there")))
        }
        SeenState::Incoming => Some(attention(format!(
            "an arriving copy is left on {host}: destroy it there once no migration is under way"
        ))),
        SeenState::Off(_) if other.is_inert() => None,
        SeenState::Off(_) if other.autostart => Some(alarm(format!(
            "{host} would start it a second time at its next boot: virsh autostart --disable there, then undefine it"
        ))),
        SeenState::Off(_) => Some(attention(format!(
            "it can be started a second time on {host}, where it is {words}: undefine it there"
        ))),
        SeenState::Running => None,
    }
}

fn transient(running: &Seen) -> Advice {
    attention(format!(
        "{} has no definition of it stored: once it ends there it is gone; keep its virsh dumpxml and define it",
        running.host
    ))
}

fn alarm(text: String) -> Advice {
    Advice { urgency: Urgency::Alarm, text }
}

fn attention(text: String) -> Advice {
    Advice { urgency: Urgency::Attention, text }
}
