//! The house is in order: arrows between crates, what the core may not depend on, sizes of files, nothing left to be done,
//! and a file for every invariant and scenario. Red as soon as one of these is broken.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of a source file.
const LINES_MAX: usize = 500;
/// Files that may be longer, each with its reason.
const LONGER: [(&str, &str); 0] = [];
/// What the core must be without: runtimes, databases, wires, logs, clocks and chance.
const NOT_IN_CORE: [&str; 11] = [
    "tokio",
    "tokio-util",
    "tokio-stream",
    "rusqlite",
    "tonic",
    "prost",
    "tracing",
    "futures",
    "rand",
    "hyper-util",
    "backon",
];

fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// The names in the tables of dependencies of a crate's Cargo.toml, by the kind of table.
fn dependencies(of: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(house().join(of).join("Cargo.toml")).expect("a Cargo.toml");
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut table = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            table = header.trim_end_matches(']').to_owned();
        } else if table.ends_with("dependencies") && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            tables.entry(table.clone()).or_default().insert(name.to_owned());
        }
    }
    tables
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![house()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 100, "only {} files were found: this looks in the wrong place", found.len());
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(house()).unwrap_or(path).display().to_string()
}

#[test]
fn arrows_point_down_only() {
    let allowed: [(&str, &[&str]); 9] = [
        ("core", &[]),
        ("store", &["muster-core"]),
        ("proto", &["muster-core"]),
        ("worker/libvirt", &[]),
        ("worker", &["muster-core", "muster-store", "muster-proto", "muster-libvirt"]),
        ("recovery", &["muster-core", "muster-store", "muster-proto"]),
        ("orchestrator", &["muster-core", "muster-store", "muster-proto", "muster-recovery"]),
        (
            "cli",
            &["muster-core", "muster-store", "muster-proto", "muster-worker", "muster-recovery", "muster-orchestrator"],
        ),
        (
            "tests",
            &[
                "muster-core",
                "muster-store",
                "muster-proto",
                "muster-worker",
                "muster-recovery",
                "muster-orchestrator",
                "muster-cli",
            ],
        ),
    ];
    for (name, allowed) in allowed {
        let tables = dependencies(name);
        let direct = tables.get("dependencies").expect("dependencies");
        let ours: Vec<&String> = direct.iter().filter(|dependency| dependency.starts_with("muster")).collect();
        for dependency in ours {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn the_core_is_pure() {
    for (table, names) in dependencies("core") {
        let may_have = table == "dev-dependencies";
        for name in names {
            assert!(may_have || !NOT_IN_CORE.contains(&name.as_str()), "core/Cargo.toml has {name} in [{table}]");
        }
    }
    let banned = ["SystemTime", "std::fs", "std::net", "std::thread", "async fn", "Uuid::new_v4", "std::process"];
    for path in sources().iter().filter(|path| path.starts_with(house().join("core/src"))) {
        let text = fs::read_to_string(path).expect("a file");
        for word in banned {
            let used = text.lines().any(|line| line.contains(word) && !line.trim_start().starts_with("//"));
            assert!(!used, "{} has {word}", shown(path));
        }
        // A generator is fine whose seed is told; one that seeds itself is not, nor is the common one.
        let draws = text.lines().find(|line| {
            let line = line
                .replace("fastrand::Rng::with_seed", "")
                .replace("fastrand::Rng,", "")
                .replace("fastrand::Rng)", "");
            line.contains("fastrand::") || line.contains("Rng::new()")
        });
        assert!(draws.is_none(), "{} draws by itself: {draws:?}", shown(path));
    }
}

#[test]
fn no_file_is_too_long() {
    let mut long = Vec::new();
    for path in sources() {
        let lines = fs::read_to_string(&path).expect("a file").lines().count();
        let name = shown(&path);
        if lines >= LINES_MAX && !LONGER.iter().any(|(excepted, _)| *excepted == name) {
            long.push(format!("{name}: {lines} lines"));
        }
    }
    assert!(long.is_empty(), "a file of {LINES_MAX} lines wants to be two: {long:#?}");
}

#[test]
fn nothing_is_left_to_be_done() {
    // Put together, so that this file doesn't find itself.
    let words =
        [["to", "do!("].concat(), ["unimple", "mented!("].concat(), ["FIX", "ME"].concat(), ["XX", "X:"].concat()];
    for path in sources() {
        let text = fs::read_to_string(&path).expect("a file");
        for word in &words {
            assert!(!text.contains(word.as_str()), "{} has {word}", shown(&path));
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for path in sources() {
        let text = fs::read_to_string(&path).expect("a file");
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
        assert!(first.starts_with("//!"), "{} begins without a head: {first:?}", shown(&path));
    }
}

#[test]
fn every_invariant_and_scenario_has_its_file() {
    let invariants = [
        "one_runner",
        "none_lost",
        "order",
        "fenced",
        "silent_is_not_absent",
        "forward_only",
        "idempotent",
        "no_endless_wait",
        "explained",
        "isolated",
    ];
    let scenarios = [
        "s01_good_target_kept",
        "s02_two_running_copies",
        "s03_agent_restart",
        "s04_agent_down",
        "s05_recorded_shut_off",
        "s07_small_step_after_commit",
        "s08_first_failure_ends_batch",
        "s09_endless_loop_without_cancel",
        "s10_controller_restart",
        "s13_migrating_for_ever",
    ];
    for (folder, names) in [("invariants", invariants), ("scenarios", scenarios)] {
        let folder = house().join("tests").join(folder);
        let main = fs::read_to_string(folder.join("main.rs")).expect("a main.rs");
        for name in names {
            let text = fs::read_to_string(folder.join(format!("{name}.rs")));
            let text = text.unwrap_or_else(|_| panic!("{name} has no file"));
            assert!(text.contains("tokio::test"), "{name} tests nothing");
            assert!(text.contains("//! Red if"), "{name} doesn't say what would turn it red");
            assert!(main.contains(&format!("mod {name};")), "{name} is not part of the binary");
        }
    }
}
