//! Reads the selections of a wave, and refuses those that can't match anything whatever the source holds.

use super::mistake::{Mistakes, nearest, quote};
use super::reader::{At, Section};
use super::selection::{Chosen, Criteria, Exception, GLOBS_MAX, LIST_MAX, Patterns, Selection, Subject};
use super::timing::{self, Groups};
use super::{ModeChoice, SELECTIONS_MAX, TITLE_MAX_BYTES};
use crate::ids::VmId;
use std::collections::BTreeSet;

const SELECTION_KEYS: [&str; 13] = [
    "all",
    "names",
    "tags",
    "hosts",
    "ids",
    "except",
    "mode",
    "destination_hosts",
    "priority",
    "value",
    "group",
    "after",
    "apart",
];

const EXCEPTION_KEYS: [&str; 5] = ["names", "tags", "hosts", "ids", "waves"];

const CRITERIA_KEYS: [&str; 4] = ["names", "tags", "hosts", "ids"];

const MODES: [(&str, ModeChoice); 4] =
    [("auto", ModeChoice::Auto), ("live", ModeChoice::Live), ("cold", ModeChoice::Cold), ("off", ModeChoice::Off)];

/// The selections under `select`. `earlier` are the names of the waves before this one.
pub(super) fn selections(
    parent: &Section<'_>,
    path: &str,
    earlier: &[&str],
    groups: &mut Groups,
    mistakes: &mut Mistakes<'_>,
) -> Vec<Selection> {
    let Some(sections) = parent.sections("select", path, mistakes) else { return Vec::new() };
    let offset = parent.key_offset("select");
    if sections.is_empty() {
        mistakes.note(offset, "\"select\" is empty", "add a selection, for instance { all = true }");
    }
    if sections.len() > SELECTIONS_MAX {
        let what = format!("{} selections in one wave", sections.len());
        mistakes.note(offset, what, format!("use {SELECTIONS_MAX} at most"));
    }
    sections.iter().take(SELECTIONS_MAX).map(|section| selection(section, earlier, groups, mistakes)).collect()
}

fn selection(section: &Section<'_>, earlier: &[&str], groups: &mut Groups, mistakes: &mut Mistakes<'_>) -> Selection {
    section.knows(&SELECTION_KEYS, mistakes);
    let chosen = chosen(section, mistakes);
    let except = exception(section, earlier, mistakes);
    if excludes_itself(&chosen, &except) {
        let what = format!("{} excepts all that it selects", section.title);
        mistakes.note(section.key_offset("except"), what, "narrow \"except\", or take the selection out");
    }
    Selection {
        chosen,
        except,
        mode: section.choice("mode", &MODES, mistakes).unwrap_or_default(),
        destination_hosts: patterns(section, "destination_hosts", Subject::Host, mistakes),
        turn: timing::turn(section, groups, mistakes),
        apart: section.text("apart", TITLE_MAX_BYTES, mistakes).map(|at| at.value.to_owned()),
    }
}

fn chosen(section: &Section<'_>, mistakes: &mut Mistakes<'_>) -> Chosen {
    let all = section.flag("all", mistakes);
    let criteria = Criteria {
        names: patterns(section, "names", Subject::VmName, mistakes),
        tags: patterns(section, "tags", Subject::Tag, mistakes),
        hosts: patterns(section, "hosts", Subject::Host, mistakes),
        ids: ids(section, mistakes),
    };
    let narrowed = CRITERIA_KEYS.into_iter().find(|key| section.has(key));
    match (all, narrowed) {
        (Some(At { value: true, offset }), Some(key)) => {
            let mend = format!("keep one of them; \"{key}\" alone selects what it names");
            mistakes.note(offset, format!("all = true beside \"{key}\""), mend);
        }
        (Some(At { value: true, .. }), None) => return Chosen::All,
        (Some(At { value: false, offset }), _) => {
            mistakes.note(offset, "all = false selects nothing", "take it out");
        }
        (None, None) if !section.has("all") => {
            let mend = "add all = true, or names, tags, hosts or ids";
            mistakes.note(section.offset, format!("{} selects nothing", section.title), mend);
        }
        (None, Some(_) | None) => {}
    }
    Chosen::Matching(criteria)
}

fn exception(section: &Section<'_>, earlier: &[&str], mistakes: &mut Mistakes<'_>) -> Exception {
    let Some(except) = section.section("except", mistakes) else { return Exception::default() };
    let except = except.titled(format!("\"except\" of {}", section.title));
    except.knows(&EXCEPTION_KEYS, mistakes);
    if !EXCEPTION_KEYS.into_iter().any(|key| except.has(key)) {
        let mend = "take it out, or give it names, tags, hosts, ids or waves";
        mistakes.note(except.offset, format!("{} is empty", except.title), mend);
    }
    Exception {
        names: patterns(&except, "names", Subject::VmName, mistakes),
        tags: patterns(&except, "tags", Subject::Tag, mistakes),
        hosts: patterns(&except, "hosts", Subject::Host, mistakes),
        ids: ids(&except, mistakes).unwrap_or_default(),
        waves: waves(&except, earlier, mistakes),
    }
}

/// Places of the earlier waves that are named.
fn waves(except: &Section<'_>, earlier: &[&str], mistakes: &mut Mistakes<'_>) -> BTreeSet<usize> {
    let mut places = BTreeSet::new();
    for At { value, offset } in entries(except, "waves", mistakes).unwrap_or_default() {
        if let Some(place) = earlier.iter().position(|name| *name == value) {
            if !places.insert(place) {
                twice("waves", value, offset, mistakes);
            }
            continue;
        }
        let mend = match nearest(value, earlier.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None if earlier.is_empty() => "only waves further up can be named, and there are none".to_owned(),
            None => format!("only waves further up can be named: {}", quote(&earlier.join(", "))),
        };
        mistakes.note(offset, format!("no earlier wave is named {}", quote(value)), mend);
    }
    places
}

pub(super) fn patterns(
    section: &Section<'_>,
    key: &str,
    subject: Subject,
    mistakes: &mut Mistakes<'_>,
) -> Option<Patterns> {
    let mut patterns = Patterns::default();
    for At { value, offset } in entries(section, key, mistakes)? {
        if !subject.can_match(value) {
            mistakes.note(offset, format!("{} in \"{key}\" can't match anything", quote(value)), subject.rule());
        } else if !patterns.insert(value) {
            twice(key, value, offset, mistakes);
        }
    }
    if patterns.glob_count() > GLOBS_MAX {
        let what = format!("\"{key}\" has {} entries with a '*'", patterns.glob_count());
        mistakes.note(section.key_offset(key), what, format!("use {GLOBS_MAX} at most"));
    }
    Some(patterns)
}

fn ids(section: &Section<'_>, mistakes: &mut Mistakes<'_>) -> Option<BTreeSet<VmId>> {
    let mut ids = BTreeSet::new();
    for At { value, offset } in entries(section, "ids", mistakes)? {
        match value.parse::<VmId>() {
            Ok(id) if ids.insert(id) => {}
            Ok(_) => twice("ids", value, offset, mistakes),
            Err(_) => {
                let mend = "write it like 6ba7b810-9dad-41d1-80b4-00c04fd430c8, or select by names";
                mistakes.note(offset, format!("{} in \"ids\" is not a UUID", quote(value)), mend);
            }
        }
    }
    Some(ids)
}

/// The entries of a list: at least one, at most [`LIST_MAX`].
fn entries<'d>(section: &Section<'d>, key: &str, mistakes: &mut Mistakes<'_>) -> Option<Vec<At<&'d str>>> {
    let At { value: mut entries, offset } = section.texts(key, mistakes)?;
    if section.is_empty_list(key) {
        let what = format!("\"{key}\" in {} is an empty list", section.title);
        mistakes.note(offset, what, "it would match nothing; name something, or leave the key out");
    }
    if entries.len() > LIST_MAX {
        mistakes.note(offset, format!("\"{key}\" has {} entries", entries.len()), format!("use {LIST_MAX} at most"));
        entries.truncate(LIST_MAX);
    }
    Some(entries)
}

fn twice(key: &str, value: &str, offset: usize, mistakes: &mut Mistakes<'_>) {
    mistakes.note(offset, format!("{} stands twice in \"{key}\"", quote(value)), "take one out");
}

/// Whether the exception, by what is written alone, leaves nothing.
fn excludes_itself(chosen: &Chosen, except: &Exception) -> bool {
    let everything = |patterns: &Option<Patterns>| patterns.as_ref().is_some_and(Patterns::match_everything);
    if everything(&except.names) || everything(&except.hosts) {
        return true;
    }
    let Chosen::Matching(criteria) = chosen else { return false };
    let within = |wanted: &Option<Patterns>, excepted: &Option<Patterns>| match (wanted, excepted) {
        (Some(wanted), Some(excepted)) => wanted.entries().next().is_some() && wanted.is_within(excepted),
        (Some(_) | None, None) | (None, Some(_)) => false,
    };
    let ids_within = criteria.ids.as_ref().is_some_and(|ids| !ids.is_empty() && ids.is_subset(&except.ids));
    ids_within
        || within(&criteria.names, &except.names)
        || within(&criteria.tags, &except.tags)
        || within(&criteria.hosts, &except.hosts)
}
