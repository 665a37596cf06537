//! `clinic`: the suite in one process, and the operator's commands.

mod commands;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use clinic_net::{process, settings, telemetry};

use commands::{admin, health, keys, migrate, openapi, up};
use mimalloc::MiMalloc;

// glibc's allocator takes an eighth of the gateway's time (decision 20).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Clinic: accounts, patients, doctors and who treats whom, over gRPC
///
/// Without a command it is `up`, whose options may follow at once, such as --listen and --data-dir:
/// `clinic up --help` explains them.
#[derive(Parser)]
#[command(name = "clinic", version)]
struct Args {
    #[command(flatten)]
    process: settings::Process,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Starts everything in this process (the default)
    Up(Box<up::Args>),
    /// Administrators
    #[command(subcommand)]
    Admin(admin::Command),
    /// Signing keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// Makes the databases and applies migrations
    Migrate(migrate::Args),
    /// Asks a server whether it serves
    Health(health::Args),
    /// Writes the REST API as an OpenAPI document, or as a collection for Postman
    Openapi(openapi::Args),
}

fn main() -> ExitCode {
    process::run(|| async {
        let args = parse();
        telemetry::start(&args.process.log)?;
        match args.command {
            None => up::run(&up::Args::default_args()).await,
            Some(Command::Up(args)) => up::run(&args).await,
            Some(Command::Admin(command)) => admin::run(command).await,
            Some(Command::Keys(command)) => keys::run(&command),
            Some(Command::Migrate(args)) => migrate::run(args).await,
            Some(Command::Health(args)) => health::run(args).await,
            Some(Command::Openapi(args)) => openapi::run(&args),
        }
    })
}

/// Options that stand alone are those of `up`. Not flattened here: what only `up` is told must not
/// keep `clinic health` from asking.
fn parse() -> Args {
    Args::try_parse().unwrap_or_else(|error| {
        let mut arguments: Vec<_> = std::env::args_os().collect();
        let alone =
            arguments.get(1).is_some_and(|first| first.as_encoded_bytes().starts_with(b"-"));
        if !alone || error.kind() != ErrorKind::UnknownArgument {
            error.exit()
        }
        arguments.insert(1, "up".into());
        Args::parse_from(arguments)
    })
}
