//! `cargo xtask bench`: builds and runs the benchmarks in `bench/`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::{commands, packages::Package, postgres::Server, report, tools};

// Pinned, because the fields of its report are read by name.
const OHA_VERSION: &str = "1.16.0";

/// Benchmark the suite against its alternatives, and print tables.
///
/// Builds everything for release, starts a private PostgreSQL and the other measured programs,
/// checks the responses, and stops everything. h2load generates the load, or oha for a fixed
/// request rate; they are installed if missing. pgbench, nginx, envoy and structured-proxy are
/// measured if they are on the PATH.
#[derive(Args)]
pub(crate) struct Options {
    /// Measure only the main rows, once each; takes a minute
    #[arg(long)]
    quick: bool,
    /// Measure only these groups, separated by commas
    #[arg(long, value_delimiter = ',', value_parser = GROUPS)]
    only: Vec<String>,
    /// Duration of each run of a case, in seconds [default: 3, with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,
    /// Number of runs of each case; the median is reported [default: 3, with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: Option<u32>,
    /// Write all results as JSON to this file; relative to the root of the checkout
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
    /// Write the tables into docs/performance.md
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    update_docs: bool,
    /// Compare the CPU time per call with the build of another checkout
    ///
    /// Builds DIR for release in its own target folder. Runs both builds alternately, with the same
    /// PostgreSQL server and load and separate databases. Prints the CPU time per call of this
    /// checkout divided by DIR's, for each row of the groups edge, suite, accounts and service, in
    /// which the suite's own processes do the work, and the geometric mean of each group. A row is
    /// worse above 1.08, a group above 1.03; this does not change the exit code. Defaults to 4
    /// rounds of 1 second (with --quick 2 rounds). Use an even number of rounds, because the builds
    /// take turns in going first
    #[arg(long, value_name = "DIR", value_parser = checkout, conflicts_with = "update_docs")]
    baseline: Option<PathBuf>,
}

/// Groups that `--baseline` can compare; the others measure peers or sizes.
const COMPARED: [&str; 4] = ["edge", "suite", "accounts", "service"];

/// The groups of `clinic-bench --help`, to refuse others before anything is built.
const GROUPS: [&str; 7] = ["start", "edge", "suite", "open-loop", "accounts", "service", "growth"];

/// Packages of the measured programs and of the benchmark.
const CRATES: [&str; 6] = [
    "clinic",
    "clinic-auth",
    "clinic-records",
    "clinic-assignment",
    "clinic-gateway",
    "clinic-bench",
];

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    options.check()?;
    H2LOAD.find_or_install(|| commands::find("h2load"))?;
    let path = path(options)?;
    report::step("building for release");
    build(&mut commands::cargo()).context("the programs do not build")?;
    if let Some(baseline) = &options.baseline {
        report::step("building the baseline for release");
        let mut cargo = commands::cargo();
        // Overrides a CARGO_TARGET_DIR that this build uses too.
        cargo.current_dir(baseline).env("CARGO_TARGET_DIR", baseline.join("target"));
        build(&mut cargo)
            .with_context(|| format!("--baseline: {} does not build", baseline.display()))?;
    }
    let mut server = Server::start()?;
    let bench = commands::programs_folder()?.with_file_name("release").join("clinic-bench");
    let mut bench = commands::command(bench);
    bench.env("PATH", path).arg("--json").arg(&options.json);
    arguments(options, &mut bench);
    server.export(&mut bench);
    let status = commands::status(&mut bench)?;
    server.stop()?;
    if !status.success() {
        bail!("the benchmarks failed, see above");
    }
    report::step(&format!("wrote the results to {}", options.json.display()));
    Ok(ExitCode::SUCCESS)
}

impl Options {
    /// Refuses conflicting options before anything is built.
    fn check(&self) -> Result<()> {
        let other = self.only.iter().find(|group| !COMPARED.contains(&group.as_str()));
        if let (Some(_), Some(other)) = (&self.baseline, other) {
            bail!(
                "--baseline cannot compare the group {other} of --only: use some of {}",
                COMPARED.join(", ")
            );
        }
        Ok(())
    }
}

/// Parses the folder of another checkout of this project.
fn checkout(folder: &str) -> Result<PathBuf> {
    let manifest = Path::new(folder).join("gateway").join("Cargo.toml");
    let is_ours = fs::read_to_string(manifest).is_ok_and(|text| text.contains("clinic-gateway"));
    ensure!(
        is_ours,
        "not a checkout of this project; create one with `git worktree add {folder} COMMIT`"
    );
    fs::canonicalize(folder).context("cannot resolve its path")
}

/// Builds the same packages for both builds, because the set decides the features of dependencies.
fn build(cargo: &mut Command) -> Result<()> {
    cargo.args(["build", "--release", "--locked", "--bins"]);
    cargo.args(CRATES.iter().flat_map(|name| ["-p", name]));
    ensure!(commands::status(cargo)?.success(), "see above");
    Ok(())
}

fn arguments(options: &Options, bench: &mut Command) {
    let Options { quick, only, seconds, rounds, json: _, update_docs, baseline } = options;
    bench.args(quick.then_some("--quick")).args(update_docs.then_some("--update-docs"));
    bench.args((!only.is_empty()).then(|| format!("--only={}", only.join(","))));
    bench.args(seconds.map(|seconds| format!("--seconds={seconds}")));
    bench.args(rounds.map(|rounds| format!("--rounds={rounds}")));
    if let Some(baseline) = baseline {
        bench.arg("--baseline").arg(baseline);
    }
}

/// Returns the PATH for the benchmarks, with oha if it is needed.
fn path(options: &Options) -> Result<std::ffi::OsString> {
    let mut path: Vec<_> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
    let open_loop = match options.only.as_slice() {
        [] => !options.quick && options.baseline.is_none(),
        only => only.iter().any(|group| group == "open-loop"),
    };
    if open_loop {
        let oha = tools::program("oha", OHA_VERSION)?;
        path.extend(oha.parent().map(PathBuf::from));
    }
    env::join_paths(path).context("a folder on the PATH has an invalid name")
}

const H2LOAD: Package = Package {
    name: "h2load",
    no_manager: "h2load is not installed, and xtask cannot install it: install your system's \
                 package of it (nghttp2-client on Debian, nghttp2 elsewhere)",
    failed: "cannot install h2load",
    not_found: "h2load was installed, but is not on the PATH",
    scripts: [
        (
            "apt-get",
            "export DEBIAN_FRONTEND=noninteractive
             apt-get update -q
             apt-get install -q -y --no-install-recommends nghttp2-client",
        ),
        ("dnf", "dnf install -q -y nghttp2"),
        ("apk", "apk add -q nghttp2"),
        ("brew", "brew install --quiet nghttp2"),
    ],
};

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn parse(arguments: &[&str]) -> Result<Options> {
        let cli = Cli::try_parse_from([&["bench"], arguments].concat())?;
        cli.options.check()?;
        Ok(cli.options)
    }

    fn refusal(arguments: &[&str]) -> String {
        parse(arguments).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_baseline_must_be_a_checkout_of_this_project() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().to_str().unwrap();
        let said = refusal(&["--baseline", elsewhere]);
        assert!(said.contains("--baseline <DIR>"), "{said}");
        assert!(said.contains(&format!("git worktree add {elsewhere} COMMIT")), "{said}");

        let root = commands::root();
        let options = parse(&["--baseline", root.to_str().unwrap()]).unwrap();
        assert_eq!(options.baseline, Some(root));
    }

    #[test]
    fn a_baseline_goes_only_with_groups_that_can_be_compared() {
        let root = commands::root();
        let baseline = ["--baseline", root.to_str().unwrap()];
        let with = |more: &[&'static str]| [&baseline, more].concat();
        for group in GROUPS {
            let said = refusal(&with(&["--only", group]));
            assert_eq!(said.is_empty(), COMPARED.contains(&group), "{group}: {said}");
        }
        let said = refusal(&with(&["--only", "edge,growth"]));
        assert!(said.contains("--baseline cannot compare the group growth of --only"), "{said}");
    }

    #[test]
    fn a_comparison_is_not_written_into_the_docs() {
        let root = commands::root();
        let said = refusal(&["--baseline", root.to_str().unwrap(), "--update-docs"]);
        assert!(said.contains("cannot be used with '--update-docs'"), "{said}");
    }
}
