//! `clinic migrate`.

use anyhow::Result;
use clinic::Databases;
use clinic_chassis::process::say;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    databases: Databases,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    for service in args.databases.migrate().await? {
        say(&format!("{service}: the schema is up to date"));
    }
    Ok(())
}
