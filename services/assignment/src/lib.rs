//! Assignment: which doctor treats which patient, and why. Owns the table of assignments and
//! decides which rows a caller may see and change. Knows patients and doctors by id only. Reads
//! them on behalf of the caller, so callers can only assign and list records that they may see.
//!
//! | module | subject |
//! |---|---|
//! | [`scopes`] | which rows a caller may see and change |
//! | [`records_client`] | patients and doctors, as the caller sees them in records |
//! | [`assignments`] | fields, lists (`listing`), RPCs (`service`) |

mod assignments;
mod config;
mod error;
mod records_client;
mod scopes;

use clinic_clock::Clock;
use clinic_net::settings;
use clinic_server::Server;
use clinic_stubs::assignment::v1::assignment_service;
use sqlx::migrate::Migrator;

use assignments::Assignments;
use records_client::RecordsClient;

pub use config::Config;

/// The migrations of the schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/assignment");

/// Opens the database and creates the server. Records can start later: until then, calls that need
/// it fail with `UNAVAILABLE`.
pub async fn open(config: &Config, clock: Clock) -> anyhow::Result<Server> {
    // Before the database, because opening it may create its file.
    let records = RecordsClient::new(&settings::upstream("records", &config.records_url)?);
    let (server, db, pages) =
        clinic_resource::open(&config.common, "clinic-assignment", &MIGRATIONS, &clock).await?;
    Ok(server.service(assignment_service(Assignments::new(db, pages, clock, records))))
}
