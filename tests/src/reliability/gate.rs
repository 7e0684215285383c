//! The gate: four figures that must be zero in every run, and no suite that says nothing.

use super::ReliabilityError;
use crate::published::{Published, Zeros};

/// What came of it.
#[derive(Debug)]
pub struct Gate {
    /// Every run with its four figures.
    pub table: String,
    /// Why it is shut; empty where it is open.
    pub faults: Vec<String>,
}

/// Judges what was read. Of each expected suite at least one run must be there.
#[must_use]
pub fn judge(read: &[Result<Published, ReliabilityError>], expected: &[&str]) -> Gate {
    let found: Vec<&Published> = read.iter().flatten().collect();
    let unread = read.iter().filter_map(|read| read.as_ref().err().map(ToString::to_string));
    let missing = expected.iter().filter(|suite| !found.iter().any(|found| found.suite == **suite));
    let faults = unread
        .chain(missing.map(|suite| format!("{suite} has left no figures")))
        .chain(found.iter().flat_map(|found| not_zero(found)))
        .collect();
    Gate { table: table(&found), faults }
}

fn not_zero(found: &Published) -> Vec<String> {
    let Published { suite, run, zeros, .. } = found;
    let counted = zeros.named().into_iter().filter(|(_, count)| *count > 0);
    counted.map(|(what, count)| format!("{suite}, {run}: {what} {count}, not 0")).collect()
}

fn table(found: &[&Published]) -> String {
    let names = Zeros::default().named().map(|(what, _)| what.to_owned());
    let head = ["suite".to_owned(), "run".to_owned()].into_iter().chain(names).collect();
    let line = |found: &&Published| {
        let counts = found.zeros.named().map(|(_, count)| count.to_string());
        [found.suite.clone(), found.run.clone()].into_iter().chain(counts).collect()
    };
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(found.iter().map(line)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let padded = |line: &Vec<String>| -> String {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(padded).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reliability::read_all;

    const EXPECTED: [&str; 2] = ["sim", "model"];

    fn found(suite: &str, zeros: Zeros) -> Result<Published, ReliabilityError> {
        Ok(Published::now(suite, "a_run", zeros).row("moves", 7))
    }

    fn clean() -> Result<Published, ReliabilityError> {
        found("model", Zeros::default())
    }

    #[test]
    fn it_is_open_where_all_is_zero_and_nothing_is_missing() {
        let gate = judge(&[found("sim", Zeros::default()), clean()], &EXPECTED);
        assert_eq!(gate.faults, [""; 0]);
        assert!(gate.table.contains("suite  run    wrong verdicts  ran twice  lost  never settled"), "{}", gate.table);
        assert!(gate.table.contains("model  a_run  0               0          0     0"), "{}", gate.table);
    }

    #[test]
    fn each_of_the_four_shuts_it() {
        let zeros = Zeros::default();
        for (zeros, what) in [
            (Zeros { wrong_verdicts: 1, ..zeros }, "wrong verdicts"),
            (Zeros { ran_twice: 2, ..zeros }, "ran twice"),
            (Zeros { lost: 3, ..zeros }, "lost"),
            (Zeros { never_settled: 4, ..zeros }, "never settled"),
        ] {
            let gate = judge(&[clean(), found("sim", zeros)], &EXPECTED);
            assert_eq!(gate.faults, [format!("sim, a_run: {what} {}, not 0", zeros.sum())]);
        }
    }

    #[test]
    fn a_suite_that_left_nothing_shuts_it() {
        assert_eq!(judge(&[clean()], &EXPECTED).faults, ["sim has left no figures"]);
        assert_eq!(judge(&[], &EXPECTED).faults.len(), 2);
    }

    #[test]
    fn a_file_that_cant_be_read_shuts_it() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("model-a_run.json", &serde_json::to_string(&clean().unwrap()).unwrap());
        write("sim-a_run.json", "{\"suite\": \"sim\"");
        write("notes.txt", "no figures, and none of ours");
        let gate = judge(&read_all(directory.path()).unwrap(), &EXPECTED);
        assert_eq!(gate.faults.len(), 2, "{:?}", gate.faults);
        assert!(gate.faults[0].contains("sim-a_run.json has no figures"), "{:?}", gate.faults);
        read_all(&directory.path().join("nowhere")).unwrap_err();
    }
}
