//! `clinic migrate`.

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clinic::{Databases, SERVICES};
use clinic_net::process::say;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Migrate only these services' databases, separated by commas. Use it if the databases have
    /// different owners, with the URL of each owner in turn
    #[arg(
        long,
        value_name = "SERVICE",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(SERVICES.map(|(service, _)| service))
    )]
    only: Vec<String>,
    #[command(flatten)]
    databases: Databases,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    for service in args.databases.migrate(&args.only).await? {
        say(&format!("{service}: the schema is up to date"));
    }
    Ok(())
}
