//! The auth service as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use clinic_auth::Config;
use clinic_chassis::{process, settings, telemetry};
use clinic_clock::Clock;

/// Accounts, sessions, tokens and signing keys of Clinic.
#[derive(Parser)]
#[command(version, about)]
struct Args {
    /// HOST:PORT to listen on
    #[arg(long, env = "CLINIC_LISTEN", default_value = "127.0.0.1:50051")]
    listen: String,
    #[command(flatten)]
    process: settings::Process,
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    process::run(|| async {
        let args = Args::parse();
        telemetry::start(&args.process.log)?;
        let opening = clinic_auth::open(&args.config, Clock::system());
        process::serve(opening, &args.listen, &args.config.serving).await
    })
}
