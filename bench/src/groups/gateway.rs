//! Through the gateway to the services and PostgreSQL: what a client sees of the whole suite.

use anyhow::Result;
use clinic_proto::assignment::v1::{ListPatientDoctorsRequest, ListPatientDoctorsResponse};
use clinic_proto::records::v1::{ListPatientsResponse, Patient};
use prost::Message as _;

use super::accounts;
use super::{
    CREATE_PATIENT, GET_PATIENT, LIST_PATIENT_DOCTORS, LIST_PATIENTS, create_patient, get_patient,
    is_page, is_patient, list_patients, load, load_creates, update_patients,
};
use crate::call::{Call, Credential, Protocol};
use crate::fill::{DOCTORS_OF_A_PATIENT, PATIENTS};
use crate::measure::{Case, contest, memory};
use crate::report::Report;
use crate::sample::{self, Kind};
use crate::setting::Setting;
use crate::suite::{Data, Suite, start_all_in_one};
use crate::tokens;

pub(crate) const GROUP: &str = "suite";
const N: u64 = PATIENTS / 2;

pub(crate) const IDLE: &str = "four processes, idle";
pub(crate) const LOADED: &str = "four processes, after load";

pub(crate) async fn run(setting: &Setting, data: &Data, report: &mut Report) -> Result<()> {
    let suite = Suite::start(setting, data)?;
    let one = start_all_in_one(setting, &data.databases)?;
    let access = &tokens::access(&data.keys)?;
    let gateway = suite.gateway.address;
    let mut watched = suite.watched();
    report.figure(IDLE, memory(&watched).iter().map(|(_, mib)| mib).sum(), "MiB");
    watched.push(setting.postgres.watched());
    let watched_one = vec![one.watched(), setting.postgres.watched()];
    let call_at = |address, protocol, method, message| Call {
        protocol,
        address,
        method,
        credential: Credential::Bearer(access.clone()),
        message,
    };
    let call = |protocol, method, message| call_at(gateway, protocol, method, message);
    let case = |rpc: &str, protocol: Protocol| format!("{rpc}, {}", protocol.name());

    let db = &data.databases.open("records").await?;
    let mut gets = Vec::new();
    let mut others = Vec::new();
    for protocol in Protocol::ALL {
        gets.push(Case::new(case("GetPatient", protocol), watched.clone(), move |time| {
            let call = call(protocol, GET_PATIENT, get_patient(N));
            async move { load::<Patient>(call, is_patient(N), time).await }
        }));
        let name = format!("{}, one process", case("GetPatient", protocol));
        others.push(Case::new(name, watched_one.clone(), move |time| {
            let call = call_at(one.address, protocol, GET_PATIENT, get_patient(N));
            async move { load::<Patient>(call, is_patient(N), time).await }
        }));
        others.push(Case::new(case("ListPatients", protocol), watched.clone(), move |time| {
            let call = call(protocol, LIST_PATIENTS, list_patients());
            async move { load::<ListPatientsResponse>(call, is_page, time).await }
        }));
        others.push(Case::new(
            case("ListPatientDoctors", protocol),
            watched.clone(),
            move |time| {
                let patient_id = sample::id(Kind::Patient, 0).to_string();
                let request = ListPatientDoctorsRequest { patient_id, ..Default::default() };
                let call = call(protocol, LIST_PATIENT_DOCTORS, request.encode_to_vec());
                let is_right = |answer: &ListPatientDoctorsResponse| {
                    answer.doctors.len() as u64 == DOCTORS_OF_A_PATIENT
                };
                async move { load(call, is_right, time).await }
            },
        ));
        others.push(Case::new(case("UpdatePatient", protocol), watched.clone(), move |time| {
            let bearer = Credential::Bearer(access.clone());
            update_patients(gateway, protocol, bearer, time)
        }));
        others.push(Case::new(case("CreatePatient", protocol), watched.clone(), move |time| {
            let call = call(protocol, CREATE_PATIENT, create_patient());
            let is_right = |made: &Patient| made.email == sample::email(7);
            async move { load_creates(db, call, is_right, time).await }
        }));
    }
    if setting.quick {
        others.clear();
    }
    for cases in [gets, others] {
        contest(report, GROUP, setting.effort, cases).await?;
    }
    // Passwords take most memory of all.
    accounts::register(gateway).await?;
    accounts::sign_in(gateway, setting.effort.time).await?;
    let loaded = memory(&suite.watched()).iter().map(|(_, mib)| mib).sum();
    report.figure(LOADED, loaded, "MiB");
    db.close().await;
    one.process.stop()?;
    suite.stop()
}
