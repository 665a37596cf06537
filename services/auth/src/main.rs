//! The process `clinic-auth`.

use std::process::ExitCode;

use clap::Parser;
use clinic_auth::Config;
use clinic_clock::Clock;
use clinic_net::{process, settings, telemetry};
use clinic_server::serve_until_signal;
use mimalloc::MiMalloc;

// glibc's allocator takes an eighth of the gateway's time (decision 20).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Clinic's auth service: accounts, sessions, tokens and signing keys
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
        serve_until_signal(opening, &args.listen, &args.config.common.serving).await
    })
}
