//! auth: accounts, sessions, tokens and signing keys.
//!
//! Owns identities and credentials. Knows nothing about patients and doctors. A
//! registration can contain a patient or a doctor, which auth passes on to records.

mod bootstrap;
mod config;
mod error;
mod grpc;
mod password;
mod sessions;
#[cfg(test)]
mod tests;
mod tokens;
mod users;

use std::sync::Arc;

use anyhow::{Result, anyhow};
use clinic_clock::{Clock, Skew};
use clinic_identity::AccessSigner;
use clinic_net::settings::upstream;
use clinic_server::Server;
use clinic_store::{Db, page};
use clinic_stubs::auth::v1::{auth_service, token_service, user_admin_service};
use sqlx::migrate::Migrator;

pub use bootstrap::{admins_exist, create_admin};
pub use config::{Config, Settings};
pub use password::generate_password;

/// The migrations of the schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/auth");

/// The name under which auth calls other services.
const NAME: &str = "auth";

/// The state that all calls share.
struct Auth {
    db: Db,
    clock: Clock,
    skew: Skew,
    pages: page::Tokens,
    hasher: password::Hasher,
    access: AccessSigner,
    records: users::RecordsClient,
    settings: Settings,
}

/// Opens the database, whose schema must be up to date, and creates the server.
///
/// # Errors
/// Fails if a setting, the keys or the database cannot be used. The text is for the operator.
pub async fn open(config: &Config, clock: Clock) -> Result<Server> {
    let Config { common, records_url, settings } = config;
    // Check the URL before opening the database: a wrong URL must not leave an empty SQLite file.
    let records = upstream("records", records_url)?;
    let (server, db) = common.open("clinic-auth", &MIGRATIONS, &clock).await?;
    let (issuer, ttl) = (settings.issuer.clone(), settings.access_lifetime());
    let access = AccessSigner::open(&common.keys.open(), issuer, ttl, clock.clone())?;
    let hasher = password::Hasher::new().map_err(|_| anyhow!("cannot set up argon2"))?;
    let auth = Arc::new(Auth {
        db: db.clone(),
        clock: clock.clone(),
        skew: Skew::new(clock.clone()),
        pages: page::Tokens::open(&db).await?,
        hasher: hasher.clone(),
        access,
        records: users::RecordsClient::new(records, common.keys.signer(NAME, &clock)?),
        settings: settings.clone(),
    });
    let grpc = grpc::Grpc(Arc::clone(&auth));
    Ok(server
        .service(auth_service(grpc.clone()))
        .service(user_admin_service(grpc.clone()))
        .service(token_service(grpc))
        .background(hasher.release_idle_memory())
        .background(sessions::clean_up(db.clone(), clock))
        .background(auth.sweep_registrations()))
}
