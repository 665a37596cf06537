//! Settings of every service: flags, environment variables, or lines of `.env`.

use anyhow::Result;
use clap::{Args, value_parser};
use clinic_clock::Clock;
use clinic_identity::{ClaimsVerifier, Policy};
use clinic_net::settings::{Keys, Serving};
use clinic_store::{Db, Options, check_schema};
use secrecy::SecretString;
use sqlx::migrate::Migrator;

use crate::{GuardLayer, Server};

/// Settings of every service.
#[derive(Args, Clone, Debug)]
pub struct Common {
    #[command(flatten)]
    pub serving: Serving,
    #[command(flatten)]
    pub responses: Responses,
    #[command(flatten)]
    pub keys: Keys,
    #[command(flatten)]
    pub database: Database,
}

impl Common {
    /// Opens the database, whose schema must be up to date, and creates the server of the process
    /// with that name.
    pub async fn open(
        &self,
        process: &'static str,
        migrations: &Migrator,
        clock: &Clock,
    ) -> Result<(Server, Db)> {
        let db = self.database.open().await?;
        check_schema(&db, migrations).await?;
        let guard = guard(&self.keys, &self.responses, clock)?;
        let server = Server::new(process, guard, self.serving.shutdown_grace);
        Ok((server.database(db.clone()), db))
    }
}

/// How a service responds.
#[derive(Args, Clone, Debug)]
pub struct Responses {
    /// Compress responses larger than this for clients that accept gzip; 0 turns compression off.
    /// Responses with tokens are never compressed
    #[arg(
        long,
        env = "CLINIC_COMPRESS_OVER",
        default_value_t = 16 * 1024,
        value_name = "BYTES"
    )]
    pub compress_over: u32,
}

impl Responses {
    fn compress_over(&self) -> Option<usize> {
        usize::try_from(self.compress_over).ok().filter(|over| *over > 0)
    }
}

/// Creates the guard of a service from the contract's access rules and the trusted keys.
fn guard(keys: &Keys, responses: &Responses, clock: &Clock) -> Result<GuardLayer> {
    let policy = Policy::from_descriptors(clinic_proto::FILE_DESCRIPTOR_SET)?;
    let verifier = ClaimsVerifier::open(&keys.open(), clock.clone())?;
    let guard = GuardLayer::new(policy, verifier, clock.clone());
    Ok(guard.compressing(responses.compress_over()))
}

/// Settings of every service with a database.
#[derive(Args, Clone, Debug)]
pub struct Database {
    /// Database URL: postgres://USER:PASSWORD@HOST/NAME or sqlite:PATH
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,
    /// Maximum number of connections to PostgreSQL; more are rarely faster
    #[arg(
        long,
        env = "CLINIC_DATABASE_CONNECTIONS",
        default_value_t = 8,
        value_parser = value_parser!(u32).range(1..)
    )]
    pub database_connections: u32,
}

impl Database {
    /// Connects to the database.
    async fn open(&self) -> Result<Db> {
        let mut options = Options::new(self.database_url.clone());
        options.max_connections = self.database_connections;
        Ok(Db::connect(&options).await?)
    }
}
