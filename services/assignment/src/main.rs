//! The process `clinic-assignment`.

use std::process::ExitCode;

use clap::Parser;
use clinic_assignment::Config;
use clinic_clock::Clock;
use clinic_net::{process, settings, telemetry};
use clinic_server::serve_until_signal;
use mimalloc::MiMalloc;

// glibc's allocator takes an eighth of the gateway's time (decision 20).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Clinic's assignment service: which doctor treats which patient
#[derive(Parser)]
#[command(version, about)]
struct Args {
    /// HOST:PORT to listen on
    #[arg(long, env = "CLINIC_LISTEN", default_value = "127.0.0.1:50053")]
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
        let opening = clinic_assignment::open(&args.config, Clock::system());
        serve_until_signal(opening, &args.listen, &args.config.common.serving).await
    })
}
