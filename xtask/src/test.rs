//! `cargo xtask test`: every test, on both databases, with the clients in Node and over REST.

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Result, bail};
use clap::Args;

use crate::{commands, node::Npm, postgres::Server, python::Python, report, tally::Tally};

/// Runs the tests on SQLite and on PostgreSQL, then those of the Node clients and of the REST API.
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
    /// Do without Python
    #[arg(long)]
    no_python: bool,
    /// Run nothing but the tests of the Node clients
    #[arg(long, conflicts_with_all = ["no_node", "filter"])]
    node_only: bool,
    /// Run nothing but the API tests in Python
    #[arg(long, conflicts_with_all = ["no_python", "node_only", "filter"])]
    python_only: bool,
    /// Write docs/access-matrix.md as the suite answers now and the paths of docs/rest.md as the contract
    /// says them, by the tests that otherwise compare them
    #[arg(
        long,
        alias = "update-access-matrix",
        conflicts_with_all = ["node_only", "python_only", "filter"]
    )]
    update_docs: bool,
    /// Run only the Rust tests with this in their name, and none of Node and Python
    filter: Option<String>,
}

impl Options {
    fn with_rust(&self) -> bool {
        !self.node_only && !self.python_only
    }

    fn with_node(&self) -> bool {
        !self.no_node && !self.python_only && self.filter().is_none()
    }

    fn with_python(&self) -> bool {
        !self.no_python && !self.node_only && self.filter().is_none()
    }

    /// The API tests are about what does not depend on the database.
    fn with_postgres(&self) -> bool {
        !self.sqlite_only && !self.python_only
    }

    fn filter(&self) -> Option<&str> {
        self.filter.as_deref().or(self.update_docs.then_some("as_documented"))
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let began = Instant::now();
    // What is missing is said at once, not after ten minutes of tests.
    let npm = if options.with_node() { Some(Npm::find()?) } else { None };
    let python = if options.with_python() { Some(Python::find()?) } else { None };
    let server = if options.with_postgres() { Some(Server::start()?) } else { None };
    let prepare = |command: &mut Command| match &server {
        Some(server) => server.export(command),
        None => {
            command.env("CLINIC_TEST_SQLITE_ONLY", "1");
        }
    };

    let mut tally = Tally::default();
    // What one part cannot do must hide neither the others nor the sums.
    let parts = [
        if options.with_rust() { rust(options, &prepare, &mut tally) } else { Ok(()) },
        npm.map_or(Ok(()), |npm| clients(&npm, &prepare, &mut tally)),
        python.map_or(Ok(()), |python| api(&python, &mut tally)),
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

/// The tests of the clients in Node.
fn clients(npm: &Npm, prepare: &dyn Fn(&mut Command), tally: &mut Tally) -> Result<()> {
    let clinic = programs()?;
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

/// The tests of the REST API, in Python.
fn api(python: &Python, tally: &mut Tally) -> Result<()> {
    let clinic = programs()?;
    report::step("the API tests in Python");
    python.install()?;
    let mut tests = python.command();
    tests.arg("api_tests.py").env("CLINIC_BIN", clinic);
    let failed_before = tally.failed();
    let status = commands::stream(&mut tests, |line| tally.read_python(line))?;
    if !status.success() && tally.failed() == failed_before {
        tally.fault("the API tests in Python failed, see above");
    }
    if tally.python == 0 {
        tally.fault("no API test passed in Python");
    }
    Ok(())
}

/// Builds what the clients talk to, and tells where `clinic` is.
fn programs() -> Result<PathBuf> {
    report::step("the programs that the clients talk to");
    if !commands::status(commands::cargo().args(["build", "--workspace", "--bins"]))?.success() {
        bail!("the programs do not build, so no client ran");
    }
    let clinic = commands::programs_folder()?.join("clinic");
    if !commands::is_program(&clinic) {
        bail!("the build left no {}", clinic.display());
    }
    Ok(clinic)
}

fn summary(options: &Options, tally: &Tally) -> String {
    let ran = |it: bool, passed: usize| if it { passed.to_string() } else { "not run".into() };
    format!(
        "tests passed: {} (unit {}, SQLite {}, PostgreSQL {}, Node clients {}, API in Python {})",
        tally.passed(),
        tally.unit(),
        tally.sqlite,
        ran(options.with_postgres(), tally.postgres),
        ran(options.with_node(), tally.node),
        ran(options.with_python(), tally.python),
    )
}
