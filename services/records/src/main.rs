//! The process `clinic-records`.

use std::process::ExitCode;

use clap::Parser;
use clinic_chassis::{process, settings, telemetry};
use clinic_clock::Clock;
use clinic_records::Config;

/// Clinic's records: patients and doctors
#[derive(Parser)]
#[command(version, about)]
struct Args {
    /// HOST:PORT to listen on
    #[arg(long, env = "CLINIC_LISTEN", default_value = "127.0.0.1:50052")]
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
        let opening = clinic_records::open(&args.config, Clock::system());
        process::serve(opening, &args.listen, &args.config.serving).await
    })
}
