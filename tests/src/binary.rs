//! The `muster` binary that is tested: built first, in the profile of the tests themselves, so that it is never a stale one.

use crate::Outcome;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Names a binary that is used as it is, instead of one that is built.
const GIVEN: &str = "MUSTER_BIN";

/// The binary. The first call builds it; all others wait for that.
///
/// # Errors
/// Where it can't be built.
pub fn muster() -> Outcome<PathBuf> {
    static BUILT: OnceLock<Outcome<PathBuf>> = OnceLock::new();
    BUILT
        .get_or_init(|| match std::env::var_os(GIVEN) {
            Some(given) => Ok(PathBuf::from(given)),
            None => build(),
        })
        .clone()
}

/// Cheap where it is fresh. Whoever runs these tests has just resolved the lock file, so it is right.
fn build() -> Outcome<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // The same packages and features as these tests were built with, so that nothing is built twice in two ways.
    command.args(["build", "--quiet", "--locked", "--workspace", "--bins"]);
    if cfg!(feature = "libvirt") {
        command.args(["--features", "muster/libvirt,muster-tests/libvirt"]);
    }
    command.args(["--profile", &profile()?, "--message-format", "json-render-diagnostics"]);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| format!("cargo can't be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("the muster binary can't be built: cargo ended with {}", output.status));
    }
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages = told.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let executables = messages.filter(|message| message["target"]["name"] == "muster");
    let mut paths = executables.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    paths.next_back().ok_or_else(|| "cargo doesn't say where it has put the muster binary".to_owned())
}

/// The profile of this very test: the directory above `deps`, where cargo has put it.
fn profile() -> Outcome<String> {
    let program = std::env::current_exe().map_err(|error| format!("this test's file can't be found: {error}"))?;
    let directory = program.parent().and_then(|deps| deps.parent()).and_then(|profile| profile.file_name());
    match directory.and_then(|name| name.to_str()) {
        Some("debug") => Ok("dev".to_owned()),
        Some(name) => Ok(name.to_owned()),
        None => Err(format!("{} is in no profile's directory", program.display())),
    }
}
