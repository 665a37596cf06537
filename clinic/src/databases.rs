//! Where the three databases are, and bringing their schemas up to date.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use clinic_store::{
    Db, Options, check_server_url, create_database_if_missing, database_url, migrate,
};
use secrecy::SecretString;
use sqlx::migrate::Migrator;

/// The services that have a database, and its schema's history.
const SCHEMAS: [(&str, &Migrator); 3] = [
    ("auth", &clinic_auth::MIGRATIONS),
    ("records", &clinic_records::MIGRATIONS),
    ("assignment", &clinic_assignment::MIGRATIONS),
];

/// For the commands that work on all databases.
#[derive(Args, Clone, Debug)]
pub struct Databases {
    /// Where data is kept: the keys, and the databases unless --database-url is given
    #[arg(long, env = "CLINIC_DATA_DIR", default_value = "./data")]
    pub data_dir: PathBuf,
    /// A PostgreSQL server, as postgres://USER:PASSWORD@HOST; its databases are made when missing
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<SecretString>,
    /// How the names of the databases on that server begin
    #[arg(
        long,
        env = "CLINIC_DATABASE_PREFIX",
        default_value = "clinic_",
        value_parser = prefix
    )]
    pub database_prefix: String,
}

impl Databases {
    /// Finds what is wrong with the settings before anything is made by them. Not a value parser:
    /// the message of one would show the password.
    pub fn check(&self) -> Result<()> {
        let Some(server) = &self.database_url else { return Ok(()) };
        check_server_url(server).context("--database-url (DATABASE_URL)")
    }

    /// The URL of one service's database.
    pub fn url(&self, service: &str) -> SecretString {
        match &self.database_url {
            Some(server) => database_url(server, &self.name(service)),
            None => format!("sqlite:{}", sqlite(&self.data_dir, service).display()).into(),
        }
    }

    /// Connects to one service's database.
    pub async fn open(&self, service: &str) -> Result<Db> {
        Ok(Db::connect(&Options::new(self.url(service))).await?)
    }

    /// The same, when it is there. Opening one that is missing would make an empty one.
    pub async fn open_existing(&self, service: &str) -> Result<Db> {
        self.check()?;
        if self.database_url.is_none() && !sqlite(&self.data_dir, service).exists() {
            bail!(
                "there is no database in {}: name the right one by --data-dir, or run `clinic migrate` \
                 to make it",
                self.data_dir.display()
            );
        }
        self.open(service).await
    }

    /// Makes what is missing and applies every migration, of these services or of all. Returns their
    /// names.
    pub async fn migrate(&self, only: &[String]) -> Result<Vec<&'static str>> {
        self.check()?;
        let mut done = Vec::new();
        for (service, migrations) in SCHEMAS {
            if !only.is_empty() && !only.iter().any(|name| name == service) {
                continue;
            }
            if let Some(server) = &self.database_url {
                create_database_if_missing(server, &self.name(service)).await?;
            }
            let db = self.open(service).await?;
            migrate(&db, migrations)
                .await
                .with_context(|| format!("the database of {service} cannot be migrated"))?;
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
        Err("must be at most 40 of a to z, 0 to 9 and _".to_owned())
    }
}
