//! Locates, creates and migrates the databases of the three services.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use clinic_store::{
    Db, Options, check_server_url, create_database_if_missing, database_url, migrate,
};
use secrecy::SecretString;
use sqlx::migrate::Migrator;

/// Name and migrations of each service. Settings, database names and protobuf packages use the
/// same name.
pub const SERVICES: [(&str, &Migrator); 3] = [
    ("auth", &clinic_auth::MIGRATIONS),
    ("records", &clinic_records::MIGRATIONS),
    ("assignment", &clinic_assignment::MIGRATIONS),
];

/// Options of the commands that use the databases.
#[derive(Args, Clone, Debug)]
pub struct Databases {
    /// Directory of the keys and, without --database-url, of the SQLite databases
    #[arg(long, env = "CLINIC_DATA_DIR", default_value = "./data")]
    pub data_dir: PathBuf,
    /// URL of a PostgreSQL server, as postgres://USER:PASSWORD@HOST. Creates missing databases on it
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<SecretString>,
    /// Prefix of the names of the PostgreSQL databases
    #[arg(
        long,
        env = "CLINIC_DATABASE_PREFIX",
        default_value = "clinic_",
        value_parser = prefix
    )]
    pub database_prefix: String,
}

impl Databases {
    /// Checks the PostgreSQL URL, if one is set. This is not a clap value parser, because clap's
    /// error would show the password.
    pub fn check(&self) -> Result<()> {
        let Some(server) = &self.database_url else { return Ok(()) };
        check_server_url(server).context("--database-url (DATABASE_URL)")
    }

    /// Returns the URL of a service's database.
    pub fn url(&self, service: &str) -> SecretString {
        match &self.database_url {
            Some(server) => database_url(server, &self.name(service)),
            None => format!("sqlite:{}", sqlite(&self.data_dir, service).display()).into(),
        }
    }

    /// Connects to a service's database.
    pub async fn open(&self, service: &str) -> Result<Db> {
        Ok(Db::connect(&Options::new(self.url(service))).await?)
    }

    /// Connects to a service's database. A missing SQLite file is an error; it is not created.
    pub async fn open_existing(&self, service: &str) -> Result<Db> {
        self.check()?;
        if self.database_url.is_none() && !sqlite(&self.data_dir, service).exists() {
            bail!(
                "there is no database in {}: set --data-dir, or run `clinic migrate` to create it",
                self.data_dir.display()
            );
        }
        self.open(service).await
    }

    /// Creates missing databases and applies all migrations, for the services in `only`, or for all
    /// if it is empty. Returns the names of the services.
    pub async fn migrate(&self, only: &[String]) -> Result<Vec<&'static str>> {
        self.check()?;
        let mut done = Vec::new();
        for (service, migrations) in SERVICES {
            if !only.is_empty() && !only.iter().any(|name| name == service) {
                continue;
            }
            if let Some(server) = &self.database_url {
                create_database_if_missing(server, &self.name(service)).await?;
            }
            let db = self.open(service).await?;
            migrate(&db, migrations)
                .await
                .with_context(|| format!("cannot migrate the database of {service}"))?;
            db.close().await;
            done.push(service);
        }
        Ok(done)
    }

    fn name(&self, service: &str) -> String {
        format!("{}{service}", self.database_prefix)
    }
}

fn sqlite(data_dir: &Path, service: &str) -> PathBuf {
    data_dir.join(service).with_extension("db")
}

fn prefix(text: &str) -> Result<String, String> {
    let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_');
    if text.len() <= 40 && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("must have at most 40 characters, and only a to z, 0 to 9 and _".to_owned())
    }
}
