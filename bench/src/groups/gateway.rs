//! The whole suite as a client sees it: through the gateway to the services and PostgreSQL.

use std::net::SocketAddr;

use anyhow::Result;
use clinic_proto::assignment::v1::{ListPatientDoctorsRequest, ListPatientDoctorsResponse};
use clinic_proto::records::v1::{ListPatientsResponse, Patient};
use clinic_store::Db;
use prost::Message as _;

use super::accounts;
use super::{
    CREATE_PATIENT, GET_PATIENT, LIST_PATIENT_DOCTORS, LIST_PATIENTS, Stage as _, create_patient,
    get_patient, is_page, is_patient, list_patients, load, load_creates, update_patients,
};
use crate::call::{Call, Credential, Protocol};
use crate::fill::{DOCTORS_OF_A_PATIENT, PATIENTS};
use crate::measure::{Case, Watched, contest, memory};
use crate::report::Report;
use crate::sample::{self, Kind};
use crate::setting::Setting;
use crate::suite::{Data, Server, Suite, start_all_in_one};
use crate::tokens;

pub(crate) const GROUP: &str = "suite";
const N: u64 = PATIENTS / 2;

pub(crate) const IDLE: &str = "four processes, idle";
pub(crate) const LOADED: &str = "four processes, after load";

/// The suite as four processes, and as one, on the same databases.
pub(crate) struct Stage<'a> {
    setting: &'a Setting,
    suite: Suite,
    one: Server,
    access: String,
    db: Db,
}

pub(crate) async fn run(setting: &Setting, data: &Data, report: &mut Report) -> Result<()> {
    let stage = Stage::start(setting, data).await?;
    let suite = &stage.suite;
    report.figure(IDLE, memory(&suite.watched()).iter().map(|(_, mib)| mib).sum(), "MiB");
    for cases in [stage.gets(), stage.others()] {
        contest(report, GROUP, setting.effort, cases).await?;
    }
    // Hashing passwords takes the most memory.
    accounts::register(suite.gateway.address).await?;
    accounts::sign_in(suite.gateway.address, setting.effort.time).await?;
    let loaded = memory(&suite.watched()).iter().map(|(_, mib)| mib).sum();
    report.figure(LOADED, loaded, "MiB");
    stage.stop().await
}

impl<'a> Stage<'a> {
    pub(crate) async fn start(setting: &'a Setting, data: &Data) -> Result<Self> {
        let suite = Suite::start(setting, data)?;
        let one = start_all_in_one(setting, &data.databases)?;
        let access = tokens::access(&data.keys)?;
        let db = data.databases.open("records").await?;
        Ok(Self { setting, suite, one, access, db })
    }

    /// Returns the main cases: GetPatient over each protocol.
    fn gets(&self) -> Vec<Case<'_>> {
        Protocol::ALL.map(|protocol| self.get(protocol)).into()
    }

    fn others(&self) -> Vec<Case<'_>> {
        if self.setting.quick {
            return Vec::new();
        }
        let of = |protocol| {
            [
                self.get_from_one(protocol),
                self.list(protocol),
                self.doctors(protocol),
                self.update(protocol),
                self.create(protocol),
            ]
        };
        Protocol::ALL.into_iter().flat_map(of).collect()
    }

    fn get(&self, protocol: Protocol) -> Case<'_> {
        Case::new(name("GetPatient", protocol), self.watched(), move |time| {
            let call = self.call(protocol, GET_PATIENT, get_patient(N));
            async move { load::<Patient>(call, is_patient(N), time).await }
        })
    }

    fn get_from_one(&self, protocol: Protocol) -> Case<'_> {
        let name = format!("{}, one process", name("GetPatient", protocol));
        let watched = vec![self.one.watched(), self.setting.postgres.watched()];
        Case::new(name, watched, move |time| {
            let call = self.call_at(self.one.address, protocol, GET_PATIENT, get_patient(N));
            async move { load::<Patient>(call, is_patient(N), time).await }
        })
    }

    fn list(&self, protocol: Protocol) -> Case<'_> {
        Case::new(name("ListPatients", protocol), self.watched(), move |time| {
            let call = self.call(protocol, LIST_PATIENTS, list_patients());
            async move { load::<ListPatientsResponse>(call, is_page, time).await }
        })
    }

    fn doctors(&self, protocol: Protocol) -> Case<'_> {
        Case::new(name("ListPatientDoctors", protocol), self.watched(), move |time| {
            let patient_id = sample::id(Kind::Patient, 0).to_string();
            let request = ListPatientDoctorsRequest { patient_id, ..Default::default() };
            let call = self.call(protocol, LIST_PATIENT_DOCTORS, request.encode_to_vec());
            let is_right = |answer: &ListPatientDoctorsResponse| {
                answer.doctors.len() as u64 == DOCTORS_OF_A_PATIENT
            };
            async move { load(call, is_right, time).await }
        })
    }

    fn update(&self, protocol: Protocol) -> Case<'_> {
        Case::new(name("UpdatePatient", protocol), self.watched(), move |time| {
            let bearer = Credential::Bearer(self.access.clone());
            update_patients(self.suite.gateway.address, protocol, bearer, time)
        })
    }

    fn create(&self, protocol: Protocol) -> Case<'_> {
        Case::new(name("CreatePatient", protocol), self.watched(), move |time| {
            let call = self.call(protocol, CREATE_PATIENT, create_patient());
            let is_right = |made: &Patient| made.email == sample::email(7);
            async move { load_creates(&self.db, call, is_right, time).await }
        })
    }

    fn watched(&self) -> Vec<Watched> {
        let mut watched = self.suite.watched();
        watched.push(self.setting.postgres.watched());
        watched
    }

    fn call(&self, protocol: Protocol, method: &'static str, message: Vec<u8>) -> Call {
        self.call_at(self.suite.gateway.address, protocol, method, message)
    }

    fn call_at(
        &self,
        address: SocketAddr,
        protocol: Protocol,
        method: &'static str,
        message: Vec<u8>,
    ) -> Call {
        let credential = Credential::Bearer(self.access.clone());
        Call { protocol, address, method, credential, message }
    }
}

impl super::Stage for Stage<'_> {
    const GROUP: &'static str = GROUP;

    fn cases(&self) -> Vec<Case<'_>> {
        self.gets().into_iter().chain(self.others()).collect()
    }

    async fn stop(self) -> Result<()> {
        self.db.close().await;
        self.one.process.stop()?;
        self.suite.stop()
    }
}

fn name(rpc: &str, protocol: Protocol) -> String {
    format!("{rpc}, {}", protocol.name())
}
