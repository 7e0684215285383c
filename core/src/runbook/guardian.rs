//! The sections [[guardian]]: what else starts and stops VMs, and the commands that take its hands off one and give it back.
//! A runbook comes over the network: it names commands, and never a path.

use super::mistake::{Mistakes, quote};
use super::reader::{At, Section};
use crate::guardian::Guardian;
use crate::ids::{CommandName, TEXT_MAX_BYTES};

pub(super) fn guardians(top: &Section<'_>, mistakes: &mut Mistakes<'_>) -> Vec<Guardian> {
    let sections = top.sections("guardian", "guardian", mistakes).unwrap_or_default();
    if sections.len() > Guardian::COUNT_MAX {
        let what = format!("the runbook has {} guardians", sections.len());
        mistakes.note(top.key_offset("guardian"), what, format!("use {} at most", Guardian::COUNT_MAX));
    }
    let mut guardians: Vec<Guardian> = Vec::new();
    for section in sections.iter().take(Guardian::COUNT_MAX) {
        let guardian = guardian(section, &guardians, mistakes);
        guardians.extend(guardian);
    }
    guardians
}

fn guardian(section: &Section<'_>, earlier: &[Guardian], mistakes: &mut Mistakes<'_>) -> Option<Guardian> {
    section.knows(&["name", "hands_off", "give_back", "timeout_ms"], mistakes);
    section.needs("name", "add name = \"…\", as the VMs' tags guardian:NAME have it", mistakes);
    let name = section.text("name", Guardian::NAME_MAX_BYTES, mistakes);
    if let Some(At { value, offset }) = name
        && earlier.iter().any(|guardian| guardian.name == value)
    {
        let mend = "keep one of them: a guardian has one pair of commands";
        mistakes.note(offset, format!("a second guardian is named {}", quote(value)), mend);
    }
    if let Some(At { value, offset }) = name
        && value.contains('\n')
    {
        mistakes.note(offset, "\"name\" goes over several lines", "write it in one, as the VMs' tags have it");
    }
    let hands_off = command(section, "hands_off", mistakes);
    let give_back = command(section, "give_back", mistakes);
    let range = Guardian::TIMEOUT_MIN_MS..=Guardian::TIMEOUT_MAX_MS;
    let timeout_ms = section.number("timeout_ms", &range, mistakes).map(|at| at.value);
    Some(Guardian {
        name: name?.value.to_owned(),
        hands_off: hands_off?,
        give_back: give_back?,
        timeout_ms: timeout_ms.unwrap_or(Guardian::TIMEOUT_MS),
    })
}

fn command(section: &Section<'_>, key: &str, mistakes: &mut Mistakes<'_>) -> Option<CommandName> {
    let mend = format!("add {key} = \"NAME\", with the name of a command that the orchestrator was started with");
    section.needs(key, &mend, mistakes);
    let At { value, offset } = section.text(key, TEXT_MAX_BYTES, mistakes)?;
    let name: Option<CommandName> = value.parse().ok();
    if name.is_none() {
        let mend = "name a command of the orchestrator's own, as in its --command NAME=/path: 1 to 63 letters, digits, '-', '_' or '.', starting with a letter or digit";
        mistakes.note(offset, format!("{} is not a command's name", quote(value)), mend);
    }
    name
}
