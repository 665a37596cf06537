//! Generates the stubs of the echo service, a service outside the suite that tests route to.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("proto");
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).open_file(root.join("acme/echo/v1/echo.proto"))?;
    let descriptors = PathBuf::from(env::var("OUT_DIR")?).join("acme.echo.v1.bin");
    fs::write(descriptors, compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
