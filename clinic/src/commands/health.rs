//! `clinic health`: for container health checks, which have no other tool at hand.

use anyhow::Result;
use clinic_chassis::process::say;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The server, as http://HOST:PORT
    #[arg(long, env = "CLINIC_HEALTH_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    clinic_chassis::health::check(&args.url).await?;
    say("serving");
    Ok(())
}
