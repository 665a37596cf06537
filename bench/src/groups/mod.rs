//! Groups of cases. Each group starts the processes that it needs, and stops them.

pub(crate) mod accounts;
pub(crate) mod edge;
pub(crate) mod gateway;
pub(crate) mod growth;
pub(crate) mod open_loop;
pub(crate) mod service;
pub(crate) mod start;

use std::time::Duration;

use anyhow::{Result, ensure};
use clinic_proto::assignment::v1::{ListPatientDoctorsRequest, ListPatientDoctorsResponse};
use clinic_proto::records::v1::{
    CreatePatientRequest, GetPatientRequest, ListPatientsRequest, ListPatientsResponse, Patient,
    UpdatePatientRequest,
};
use clinic_store::{Db, Query};
use prost::Message;
use prost_types::FieldMask;

use crate::call::{Call, Connection, Target};
use crate::fill::{DOCTORS_OF_A_PATIENT, PATIENTS};
use crate::load::{Outcome, h2load, own};
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

/// The measured RPCs. Rows have the names of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rpc {
    GetPatient,
    ListPatients,
    UpdatePatient,
    ListPatientDoctors,
    CreatePatient,
}

/// Number of the requested patient: in the middle, so not the first of any index.
pub(crate) const N: u64 = PATIENTS / 2;
pub(crate) const LIST_PATIENTS: &str = "/clinic.records.v1.PatientService/ListPatients";

impl Rpc {
    /// Checks one response, then repeats the call for `time`. `db` is the database of records.
    pub(crate) async fn load(self, target: Target, db: &Db, time: Duration) -> Result<Outcome> {
        match self {
            Self::GetPatient => load_patient(target, N, time).await,
            Self::ListPatients => load_page(&target, "", "", time).await,
            Self::UpdatePatient => load_updates(target, time).await,
            Self::ListPatientDoctors => {
                let patient_id = sample::id(Kind::Patient, 0).to_string();
                let request = ListPatientDoctorsRequest { patient_id, ..Default::default() };
                let method = "/clinic.assignment.v1.AssignmentService/ListPatientDoctors";
                let is_right = |response: &ListPatientDoctorsResponse| {
                    response.doctors.len() as u64 == DOCTORS_OF_A_PATIENT
                };
                load(&target.call(method, &request), is_right, time).await
            }
            Self::CreatePatient => load_creates(&target, db, time).await,
        }
    }
}

/// Returns a call for the n-th patient.
pub(crate) fn get_patient(target: &Target, n: u64) -> Call {
    let id = sample::id(Kind::Patient, n).to_string();
    let request = GetPatientRequest { id, ..Default::default() };
    target.call("/clinic.records.v1.PatientService/GetPatient", &request)
}

pub(crate) fn is_patient(n: u64) -> impl Fn(&Patient) -> bool {
    move |response| {
        response.id == sample::id(Kind::Patient, n).to_string()
            && response.medical_history == sample::HISTORY
    }
}

pub(crate) async fn load_patient(target: Target, n: u64, time: Duration) -> Result<Outcome> {
    load(&get_patient(&target, n), is_patient(n), time).await
}

/// Repeats ListPatients for a full page of patients, whose last names begin with `query`.
pub(crate) async fn load_page(
    target: &Target,
    page_token: &str,
    query: &str,
    time: Duration,
) -> Result<Outcome> {
    let (page_token, name) = (page_token.to_owned(), query.to_owned());
    let request =
        ListPatientsRequest { page_size: 50, page_token, query: name, ..Default::default() };
    let is_right = |patient: &Patient| {
        patient.medical_history == sample::HISTORY && patient.last_name.starts_with(query)
    };
    let is_page = |response: &ListPatientsResponse| {
        response.patients.len() == 50
            && !response.next_page_token.is_empty()
            && response.patients.iter().all(is_right)
    };
    load(&target.call(LIST_PATIENTS, &request), is_page, time).await
}

/// Checks one response, then repeats the call.
async fn load<T: Message + Default>(
    call: &Call,
    is_right: impl Fn(&T) -> bool,
    time: Duration,
) -> Result<Outcome> {
    let bytes = call.probe(is_right).await?;
    tokio::task::block_in_place(|| h2load::run(call, [bytes, bytes], time))
}

/// Repeats CreatePatient. The responses differ in their timestamps, so their size varies, and the
/// patients are counted in the database.
async fn load_creates(target: &Target, db: &Db, time: Duration) -> Result<Outcome> {
    let before = patients(db).await?;
    let patient = Some(sample::new_patient(7));
    let request = CreatePatientRequest { patient, ..Default::default() };
    let call = target.call("/clinic.records.v1.PatientService/CreatePatient", &request);
    let bytes = call.probe(|made: &Patient| made.email == sample::email(7)).await?;
    let outcome = tokio::task::block_in_place(|| h2load::run(&call, [bytes - 4, bytes + 4], time))?;
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
async fn load_updates(target: Target, time: Duration) -> Result<Outcome> {
    let connect = async |number: u32| {
        let id = sample::id(Kind::Patient, u64::from(number)).to_string();
        let [call, next] = ["1 New Street", "2 New Street"].map(|street| {
            let patient = Some(Patient { address: street.to_owned(), ..Default::default() });
            let update_mask = Some(FieldMask { paths: vec!["address".to_owned()] });
            let request = UpdatePatientRequest { id: id.clone(), patient, update_mask };
            (target.call("/clinic.records.v1.PatientService/UpdatePatient", &request), street)
        });
        Ok((Connection::open(&target).await?, call, next, id))
    };
    own::run(time, connect, |(mut connection, call, next, id)| async move {
        let changed: Patient = call.0.message_of(&connection.ask(&call.0).await?)?;
        ensure!(changed.id == id && changed.address == call.1, "a wrong response");
        Ok((connection, next, call, id))
    })
    .await
}
