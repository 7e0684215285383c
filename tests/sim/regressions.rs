//! Plans that once failed, kept as they were shrunk. Each is played by every test run.

use crate::plan::Plan;
use crate::play::play;
use crate::shrink;
use std::path::{Path, PathBuf};

#[test]
fn what_once_failed_no_longer_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim/regressions");
    let entries = std::fs::read_dir(&folder).expect("the folder of regressions");
    let mut plans: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    plans.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    plans.sort();
    let mut failed = Vec::new();
    for path in plans {
        let text = std::fs::read_to_string(&path).expect("a plan");
        let plan: Plan = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        if !play(&plan, false).wrong.is_empty() {
            failed.push(format!("{name}: {}", shrink::told(&plan, name)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn a_plan_survives_being_written_down() {
    use crate::plan::Size;
    for seed in 1..=50 {
        let plan = Plan::draw(seed, Size::Large);
        assert_eq!(plan, Plan::draw(seed, Size::Large), "a seed is one plan");
        let text = serde_json::to_string(&plan).expect("JSON");
        assert_eq!(serde_json::from_str::<Plan>(&text).expect("a plan"), plan);
    }
}
