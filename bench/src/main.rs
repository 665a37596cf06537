//! The benchmarks of `cargo xtask bench`: the suite against what would be used instead, in one run
//! on one machine. Judges no time: it fails when an answer is wrong, not when it is slow.

mod call;
mod compare;
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
use crate::measure::Effort;
use crate::report::Report;
use crate::setting::{Setting, find};
use crate::suite::{Data, Store};
use mimalloc::MiMalloc;

// glibc's allocator takes an eighth of the gateway's time (decision 20).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Clinic's benchmarks; `cargo xtask bench` builds and starts what they need
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
    /// Serves GetPatient from memory; the benchmarks start it
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
    /// The main rows only, once each, in a minute
    #[arg(long)]
    quick: bool,
    /// Only these groups
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Group>,
    /// Seconds that a case runs at a time
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,
    /// How often each case runs; the median counts
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: Option<u32>,
    /// Where to write everything as JSON
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
    /// Starting, and idle
    Start,
    /// Straight at the services
    Service,
    /// The whole suite
    Suite,
    /// The gateway alone, beside others
    Edge,
    /// Signing in
    Accounts,
    /// Latency at half of the rate; the group suite finds the rate
    OpenLoop,
    /// Up to a million patients
    Growth,
}

impl Options {
    fn wants(&self, group: Group) -> bool {
        match (self.only.is_empty(), self.quick) {
            // Of whose rate it is the half.
            (false, _) if group == Group::Suite && self.only.contains(&Group::OpenLoop) => true,
            (false, _) => self.only.contains(&group),
            (true, false) => true,
            (true, true) => !matches!(group, Group::OpenLoop | Group::Growth),
        }
    }

    /// Whether a group wants the usual people in this kind of database.
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
            // Many short turns: what disturbs the machine then disturbs both builds.
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
    // So that nothing that runs is left behind.
    let shutdown = clinic_net::process::on_signals(Duration::ZERO)?;
    let told = shutdown.begun();
    let measured = async {
        match &options.baseline {
            Some(checkout) => {
                let baseline = setting.of_baseline(checkout)?;
                report.set_comparison(compare::run(options, &setting, &baseline).await?);
            }
            None => {
                measure(options, &setting, &mut report).await?;
                let mut targets = targets::of(&report);
                // Who wants some groups only knows that the others were not measured.
                targets.retain(|target| options.only.is_empty() || target.value.is_some());
                report.set_targets(targets);
            }
        }
        Ok(())
    };
    let done = tokio::select! {
        done = measured => done,
        () = told.cancelled() => bail!("told to stop"),
    };
    if let Err(error) = done {
        // A terminal tells the generators, too, and they complain first.
        let told = tokio::time::timeout(Duration::from_millis(500), told.cancelled()).await.is_ok();
        return Err(if told { anyhow!("told to stop") } else { error });
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
