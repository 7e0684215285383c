//! The figures of a page: between `<!-- figures: SUITE -->` and `<!-- end -->`, and nowhere else.
//!
//! `<!-- figures: SUITE RUN RUN -->` is the place of these runs alone; `<!-- figures: SUITE -->` takes all others of the suite.
//! A place that nothing was run for keeps what it had.

use super::ReliabilityError;
use crate::published::Published;

/// What begins and what ends a marker that figures follow.
const BEGIN: (&str, &str) = ("<!-- figures: ", " -->");
/// After them.
const END: &str = "<!-- end -->";
/// Up to so many runs stand side by side; more of them one below the other.
const COLUMNS_MAX: usize = 3;

/// A page with newer figures.
#[derive(Debug)]
pub struct Rewritten {
    /// All of it.
    pub text: String,
    /// Runs that have no place on the page, as `SUITE RUN`.
    pub unplaced: Vec<String>,
}

/// Puts figures where they belong on a page.
///
/// # Errors
/// [`ReliabilityError::Markers`] where its markers don't pair.
pub fn rewrite(page: &str, found: &[Published]) -> Result<Rewritten, ReliabilityError> {
    let places = places(page)?;
    let (mut text, mut kept_to) = (String::new(), 0);
    let mut placed: Vec<&Published> = Vec::new();
    for place in &places {
        let here: Vec<&Published> = found.iter().filter(|found| place.is_of(found, &places)).collect();
        if !here.is_empty() {
            text.push_str(&page[kept_to..place.from]);
            text.push_str(&format!("\n{}\n\n", table(&here)));
            kept_to = place.to;
            placed.extend(here);
        }
    }
    text.push_str(&page[kept_to..]);
    let unplaced = found.iter().filter(|found| !placed.iter().any(|placed| placed == found));
    let unplaced = unplaced.map(|found| format!("{} {}", found.suite, found.run)).collect();
    Ok(Rewritten { text, unplaced })
}

/// Between two markers.
struct Place<'a> {
    suite: &'a str,
    /// The only runs that it is for; none where it takes all that have no place of their own.
    runs: Vec<&'a str>,
    /// Where it begins and ends, in bytes.
    from: usize,
    to: usize,
}

impl Place<'_> {
    fn is_of(&self, found: &Published, all: &[Place<'_>]) -> bool {
        let names = |place: &Place<'_>| place.suite == found.suite && place.runs.contains(&&*found.run);
        names(self) || self.suite == found.suite && self.runs.is_empty() && !all.iter().any(names)
    }
}

fn places(page: &str) -> Result<Vec<Place<'_>>, ReliabilityError> {
    let (mut places, mut open, mut at) = (Vec::new(), None, 0);
    for (line, whole) in (1..).zip(page.split_inclusive('\n')) {
        let (from, marker) = (at, whole.trim_end());
        at += whole.len();
        let wrong = |what| Err(ReliabilityError::Markers { line, what });
        let begun = marker.strip_prefix(BEGIN.0).and_then(|rest| rest.strip_suffix(BEGIN.1));
        match (begun, open.take()) {
            (Some(_), Some(_)) => return wrong("figures begin before the last ones have ended"),
            (Some(which), None) => open = Some((which, at, line)),
            (None, Some((which, from_here, _))) if marker == END => {
                let mut words = which.split_whitespace();
                let suite = words.next().unwrap_or_default();
                places.push(Place { suite, runs: words.collect(), from: from_here, to: from });
            }
            (None, None) if marker == END => return wrong("figures end that have never begun"),
            (None, still) => open = still,
        }
    }
    match open {
        Some((_, _, line)) => Err(ReliabilityError::Markers { line, what: "figures begin that never end" }),
        None => Ok(places),
    }
}

/// Runs and what was counted in them.
fn table(runs: &[&Published]) -> String {
    let rows: Vec<Vec<(String, String)>> = runs.iter().map(|run| run.all_rows()).collect();
    let mut names: Vec<&str> = Vec::new();
    for of_run in &rows {
        let mut after = 0;
        for (name, _) in of_run {
            // A row that only some runs have stands where these have it.
            match names.iter().position(|known| known == name) {
                Some(position) => after = position + 1,
                None => {
                    names.insert(after, name);
                    after += 1;
                }
            }
        }
    }
    let value = |of_run: &[(String, String)], name: &str| {
        of_run.iter().find(|(known, _)| known == name).map_or_else(|| "–".to_owned(), |(_, value)| value.clone())
    };
    let head = std::iter::once(String::new()).chain(runs.iter().map(|run| run.run.clone())).collect();
    let line = |name: &&str| {
        let values = rows.iter().map(|of_run| value(of_run, name));
        std::iter::once((*name).to_owned()).chain(values).collect()
    };
    let side_by_side: Vec<Vec<String>> = std::iter::once(head).chain(names.iter().map(line)).collect();
    markdown(if runs.len() > COLUMNS_MAX { turned(&side_by_side) } else { side_by_side })
}

fn turned(lines: &[Vec<String>]) -> Vec<Vec<String>> {
    (0..lines[0].len()).map(|column| lines.iter().map(|line| line[column].clone()).collect()).collect()
}

fn markdown(lines: Vec<Vec<String>>) -> String {
    let mut shown: Vec<String> = lines
        .iter()
        .map(|line| format!("| {} |", line.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>().join(" | ")))
        .collect();
    shown.insert(1, format!("|{}", "---|".repeat(lines[0].len())));
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::published::Zeros;

    const PAGE: &str = "# A page\n\nProse.\n\n<!-- figures: sim a_million -->\n\nold million\n\n<!-- end -->\n\nMore prose.\n\n\
                        <!-- figures: sim -->\n<!-- end -->\n<!-- figures: model -->\nold model\n<!-- end -->\nThe end.\n";

    fn found(suite: &str, run: &str) -> Published {
        let mut found = Published::now(suite, run, Zeros::default()).row("moves", 7);
        (found.date, found.commit, found.machine) = ("2026-11-26".into(), "abc".into(), "2 cores, 24 GiB".into());
        found
    }

    #[test]
    fn figures_change_and_prose_stays() {
        let new = rewrite(PAGE, &[found("sim", "a_million"), found("fuzz", "wire")]).unwrap();
        let table = "\n| | a_million |\n|---|---|\n| date | 2026-11-26 |\n| commit | abc |\n| machine | 2 cores, 24 GiB |\n\
                     | moves | 7 |\n| **wrong verdicts** | 0 |\n| **ran twice** | 0 |\n| **lost** | 0 |\n\
                     | **never settled** | 0 |\n\n";
        let table = table.replace("| |", "|  |");
        assert_eq!(new.text, PAGE.replace("\nold million\n\n", &table));
        assert_eq!(new.unplaced, ["fuzz wire"]);
        let again = rewrite(&new.text, &[found("sim", "a_million")]).unwrap();
        assert_eq!(again.text, new.text, "the same figures change nothing");
    }

    #[test]
    fn a_run_without_a_place_of_its_own_stands_with_its_suite() {
        let new = rewrite(PAGE, &[found("sim", "short")]).unwrap().text;
        assert!(new.contains("old million") && new.contains("old model"), "{new}");
        assert!(new.contains("<!-- figures: sim -->\n\n|  | short |\n"), "{new}");
    }

    #[test]
    fn what_was_not_run_keeps_what_it_had() {
        assert_eq!(rewrite(PAGE, &[]).unwrap().text, PAGE);
    }

    #[test]
    fn many_runs_stand_one_below_the_other() {
        let runs = ["a", "b", "c", "d"].map(|run| found("model", run).row(&format!("only {run}"), 1));
        let new = rewrite(PAGE, &runs).unwrap().text;
        assert!(
            new.contains("|  | date | commit | machine | moves | only d | only c | only b | only a | **wrong"),
            "{new}"
        );
        assert!(
            new.contains("\n| b | 2026-11-26 | abc | 2 cores, 24 GiB | 7 | – | – | 1 | – | 0 | 0 | 0 | 0 |\n"),
            "{new}"
        );
        let page = PAGE.replace("figures: model -->", "figures: model b a -->");
        assert_eq!(rewrite(&page, &runs).unwrap().unplaced, ["model c", "model d"]);
        let two = rewrite(&page, &runs).unwrap().text;
        assert!(two.contains("|  | a | b |") && two.contains("| only b | – | 1 |"), "{two}");
    }

    #[test]
    fn markers_that_dont_pair_are_told() {
        for (page, line) in [
            ("<!-- figures: sim -->\n", 1),
            ("a\n<!-- end -->\n", 2),
            ("<!-- figures: sim -->\n<!-- figures: model -->\n<!-- end -->\n", 2),
        ] {
            match rewrite(page, &[]) {
                Err(ReliabilityError::Markers { line: told, .. }) => assert_eq!(told, line, "{page}"),
                other => panic!("{page}: {other:?}"),
            }
        }
    }
}
