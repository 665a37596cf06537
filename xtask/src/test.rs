//! `cargo xtask test`: every test, on both databases and with the clients in Node.

use std::{
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Result, bail};
use clap::Args;

use crate::{commands, node, postgres::Server, report, tally::Tally};

/// Runs the tests on SQLite and on PostgreSQL, then those of the Node clients.
///
/// A private PostgreSQL is started for the run and removed with everything in it. When its programs
/// are not there they are installed by the system's package manager, if that may be done.
#[derive(Args)]
pub(crate) struct Options {
    /// Do without PostgreSQL
    #[arg(long)]
    sqlite_only: bool,
    /// Do without Node
    #[arg(long)]
    no_node: bool,
    /// Run nothing but the tests of the Node clients
    #[arg(long, conflicts_with_all = ["no_node", "filter"])]
    node_only: bool,
    /// Write docs/access-matrix.md as the suite answers now and the paths of docs/rest.md as the contract
    /// says them, by the tests that otherwise compare them
    #[arg(long, alias = "update-access-matrix", conflicts_with_all = ["node_only", "filter"])]
    update_docs: bool,
    /// Run only the Rust tests with this in their name, and none of Node
    filter: Option<String>,
}

impl Options {
    fn with_node(&self) -> bool {
        !self.no_node && self.filter().is_none()
    }

    fn filter(&self) -> Option<&str> {
        self.filter.as_deref().or(self.update_docs.then_some("as_documented"))
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let began = Instant::now();
    // What is missing is said at once, not after ten minutes of tests.
    let npm = if options.with_node() { Some(node::Npm::find()?) } else { None };
    let server = if options.sqlite_only { None } else { Some(Server::start()?) };
    let prepare = |command: &mut Command| match &server {
        Some(server) => server.export(command),
        None => {
            command.env("CLINIC_TEST_SQLITE_ONLY", "1");
        }
    };

    let mut tally = Tally::default();
    // What one part cannot do must hide neither the others nor the sums.
    let parts = [
        if options.node_only { Ok(()) } else { rust(options, &prepare, &mut tally) },
        npm.map_or(Ok(()), |npm| clients(&npm, &prepare, &mut tally)),
        server.map_or(Ok(()), Server::stop),
    ];
    for error in parts.into_iter().filter_map(Result::err) {
        tally.fault(format!("{error:#}"));
    }

    for complaint in tally.complaints() {
        report::complain(&complaint);
    }
    report::step(&format!("took {} s", began.elapsed().as_secs()));
    report::line(&summary(options, &tally));
    report::line(&tally.to_string());
    Ok(if tally.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The tests in Rust.
fn rust(options: &Options, prepare: &dyn Fn(&mut Command), tally: &mut Tally) -> Result<()> {
    report::step("the tests in Rust");
    let mut cargo = commands::cargo();
    // Without it the first crate with a failed test hides what the others have to say.
    cargo.args(["test", "--workspace", "--no-fail-fast", "--"]);
    if options.sqlite_only {
        cargo.args(["--skip", "::postgres"]);
    }
    cargo.args(options.filter());
    if options.update_docs {
        cargo.env("CLINIC_UPDATE_DOCS", "1");
    }
    prepare(&mut cargo);
    let status = commands::stream(&mut cargo, |line| tally.read_rust(line))?;
    if !status.success() && tally.failed() == 0 {
        tally.fault("cargo test failed, see above");
    }
    match options.filter() {
        Some(filter) if tally.passed() + tally.failed() == 0 => {
            tally.fault(format!("no test has `{filter}` in its name"));
        }
        None if tally.postgres == 0 && !options.sqlite_only => {
            tally.fault("no test passed on PostgreSQL");
        }
        None if tally.sqlite == 0 => tally.fault("no test passed on SQLite"),
        _ => {}
    }
    Ok(())
}

/// The tests of the clients in Node, against the programs as they are built now.
fn clients(npm: &node::Npm, prepare: &dyn Fn(&mut Command), tally: &mut Tally) -> Result<()> {
    report::step("the programs that the Node clients talk to");
    if !commands::status(commands::cargo().args(["build", "--workspace", "--bins"]))?.success() {
        tally.fault("the programs do not build, so the Node clients did not run");
        return Ok(());
    }
    let clinic = commands::programs_folder()?.join("clinic");
    if !commands::is_program(&clinic) {
        bail!("the build left no {}", clinic.display());
    }
    report::step("the Node clients");
    npm.install()?;
    let mut tests = npm.command();
    tests.args(["test", "--silent"]).env("CLINIC_BIN", clinic);
    prepare(&mut tests);
    let failed_before = tally.failed();
    let status = commands::stream(&mut tests, |line| tally.read_node(line))?;
    if !status.success() && tally.failed() == failed_before {
        tally.fault("the Node clients' tests failed, see above");
    }
    if tally.node == 0 {
        tally.fault("no test passed with the Node clients");
    }
    Ok(())
}

fn summary(options: &Options, tally: &Tally) -> String {
    let postgres = if options.sqlite_only { "not run".into() } else { tally.postgres.to_string() };
    let node = if options.with_node() { tally.node.to_string() } else { "not run".into() };
    format!(
        "tests passed: {} (unit {}, SQLite {}, PostgreSQL {postgres}, Node clients {node})",
        tally.passed(),
        tally.unit(),
        tally.sqlite,
    )
}
