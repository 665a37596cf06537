//! `cargo xtask test`: runs all tests, on both databases, with Node clients, over REST, and behind
//! nginx and Envoy.

use std::{
    num::NonZero,
    path::PathBuf,
    process::{Command, ExitCode},
    thread::available_parallelism,
    time::Instant,
};

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    commands, node::Npm, postgres::Server, proxies::Proxies, python, python::Python, report,
    tally::Tally,
};

/// Run the Rust tests on SQLite and PostgreSQL, the Node clients, directly and through nginx and
/// Envoy, and the Python tests of the REST API.
///
/// Starts a private PostgreSQL for the run, and deletes it afterwards. Installs its programs and
/// nginx with the system's package manager if they are missing, which needs root or sudo without a
/// password.
#[derive(Args)]
pub(crate) struct Options {
    /// Skip the tests on PostgreSQL
    #[arg(long)]
    sqlite_only: bool,
    /// Skip the Node clients, and the tests through nginx and Envoy, which need Node
    #[arg(long)]
    no_node: bool,
    /// Skip the Python tests, and the tests through nginx and Envoy, which need Python
    #[arg(long)]
    no_python: bool,
    /// Skip the tests through nginx and Envoy
    #[arg(long, alias = "no-front")]
    no_proxies: bool,
    /// Run only the tests of the Node clients
    #[arg(long, conflicts_with_all = ["no_node", "filter"])]
    node_only: bool,
    /// Run only the Python tests
    #[arg(long, conflicts_with_all = ["no_python", "node_only", "filter"])]
    python_only: bool,
    /// Run only the tests through nginx and Envoy
    #[arg(
        long,
        alias = "front-only",
        conflicts_with_all = ["no_proxies", "no_node", "no_python", "node_only", "python_only", "filter"]
    )]
    proxies_only: bool,
    /// Rewrite docs/access-matrix.md and the table of paths in docs/rest.md instead of comparing them
    #[arg(
        long,
        alias = "update-access-matrix",
        conflicts_with_all = ["node_only", "python_only", "proxies_only", "filter"]
    )]
    update_docs: bool,
    /// Run only the Rust tests with this text in their name, and no Node or Python tests
    filter: Option<String>,
}

impl Options {
    fn with_rust(&self) -> bool {
        !self.node_only && !self.python_only && !self.proxies_only
    }

    fn with_node(&self) -> bool {
        !self.no_node && !self.python_only && !self.proxies_only && self.filter().is_none()
    }

    fn with_python(&self) -> bool {
        !self.no_python && !self.node_only && !self.proxies_only && self.filter().is_none()
    }

    /// Returns whether to run the tests through proxies. Their clients need Node, and Envoy is
    /// installed as a Python package.
    fn with_proxies(&self) -> bool {
        self.proxies_only || !self.no_proxies && self.with_node() && self.with_python()
    }

    /// Returns whether PostgreSQL is needed. The Python and proxy tests do not depend on the
    /// database.
    fn with_postgres(&self) -> bool {
        !self.sqlite_only && !self.python_only && !self.proxies_only
    }

    fn filter(&self) -> Option<&str> {
        self.filter.as_deref().or(self.update_docs.then_some("as_documented"))
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let began = Instant::now();
    // Report missing programs now, not after ten minutes of tests.
    let npm = || Npm::find();
    let npm = options.with_node().then(npm).transpose()?;
    let python = || Python::find("the tests in Python", "--no-python");
    let python = options.with_python().then(python).transpose()?;
    let proxies = || Ok::<_, anyhow::Error>((Npm::find()?, Proxies::find_or_install()?));
    let proxies = options.with_proxies().then(proxies).transpose()?;
    let server = if options.with_postgres() { Some(Server::start()?) } else { None };
    let prepare = |command: &mut Command| match &server {
        Some(server) => server.export(command),
        None => {
            command.env("CLINIC_TEST_SQLITE_ONLY", "1");
        }
    };

    let mut tally = Tally::default();
    // A part that cannot run must not stop the others or hide the sums.
    let parts = [
        if options.with_rust() { rust(options, &prepare, &mut tally) } else { Ok(()) },
        npm.map_or(Ok(()), |npm| clients(options, &npm, &prepare, &mut tally)),
        proxies.map_or(Ok(()), |(npm, proxies)| behind(options, &npm, &proxies, &mut tally)),
        python.map_or(Ok(()), |python| api(options, &python, &mut tally)),
        server.map_or(Ok(()), |mut server| server.stop()),
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

/// Runs the Rust tests.
fn rust(options: &Options, prepare: &dyn Fn(&mut Command), tally: &mut Tally) -> Result<()> {
    report::step("running the Rust tests");
    let mut cargo = commands::cargo();
    // Without --no-fail-fast, cargo stops after the first crate with a failed test.
    cargo.args(["test", "--workspace", "--no-fail-fast", "--"]);
    // Many tests wait for timeouts, so twice as many tests as processors can run at the same time.
    let threads = 2 * available_parallelism().map_or(1, NonZero::get);
    cargo.arg(format!("--test-threads={threads}"));
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

/// Runs the tests of the Node clients.
fn clients(
    options: &Options,
    npm: &Npm,
    prepare: &dyn Fn(&mut Command),
    tally: &mut Tally,
) -> Result<()> {
    let clinic = programs(options)?;
    report::step("running the Node clients");
    npm.install()?;
    let mut tests = npm.command();
    tests.args(["test", "--silent"]).env("CLINIC_BIN", clinic);
    prepare(&mut tests);
    tally.node += part("the Node clients' tests", &mut tests, tally, Tally::read_node)?;
    Ok(())
}

/// Runs the Node clients through nginx and through Envoy.
fn behind(options: &Options, npm: &Npm, proxies: &Proxies, tally: &mut Tally) -> Result<()> {
    let clinic = programs(options)?;
    npm.install()?;
    let mut tests = npm.command();
    tests.args(["run", "--silent", "test:proxies"]).env("CLINIC_BIN", clinic);
    proxies.install_envoy_and_set_paths(&mut tests)?;
    report::step("running the Node clients behind nginx and Envoy");
    tally.proxies += part("the tests behind nginx and Envoy", &mut tests, tally, Tally::read_node)?;
    Ok(())
}

/// Runs the Python tests of the REST API.
fn api(options: &Options, python: &Python, tally: &mut Tally) -> Result<()> {
    let clinic = programs(options)?;
    report::step("running the Python tests");
    python.install(&python::TESTS)?;
    for script in ["api_tests.py", "refused_bodies.py"] {
        let mut tests = python.command();
        tests.arg(script).env("CLINIC_BIN", &clinic);
        tally.python += part(script, &mut tests, tally, Tally::read_python)?;
    }
    Ok(())
}

/// Runs a command that prints test results. Returns the number of passed tests.
fn part(
    name: &str,
    tests: &mut Command,
    tally: &mut Tally,
    read: fn(&mut Tally, &str) -> usize,
) -> Result<usize> {
    let failed_before = tally.failed();
    let mut passed = 0;
    let status = commands::stream(tests, |line| passed += read(tally, line))?;
    // Failed tests are already counted; report only other failures.
    if tally.failed() == failed_before {
        if !status.success() {
            tally.fault(format!("{name} failed, see above"));
        } else if passed == 0 {
            tally.fault(format!("{name}: none passed"));
        }
    }
    Ok(passed)
}

/// Builds the programs that the clients call. Returns the path of `clinic`.
fn programs(options: &Options) -> Result<PathBuf> {
    report::step("building the programs for the clients");
    let mut cargo = commands::cargo();
    cargo.args(["build", "--workspace", "--bins"]);
    if options.with_rust() {
        // Without the tests, cargo would compile the dependencies again with fewer features.
        cargo.arg("--tests");
    }
    if !commands::status(&mut cargo)?.success() {
        bail!("the programs do not build, so no client tests ran");
    }
    let clinic = commands::programs_folder()?.join("clinic");
    if !commands::is_program(&clinic) {
        bail!("the build did not create {}", clinic.display());
    }
    Ok(clinic)
}

fn summary(options: &Options, tally: &Tally) -> String {
    let ran = |it: bool, passed: usize| if it { passed.to_string() } else { "not run".into() };
    format!(
        "tests passed: {} (unit {}, SQLite {}, PostgreSQL {}, Node clients {}, behind nginx and Envoy {}, \
         Python {})",
        tally.passed(),
        tally.unit(),
        tally.sqlite,
        ran(options.with_postgres(), tally.postgres),
        ran(options.with_node(), tally.node),
        ran(options.with_proxies(), tally.proxies),
        ran(options.with_python(), tally.python),
    )
}
