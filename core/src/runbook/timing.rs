//! What a runbook says of time and room on the way: the sections [[link]] and [schedule], and a selection's turn.

use super::mistake::{Mistakes, quote};
use super::reader::{At, Section};
use super::select::patterns;
use super::selection::{Subject, Turn};
use super::{LINKS_MAX, TITLE_MAX_BYTES};
use crate::calendar::{Calendar, DAY_MS, LOCKOUTS_MAX, Lockout, WINDOWS_MAX, Window};
use crate::route::{AT_ONCE_MAX, CAPACITY_MAX_MBIT_S, Link};
use crate::time::Timestamp;
use std::collections::BTreeSet;

/// Most groups that a selection waits for.
const AFTER_MAX: usize = 100;
/// The days of a week, as windows name them.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The groups that stand further up.
#[derive(Debug, Default)]
pub(super) struct Groups {
    known: BTreeSet<String>,
    waited_for: BTreeSet<String>,
}

pub(super) fn turn(section: &Section<'_>, groups: &mut Groups, mistakes: &mut Mistakes<'_>) -> Turn {
    let usual = Turn::default();
    let priority = section.small_number("priority", 0..=Turn::PRIORITY_MAX, mistakes);
    let value = section.small_number("value", 0..=Turn::VALUE_MAX, mistakes);
    let group = section.text("group", TITLE_MAX_BYTES, mistakes);
    let after = after(section, groups, mistakes);
    if let Some(At { value: group, offset }) = group {
        if after.iter().any(|before| before == group) {
            let mend = "take one of the two out";
            mistakes.note(offset, format!("{} comes after its own group {}", section.title, quote(group)), mend);
        } else if groups.waited_for.contains(group) {
            let what = format!("group {} goes on here, and a selection further up waits for all of it", quote(group));
            mistakes.note(offset, what, "move this selection above the one that waits");
        }
        groups.known.insert(group.to_owned());
    }
    Turn {
        priority: priority.map_or(usual.priority, |at| at.value),
        value: value.map_or(usual.value, |at| at.value),
        group: group.map(|at| at.value.to_owned()),
        after,
    }
}

/// Only groups further up can be named: so none can wait for itself, nor for one of a later wave.
fn after(section: &Section<'_>, groups: &mut Groups, mistakes: &mut Mistakes<'_>) -> Vec<String> {
    let Some(given) = section.texts("after", mistakes) else { return Vec::new() };
    if given.value.len() > AFTER_MAX {
        let what = format!("\"after\" names {} groups", given.value.len());
        mistakes.note(given.offset, what, format!("use {AFTER_MAX} at most"));
    }
    let mut after: Vec<String> = Vec::new();
    for At { value, offset } in given.value.into_iter().take(AFTER_MAX) {
        if !groups.known.contains(value) {
            let what = format!("no selection further up has the group {}", quote(value));
            mistakes.note(offset, what, "give one further up group = \"…\"");
        } else if after.iter().any(|before| before == value) {
            mistakes.note(offset, format!("\"after\" names {} twice", quote(value)), "take one out");
        } else {
            groups.waited_for.insert(value.to_owned());
            after.push(value.to_owned());
        }
    }
    after
}

pub(super) fn links(top: &Section<'_>, mistakes: &mut Mistakes<'_>) -> Vec<Link> {
    let sections = top.sections("link", "link", mistakes).unwrap_or_default();
    if sections.len() > LINKS_MAX {
        let what = format!("the runbook has {} links", sections.len());
        mistakes.note(top.key_offset("link"), what, format!("use {LINKS_MAX} at most; a pattern serves many hosts"));
    }
    let mut links: Vec<Link> = Vec::new();
    for section in sections.iter().take(LINKS_MAX) {
        let link = link(section, &links, mistakes);
        links.extend(link);
    }
    links
}

fn link(section: &Section<'_>, earlier: &[Link], mistakes: &mut Mistakes<'_>) -> Option<Link> {
    section.knows(&["name", "mbit_s", "at_once", "source_hosts", "destination_hosts"], mistakes);
    section.needs("name", "add name = \"…\"", mistakes);
    section.needs("mbit_s", "add mbit_s: what it carries, in megabits per second", mistakes);
    let name = section.text("name", TITLE_MAX_BYTES, mistakes);
    if let Some(At { value, offset }) = name
        && earlier.iter().any(|link| link.name == value)
    {
        mistakes.note(offset, format!("a second link is named {}", quote(value)), "give each link its own name");
    }
    let mbit_s = section.number("mbit_s", &(1..=CAPACITY_MAX_MBIT_S), mistakes);
    let at_once = section.small_number("at_once", 1..=AT_ONCE_MAX, mistakes);
    let source_hosts = patterns(section, "source_hosts", Subject::Host, mistakes);
    let destination_hosts = patterns(section, "destination_hosts", Subject::Host, mistakes);
    Some(Link {
        name: name?.value.to_owned(),
        mbit_s: mbit_s?.value,
        at_once: at_once.map_or(1, |at| at.value),
        source_hosts,
        destination_hosts,
    })
}

/// When moves may begin, and when all is to be over.
pub(super) fn schedule(top: &Section<'_>, mistakes: &mut Mistakes<'_>) -> (Calendar, Option<Timestamp>) {
    let Some(section) = top.section("schedule", mistakes) else { return (Calendar::default(), None) };
    section.knows(&["start_at", "deadline", "window", "lockout"], mistakes);
    let start_at = section.moment("start_at", mistakes).map(|at| at.value);
    let deadline = section.moment("deadline", mistakes);
    if let (Some(start_at), Some(At { value, offset })) = (start_at, deadline)
        && value <= start_at
    {
        mistakes.note(offset, "\"deadline\" is not later than \"start_at\"", "make it later, or take one out");
    }
    let sections = |key: &str, most: usize, mistakes: &mut Mistakes<'_>| {
        let sections = section.sections(key, &format!("schedule.{key}"), mistakes).unwrap_or_default();
        if sections.len() > most {
            let what = format!("[schedule] has {} of \"{key}\"", sections.len());
            mistakes.note(section.key_offset(key), what, format!("use {most} at most"));
        }
        sections.into_iter().take(most)
    };
    let windows = sections("window", WINDOWS_MAX, mistakes).filter_map(|section| window(&section, mistakes)).collect();
    let lockouts = sections("lockout", LOCKOUTS_MAX, mistakes).filter_map(|section| lockout(&section, mistakes));
    let lockouts: Vec<Lockout> = lockouts.collect();
    (Calendar { start_at, windows, lockouts }, deadline.map(|at| at.value))
}

fn window(section: &Section<'_>, mistakes: &mut Mistakes<'_>) -> Option<Window> {
    section.knows(&["days", "from", "until"], mistakes);
    section.needs("from", "add from, a time of day in UTC, like 22:00:00", mistakes);
    section.needs("until", "add until, a time of day in UTC, like 05:00:00", mistakes);
    let from = section.time_of_day("from", mistakes);
    let until = section.time_of_day("until", mistakes);
    let days = match section.texts("days", mistakes) {
        None => [true; DAYS.len()],
        Some(given) => days(section, &given.value, mistakes),
    };
    let (from_ms, until_ms) = (from?.value, until?.value);
    // One that ends when it begins is open all day; one that ends earlier goes on past midnight.
    let length_ms = if until_ms > from_ms { until_ms - from_ms } else { until_ms + DAY_MS - from_ms };
    Some(Window { days, from_ms, length_ms })
}

fn days(section: &Section<'_>, given: &[At<&str>], mistakes: &mut Mistakes<'_>) -> [bool; DAYS.len()] {
    if given.is_empty() {
        let mend = "name the days on which it opens, or leave it out: then on each";
        mistakes.note(section.key_offset("days"), "\"days\" is an empty list", mend);
    }
    let mut days = [false; DAYS.len()];
    for At { value, offset } in given {
        match DAYS.iter().position(|day| day == value) {
            Some(day) => days[day] = true,
            None => mistakes.note(*offset, format!("{} is no day", quote(value)), format!("use {}", DAYS.join(", "))),
        }
    }
    days
}

fn lockout(section: &Section<'_>, mistakes: &mut Mistakes<'_>) -> Option<Lockout> {
    section.knows(&["from", "until"], mistakes);
    section.needs("from", "add from, like 2026-12-01T22:00:00Z", mistakes);
    section.needs("until", "add until, like 2026-12-02T01:00:00Z", mistakes);
    let from = section.moment("from", mistakes);
    let until = section.moment("until", mistakes);
    let (from, At { value: until, offset }) = (from?.value, until?);
    if until <= from {
        mistakes.note(offset, "a lockout ends before it begins", "make \"until\" later than \"from\"");
        return None;
    }
    Some(Lockout { from, until })
}
