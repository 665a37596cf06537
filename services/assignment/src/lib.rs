//! Assignment: which doctor treats which patient, and why. Owns the table of assignments and who may
//! see and change which row. Knows patients and doctors by their ids only, and asks records for
//! them on the caller's behalf: so nobody can assign, or list, what he may not see there.
//!
//! | module | subject |
//! |---|---|
//! | [`access`] | which rows a caller may see and change |
//! | [`people`] | patients and doctors, as records answers them to the caller |
//! | [`assignments`] | fields, lists (`listing`), RPCs (`service`) |

mod access;
mod assignments;
mod config;
mod error;
mod people;

use clinic_clock::Clock;
use clinic_net::settings;
use clinic_server::Server;
use clinic_server::settings::guard;
use clinic_store::{check_schema, idempotency, page};
use clinic_stubs::Handler;
use clinic_stubs::assignment::v1::assignment_service_server::AssignmentServiceServer;
use sqlx::migrate::Migrator;
use tonic::codec::CompressionEncoding::Gzip;

use assignments::Assignments;
use people::People;

pub use config::Config;

/// The schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/assignment");

/// Connects to the database and puts the service together; `Server::run` serves. Records need not
/// be there yet: until it is, what needs it is `UNAVAILABLE`.
pub async fn open(config: &Config, clock: Clock) -> anyhow::Result<Server> {
    // First what makes nothing: opening a database may make its file.
    let people = People::new(&settings::upstream("records", &config.records_url)?);
    let db = config.database.open().await?;
    check_schema(&db, &MIGRATIONS).await?;
    let guard = guard(&config.keys, &config.answers, &clock)?;
    let pages = page::Tokens::open(&db).await?;
    let assignments = Assignments::new(db.clone(), pages, clock.clone(), people);
    Ok(Server::new("clinic-assignment", guard, config.serving.shutdown_grace)
        .service(AssignmentServiceServer::new(Handler(assignments)).accept_compressed(Gzip))
        .background(idempotency::keep_forgetting(db.clone(), clock))
        .database(db))
}
