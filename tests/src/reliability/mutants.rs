//! Mutants of `core`: what cargo-mutants writes, held against the list of those that are explained.
//!
//! A mutant is named by its file and what was changed in it, without line and column, so that a name survives edits above it.
//! Where several of one function have the same name, the list says how many of them may survive.

use super::{ReliabilityError, text};
use crate::published::{MUTANTS, Published, Zeros};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The list of explained mutants, in the workspace.
pub const EXPLAINED: &str = "tests/mutants.toml";

/// A part of `core`, and the tests that judge it.
#[derive(Debug)]
pub struct Part {
    /// The name of its run.
    pub name: &'static str,
    /// Its files.
    pub files: &'static [&'static str],
    /// Files that are another part's.
    pub without: &'static [&'static str],
    /// Test targets of `muster-core`; all of them where none are named.
    pub tests: &'static [&'static str],
    /// It is tried by a quick run too.
    pub is_quick: bool,
}

const DECIDE: &str = "core/src/decide/**";
const LEDGER: &str = "core/src/ledger/**";

/// All of `core`, the most important first.
pub const PARTS: [Part; 3] = [
    Part { name: "decide", files: &[DECIDE], without: &[], tests: &["decide_table", "fault_rows"], is_quick: true },
    Part {
        name: "ledger",
        files: &[LEDGER],
        without: &[],
        tests: &["ledger_transition", "ledger_weigh", "ledger_retention", "ledger_refusal"],
        is_quick: false,
    },
    Part { name: "rest", files: &["core/src/**"], without: &[DECIDE, LEDGER], tests: &[], is_quick: false },
];

impl Part {
    /// What cargo is called with. Its results come to `output`, relative to the workspace.
    #[must_use]
    pub fn arguments(&self, output: &str) -> Vec<String> {
        let mut arguments = ["mutants", "--package=muster-core", "--jobs=1", "--no-times"].map(str::to_owned).to_vec();
        arguments.push(format!("--output={output}"));
        arguments.extend(self.files.iter().map(|files| format!("--file={files}")));
        arguments.extend(self.without.iter().map(|files| format!("--exclude={files}")));
        // Not only to the tests' own run: what isn't asked needn't be built for every mutant either.
        arguments.extend(self.tests.iter().map(|test| format!("--cargo-arg=--test={test}")));
        arguments
    }
}

/// What a run has found.
#[derive(Debug)]
pub struct Findings {
    /// For the page.
    pub published: Published,
    /// What must not be: survivors that nothing explains, and explanations of what doesn't survive.
    pub faults: Vec<String>,
}

/// cargo-mutants' `outcomes.json`, as far as it is read here.
#[derive(Deserialize)]
struct Outcomes {
    outcomes: Vec<Outcome>,
    /// None while it runs, and where it was ended.
    end_time: Option<String>,
}

#[derive(Deserialize)]
struct Outcome {
    scenario: Scenario,
    summary: Summary,
}

#[derive(Deserialize)]
enum Scenario {
    Baseline,
    Mutant(Mutant),
}

#[derive(Deserialize)]
struct Mutant {
    name: String,
    file: String,
    span: Span,
}

#[derive(Deserialize)]
struct Span {
    start: Place,
}

#[derive(Deserialize)]
struct Place {
    line: u32,
    column: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
enum Summary {
    Success,
    Failure,
    CaughtMutant,
    MissedMutant,
    Timeout,
    Unviable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    explained: Vec<Explained>,
}

/// Mutants of one name that may survive.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Explained {
    mutant: String,
    /// How many of that name.
    #[serde(default = "once")]
    times: usize,
    why: String,
}

fn once() -> usize {
    1
}

impl Mutant {
    /// Its name without line and column.
    fn lasting_name(&self) -> String {
        let Place { line, column } = self.span.start;
        self.name.replacen(&format!(":{line}:{column}:"), ":", 1)
    }
}

/// Reads `outcomes.json` of a run, and holds it against the list.
///
/// # Errors
/// Where one of the two can't be read.
pub fn read(run: &str, outcomes: &Path, list: &Path) -> Result<Findings, ReliabilityError> {
    let found: Outcomes = serde_json::from_str(&text(outcomes)?)
        .map_err(|source| ReliabilityError::NoFigures { path: outcomes.to_owned(), source })?;
    let explained: List = toml_edit::de::from_str(&text(list)?)
        .map_err(|source| ReliabilityError::NoList { path: list.to_owned(), source })?;
    Ok(hold(run, &found, &explained))
}

fn hold(run: &str, found: &Outcomes, list: &List) -> Findings {
    let mutants: Vec<(&Mutant, Summary)> = found
        .outcomes
        .iter()
        .filter_map(|outcome| match &outcome.scenario {
            Scenario::Baseline => None,
            Scenario::Mutant(mutant) => Some((mutant, outcome.summary)),
        })
        .collect();
    let count = |summary| mutants.iter().filter(|(_, is)| *is == summary).count();
    let mut survivors: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (mutant, _) in mutants.iter().filter(|(_, summary)| *summary == Summary::MissedMutant) {
        survivors.entry(mutant.lasting_name()).or_default().push(&mutant.name);
    }
    let files: BTreeSet<&str> = mutants.iter().map(|(mutant, _)| mutant.file.as_str()).collect();
    let (mut faults, mut explained) = (Vec::new(), 0);
    for entry in &list.explained {
        let here = entry.mutant.split_once(": ").is_some_and(|(file, _)| files.contains(file));
        let survived = survivors.remove(&entry.mutant).unwrap_or_default();
        explained += survived.len().min(entry.times);
        if entry.why.trim().is_empty() {
            faults.push(format!("{} is on the list without a reason", entry.mutant));
        }
        if survived.len() > entry.times {
            faults.push(format!("{} survived, and only {} are explained", survived.join(", "), entry.times));
        } else if here && survived.len() < entry.times {
            faults.push(format!("{} is on the list {} times, {} survived", entry.mutant, entry.times, survived.len()));
        }
    }
    faults.extend(survivors.values().flatten().map(|name| format!("{name} survived, and nothing explains it")));
    if found.end_time.is_none() {
        faults.push("the run has not come to its end".to_owned());
    }
    if mutants.is_empty() {
        faults.push("no mutant was tried".to_owned());
    }
    let published = Published::now(MUTANTS, run, Zeros::default())
        .row("mutants", mutants.len())
        .row("caught", count(Summary::CaughtMutant))
        .row("timed out", count(Summary::Timeout))
        .row("unviable", count(Summary::Unviable))
        .row("survived", count(Summary::MissedMutant))
        .row("of these explained", explained);
    Findings { published, faults }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "core/src/decide/mod.rs: replace == with != in decide";

    fn mutant(line: u32, summary: &str) -> String {
        let name = format!("core/src/decide/mod.rs:{line}:5: replace == with != in decide");
        format!(
            r#"{{"scenario": {{"Mutant": {{"name": "{name}", "package": "muster-core", "file": "core/src/decide/mod.rs",
               "span": {{"start": {{"line": {line}, "column": 5}}, "end": {{"line": {line}, "column": 7}}}}}}}},
               "summary": "{summary}", "phase_results": []}}"#
        )
    }

    fn held(mutants: &[String], list: &str) -> Findings {
        held_at(mutants, list, "\"2026-11-26T18:42:48Z\"")
    }

    fn held_at(mutants: &[String], list: &str, ended: &str) -> Findings {
        let directory = tempfile::tempdir().unwrap();
        let (outcomes, explained) = (directory.path().join("outcomes.json"), directory.path().join("mutants.toml"));
        let baseline = r#"{"scenario": "Baseline", "summary": "Success"}"#.to_owned();
        let all: Vec<String> = std::iter::once(baseline).chain(mutants.iter().cloned()).collect();
        std::fs::write(&outcomes, format!(r#"{{"outcomes": [{}], "end_time": {ended}}}"#, all.join(","))).unwrap();
        std::fs::write(&explained, list).unwrap();
        read("decide", &outcomes, &explained).unwrap()
    }

    fn explained(mutant: &str, times: usize) -> String {
        format!("[[explained]]\nmutant = \"{mutant}\"\ntimes = {times}\nwhy = \"both ways say the same\"\n")
    }

    #[test]
    fn a_survivor_that_nothing_explains_is_a_fault() {
        let found = held(&[mutant(7, "CaughtMutant"), mutant(9, "MissedMutant")], "");
        assert_eq!(
            found.faults,
            ["core/src/decide/mod.rs:9:5: replace == with != in decide survived, and nothing explains it"]
        );
        let rows = [("mutants", "2"), ("caught", "1"), ("timed out", "0"), ("unviable", "0"), ("survived", "1")];
        let rows: Vec<(String, String)> = rows.map(|(what, count)| (what.to_owned(), count.to_owned())).to_vec();
        assert_eq!(found.published.rows[..5], rows);
        assert!(!found.published.table().contains("lost"), "a mutant can't be lost");
    }

    #[test]
    fn an_explained_one_is_none_and_one_more_of_its_name_is() {
        let list = explained(NAME, 1);
        let one = held(&[mutant(7, "MissedMutant"), mutant(9, "CaughtMutant")], &list);
        assert_eq!((one.faults, &*one.published.rows[5].1), (vec![], "1"));
        let two = held(&[mutant(7, "MissedMutant"), mutant(9, "MissedMutant")], &list);
        assert!(two.faults[0].contains("mod.rs:9:5") && two.faults[0].contains("only 1"), "{:?}", two.faults);
    }

    #[test]
    fn the_list_has_nothing_that_is_caught_and_nothing_without_a_reason() {
        let caught = held(&[mutant(7, "CaughtMutant")], &explained(NAME, 1));
        assert_eq!(caught.faults, [format!("{NAME} is on the list 1 times, 0 survived")]);
        let of_another_part = explained("core/src/plan/fit.rs: replace fits -> bool with true", 1);
        assert_eq!(held(&[mutant(7, "Timeout"), mutant(8, "Unviable")], &of_another_part).faults, [""; 0]);
        let bare = explained(NAME, 1).replace("both ways say the same", " ");
        assert_eq!(
            held(&[mutant(7, "MissedMutant")], &bare).faults,
            [format!("{NAME} is on the list without a reason")]
        );
    }

    #[test]
    fn a_run_without_mutants_or_without_an_end_proves_nothing() {
        assert_eq!(held(&[], "").faults, ["no mutant was tried"]);
        let cut_short = held_at(&[mutant(7, "CaughtMutant")], "", "null");
        assert_eq!(cut_short.faults, ["the run has not come to its end"]);
    }

    #[test]
    fn the_list_of_the_house_can_be_read() {
        let path = crate::reliability::house().join(EXPLAINED);
        let list: List = toml_edit::de::from_str(&text(&path).unwrap()).unwrap();
        assert!(list.explained.iter().all(|entry| entry.times > 0 && !entry.why.trim().is_empty()));
    }
}
