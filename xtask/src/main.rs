//! The workspace's commands: `cargo xtask …`. CI runs the same commands.

mod bench;
mod commands;
mod lint;
mod node;
mod packages;
mod postgres;
mod proxies;
mod python;
mod report;
mod tally;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Check, test and benchmark the workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Test(test::Options),
    Bench(bench::Options),
    /// Run rustfmt, clippy, buf's lint and format, and a check for unused dependencies.
    ///
    /// Missing tools are installed inside the checkout. All checks run, even if one fails.
    Lint,
    Postgres(postgres::Options),
    #[command(hide = true)]
    HoldPostgres(postgres::HoldOptions),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Test(options) => test::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Lint => lint::run(),
        Command::Postgres(options) => postgres::run(&options),
        Command::HoldPostgres(options) => postgres::hold(&options).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        report::complain(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}
