//! Records: patients and doctors. Owns their tables, and who may see and change which row. Knows
//! accounts by their ids only.
//!
//! | module | subject |
//! |---|---|
//! | `access` | which rows a caller may see and change |
//! | `listing` | lists, by name or in the order in which the records were made |
//! | `patients`, `doctors` | the two resources: fields, RPCs (`service`) |

mod access;
mod config;
mod doctors;
mod error;
mod listing;
mod patients;
#[cfg(test)]
mod tests;

use clinic_clock::Clock;
use clinic_server::Server;
use clinic_server::settings::guard;
use clinic_store::{check_schema, idempotency, page};
use clinic_stubs::Handler;
use clinic_stubs::records::v1::doctor_service_server::DoctorServiceServer;
use clinic_stubs::records::v1::patient_service_server::PatientServiceServer;
use sqlx::migrate::Migrator;
use tonic::codec::CompressionEncoding::Gzip;

pub use access::DoctorPatientView;
pub use config::Config;

/// The schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/records");

/// Connects to the database and puts the service together; `Server::run` serves.
pub async fn open(config: &Config, clock: Clock) -> anyhow::Result<Server> {
    let db = config.database.open().await?;
    check_schema(&db, &MIGRATIONS).await?;
    let guard = guard(&config.keys, &config.answers, &clock)?;
    let pages = page::Tokens::open(&db).await?;
    let view = config.doctor_patient_view;
    let patients = patients::Patients::new(db.clone(), pages.clone(), clock.clone(), view);
    let doctors = doctors::Doctors::new(db.clone(), pages, clock.clone());
    Ok(Server::new("clinic-records", guard, config.serving.shutdown_grace)
        .service(PatientServiceServer::new(Handler(patients)).accept_compressed(Gzip))
        .service(DoctorServiceServer::new(Handler(doctors)).accept_compressed(Gzip))
        .background(idempotency::keep_forgetting(db.clone(), clock))
        .database(db))
}
