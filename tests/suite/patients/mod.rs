//! PatientService.

mod batches;
mod deleting;
mod fields;
mod searching;
mod updating;
mod views;

use clinic_proto::records::v1::{
    DeletePatientRequest, GetPatientRequest, ListPatientsRequest, Patient, UpdatePatientRequest,
};
use clinic_testkit::{Account, mask};

fn get(id: &str) -> GetPatientRequest {
    GetPatientRequest { id: id.into(), ..Default::default() }
}

fn delete(id: &str) -> DeletePatientRequest {
    DeletePatientRequest { id: id.into(), ..Default::default() }
}

fn update(id: &str, patient: Patient, paths: &[&str]) -> UpdatePatientRequest {
    UpdatePatientRequest { id: id.into(), patient: Some(patient), update_mask: mask(paths) }
}

fn named(first_name: &str, last_name: &str) -> Patient {
    Patient { first_name: first_name.into(), last_name: last_name.into(), ..Default::default() }
}

/// Returns the first page.
async fn list(by: &Account, request: ListPatientsRequest) -> Vec<Patient> {
    by.patients().list_patients(request).await.unwrap().into_inner().patients
}
