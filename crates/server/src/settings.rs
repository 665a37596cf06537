//! The settings that every service takes, as flags, environment variables, or lines of `.env`.

use anyhow::Result;
use clap::{Args, value_parser};
use clinic_clock::Clock;
use clinic_identity::{ClaimsVerifier, Policy};
use clinic_net::settings::Keys;
use clinic_store::{Db, Options};
use secrecy::SecretString;

use crate::GuardLayer;

/// For every service.
#[derive(Args, Clone, Debug)]
pub struct Answers {
    /// Compress answers of more bytes than this for clients that accept gzip; never one with tokens.
    /// 0 compresses none
    #[arg(
        long,
        env = "CLINIC_COMPRESS_OVER",
        default_value_t = 16 * 1024,
        value_name = "BYTES"
    )]
    pub compress_over: u32,
}

impl Answers {
    fn compress_over(&self) -> Option<usize> {
        usize::try_from(self.compress_over).ok().filter(|over| *over > 0)
    }
}

/// Makes the guard of a service: the contract's rules and the trusted keys.
pub fn guard(keys: &Keys, answers: &Answers, clock: &Clock) -> Result<GuardLayer> {
    let policy = Policy::from_descriptors(clinic_proto::FILE_DESCRIPTOR_SET)?;
    let verifier = ClaimsVerifier::open(&keys.open(), clock.clone())?;
    let guard = GuardLayer::new(policy, verifier, clock.clone());
    Ok(guard.compressing(answers.compress_over()))
}

/// For every service with a database.
#[derive(Args, Clone, Debug)]
pub struct Database {
    /// The database: postgres://USER:PASSWORD@HOST/NAME or sqlite:PATH
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,
    /// Connections to PostgreSQL at most; more are rarely faster
    #[arg(
        long,
        env = "CLINIC_DATABASE_CONNECTIONS",
        default_value_t = 8,
        value_parser = value_parser!(u32).range(1..)
    )]
    pub database_connections: u32,
}

impl Database {
    /// Connects.
    pub async fn open(&self) -> Result<Db> {
        let mut options = Options::new(self.database_url.clone());
        options.max_connections = self.database_connections;
        Ok(Db::connect(&options).await?)
    }
}
