//! Records: patients and doctors. Owns their tables, and who may see and change which row. Knows
//! accounts by their ids only; who calls is known before a handler runs.
//!
//! | module | subject |
//! |---|---|
//! | `access` | which rows a caller may see and change |
//! | `rows`, `listing` | the statements that patients and doctors have in common |
//! | `patients`, `doctors` | the two resources: conversions (`model`), tables (`store`), RPCs (`service`) |
//! | `names`, `etag`, `mask` | searching, versions, updates |

mod access;
mod config;
mod doctors;
mod error;
mod etag;
mod listing;
mod mask;
mod names;
mod patients;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use clinic_chassis::Server;
use clinic_clock::Clock;
use clinic_identity::Caller;
use clinic_proto::records::v1::doctor_service_server::DoctorServiceServer;
use clinic_proto::records::v1::patient_service_server::PatientServiceServer;
use clinic_store::{Db, check_schema, idempotency};
use sqlx::migrate::Migrator;
use tonic::Request;

pub use access::DoctorPatientView;
pub use config::Config;

/// The schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/records");

/// Connects to the database and puts the service together; `Server::run` serves.
pub async fn open(config: &Config, clock: Clock) -> anyhow::Result<Server> {
    let db = config.database.open().await?;
    check_schema(&db, &MIGRATIONS).await?;
    let guard = config.keys.guard(&clock)?;
    let patients = patients::Patients::new(db.clone(), clock.clone(), config.doctor_patient_view);
    let doctors = doctors::Doctors::new(db.clone(), clock.clone());
    Ok(Server::new("clinic-records", guard, config.serving.shutdown_grace)
        .service(PatientServiceServer::new(patients))
        .service(DoctorServiceServer::new(doctors))
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
