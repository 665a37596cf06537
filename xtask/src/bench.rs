//! `cargo xtask bench`: what is measured, and against what, is in `bench/`.

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{
    commands,
    packages::{Installer, Scripts},
    postgres::Server,
    report, tools,
};

// The version is fixed, as its report is read by name.
const OHA_VERSION: &str = "1.16.0";

/// Measures the suite against what would be used instead, in one run, and prints tables.
///
/// Builds everything for release, starts a private PostgreSQL and whatever else is measured, sees
/// that the answers are right, and stops everything. Load comes from h2load, and from oha where
/// requests come by the clock; they are installed when they are not there. pgbench, nginx, envoy
/// and structured-proxy are measured where they are on the PATH.
#[derive(Args)]
pub(crate) struct Options {
    /// The main rows only, once each, in a minute
    #[arg(long)]
    quick: bool,
    /// Only these groups, with commas between
    #[arg(long, value_delimiter = ',', value_parser = GROUPS)]
    only: Vec<String>,
    /// Seconds that a case runs at a time [default: 3, with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,
    /// How often each case runs; the median counts [default: 3, with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: Option<u32>,
    /// Where to write everything as JSON, from the top of the checkout
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
    /// Write the tables into docs/performance.md
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    update_docs: bool,
}

/// What can be chosen, as `clinic-bench --help` tells it; here it is refused before anything is built.
const GROUPS: [&str; 7] = ["start", "edge", "suite", "open-loop", "accounts", "service", "growth"];

/// What is measured, and what measures.
const CRATES: [&str; 6] = [
    "clinic",
    "clinic-auth",
    "clinic-records",
    "clinic-assignment",
    "clinic-gateway",
    "clinic-bench",
];

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    h2load()?;
    let path = path(options)?;
    report::step("building for release");
    let mut build = commands::cargo();
    build.args(["build", "--release", "--locked", "--bins"]);
    build.args(CRATES.iter().flat_map(|name| ["-p", name]));
    if !commands::status(&mut build)?.success() {
        bail!("the programs do not build");
    }
    let server = Server::start()?;
    let bench = commands::programs_folder()?.with_file_name("release").join("clinic-bench");
    let mut bench = commands::command(bench);
    bench.env("PATH", path).arg("--json").arg(&options.json);
    arguments(options, &mut bench);
    server.export(&mut bench);
    let status = commands::status(&mut bench)?;
    server.stop()?;
    if !status.success() {
        bail!("the benchmarks did not come to their end, see above");
    }
    report::step(&format!("everything as JSON is in {}", options.json.display()));
    Ok(ExitCode::SUCCESS)
}

fn arguments(options: &Options, bench: &mut Command) {
    let Options { quick, only, seconds, rounds, json: _, update_docs } = options;
    bench.args(quick.then_some("--quick")).args(update_docs.then_some("--update-docs"));
    bench.args((!only.is_empty()).then(|| format!("--only={}", only.join(","))));
    bench.args(seconds.map(|seconds| format!("--seconds={seconds}")));
    bench.args(rounds.map(|rounds| format!("--rounds={rounds}")));
}

/// The PATH on which the benchmarks find their generators.
fn path(options: &Options) -> Result<std::ffi::OsString> {
    let mut path: Vec<_> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
    let open_loop = match options.only.as_slice() {
        [] => !options.quick,
        only => only.iter().any(|group| group == "open-loop"),
    };
    if open_loop {
        let oha = tools::program("oha", OHA_VERSION, &[])?;
        path.extend(oha.parent().map(PathBuf::from));
    }
    env::join_paths(path).context("a folder on the PATH has a name that cannot be there")
}

fn h2load() -> Result<()> {
    if commands::find("h2load").is_some() {
        return Ok(());
    }
    let Some(installer) = Installer::find(&H2LOAD) else {
        bail!(
            "h2load is not installed, and xtask may not install it: install your system's package \
             of nghttp2's programs (nghttp2-client on Debian, nghttp2 elsewhere)"
        );
    };
    installer.run("h2load").context("cannot install h2load")?;
    commands::find("h2load").context("h2load was installed, but is not on the PATH").map(drop)
}

const H2LOAD: Scripts = [
    (
        "apt-get",
        "export DEBIAN_FRONTEND=noninteractive
         apt-get update -q
         apt-get install -q -y --no-install-recommends nghttp2-client",
    ),
    ("dnf", "dnf install -q -y nghttp2"),
    ("apk", "apk add -q nghttp2"),
    ("brew", "brew install --quiet nghttp2"),
];
