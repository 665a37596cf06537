//! Assignment: which doctor treats which patient, and why. Owns the table of assignments and who may
//! see and change which row. Knows patients and doctors by their ids only, and asks records for
//! them on the caller's behalf: so nobody can assign, or list, what he may not see there.
//!
//! | module | subject |
//! |---|---|
//! | [`access`] | which rows a caller may see and change |
//! | [`people`] | patients and doctors, as records answers them to the caller |
//! | [`assignments`] | conversions (`model`), the table (`store`), pages (`listing`), RPCs (`service`) |
//! | [`etag`], [`mask`] | versions, updates |

mod access;
mod assignments;
mod config;
mod error;
mod etag;
mod mask;
mod people;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use clinic_chassis::{Server, settings};
use clinic_clock::Clock;
use clinic_identity::Caller;
use clinic_proto::assignment::v1::assignment_service_server::AssignmentServiceServer;
use clinic_store::{Db, check_schema, idempotency};
use sqlx::migrate::Migrator;
use tonic::Request;

use assignments::Assignments;
use people::People;

pub use config::Config;

/// The schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/assignment");

/// Connects to the database and puts the service together; `Server::run` serves. Records need not
/// be there yet: until it is, what needs it is `UNAVAILABLE`.
pub async fn open(config: &Config, clock: Clock) -> anyhow::Result<Server> {
    let db = config.database.open().await?;
    check_schema(&db, &MIGRATIONS).await?;
    let guard = config.keys.guard(&clock)?;
    let people = People::new(&settings::upstream("records", &config.records_url)?);
    let assignments = Assignments::new(db.clone(), clock.clone(), people);
    Ok(Server::new("clinic-assignment", guard, config.serving.shutdown_grace)
        .service(AssignmentServiceServer::new(assignments))
        .background(forget_requests(db.clone(), clock))
        .database(db))
}

/// How long a request id is remembered: longer than any client goes on trying.
const REQUEST_MEMORY: TimeDelta = TimeDelta::hours(24);
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(60 * 60);

async fn forget_requests(db: Db, clock: Clock) {
    let mut hourly = tokio::time::interval(HOUSEKEEPING_EVERY);
    loop {
        hourly.tick().await;
        match idempotency::forget_before(&db, clock.now() - REQUEST_MEMORY).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "old request ids forgotten"),
            Err(error) => tracing::warn!(%error, "old request ids are still there"),
        }
    }
}

/// Who calls, and what is asked.
fn receive<M>(request: Request<M>) -> Result<(Arc<Caller>, M), clinic_chassis::Error> {
    let caller = clinic_chassis::caller(&request)?;
    Ok((caller, request.into_inner()))
}
