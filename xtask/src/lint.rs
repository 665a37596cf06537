//! `cargo xtask lint`: every check that needs no running program.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::{commands, node, report, tools};

// The version is fixed so that a new release cannot break an unchanged checkout.
const MACHETE_VERSION: &str = "0.9.2";

pub(crate) fn run() -> Result<ExitCode> {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        report::step(name);
        match check().and_then(|mut command| commands::status(&mut command)) {
            Ok(status) if status.success() => {}
            Ok(_) => failed.push(format!("{name}: not clean, see above")),
            // A check that cannot run is a check that failed.
            Err(error) => failed.push(format!("{name}: {error:#}")),
        }
    }
    for failure in &failed {
        report::complain(failure);
    }
    if failed.is_empty() {
        report::step("clean");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// A check, and how to get the command that makes it.
type Check = (&'static str, fn() -> Result<Command>);

const CHECKS: [Check; 5] = [
    ("cargo fmt", || {
        let mut cargo = commands::cargo();
        cargo.args(["fmt", "--all", "--check"]);
        Ok(cargo)
    }),
    ("cargo clippy", || {
        let mut cargo = commands::cargo();
        cargo.args(["clippy", "--quiet", "--workspace", "--all-targets", "--locked"]);
        cargo.args(["--", "-D", "warnings"]);
        Ok(cargo)
    }),
    ("buf lint", || {
        let mut buf = buf()?;
        buf.arg("lint");
        Ok(buf)
    }),
    ("buf format", || {
        let mut buf = buf()?;
        buf.args(["format", "--diff", "--exit-code", "proto"]);
        Ok(buf)
    }),
    ("unused dependencies", || {
        let mut machete = machete()?;
        machete.args(["--skip-target-dir", "."]);
        Ok(machete)
    }),
];

/// buf from the PATH, or the one that comes with the client tests' packages.
fn buf() -> Result<Command> {
    let mut installed = commands::command("buf");
    // Asked, not only found: a version manager may have left a stub without a program behind it.
    if commands::answer(installed.arg("--version")).is_some() {
        return Ok(commands::command("buf"));
    }
    let npm = node::Npm::find().context("there is no buf, and none can be installed")?;
    npm.install()?;
    Ok(commands::command(node::program("buf")))
}

fn machete() -> Result<Command> {
    Ok(commands::command(tools::program("cargo-machete", MACHETE_VERSION, &[])?))
}
