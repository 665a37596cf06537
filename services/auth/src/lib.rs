//! auth: accounts, sessions, tokens and signing keys.
//!
//! Owns who somebody is and how he proves it. Knows nothing of patients and doctors but that an
//! account can bring one along, which it hands to records unread.

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
use clinic_server::settings::guard;
use clinic_store::{Db, page};
use clinic_stubs::Handler;
use clinic_stubs::auth::v1::auth_service_server::AuthServiceServer;
use clinic_stubs::auth::v1::token_service_server::TokenServiceServer;
use clinic_stubs::auth::v1::user_admin_service_server::UserAdminServiceServer;
use sqlx::migrate::Migrator;
use tonic::codec::CompressionEncoding::Gzip;

pub use bootstrap::{admins_exist, create_admin};
pub use config::{Config, Settings};
pub use password::generate_password;

/// The history of the schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/auth");

/// The name under which auth calls other services.
const NAME: &str = "auth";

/// What every call has at hand.
struct Auth {
    db: Db,
    clock: Clock,
    skew: Skew,
    pages: page::Tokens,
    hasher: password::Hasher,
    access: AccessSigner,
    profiles: users::Profiles,
    settings: Settings,
}

/// Connects to what auth needs, whose schema must be up to date, and puts it together.
///
/// # Errors
/// One sentence that says what to do.
pub async fn open(config: &Config, clock: Clock) -> Result<Server> {
    let Config { serving, answers, keys, database, records_url, settings } = config;
    // First what makes nothing: opening a database may make its file.
    let records = upstream("records", records_url)?;
    let db = database.open().await?;
    clinic_store::check_schema(&db, &MIGRATIONS).await?;
    let (issuer, ttl) = (settings.issuer.clone(), settings.access_life());
    let access = AccessSigner::open(&keys.open(), issuer, ttl, clock.clone())?;
    let hasher = password::Hasher::new().map_err(|_| anyhow!("argon2 cannot be set up"))?;
    let auth = Arc::new(Auth {
        db: db.clone(),
        clock: clock.clone(),
        skew: Skew::new(clock.clone()),
        pages: page::Tokens::open(&db).await?,
        hasher: hasher.clone(),
        access,
        profiles: users::Profiles::new(records, keys.signer(NAME, &clock)?),
        settings: settings.clone(),
    });
    let grpc = Handler(grpc::Grpc(Arc::clone(&auth)));
    Ok(Server::new("clinic-auth", guard(keys, answers, &clock)?, serving.shutdown_grace)
        .service(AuthServiceServer::new(grpc.clone()).accept_compressed(Gzip))
        .service(UserAdminServiceServer::new(grpc.clone()).accept_compressed(Gzip))
        .service(TokenServiceServer::new(grpc).accept_compressed(Gzip))
        .background(hasher.give_memory_back())
        .background(sessions::clean_up(db.clone(), clock))
        .background(auth.sweep_registrations())
        .database(db))
}
