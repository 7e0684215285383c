//! Writes docs/API.md anew from the .proto files' comments: `cargo run -p muster-proto --example reference`.

#![allow(clippy::print_stderr, reason = "a tool that speaks to whoever runs it")]

mod page;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let made = page::reference(muster_proto::FILE_DESCRIPTOR_SET);
    for name in &made.uncommented {
        eprintln!("{name} has no comment");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/API.md");
    match std::fs::write(&path, made.page) {
        Ok(()) if made.uncommented.is_empty() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
