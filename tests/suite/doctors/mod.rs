//! DoctorService.

mod batches;
mod deleting;
mod fields;
mod licenses;
mod searching;
mod updating;
mod verifying;

use clinic_proto::records::v1::{
    DeleteDoctorRequest, Doctor, GetDoctorRequest, ListDoctorsRequest, UndeleteDoctorRequest,
    UpdateDoctorRequest,
};
use clinic_testkit::{Account, mask};

fn get(id: &str) -> GetDoctorRequest {
    GetDoctorRequest { id: id.into() }
}

fn delete(id: &str) -> DeleteDoctorRequest {
    DeleteDoctorRequest { id: id.into(), ..Default::default() }
}

fn undelete(id: &str) -> UndeleteDoctorRequest {
    UndeleteDoctorRequest { id: id.into(), ..Default::default() }
}

fn update(id: &str, doctor: Doctor, paths: &[&str]) -> UpdateDoctorRequest {
    UpdateDoctorRequest { id: id.into(), doctor: Some(doctor), update_mask: mask(paths) }
}

/// Returns the first page.
async fn list(by: &Account, request: ListDoctorsRequest) -> Vec<Doctor> {
    by.doctors().list_doctors(request).await.unwrap().into_inner().doctors
}
