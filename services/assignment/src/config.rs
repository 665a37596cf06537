//! Settings.

use clap::Args;
use clinic_server::settings::Common;

/// The settings of assignment.
#[derive(Args, Clone, Debug)]
pub struct Config {
    #[command(flatten)]
    pub common: Common,
    /// URL of records, as http://HOST:PORT; several are separated by commas
    #[arg(long, env = "CLINIC_RECORDS_URL", default_value = "http://127.0.0.1:50052")]
    pub records_url: String,
}
