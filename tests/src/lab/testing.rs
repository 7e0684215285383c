//! What every test that wants a lab begins with: whether there can be one, and what it is called.

use super::{Lab, LabError, packages};
use std::io::Write;
use std::path::Path;

/// Whether there can be a lab here. Says what is left out where not, past the capture of a test's output. Takes down what
/// earlier tests left that were killed.
///
/// # Panics
/// Where what they left can't be taken down.
#[must_use]
pub fn can(left_out: &str) -> bool {
    let why = match (Lab::down("none"), packages::missing().as_slice()) {
        (Err(LabError::NotRoot), _) => "it needs root".to_owned(),
        (_, []) => {
            clear_the_dead();
            return true;
        }
        (_, missing) => format!("run `lab install`: {missing:?} is missing"),
    };
    let line = format!("LEFT OUT: {left_out}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("a standard error");
    false
}

/// A lab's name of this process's own: several may test at the same time.
#[must_use]
pub fn name(word: &str) -> String {
    format!("t{}-{word}", std::process::id())
}

fn clear_the_dead() {
    for name in Lab::names() {
        let pid = name.strip_prefix('t').and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid.parse::<u32>());
        if let Some(Ok(pid)) = pid
            && !Path::new("/proc").join(pid.to_string()).exists()
        {
            Lab::down(&name).expect("it goes down");
        }
    }
}
