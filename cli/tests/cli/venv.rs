//! Virtual environments of Python below target/, one for each list of requirements, made once and kept. As root on Debian they
//! install what Python lacks; where nothing can be installed, the test fails and says what is needed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a person does about a Python that isn't there.
const MEND: &str = "install Python 3.11 or newer with its venv module (on Debian: python3 and python3-venv), and see that pip \
                    reaches a package index";

/// The interpreter of the environment with this name, which has what `requirements` asks for.
///
/// # Panics
/// Where there is no Python, no venv, or nothing can be installed.
pub(crate) fn interpreter(name: &str, requirements: &Path) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let environment = target.join(name);
    let python = environment.join("bin/python");
    // Another test run may be making it at this moment.
    let lock = File::create(target.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let wanted = fs::read_to_string(requirements).unwrap();
    let installed = environment.join("installed");
    if fs::read_to_string(&installed).ok().as_ref() != Some(&wanted) {
        make(&environment);
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        succeed(Command::new(&python).args(pip).arg(requirements));
        fs::write(&installed, wanted).unwrap();
    }
    python
}

fn make(environment: &Path) {
    let venv = || {
        let mut command = Command::new("python3");
        command.args(["-m", "venv", "--clear"]).arg(environment);
        command
    };
    if attempt(&mut venv()).is_ok() {
        return;
    }
    // Debian's python3 comes without venv; only root can add it.
    let _there_is_no_apt = attempt(Command::new("apt-get").args(["update", "--quiet"]));
    let apt = ["install", "--yes", "--quiet", "--no-install-recommends", "python3", "python3-venv"];
    let _it_is_told_below = attempt(Command::new("apt-get").args(apt).env("DEBIAN_FRONTEND", "noninteractive"));
    succeed(&mut venv());
}

/// Runs a command that has to succeed.
///
/// # Panics
/// It can't be run, or has failed.
pub(crate) fn succeed(command: &mut Command) {
    attempt(command).unwrap_or_else(|why| panic!("{command:?}: {why}; {MEND}"));
}

fn attempt(command: &mut Command) -> Result<(), String> {
    let ran = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if ran.status.success() {
        return Ok(());
    }
    let said = [ran.stdout, ran.stderr].concat();
    Err(format!("{}: {}", ran.status, String::from_utf8_lossy(&said)))
}
