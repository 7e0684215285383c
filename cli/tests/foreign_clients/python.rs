//! The Python of foreign clients: a virtual environment below target/ with what their requirements pin, and the code that
//! grpcio-tools generates from the published protos. Takes nothing else of this repository.

use crate::support::Ran;
use crate::venv::{interpreter, succeed};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The published protos, as paths below proto/.
const PROTOS: [&str; 2] = ["muster/v1/muster.proto", "muster/worker/v1/site.proto"];
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
        let interpreter = interpreter("python-client", &example().join("requirements.txt"));
        let python = Python { interpreter, generated: target.join("python-protos") };
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
