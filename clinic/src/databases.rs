//! Where the three databases are, and bringing their schemas up to date.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use clinic_store::{Db, Options, create_database_if_missing, database_url, migrate};
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
    #[arg(long, env = "CLINIC_DATABASE_PREFIX", default_value = "clinic_")]
    pub database_prefix: String,
}

impl Databases {
    /// The URL of one service's database.
    pub fn url(&self, service: &str) -> SecretString {
        match &self.database_url {
            Some(server) => database_url(server, &self.name(service)),
            None => sqlite(&self.data_dir, service),
        }
    }

    /// Connects to one service's database.
    pub async fn open(&self, service: &str) -> Result<Db> {
        Ok(Db::connect(&Options::new(self.url(service))).await?)
    }

    /// Makes what is missing and applies every migration. Returns the services' names.
    pub async fn migrate(&self) -> Result<Vec<&'static str>> {
        let mut done = Vec::new();
        for (service, migrations) in SCHEMAS {
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

fn sqlite(data_dir: &Path, service: &str) -> SecretString {
    format!("sqlite:{}", data_dir.join(service).with_extension("db").display()).into()
}
