//! `clinic up`.

use anyhow::Result;
use clap::Parser;
use clinic::{Config, prepare};
use clinic_clock::Clock;
use clinic_net::process::{on_signals, ready, say};
use secrecy::ExposeSecret as _;

#[derive(Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    config: Config,
}

impl Args {
    /// Returns the settings of the environment, and defaults.
    pub(crate) fn default_args() -> Self {
        Self::parse_from(["clinic up"])
    }
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let shutdown = on_signals(args.config.settings.serving.shutdown_delay)?;
    let prepared = tokio::select! {
        prepared = prepare(&args.config, Clock::system()) => prepared?,
        () = shutdown.announced().cancelled() => return Ok(()),
    };
    let mut suite = prepared.await?;
    if let Some(admin) = &suite.new_admin {
        say(&format!("admin account: {}", admin.email));
        say(&format!("admin password: {}", admin.password.expose_secret()));
    }
    tokio::select! {
        served = suite.wait_until_ready() => {
            served?;
            ready("clinic", args.config.settings.gateway.scheme(), suite.gateway);
        }
        () = shutdown.announced().cancelled() => {}
    }
    suite.run(shutdown).await
}
