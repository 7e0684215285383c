//! Which VMs of the source a wave takes. Patterns are matched here; what they match at a site is [`crate::plan`]'s.

use super::ModeChoice;
use crate::ids::{HostName, VM_NAME_MAX_BYTES, VmId};
use crate::reading::VmListing;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most entries of one list of a selection.
pub const LIST_MAX: usize = 10_000;

/// Most of them that may hold a `*`: each is tried on every VM.
pub const GLOBS_MAX: usize = 256;

/// Longest tag, in bytes.
pub const TAG_MAX_BYTES: usize = 255;

/// Some VMs and how they are to be moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// Which.
    pub chosen: Chosen,
    /// And of these not which.
    pub except: Exception,
    /// How.
    pub mode: ModeChoice,
    /// The hosts they may go to; none given means any.
    pub destination_hosts: Option<Patterns>,
    /// When, among the others of their wave.
    pub turn: Turn,
    /// No two VMs whose selections name the same go to one host.
    pub apart: Option<String>,
}

/// When VMs have their turn among those of their wave, and what they are worth where there isn't time for all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Turn {
    /// The higher goes first: 0 to [`Turn::PRIORITY_MAX`], by default 0.
    pub priority: u32,
    /// What each is worth where a deadline doesn't leave time for all: 0 to [`Turn::VALUE_MAX`], by default 1.
    pub value: u32,
    /// The group they belong to: its VMs are moved one right after the other.
    pub group: Option<String>,
    /// The groups that have to be moved before. Each stands further up, and goes on nowhere further down.
    pub after: Vec<String>,
}

impl Turn {
    /// Highest priority.
    pub const PRIORITY_MAX: u32 = 1_000;
    /// Greatest value.
    pub const VALUE_MAX: u32 = 1_000_000;
}

impl Default for Turn {
    fn default() -> Self {
        Turn { priority: 0, value: 1, group: None, after: Vec::new() }
    }
}

impl Selection {
    /// Whether it takes this VM, `except.waves` left aside: these hang on what other waves take.
    #[must_use]
    pub fn takes(&self, listing: &VmListing) -> bool {
        let chosen = match &self.chosen {
            Chosen::All => true,
            Chosen::Matching(criteria) => criteria.all_match(listing),
        };
        chosen && !self.except.any_match(listing)
    }

    /// Whether its VMs may go to this host.
    #[must_use]
    pub fn may_go_to(&self, host: &HostName) -> bool {
        self.destination_hosts.as_ref().is_none_or(|allowed| allowed.match_text(host.as_str()))
    }
}

/// What a selection picks from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Chosen {
    /// Every VM of the source.
    All,
    /// Those that meet all criteria given.
    Matching(Criteria),
}

/// Criteria; a VM has to meet each that is given, by any entry of its list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Criteria {
    /// Its name.
    pub names: Option<Patterns>,
    /// Any of its tags.
    pub tags: Option<Patterns>,
    /// The source host that has it.
    pub hosts: Option<Patterns>,
    /// Its id.
    pub ids: Option<BTreeSet<VmId>>,
}

impl Criteria {
    fn all_match(&self, listing: &VmListing) -> bool {
        self.names.as_ref().is_none_or(|names| names.match_text(listing.definition.name.as_str()))
            && self.tags.as_ref().is_none_or(|tags| tags.match_any(&listing.definition.tags))
            && self.hosts.as_ref().is_none_or(|hosts| hosts.match_text(listing.host.as_str()))
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&listing.vm))
    }
}

/// What is left out of a selection: a VM that meets any entry of any list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Exception {
    /// Its name.
    pub names: Option<Patterns>,
    /// Any of its tags.
    pub tags: Option<Patterns>,
    /// The source host that has it.
    pub hosts: Option<Patterns>,
    /// Its id.
    pub ids: BTreeSet<VmId>,
    /// Whatever these earlier waves take, by their place among the runbook's waves.
    pub waves: BTreeSet<usize>,
}

impl Exception {
    fn any_match(&self, listing: &VmListing) -> bool {
        self.names.as_ref().is_some_and(|names| names.match_text(listing.definition.name.as_str()))
            || self.tags.as_ref().is_some_and(|tags| tags.match_any(&listing.definition.tags))
            || self.hosts.as_ref().is_some_and(|hosts| hosts.match_text(listing.host.as_str()))
            || self.ids.contains(&listing.vm)
    }
}

/// A list of texts and of patterns in which `*` stands for any run of characters, none included.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Patterns {
    exact: BTreeSet<String>,
    globs: BTreeSet<String>,
}

impl Patterns {
    /// Adds an entry; false if it was there.
    pub fn insert(&mut self, entry: &str) -> bool {
        let list = if entry.contains('*') { &mut self.globs } else { &mut self.exact };
        list.insert(entry.to_owned())
    }

    /// Whether an entry matches.
    #[must_use]
    pub fn match_text(&self, text: &str) -> bool {
        self.exact.contains(text) || self.globs.iter().any(|glob| glob_matches(glob, text))
    }

    /// Whether an entry matches one of these.
    #[must_use]
    pub fn match_any(&self, texts: &[String]) -> bool {
        texts.iter().any(|text| self.match_text(text))
    }

    /// How many entries hold a `*`.
    #[must_use]
    pub fn glob_count(&self) -> usize {
        self.globs.len()
    }

    /// Its entries, sorted; those without a `*` first.
    pub fn entries(&self) -> impl Iterator<Item = &str> {
        self.exact.iter().chain(&self.globs).map(String::as_str)
    }

    /// Whether it matches whatever there is.
    #[must_use]
    pub fn match_everything(&self) -> bool {
        self.globs.iter().any(|glob| glob.bytes().all(|byte| byte == b'*'))
    }

    /// Whether each entry stands in `other` as well.
    #[must_use]
    pub fn is_within(&self, other: &Patterns) -> bool {
        self.exact.is_subset(&other.exact) && self.globs.is_subset(&other.globs)
    }
}

/// What the entries of a list are compared with, and so what they may be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    VmName,
    Tag,
    Host,
}

impl Subject {
    /// Whether there can be something that the entry matches.
    pub(super) fn can_match(self, entry: &str) -> bool {
        let literal_bytes = entry.len() - entry.matches('*').count();
        match self {
            Subject::VmName => {
                literal_bytes <= VM_NAME_MAX_BYTES
                    && !entry.is_empty()
                    && !entry.chars().any(|c| c.is_control() || c == '/')
            }
            Subject::Tag => literal_bytes <= TAG_MAX_BYTES && !entry.is_empty() && !entry.chars().any(char::is_control),
            Subject::Host => {
                // The shortest names it could match: each `*` as nothing, or the first as one letter.
                let shortest = entry.replace('*', "");
                let led = if entry.starts_with('*') { format!("x{shortest}") } else { shortest.clone() };
                shortest.parse::<HostName>().is_ok() || led.parse::<HostName>().is_ok()
            }
        }
    }

    /// What an entry may look like.
    pub(super) fn rule(self) -> &'static str {
        match self {
            Subject::VmName => "VM names have 1 to 255 bytes without control characters or '/'; '*' stands for any run",
            Subject::Tag => "tags have 1 to 255 bytes without control characters; '*' stands for any run",
            Subject::Host => {
                "host names have 1 to 63 letters, digits, '-', '_' or '.', a letter or digit first; '*' stands for any run"
            }
        }
    }
}

/// Whether the text is the glob with a run of characters for each `*`. Takes at most text times glob steps.
fn glob_matches(glob: &str, text: &str) -> bool {
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut g, mut t) = (0, 0);
    // Where the last `*` was, and how far the text was when it was met: where to go on after a mismatch.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if glob.get(g) == Some(&b'*') {
            star = Some((g, t));
            g += 1;
        } else if glob.get(g) == Some(&text[t]) {
            g += 1;
            t += 1;
        } else if let Some((star_g, star_t)) = star {
            star = Some((star_g, star_t + 1));
            g = star_g + 1;
            t = star_t + 1;
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_runs_of_characters() {
        let cases = [
            ("db*", "db", true),
            ("db*", "db-7", true),
            ("*-7", "db-7", true),
            ("d*b*7", "d-b-b-7", true),
            ("*", "", true),
            ("a*", "b", false),
            ("a*b", "ab-", false),
            ("a*ba", "abba", true),
            ("ö*", "öl", true),
        ];
        for (glob, text, expected) in cases {
            assert_eq!(glob_matches(glob, text), expected, "{glob} {text}");
        }
        let hostile = "*a".repeat(100);
        assert!(!glob_matches(&hostile, &"a".repeat(99)));
    }

    #[test]
    fn entries_that_no_name_can_match_are_known() {
        assert!(Subject::Host.can_match("rack-*"));
        assert!(Subject::Host.can_match("*"));
        assert!(Subject::Host.can_match(&"x".repeat(63)));
        assert!(Subject::Host.can_match(&format!("{}*", "x".repeat(63))));
        assert!(!Subject::Host.can_match(&"x".repeat(64)));
        for bad in ["", "rack 7", "-x*", "a/b", "ä*"] {
            assert!(!Subject::Host.can_match(bad), "{bad:?}");
        }
        assert!(!Subject::VmName.can_match("a/*") && !Subject::VmName.can_match(""));
    }
}
