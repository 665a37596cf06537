//! The process `clinic-records`.

use std::process::ExitCode;

use clap::Parser;
use clinic_clock::Clock;
use clinic_net::{process, settings, telemetry};
use clinic_records::Config;
use clinic_server::serve_until_signal;
use mimalloc::MiMalloc;

// glibc's allocator takes an eighth of the gateway's time (decision 20).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Clinic's records service: patients and doctors
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
        serve_until_signal(opening, &args.listen, &args.config.common.serving).await
    })
}
