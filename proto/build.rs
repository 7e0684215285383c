//! Generates the two API modules and their file descriptor set. Needs no protoc: `protox` compiles the .proto files.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

/// The APIs, as paths below this folder.
const PROTOS: [&str; 2] = ["muster/v1/muster.proto", "muster/worker/v1/site.proto"];

/// The encoded file descriptor set that `lib.rs` includes.
const DESCRIPTOR_SET: &str = "muster_descriptor_set.bin";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    for proto in PROTOS {
        println!("cargo:rerun-if-changed={proto}");
    }
    let mut compiler = protox::Compiler::new(["."])?;
    // Source information carries the comments, which become the generated types' docs.
    compiler.include_imports(true).include_source_info(true).open_files(PROTOS)?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_dir.join(DESCRIPTOR_SET), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
