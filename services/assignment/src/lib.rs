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
use clinic_store::{idempotency, page};
use clinic_stubs::Handler;
use clinic_stubs::assignment::v1::assignment_service_server::AssignmentServiceServer;
use sqlx::migrate::Migrator;
use tonic::codec::CompressionEncoding::Gzip;

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
    let (server, db) = config.common.open("clinic-assignment", &MIGRATIONS, &clock).await?;
    let pages = page::Tokens::open(&db).await?;
    let assignments = Assignments::new(db.clone(), pages, clock.clone(), records);
    Ok(server
        .service(AssignmentServiceServer::new(Handler(assignments)).accept_compressed(Gzip))
        .background(idempotency::keep_forgetting(db, clock)))
}
