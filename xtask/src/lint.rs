//! `cargo xtask lint`: all static checks.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::{commands, node, report, tools};

// Pinned, so that a new release cannot break an unchanged checkout.
const MACHETE_VERSION: &str = "0.9.2";

pub(crate) fn run() -> Result<ExitCode> {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        report::step(name);
        match check().and_then(|mut command| commands::status(&mut command)) {
            Ok(status) if status.success() => {}
            Ok(_) => failed.push(format!("{name}: not clean, see above")),
            // A check that cannot run has failed.
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

/// A check's name, and a function that returns its command.
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

/// Returns buf from the PATH, or from the packages of the client tests.
fn buf() -> Result<Command> {
    let mut installed = commands::command("buf");
    // Runs it, because a version manager may leave a stub without a program.
    if commands::answer(installed.arg("--version")).is_some() {
        return Ok(commands::command("buf"));
    }
    let npm = node::Npm::find().context("buf is missing and cannot be installed")?;
    npm.install()?;
    Ok(commands::command(node::program("buf")))
}

fn machete() -> Result<Command> {
    Ok(commands::command(tools::program("cargo-machete", MACHETE_VERSION, &[])?))
}
