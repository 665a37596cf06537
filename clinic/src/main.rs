//! `clinic`: runs the suite in one process, and the operator's commands.

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

/// Clinic: accounts, patients, doctors and assignments, over gRPC and REST
///
/// The default command is `up`. Its options, such as --listen and --data-dir, are accepted without
/// the command too; see `clinic up --help`.
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
    /// Run the gateway and all services in this process (the default)
    Up(Box<up::Args>),
    /// Manage administrators
    #[command(subcommand)]
    Admin(admin::Command),
    /// Manage signing keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// Create the databases and apply migrations
    Migrate(migrate::Args),
    /// Check whether a server is serving
    Health(health::Args),
    /// Write the OpenAPI document of the REST API
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

/// Parses the arguments; options without a command are those of `up`. They are not flattened into
/// [`Args`], because an invalid setting of `up` must not make `clinic health` fail.
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
