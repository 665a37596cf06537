//! Valid resources for tests.

use std::sync::atomic::{AtomicU64, Ordering};

use clinic_proto::assignment::v1::Assignment;
use clinic_proto::records::v1::{Doctor, Patient};
use prost_types::FieldMask;

static NEXT: AtomicU64 = AtomicU64::new(1);

fn next() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Returns an e-mail address that is unique in this process.
pub fn email() -> String {
    format!("someone{}@example.com", next())
}

/// Returns a patient with every field.
pub fn patient() -> Patient {
    Patient {
        first_name: "Ada".to_owned(),
        last_name: "Lovelace".to_owned(),
        date_of_birth: "1985-05-15".to_owned(),
        gender: "F".to_owned(),
        phone_number: "+1 555 123-4567".to_owned(),
        email: "ada@example.com".to_owned(),
        address: "456 Oak St\nCity".to_owned(),
        medical_history: "BP <120 & \"fine\"".to_owned(),
        ..Patient::default()
    }
}

/// Returns a doctor with every field and a unique license number.
pub fn doctor() -> Doctor {
    Doctor {
        first_name: "Gregory".to_owned(),
        last_name: "House".to_owned(),
        specialization: "Cardiology".to_owned(),
        license_number: format!("LIC{:06}", next()),
        qualifications: "MD".to_owned(),
        years_of_experience: 10,
        consultation_fee: "150.50".to_owned(),
        available: Some(true),
        phone_number: "9876543210".to_owned(),
        email: "house@example.com".to_owned(),
        ..Doctor::default()
    }
}

/// Returns an assignment of this doctor to this patient.
pub fn assignment(patient_id: &str, doctor_id: &str) -> Assignment {
    Assignment {
        patient_id: patient_id.to_owned(),
        doctor_id: doctor_id.to_owned(),
        reason_for_visit: "Regular checkup".to_owned(),
        notes: "fasting".to_owned(),
        ..Assignment::default()
    }
}

/// Returns an update mask.
pub fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}
