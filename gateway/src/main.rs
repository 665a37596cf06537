//! `clinic-gateway`: runs the gateway as a separate process.

use std::process::ExitCode;

use clap::Parser;
use clinic_clock::Clock;
use clinic_net::{bind, process, settings, telemetry};
use mimalloc::MiMalloc;

// glibc's allocator takes an eighth of the gateway's time (decision 20).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Clinic's gateway: authenticates gRPC, gRPC-Web and REST calls and forwards them to the services
#[derive(Parser)]
#[command(name = "clinic-gateway", version)]
struct Args {
    /// HOST:PORT to listen on
    #[arg(long, env = "CLINIC_LISTEN", default_value = "127.0.0.1:8080")]
    listen: String,
    #[command(flatten)]
    process: settings::Process,
    #[command(flatten)]
    config: clinic_gateway::Config,
}

fn main() -> ExitCode {
    process::run(|| async {
        let args = Args::parse();
        telemetry::start(&args.process.log)?;
        let gateway = clinic_gateway::open(&args.config, Clock::system()).await?;
        let shutdown = process::on_signals(args.config.serving.shutdown_delay)?;
        let listener = bind(&args.listen).await?;
        process::ready("clinic-gateway", args.config.public.scheme(), listener.local_addr()?);
        gateway.run(listener, shutdown).await
    })
}
