//! `clinic migrate`.

use anyhow::Result;
use clinic::Databases;
use clinic_net::process::say;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The services whose databases are migrated, separated by commas; all of them unless set. For
    /// databases with an owner each: the URL is that of one owner
    #[arg(
        long,
        value_name = "SERVICE",
        value_delimiter = ',',
        value_parser = ["auth", "records", "assignment"]
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
