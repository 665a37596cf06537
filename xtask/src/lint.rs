//! `cargo xtask lint`: all static checks.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::{commands, node, report, tools};

// Pinned, so that a new release cannot break an unchanged checkout.
const MACHETE_VERSION: &str = "0.9.2";

pub(crate) fn run() -> Result<ExitCode> {
    let mut failed = Vec::new();
    for (name, program, arguments) in CHECKS {
        report::step(name);
        match program().and_then(|mut program| commands::status(program.args(arguments))) {
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

/// A check's name, a function that returns its program, and the arguments.
type Check = (&'static str, fn() -> Result<Command>, &'static [&'static str]);

const CHECKS: [Check; 5] = [
    ("cargo fmt", cargo, &["fmt", "--all", "--check"]),
    (
        "cargo clippy",
        cargo,
        &["clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    ),
    ("buf lint", buf, &["lint"]),
    ("buf format", buf, &["format", "--diff", "--exit-code", "proto"]),
    ("unused dependencies", machete, &["--skip-target-dir", "."]),
];

fn cargo() -> Result<Command> {
    Ok(commands::cargo())
}

/// Returns buf from the PATH, or from the packages of the client tests.
fn buf() -> Result<Command> {
    let mut installed = commands::command("buf");
    // Runs it, because a version manager may leave a stub without a program.
    if commands::output(installed.arg("--version")).is_some() {
        return Ok(commands::command("buf"));
    }
    let npm = node::Npm::find().context("buf is missing and cannot be installed")?;
    npm.install()?;
    Ok(commands::command(node::program("buf")))
}

fn machete() -> Result<Command> {
    Ok(commands::command(tools::program("cargo-machete", MACHETE_VERSION)?))
}
