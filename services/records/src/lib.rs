//! Records: patients and doctors. Owns their tables and decides which rows a caller may see and
//! change. Knows accounts only by id.
//!
//! | module | subject |
//! |---|---|
//! | `scopes` | which rows a caller may see and change |
//! | `listing` | lists, by name or in order of creation |
//! | `patients`, `doctors` | the two resources: fields, RPCs (`service`) |

mod config;
mod doctors;
mod error;
mod listing;
mod patients;
mod scopes;
#[cfg(test)]
mod tests;

use clinic_clock::Clock;
use clinic_server::Server;
use clinic_stubs::records::v1::{doctor_service, patient_service};
use sqlx::migrate::Migrator;

pub use config::Config;
pub use scopes::DoctorPatientView;

/// The migrations of the schema.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/records");

/// Opens the database and creates the server.
pub async fn open(config: &Config, clock: Clock) -> anyhow::Result<Server> {
    let (server, db, pages) =
        clinic_resource::open(&config.common, "clinic-records", &MIGRATIONS, &clock).await?;
    let view = config.doctor_patient_view;
    let patients = patients::Patients::new(db.clone(), pages.clone(), clock.clone(), view);
    let doctors = doctors::Doctors::new(db, pages, clock);
    Ok(server.service(patient_service(patients)).service(doctor_service(doctors)))
}
