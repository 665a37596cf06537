//! Programs from crates.io that checks and benchmarks need.

use std::path::PathBuf;

use anyhow::Result;

use crate::{commands, report};

/// Returns a program from the PATH, or else builds `version` of it once, under the target folder.
pub(crate) fn program(name: &str, version: &str) -> Result<PathBuf> {
    if let Some(program) = commands::find(name) {
        return Ok(program);
    }
    let tools = commands::programs_folder()?.with_file_name("tools");
    let program = tools.join("bin").join(name);
    if !commands::is_program(&program) {
        report::step(&format!("building {name}"));
        let mut cargo = commands::cargo();
        cargo.args(["install", "--quiet", "--locked", name, "--version", version, "--root"]);
        commands::quietly(cargo.arg(&tools))?;
    }
    Ok(program)
}
