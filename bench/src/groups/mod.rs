//! Groups of cases. Each group starts the processes that it needs, and stops them.

pub(crate) mod accounts;
pub(crate) mod edge;
pub(crate) mod gateway;
pub(crate) mod growth;
pub(crate) mod open_loop;
pub(crate) mod service;
pub(crate) mod start;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use clinic_proto::records::v1::{
    CreatePatientRequest, GetPatientRequest, ListPatientsRequest, ListPatientsResponse, Patient,
    UpdatePatientRequest,
};
use clinic_store::{Db, Query};
use prost::Message;
use prost_types::FieldMask;

use crate::call::{Call, Connection, Credential, Protocol};
use crate::load::h2load::{self, Answers};
use crate::load::{Outcome, own};
use crate::measure::Case;
use crate::sample::{self, Kind};

/// The processes of a build for a group, and the cases in which they do the work. These cases are
/// used to compare two builds.
pub(crate) trait Stage {
    const GROUP: &'static str;
    /// How often a comparison runs the cases in a round. The mean of few rows needs more turns for
    /// the same precision.
    const TURNS: u32 = 1;

    fn cases(&self) -> Vec<Case<'_>>;

    async fn stop(self) -> Result<()>;
}

pub(crate) const GET_PATIENT: &str = "/clinic.records.v1.PatientService/GetPatient";
pub(crate) const LIST_PATIENTS: &str = "/clinic.records.v1.PatientService/ListPatients";
pub(crate) const CREATE_PATIENT: &str = "/clinic.records.v1.PatientService/CreatePatient";
pub(crate) const UPDATE_PATIENT: &str = "/clinic.records.v1.PatientService/UpdatePatient";
pub(crate) const LIST_PATIENT_DOCTORS: &str =
    "/clinic.assignment.v1.AssignmentService/ListPatientDoctors";

/// Size of a page.
pub(crate) const PAGE: i32 = 50;

/// Returns a request for the n-th patient.
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

/// Checks one response, then repeats the call.
pub(crate) async fn load<T: Message + Default>(
    call: Call,
    is_right: impl Fn(&T) -> bool,
    time: Duration,
) -> Result<Outcome> {
    let answers = Answers::Same(call.probe(is_right).await?);
    tokio::task::block_in_place(|| h2load::run(&call, answers, time))
}

/// Like [`load`], for calls that create patients. The responses differ in their timestamps, so the
/// patients are counted in the database.
pub(crate) async fn load_creates(
    db: &Db,
    call: Call,
    is_right: impl Fn(&Patient) -> bool,
    time: Duration,
) -> Result<Outcome> {
    let before = patients(db).await?;
    let answers = Answers::About(call.probe(is_right).await?);
    let outcome = tokio::task::block_in_place(|| h2load::run(&call, answers, time))?;
    let (made, found) = (1 + h2load::WARM_UP + outcome.requests, patients(db).await? - before);
    ensure!(found == i64::try_from(made)?, "{made} patients created, {found} found");
    Ok(outcome)
}

async fn patients(db: &Db) -> Result<i64> {
    let (count,) = db.fetch_one(Query::new("SELECT COUNT(*) FROM patients")).await?;
    Ok(count)
}

/// Repeats UpdatePatient. Each caller updates its own patient, to avoid waiting for a row lock. The
/// calls alternate between two addresses, because an update without a change writes nothing.
pub(crate) async fn update_patients(
    address: SocketAddr,
    protocol: Protocol,
    credential: Credential,
    time: Duration,
) -> Result<Outcome> {
    let connect = async |number: u32| {
        let id = sample::id(Kind::Patient, u64::from(number)).to_string();
        let [call, next] = ["1 New Street", "2 New Street"].map(|street| {
            let patient = Some(Patient { address: street.to_owned(), ..Default::default() });
            let update_mask = Some(FieldMask { paths: vec!["address".to_owned()] });
            let request = UpdatePatientRequest { id: id.clone(), patient, update_mask };
            let (credential, message) = (credential.clone(), request.encode_to_vec());
            let call = Call { protocol, address, method: UPDATE_PATIENT, credential, message };
            (call, street)
        });
        Ok((Connection::open(address, protocol).await?, call, next, id))
    };
    own::run(time, connect, |(mut connection, call, next, id)| async move {
        let changed: Patient = call.0.message_of(&connection.ask(&call.0).await?)?;
        ensure!(changed.id == id && changed.address == call.1, "a wrong response");
        Ok((connection, next, call, id))
    })
    .await
}
