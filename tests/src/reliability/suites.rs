//! Which commands leave figures, and what they need.

use super::mutants::Part;
use crate::lab::testing::can;
use crate::published::MUTANTS;
use crate::seeds::SEEDS;
use clap::ValueEnum;

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Length {
    /// What every test run plays; of the mutants, those of `decide`.
    Quick,
    /// What takes hours.
    Long,
}

/// What a suite can't run without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Rust.
    Nothing,
    /// Root, libvirt and QEMU, and the cargo feature `libvirt`.
    Lab,
}

/// A test target that leaves figures.
#[derive(Debug)]
pub struct Suite {
    /// Its name, as the target and its figures have it.
    pub name: &'static str,
    needs: Needs,
    /// Every `cargo test --workspace` runs it and has it leave figures, so that the gate misses it where there are none.
    always: bool,
    quick: Play,
    long: Play,
}

/// Which of a target's tests are run.
#[derive(Debug)]
struct Play {
    filter: &'static str,
    /// Its tests are ignored otherwise, for they take long.
    ignored: bool,
    settings: &'static [(&'static str, &'static str)],
}

impl Play {
    const fn of(filter: &'static str) -> Self {
        Play { filter, ignored: false, settings: &[] }
    }

    const fn ignored(filter: &'static str) -> Self {
        Play { filter, ignored: true, settings: &[] }
    }

    const fn all(settings: &'static [(&'static str, &'static str)]) -> Self {
        Play { filter: "", ignored: false, settings }
    }
}

/// All of them, in the order in which they are run.
pub const SUITES: [Suite; 6] = [
    Suite {
        name: "model",
        needs: Needs::Nothing,
        always: true,
        quick: Play::of("clean::"),
        long: Play::ignored("clean::deep"),
    },
    Suite {
        name: "sim",
        needs: Needs::Nothing,
        always: true,
        quick: Play::of("hundreds_of"),
        long: Play::ignored("a_million"),
    },
    Suite {
        name: "crash_points",
        needs: Needs::Nothing,
        always: true,
        quick: Play::all(&[]),
        long: Play::all(&[(CRASH_POINTS, "all")]),
    },
    Suite {
        name: "fuzz",
        needs: Needs::Nothing,
        always: true,
        quick: Play::all(&[]),
        long: Play::all(&[(FUZZ_CASES, "1000000")]),
    },
    Suite {
        name: "processes",
        needs: Needs::Nothing,
        always: true,
        quick: Play::of("a_few"),
        long: Play::ignored("a_hundred"),
    },
    Suite {
        name: "reality",
        needs: Needs::Lab,
        always: true,
        quick: Play::all(&[]),
        long: Play::all(&[(ROUNDS, "10"), (SEEDS, "1..10")]),
    },
];

/// Which points the crash points are.
const CRASH_POINTS: &str = "MUSTER_CRASH_POINTS";
/// How often each target of `fuzz` is tried.
const FUZZ_CASES: &str = "MUSTER_FUZZ_CASES";
/// How often each row of `reality` is played.
const ROUNDS: &str = "MUSTER_ROUNDS";
/// Which of its rows are.
const ROWS: &str = "MUSTER_ROWS";

/// What changes the figures of a run, and must not be what somebody happened to set.
pub const SETTINGS: [&str; 5] = [SEEDS, CRASH_POINTS, FUZZ_CASES, ROUNDS, ROWS];

/// A call of cargo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What it is called with.
    pub arguments: Vec<String>,
    /// Variables that it is called with.
    pub settings: Vec<(&'static str, &'static str)>,
}

impl Suite {
    /// How it is run.
    #[must_use]
    pub fn call(&self, length: Length) -> Call {
        let play = match length {
            Length::Quick => &self.quick,
            Length::Long => &self.long,
        };
        let mut arguments = vec!["test", "--locked"];
        match self.needs {
            Needs::Nothing => arguments.extend(["--package", "muster-tests"]),
            Needs::Lab => arguments.extend(["--features", "muster/libvirt,muster-tests/libvirt"]),
        }
        arguments.extend(play.ignored.then_some("--release"));
        arguments.extend(["--test", self.name, "--", "--nocapture"]);
        arguments.extend(play.ignored.then_some("--ignored"));
        arguments.extend((!play.filter.is_empty()).then_some(play.filter));
        Call { arguments: arguments.into_iter().map(str::to_owned).collect(), settings: play.settings.to_vec() }
    }

    /// Whether it can run on this machine; says so where it can't.
    #[must_use]
    pub fn can_run(&self) -> bool {
        match self.needs {
            Needs::Nothing => true,
            Needs::Lab => cfg!(feature = "libvirt") && can(self.name),
        }
    }
}

impl Part {
    /// How its mutants are tried: see `core/tests/decide_table.rs` for what ends at a first disagreement.
    #[must_use]
    pub fn call(&self, output: &str) -> Call {
        Call { arguments: self.arguments(output), settings: vec![("MUSTER_STOP_EARLY", "1")] }
    }
}

/// The names that a person may give.
#[must_use]
pub fn names() -> Vec<&'static str> {
    SUITES.iter().map(|suite| suite.name).chain([MUTANTS]).collect()
}

/// The suites that a test run of the whole workspace has to leave figures of, on this machine.
#[must_use]
pub fn expected() -> Vec<&'static str> {
    SUITES.iter().filter(|suite| suite.always && suite.can_run()).map(|suite| suite.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, length: Length) -> String {
        let suite = SUITES.iter().find(|suite| suite.name == name).unwrap();
        suite.call(length).arguments.join(" ")
    }

    #[test]
    fn commands_are_those_of_the_documents() {
        let quick = "test --locked --package muster-tests --test sim -- --nocapture hundreds_of";
        assert_eq!(shown("sim", Length::Quick), quick);
        let long = "test --locked --package muster-tests --release --test sim -- --nocapture --ignored a_million";
        assert_eq!(shown("sim", Length::Long), long);
        let real = "test --locked --features muster/libvirt,muster-tests/libvirt --test reality -- --nocapture";
        assert_eq!(shown("reality", Length::Long), real);
    }

    #[test]
    fn every_suite_is_a_test_and_those_of_every_run_are_missed() {
        let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        for suite in &SUITES {
            assert!(manifest.contains(&format!("name = \"{}\"", suite.name)), "{} is no test", suite.name);
        }
        let expected = expected();
        for always in ["model", "sim", "crash_points", "fuzz", "processes"] {
            assert!(expected.contains(&always), "{expected:?}");
        }
    }
}
