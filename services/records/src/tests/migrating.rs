//! Tests of migrations with existing rows.

use clinic_proto::records::v1::{GetDoctorRequest, GetPatientRequest, Patient};
use clinic_store::{Backend, Query, migrate};
use clinic_testdb::{TestDatabase, on_both};
use sqlx::migrate::Migrator;

use clinic_stubs::records::v1::{DoctorServiceHandler as _, PatientServiceHandler as _};

use super::{Records, a_doctor, a_patient, staff};

on_both! { carriage_returns_become_line_feeds }

/// Migration 0004 converts text that was accepted with carriage returns.
async fn carriage_returns_become_line_feeds(backend: &Backend) {
    let database = TestDatabase::create(*backend).await;
    let db = database.connect().await;
    let before = crate::MIGRATIONS.iter().filter(|migration| migration.version < 4);
    migrate(&db, &Migrator::with_migrations(before.cloned().collect())).await.unwrap();
    let records = Records::over(database, db).await;
    // The handlers do not validate requests, so they accept carriage returns.
    let address = "1 Main St\r\nRear\rCity\n".to_owned();
    let old = Patient { address, medical_history: "\r\n\r\nBP".into(), ..a_patient("Ann", "Lee") };
    let old = records.add(&staff(), old).await;
    let other = records.add(&staff(), a_patient("Bob", "Lee")).await;
    let mut doctor = a_doctor("House", "L1");
    doctor.qualifications = "MD\r\nPhD".into();
    let doctor = records.add_doctor(&staff(), doctor).await;
    let quiet = Query::new("UPDATE patients SET medical_history = $1 WHERE id = $2");
    let id: uuid::Uuid = old.id.parse().unwrap();
    records.db.untracked().execute(quiet.bind("\r\n\r\nBP").bind(id)).await.unwrap();

    migrate(&records.db, &crate::MIGRATIONS).await.unwrap();
    let get = |id: &str| GetPatientRequest { id: id.into(), view: 0 };
    let new = records.patients.get_patient(&staff(), get(&old.id)).await.unwrap();
    assert_eq!(new.address, "1 Main St\nRear\nCity");
    assert_eq!(new.medical_history, "\n\nBP");
    assert_ne!(new.etag, old.etag);
    assert!(records.patients.get_patient(&staff(), get(&other.id)).await.unwrap() == other);
    let request = GetDoctorRequest { id: doctor.id };
    let doctor = records.doctors.get_doctor(&staff(), request).await.unwrap();
    assert_eq!(doctor.qualifications, "MD\nPhD");
}
