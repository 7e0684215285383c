//! The Python of foreign clients: a virtual environment below target/ with what their requirements pin, and the code that
//! grpcio-tools generates from the published protos. Takes nothing else of this repository.

use crate::support::Ran;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The published protos, as paths below proto/.
const PROTOS: [&str; 2] = ["muster/v1/muster.proto", "muster/worker/v1/site.proto"];
/// What a person does about a Python that isn't there.
const MEND: &str = "install Python 3.11 or newer with its venv module (on Debian: python3 and python3-venv), and see that pip \
                    reaches a package index";

/// An interpreter that has what the examples need.
pub(crate) struct Python {
    interpreter: PathBuf,
    generated: PathBuf,
}

impl Python {
    /// Makes it where it isn't there yet. The first call does, all others wait for that.
    ///
    /// # Panics
    /// Where there is no Python, no venv, or nothing can be installed.
    pub(crate) fn ready() -> &'static Python {
        static READY: OnceLock<Python> = OnceLock::new();
        READY.get_or_init(Python::make)
    }

    /// Runs a program of examples/python-client to its end.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Ran {
        Ran::of(self.command().arg(example().join(program)).args(arguments)).unwrap()
    }

    fn make() -> Python {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let environment = target.join("python-venv");
        let interpreter = environment.join("bin/python");
        let python = Python { interpreter, generated: target.join("python-protos") };
        // Another test run may be making it at this moment.
        let lock = File::create(target.join("python-venv.lock")).unwrap();
        lock.lock().unwrap();
        let requirements = example().join("requirements.txt");
        let wanted = fs::read_to_string(&requirements).unwrap();
        let installed = environment.join("python-client.requirements");
        if fs::read_to_string(&installed).ok().as_ref() != Some(&wanted) {
            succeed(Command::new("python3").args(["-m", "venv"]).arg(&environment));
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
            succeed(Command::new(&python.interpreter).args(pip).arg(&requirements));
            fs::write(&installed, wanted).unwrap();
        }
        python.generate();
        python
    }

    fn generate(&self) {
        let _there_is_none = fs::remove_dir_all(&self.generated);
        fs::create_dir_all(&self.generated).unwrap();
        let out = |flag: &str| format!("{flag}={}", self.generated.display());
        let mut protoc = self.command();
        protoc.args(["-m", "grpc_tools.protoc", "-I"]).arg(house().join("proto"));
        succeed(protoc.args([out("--python_out"), out("--grpc_python_out")]).args(PROTOS));
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.interpreter);
        // Nothing is left behind in the examples' folder.
        command.env("PYTHONPATH", &self.generated).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

/// The workspace.
pub(crate) fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The example.
pub(crate) fn example() -> PathBuf {
    house().join("examples/python-client")
}

fn succeed(command: &mut Command) {
    let ran = Ran::of(command).unwrap_or_else(|error| panic!("{command:?} can't be run: {error}; {MEND}"));
    assert!(ran.code == 0, "{command:?} has failed; {MEND}\n{}\n{}", ran.stdout, ran.stderr);
}
