//! `clinic health`: for health checks in containers, which have no other tool.

use anyhow::Result;
use clinic_net::health::check;
use clinic_net::process::say;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// URL of the server, as http://HOST:PORT or https://HOST:PORT. Defaults to the port of
    /// CLINIC_LISTEN on this machine, with or without TLS. Certificates of servers on this machine
    /// are not verified
    #[arg(long, env = "CLINIC_HEALTH_URL")]
    url: Option<String>,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    match args.url {
        Some(url) => check(&url).await?,
        None => check_this_machine().await?,
    }
    say("serving");
    Ok(())
}

async fn check_this_machine() -> Result<()> {
    let listen = std::env::var("CLINIC_LISTEN").unwrap_or_default();
    let port = listen.rsplit(':').next().filter(|port| !port.is_empty()).unwrap_or("8080");
    let plain = check(&format!("http://127.0.0.1:{port}")).await;
    if plain.is_err() && check(&format!("https://127.0.0.1:{port}")).await.is_ok() {
        return Ok(());
    }
    plain
}
