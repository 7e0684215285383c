//! A daemon that a program of the test's own restarts: `muster conformance` runs the program, and it rings here.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program, and the two pipes by which it asks and is answered.
pub(super) struct Bell {
    pub(super) program: PathBuf,
    asked: File,
    answered: File,
}

impl Bell {
    pub(super) fn hang(folder: &Path) -> Bell {
        let path = |name: &str| folder.join(name);
        let pipe = |name: &str| {
            let made = Command::new("mkfifo").arg(path(name)).status().unwrap();
            assert!(made.success(), "mkfifo {name}");
            // For both ways, so that neither end waits for the other to open it.
            OpenOptions::new().read(true).write(true).open(path(name)).unwrap()
        };
        let (asked, answered) = (pipe("asked"), pipe("answered"));
        let program = path("restart");
        let text = format!(
            "#!/bin/sh\nset -e\necho restart >{}\nread done <{}\n",
            path("asked").display(),
            path("answered").display()
        );
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Bell { program, asked, answered }
    }

    /// Restarts the daemon whenever it is asked for, in a thread of its own; what it restarts dies with the test.
    pub(super) fn answer<D: Send + 'static>(
        mut self,
        mut daemon: D,
        restart: impl Fn(D) -> D + Send + 'static,
    ) -> PathBuf {
        let program = self.program.clone();
        std::thread::spawn(move || {
            let mut line = [0; b"restart\n".len()];
            while self.asked.read_exact(&mut line).is_ok() {
                daemon = restart(daemon);
                self.answered.write_all(b"done\n").unwrap();
            }
        });
        program
    }
}
