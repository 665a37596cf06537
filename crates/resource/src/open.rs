//! Opens a service that owns resources.

use anyhow::Result;
use clinic_clock::Clock;
use clinic_server::Server;
use clinic_server::settings::Common;
use clinic_store::{Db, idempotency, page};
use sqlx::migrate::Migrator;

/// Opens the database, whose schema must be up to date, and creates the server of the process with
/// that name, which also deletes old request ids. Returns both, and the key of page tokens.
pub async fn open(
    common: &Common,
    process: &'static str,
    migrations: &Migrator,
    clock: &Clock,
) -> Result<(Server, Db, page::Tokens)> {
    let (server, db) = common.open(process, migrations, clock).await?;
    let pages = page::Tokens::open(&db).await?;
    let clean_up = idempotency::clean_up(db.clone(), clock.clone());
    Ok((server.background(clean_up), db, pages))
}
