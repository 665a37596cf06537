//! The benchmarks of `cargo xtask bench`: compare the suite with its alternatives in one run on one
//! machine. A run fails on a wrong response, never on a slow one.

mod call;
mod compare;
mod comparison;
mod fill;
mod groups;
mod load;
mod machine;
mod measure;
mod peers;
mod process;
mod report;
mod sample;
mod setting;
mod suite;
mod table;
mod targets;
mod tokens;
mod upstream;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clinic_clock::Clock;
use clinic_identity::KeyDir;

use crate::machine::Machine;
use crate::report::{Effort, Report};
use crate::setting::{Setting, find};
use crate::suite::{Data, Store};
use mimalloc::MiMalloc;

// glibc's allocator takes an eighth of the gateway's time (decision 20).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Clinic's benchmarks; `cargo xtask bench` builds and starts the programs that they need
#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Serve GetPatient from memory; started by the benchmarks
    #[command(hide = true)]
    Upstream {
        #[arg(long)]
        listen: String,
        #[arg(long)]
        keys_dir: PathBuf,
    },
}

#[derive(Args)]
struct Options {
    /// Measure only the main rows, once each; takes a minute
    #[arg(long)]
    quick: bool,
    /// Measure only these groups
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Group>,
    /// Duration of each run of a case, in seconds
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,
    /// Number of runs of each case; the median is reported
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: Option<u32>,
    /// Write all results as JSON to this file
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
    /// Write the tables into docs/performance.md
    #[arg(long)]
    update_docs: bool,
    /// Compare with the release build of this other checkout instead
    #[arg(long, value_name = "DIR", conflicts_with = "update_docs")]
    baseline: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Start time, and memory when idle
    Start,
    /// The services, called directly
    Service,
    /// The whole suite
    Suite,
    /// The gateway alone, and other gateways
    Edge,
    /// Signing in
    Accounts,
    /// Latency at half of the rate that the group suite measures
    OpenLoop,
    /// Up to a million patients
    Growth,
}

impl Options {
    fn wants(&self, group: Group) -> bool {
        match (self.only.is_empty(), self.quick) {
            // The group open-loop needs its rate.
            (false, _) if group == Group::Suite && self.only.contains(&Group::OpenLoop) => true,
            (false, _) => self.only.contains(&group),
            (true, false) => true,
            (true, true) => !matches!(group, Group::OpenLoop | Group::Growth),
        }
    }

    /// Returns whether a selected group needs the rows of [`fill::usual`] in this kind of database.
    fn wants_data(&self, store: Store) -> bool {
        let on_postgres = [Group::Suite, Group::Accounts, Group::OpenLoop];
        let on_both = [Group::Service];
        on_both.into_iter().any(|group| self.wants(group))
            || store == Store::Postgres && on_postgres.into_iter().any(|group| self.wants(group))
    }

    fn effort(&self) -> Effort {
        let (seconds, rounds) = match (self.baseline.is_some(), self.quick) {
            (false, false) => (3, 3),
            (false, true) => (1, 1),
            // Many short turns, so that disturbances affect both builds.
            (true, false) => (1, 4),
            (true, true) => (1, 2),
        };
        let time = Duration::from_secs(self.seconds.unwrap_or(seconds));
        Effort { time, rounds: self.rounds.unwrap_or(rounds) }
    }
}

fn main() -> ExitCode {
    clinic_net::process::run(|| async {
        let cli = Cli::parse();
        match cli.command {
            Some(Command::Upstream { listen, keys_dir }) => {
                upstream::run(&listen, &KeyDir::new(keys_dir)).await
            }
            None => bench(&cli.options).await,
        }
    })
}

async fn bench(options: &Options) -> Result<()> {
    let setting = Setting::create(options.quick, options.effort()).await?;
    let mut machine = Machine::new(Clock::system().now());
    machine.version("PostgreSQL", &setting.postgres.programs.join("postgres"), "--version");
    for generator in ["h2load", "oha"] {
        if let Some(program) = find(generator) {
            machine.version(generator, &program, "--version");
        }
    }
    if let Some(checkout) = &options.baseline {
        machine.checkout("baseline", checkout);
    }
    let mut report = Report::new(machine, options.effort());
    // Stops the started processes on SIGTERM and Ctrl-C.
    let shutdown = clinic_net::process::on_signals(Duration::ZERO)?;
    let told = shutdown.begun();
    let measured = async {
        match &options.baseline {
            Some(checkout) => {
                let baseline = setting.of_baseline(checkout)?;
                report.comparison = Some(compare::run(options, &setting, &baseline).await?);
            }
            None => {
                measure(options, &setting, &mut report).await?;
                report.targets = targets::of(&report);
                // With --only, omits the targets of groups that were not measured.
                report.targets.retain(|target| options.only.is_empty() || target.value.is_some());
            }
        }
        Ok(())
    };
    let done = tokio::select! {
        done = measured => done,
        () = told.cancelled() => bail!("stopped by a signal"),
    };
    if let Err(error) = done {
        // Ctrl-C also stops the load generators, and their error may arrive first.
        let told = tokio::time::timeout(Duration::from_millis(500), told.cancelled()).await.is_ok();
        return Err(if told { anyhow!("stopped by a signal") } else { error });
    }
    let tables = report.markdown();
    clinic_net::process::say(&tables);
    report.write_json(&options.json)?;
    if options.update_docs {
        report::update_docs(&tables)?;
    }
    Ok(())
}

async fn measure(options: &Options, setting: &Setting, report: &mut Report) -> Result<()> {
    let wants = |group| options.wants(group);
    if wants(Group::Start) {
        report::say("Starting");
        groups::start::run(setting, report)?;
    }
    if wants(Group::Edge) {
        report::say("The gateway alone");
        groups::edge::run(setting, report).await?;
    }
    for store in Store::BOTH {
        if !options.wants_data(store) {
            continue;
        }
        let on_postgres = store == Store::Postgres;
        let data = Data::create(setting, store, "bench")?;
        fill::usual(&data).await?;
        if on_postgres && wants(Group::Suite) {
            report::say("The whole suite");
            groups::gateway::run(setting, &data, report).await?;
        }
        if on_postgres && wants(Group::OpenLoop) {
            report::say("Latency at half of the rate");
            groups::open_loop::run(setting, &data, report).await?;
        }
        if on_postgres && wants(Group::Accounts) {
            report::say("Signing in");
            groups::accounts::run(setting, &data, report).await?;
        }
        if wants(Group::Service) {
            report::say(&format!("The services on {}", store.name()));
            groups::service::run(setting, &data, report).await?;
        }
    }
    if wants(Group::Growth) {
        for store in Store::BOTH {
            report::say(&format!("Growth on {}", store.name()));
            groups::growth::run(setting, store, report).await?;
        }
    }
    Ok(())
}
