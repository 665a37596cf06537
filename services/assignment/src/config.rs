//! What an operator may set.

use clap::Args;
use clinic_net::settings::{Keys, Serving};
use clinic_server::settings::{Answers, Database};

/// The settings of assignment.
#[derive(Args, Clone, Debug)]
pub struct Config {
    #[command(flatten)]
    pub serving: Serving,
    #[command(flatten)]
    pub answers: Answers,
    #[command(flatten)]
    pub keys: Keys,
    #[command(flatten)]
    pub database: Database,
    /// Where records answers: http://HOST:PORT, or several separated by commas
    #[arg(long, env = "CLINIC_RECORDS_URL", default_value = "http://127.0.0.1:50052")]
    pub records_url: String,
}
