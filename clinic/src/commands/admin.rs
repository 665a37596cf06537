//! `clinic admin …`.

use std::io::Read as _;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use clinic::Databases;
use clinic_clock::Clock;
use clinic_net::process::say;
use secrecy::{ExposeSecret as _, SecretString};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create an administrator, and print a generated password unless --password-stdin is given
    Create {
        /// The account's e-mail address
        #[arg(long)]
        email: String,
        /// The person's name
        #[arg(long, default_value = "Administrator")]
        name: String,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        databases: Databases,
    },
}

pub(crate) async fn run(command: Command) -> Result<()> {
    let Command::Create { email, name, password_stdin, databases } = command;
    let given = if password_stdin { Some(read_password()?) } else { None };
    let password = given.clone().unwrap_or_else(clinic_auth::generate_password);
    let db = databases.open_existing("auth").await?;
    clinic_store::check_schema(&db, &clinic_auth::MIGRATIONS).await?;
    clinic_auth::create_admin(&db, &Clock::system(), &email, &name, &password).await?;
    say(&format!("admin account: {email}"));
    if given.is_none() {
        say(&format!("admin password: {}", password.expose_secret()));
    }
    Ok(())
}

fn read_password() -> Result<SecretString> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned().into())
}
