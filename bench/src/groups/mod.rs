//! The cases, by what they are about. Each group sets up what it needs and takes it down again.

pub(crate) mod accounts;
pub(crate) mod edge;
pub(crate) mod gateway;
pub(crate) mod growth;
pub(crate) mod open_loop;
pub(crate) mod service;
pub(crate) mod start;

use std::time::Duration;

use anyhow::Result;
use clinic_proto::records::v1::{
    CreatePatientRequest, GetPatientRequest, ListPatientsRequest, ListPatientsResponse, Patient,
};
use prost::Message;

use crate::call::Call;
use crate::load::Outcome;
use crate::load::h2load::{self, Answers};
use crate::sample::{self, Kind};

pub(crate) const GET_PATIENT: &str = "/clinic.records.v1.PatientService/GetPatient";
pub(crate) const LIST_PATIENTS: &str = "/clinic.records.v1.PatientService/ListPatients";
pub(crate) const CREATE_PATIENT: &str = "/clinic.records.v1.PatientService/CreatePatient";
pub(crate) const LIST_PATIENT_DOCTORS: &str =
    "/clinic.assignment.v1.AssignmentService/ListPatientDoctors";

/// How many a page has.
pub(crate) const PAGE: i32 = 50;

/// The patient in the middle: not the first of any index.
pub(crate) fn get_patient(n: u64) -> Vec<u8> {
    let id = sample::id(Kind::Patient, n).to_string();
    GetPatientRequest { id, ..GetPatientRequest::default() }.encode_to_vec()
}

pub(crate) fn is_patient(n: u64) -> impl Fn(&Patient) -> bool {
    move |answer| {
        answer.id == sample::id(Kind::Patient, n).to_string()
            && answer.medical_history == sample::HISTORY
    }
}

pub(crate) fn list_patients() -> Vec<u8> {
    ListPatientsRequest { page_size: PAGE, ..ListPatientsRequest::default() }.encode_to_vec()
}

pub(crate) fn is_page(answer: &ListPatientsResponse) -> bool {
    answer.patients.len() == 50
        && !answer.next_page_token.is_empty()
        && answer.patients.iter().all(|patient| patient.medical_history == sample::HISTORY)
}

pub(crate) fn create_patient() -> Vec<u8> {
    let patient = Some(sample::new_patient(7));
    CreatePatientRequest { patient, ..CreatePatientRequest::default() }.encode_to_vec()
}

/// Looks at one answer, then sends the call over and over.
pub(crate) async fn load<T: Message + Default>(
    call: Call,
    is_right: impl Fn(&T) -> bool,
    time: Duration,
) -> Result<Outcome> {
    let answers = Answers::Same(call.probe(is_right).await?);
    tokio::task::block_in_place(|| h2load::run(&call, answers, time))
}

/// The same where the answers differ in their times. Gives also how many were made in all.
pub(crate) async fn load_creates<T: Message + Default>(
    call: Call,
    is_right: impl Fn(&T) -> bool,
    time: Duration,
) -> Result<(Outcome, u64)> {
    let answers = Answers::About(call.probe(is_right).await?);
    let outcome = tokio::task::block_in_place(|| h2load::run(&call, answers, time))?;
    let made = 1 + h2load::WARM_UP + outcome.requests;
    Ok((outcome, made))
}
