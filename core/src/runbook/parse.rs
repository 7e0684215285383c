//! From text to [`Runbook`], section by section. Every section is read even when another is wrong, so that all
//! mistakes come at once.

use super::guardian::guardians;
use super::mistake::{Mistake, Mistakes, quote};
use super::reader::{At, Section};
use super::select::selections;
use super::timing::Groups;
use super::{
    ColdStartPolicy, Deadlines, FailureBudget, Limits, ONLY_WAVE, RUNBOOK_MAX_BYTES, Recovery, Retention, Retry,
    Runbook, TITLE_MAX_BYTES, WAVES_MAX, Wave,
};
use super::{timing, tuning};
use crate::ids::{SiteName, TEXT_MAX_BYTES, clip};
use crate::route::CAPACITY_MAX_MBIT_S;
use toml_edit::{Document, TomlError};

const TOP_KEYS: [&str; 17] = [
    "name",
    "description",
    "source",
    "destination",
    "wave",
    "select",
    "limits",
    "link",
    "schedule",
    "retry",
    "failure_budget",
    "recovery",
    "deadlines",
    "retention",
    "transfer",
    "ladder",
    "guardian",
];

const LIMIT_KEYS: [&str; 8] = [
    "per_source_host",
    "per_destination_host",
    "per_site",
    "total",
    "per_storage",
    "source_host_mbit_s",
    "destination_host_mbit_s",
    "stream_mbit_s",
];

pub(super) fn runbook(text: &str) -> Result<Runbook, Vec<Mistake>> {
    let mut mistakes = Mistakes::in_text(text);
    if text.len() > RUNBOOK_MAX_BYTES {
        let what = format!("the runbook has {} bytes", text.len());
        mistakes.note(0, what, format!("use {RUNBOOK_MAX_BYTES} at most; select by tags or patterns"));
        return Err(mistakes.into_list());
    }
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            not_toml(text, &error, &mut mistakes);
            return Err(mistakes.into_list());
        }
    };
    let top = Section::new("the runbook", 0, document.as_table());
    match read(&top, &mut mistakes) {
        Some(runbook) if mistakes.is_empty() => Ok(runbook),
        Some(_) | None => Err(mistakes.into_list()),
    }
}

fn not_toml(text: &str, error: &TomlError, mistakes: &mut Mistakes<'_>) {
    let span = error.span().unwrap_or(0..0);
    let piece = text.get(span.clone()).unwrap_or_default();
    let what = clip(error.message());
    let named = if piece.trim().is_empty() { what } else { format!("{what}: {}", quote(piece)) };
    mistakes.note(span.start, named, "it isn't TOML from here on; mend this first, the rest is read after that");
}

fn read(top: &Section<'_>, mistakes: &mut Mistakes<'_>) -> Option<Runbook> {
    top.knows(&TOP_KEYS, mistakes);
    top.needs("name", "add name = \"…\" at the top: what people will call this evacuation", mistakes);
    let name = top.text("name", TITLE_MAX_BYTES, mistakes);
    let description = top.text("description", TEXT_MAX_BYTES, mistakes);
    let source = site(top, "source", mistakes);
    let destination = site(top, "destination", mistakes);
    if let (Some(from), Some(to)) = (&source, &destination)
        && from.value == to.value
    {
        let what = format!("the destination is the source, {}", quote(from.value.as_str()));
        mistakes.note(to.offset, what, "name another site");
    }
    let waves = waves(top, mistakes);
    let limits = limits(top, mistakes);
    let links = timing::links(top, mistakes);
    let (calendar, deadline_at) = timing::schedule(top, mistakes);
    let retry = retry(top, mistakes);
    let failure_budget = failure_budget(top, mistakes);
    let recovery = recovery(top, mistakes);
    let deadlines = deadlines(top, mistakes);
    let retention = retention(top, mistakes);
    let transfer = tuning::transfer(top, mistakes);
    let ladder = tuning::ladder(top, mistakes);
    let guardians = guardians(top, mistakes);
    Some(Runbook {
        name: name?.value.to_owned(),
        description: description.map(|text| text.value.to_owned()),
        source: source?.value,
        destination: destination?.value,
        waves,
        limits,
        links,
        calendar,
        deadline_at,
        retry,
        failure_budget,
        recovery,
        deadlines,
        retention,
        transfer,
        ladder,
        guardians,
    })
}

fn site(top: &Section<'_>, key: &str, mistakes: &mut Mistakes<'_>) -> Option<At<SiteName>> {
    top.needs(key, &format!("add [{key}] with site = \"…\""), mistakes);
    let section = top.section(key, mistakes)?;
    section.knows(&["site"], mistakes);
    section.needs("site", "add site = \"…\"", mistakes);
    let At { value, offset } = section.text("site", TEXT_MAX_BYTES, mistakes)?;
    match value.parse::<SiteName>() {
        Ok(value) => Some(At { value, offset }),
        Err(_) => {
            let mend = "use 1 to 63 letters, digits, '-', '_' or '.', starting with a letter or digit";
            mistakes.note(offset, format!("{} is not a site's name", quote(value)), mend);
            None
        }
    }
}

fn waves(top: &Section<'_>, mistakes: &mut Mistakes<'_>) -> Vec<Wave> {
    if !top.has("wave") {
        top.needs("select", "add [[select]] with all = true to move everything, or [[wave]]s", mistakes);
        let selections = selections(top, "select", &[], &mut Groups::default(), mistakes);
        return vec![Wave { name: ONLY_WAVE.to_owned(), selections }];
    }
    if top.has("select") {
        let mend = "make it a [[wave.select]] of the wave it belongs to";
        mistakes.note(top.key_offset("select"), "[[select]] stands beside [[wave]]", mend);
    }
    let sections = top.sections("wave", "wave", mistakes).unwrap_or_default();
    if top.is_empty_list("wave") {
        mistakes.note(
            top.key_offset("wave"),
            "\"wave\" is an empty list",
            "add a [[wave]], or [[select]] without waves",
        );
    }
    if sections.len() > WAVES_MAX {
        let what = format!("the runbook has {} waves", sections.len());
        mistakes.note(top.key_offset("wave"), what, format!("use {WAVES_MAX} at most"));
    }
    let (mut waves, mut groups): (Vec<Wave>, _) = (Vec::new(), Groups::default());
    for section in sections.iter().take(WAVES_MAX) {
        let wave = wave(section, &waves, &mut groups, mistakes);
        waves.push(wave);
    }
    waves
}

fn wave(section: &Section<'_>, earlier: &[Wave], groups: &mut Groups, mistakes: &mut Mistakes<'_>) -> Wave {
    section.knows(&["name", "select"], mistakes);
    section.needs("name", "add name = \"…\"", mistakes);
    section.needs("select", "add a [[wave.select]] below it, for instance with tags = [\"…\"]", mistakes);
    let name = section.text("name", TITLE_MAX_BYTES, mistakes);
    if let Some(At { value, offset }) = name
        && earlier.iter().any(|wave| wave.name == value)
    {
        mistakes.note(offset, format!("a second wave is named {}", quote(value)), "give each wave its own name");
    }
    let names: Vec<&str> = earlier.iter().map(|wave| wave.name.as_str()).collect();
    let selections = selections(section, "wave.select", &names, groups, mistakes);
    Wave { name: name.map_or_else(String::new, |name| name.value.to_owned()), selections }
}

fn limits(top: &Section<'_>, mistakes: &mut Mistakes<'_>) -> Limits {
    let usual = Limits::default();
    let Some(section) = top.section("limits", mistakes) else { return usual };
    section.knows(&LIMIT_KEYS, mistakes);
    let (host, all) = (1..=Limits::PER_HOST_MAX, 1..=Limits::TOTAL_MAX);
    let source_host = section.small_number("per_source_host", host.clone(), mistakes);
    let destination_host = section.small_number("per_destination_host", host, mistakes);
    let total = section.small_number("total", all.clone(), mistakes).map_or(usual.total, |at| at.value);
    let site = section.small_number("per_site", all, mistakes);
    let storage = section.small_number("per_storage", 1..=Limits::PER_HOST_MAX, mistakes);
    let mut rate = |key: &str| section.number(key, &(1..=CAPACITY_MAX_MBIT_S), mistakes).map(|at| at.value);
    Limits {
        per_source_host: source_host.map_or(usual.per_source_host, |at| at.value),
        per_destination_host: destination_host.map_or(usual.per_destination_host, |at| at.value),
        per_site: site.map_or(total, |at| at.value),
        total,
        per_storage: storage.map(|at| at.value),
        source_host_mbit_s: rate("source_host_mbit_s"),
        destination_host_mbit_s: rate("destination_host_mbit_s"),
        stream_mbit_s: rate("stream_mbit_s"),
    }
}

fn retry(top: &Section<'_>, mistakes: &mut Mistakes<'_>) -> Retry {
    let usual = Retry::default();
    let Some(section) = top.section("retry", mistakes) else { return usual };
    section.knows(&["attempts", "backoff_ms", "backoff_max_ms", "jitter"], mistakes);
    let attempts = section.small_number("attempts", 1..=Retry::ATTEMPTS_MAX, mistakes);
    let first = Retry::BACKOFF_MIN_MS..=Retry::BACKOFF_MAX_MS;
    let backoff_ms = section.number("backoff_ms", &first, mistakes).map_or(usual.backoff_ms, |at| at.value);
    let longest = Retry::BACKOFF_MIN_MS..=Retry::BACKOFF_CEILING_MS;
    let given_max = section.number("backoff_max_ms", &longest, mistakes);
    if let Some(At { value, offset }) = given_max
        && value < backoff_ms
    {
        let what = format!("\"backoff_max_ms\" is {value}, below the first wait of {backoff_ms}");
        mistakes.note(offset, what, "make it at least \"backoff_ms\"");
    }
    Retry {
        attempts: attempts.map_or(usual.attempts, |at| at.value),
        backoff_ms,
        backoff_max_ms: given_max.map_or(usual.backoff_max_ms.max(backoff_ms), |at| at.value),
        jitter: section.flag("jitter", mistakes).map_or(usual.jitter, |at| at.value),
    }
}

fn failure_budget(top: &Section<'_>, mistakes: &mut Mistakes<'_>) -> FailureBudget {
    let Some(section) = top.section("failure_budget", mistakes) else { return FailureBudget::Unlimited };
    section.knows(&["moves", "percent"], mistakes);
    let moves = section.small_number("moves", 0..=FailureBudget::MOVES_MAX, mistakes);
    let percent = section.small_number("percent", 0..=100, mistakes);
    match (section.has("moves"), section.has("percent")) {
        (true, true) => {
            let what = "\"moves\" and \"percent\" both stand in [failure_budget]";
            mistakes.note(section.key_offset("percent"), what, "keep one of them");
        }
        (false, false) => {
            let mend = "add moves or percent, or leave the section out: then failures never stop the rest";
            mistakes.note(section.offset, "[failure_budget] is empty", mend);
        }
        (true, false) | (false, true) => {}
    }
    let share = percent.and_then(|percent| u8::try_from(percent.value).ok()).map(FailureBudget::Percent);
    moves.map(|moves| FailureBudget::Moves(moves.value)).or(share).unwrap_or_default()
}

fn recovery(top: &Section<'_>, mistakes: &mut Mistakes<'_>) -> Recovery {
    let Some(section) = top.section("recovery", mistakes) else { return Recovery::default() };
    section.knows(&["cold_start"], mistakes);
    let words = [("never", ColdStartPolicy::Never), ("policy", ColdStartPolicy::Policy)];
    Recovery { cold_start: section.choice("cold_start", &words, mistakes).unwrap_or_default() }
}

fn deadlines(top: &Section<'_>, mistakes: &mut Mistakes<'_>) -> Deadlines {
    let usual = Deadlines::default();
    let Some(section) = top.section("deadlines", mistakes) else { return usual };
    section.knows(&["setup_ms", "transfer_ms", "handover_ms", "finish_ms", "silence_ms"], mistakes);
    let range = Deadlines::MIN_MS..=Deadlines::MAX_MS;
    let mut span = |key: &str| section.number(key, &range, mistakes).map(|at| at.value);
    Deadlines {
        setup_ms: span("setup_ms").unwrap_or(usual.setup_ms),
        transfer_ms: span("transfer_ms"),
        handover_ms: span("handover_ms").unwrap_or(usual.handover_ms),
        finish_ms: span("finish_ms").unwrap_or(usual.finish_ms),
        silence_ms: span("silence_ms").unwrap_or(usual.silence_ms),
    }
}

fn retention(top: &Section<'_>, mistakes: &mut Mistakes<'_>) -> Retention {
    let Some(section) = top.section("retention", mistakes) else { return Retention::default() };
    section.knows(&["retired_copies_ms"], mistakes);
    let range = Retention::MIN_MS..=Retention::MAX_MS;
    Retention { retired_copies_ms: section.number("retired_copies_ms", &range, mistakes).map(|at| at.value) }
}
