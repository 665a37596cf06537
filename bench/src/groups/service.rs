//! The services, called directly, compared with the database alone and with a service without a
//! database.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clinic_proto::assignment::v1::{ListPatientDoctorsRequest, ListPatientDoctorsResponse};
use clinic_proto::records::v1::Patient;
use clinic_store::{Db, Query};
use prost::Message as _;
use secrecy::ExposeSecret as _;

use super::{
    CREATE_PATIENT, GET_PATIENT, LIST_PATIENT_DOCTORS, LIST_PATIENTS, Stage as _, create_patient,
    get_patient, is_page, is_patient, list_patients, load, load_creates, update_patients,
};
use crate::call::{Call, Credential, Protocol};
use crate::fill::{DOCTORS_OF_A_PATIENT, PATIENTS};
use crate::load::{Outcome, pgbench};
use crate::measure::{Case, contest};
use crate::report::Report;
use crate::sample::{self, Kind};
use crate::setting::Setting;
use crate::suite::{Data, Server, Store};
use crate::tokens;

pub(crate) const GROUP: &str = "service";

/// Number of the requested patient: in the middle, so not the first of any index.
const N: u64 = PATIENTS / 2;

pub(crate) const FROM_MEMORY: &str = "GetPatient, from memory";

pub(crate) fn by_pgbench(rpc: &str) -> String {
    format!("{rpc}, its SQL by pgbench")
}

pub(crate) fn name(rpc: &str, store: Store) -> String {
    format!("{rpc}, {}", store.name())
}

/// Records and assignment, without a gateway.
pub(crate) struct Stage<'a> {
    setting: &'a Setting,
    data: &'a Data,
    records: Server,
    assignment: Server,
    db: Db,
}

pub(crate) async fn run(setting: &Setting, data: &Data, report: &mut Report) -> Result<()> {
    let stage = Stage::start(setting, data).await?;
    let memory = Server::memory(setting, &data.keys)?;
    let pgbench = setting.postgres.pgbench().filter(|_| data.store == Store::Postgres);
    if pgbench.is_some() {
        stage.db.untracked().execute(Query::new("CREATE SEQUENCE IF NOT EXISTS bench_ids")).await?;
    } else if data.store == Store::Postgres {
        report.missing("the database alone, because pgbench is not installed");
    }
    for (rpc, case) in stage.rpcs() {
        let mut cases = vec![case];
        if let (Some(pgbench), Some(sql)) = (&pgbench, sql(rpc)) {
            cases.push(stage.by_pgbench(pgbench, rpc, sql));
        }
        if data.store == Store::Sqlite && rpc == "GetPatient" {
            cases.push(stage.memory(&memory));
        }
        contest(report, GROUP, setting.effort, cases).await?;
    }
    memory.process.stop()?;
    stage.stop().await
}

/// The statement of records for GetPatient.
const GET_SQL: &str = "\
SELECT id, version, created_at, updated_at, deleted_at, owner_id, user_id, first_name, last_name, \
date_of_birth, gender, phone_number, email, address, medical_history FROM patients \
WHERE id = :id::uuid AND deleted_at IS NULL AND (owner_id = :owner::uuid);\n";

/// The statement of records for the first page of ListPatients.
const LIST_SQL: &str = "\
SELECT id, version, created_at, updated_at, deleted_at, owner_id, user_id, first_name, last_name, \
date_of_birth, gender, phone_number, email, address, medical_history FROM patients \
WHERE deleted_at IS NULL AND (owner_id = :owner::uuid) ORDER BY id LIMIT 51;\n";

/// The statement of records for CreatePatient, with ascending ids as in records.
const INSERT_SQL: &str = "\
INSERT INTO patients (id, version, created_at, updated_at, owner_id, user_id, first_name, \
first_name_key, last_name, last_name_key, date_of_birth, gender, phone_number, email, address, \
medical_history) VALUES \
(('01900000-0000-7000-8000-' || lpad(to_hex(nextval('bench_ids')), 12, '0'))::uuid, 1, now(), \
now(), :owner::uuid, NULL, :first, :first::bytea, :last, :last::bytea, :birthday::date, 'F', \
:phone, :email, :address, :history) \
RETURNING id, version, created_at, updated_at, deleted_at, owner_id, user_id, first_name, \
last_name, date_of_birth, gender, phone_number, email, address, medical_history;\n";

/// Returns the statement of records for an RPC that pgbench runs too.
fn sql(rpc: &str) -> Option<&'static str> {
    match rpc {
        "GetPatient" => Some(GET_SQL),
        "ListPatients" => Some(LIST_SQL),
        "CreatePatient" => Some(INSERT_SQL),
        _ => None,
    }
}

impl<'a> Stage<'a> {
    pub(crate) async fn start(setting: &'a Setting, data: &'a Data) -> Result<Self> {
        let records = Server::service(setting, "records", data, None)?;
        let assignment = Server::service(setting, "assignment", data, Some(&records))?;
        let db = data.databases.open("records").await?;
        Ok(Self { setting, data, records, assignment, db })
    }

    /// Returns the cases with their RPCs.
    fn rpcs(&self) -> Vec<(&'static str, Case<'_>)> {
        let mut cases = vec![
            self.case("GetPatient", |time| self.get(time)),
            self.case("ListPatients", |time| self.list(time)),
        ];
        if !self.setting.quick {
            cases.push(self.case("UpdatePatient", |time| self.update(time)));
            cases.push(self.case("ListPatientDoctors", |time| self.doctors(time)));
        }
        // Last, because it changes the tables.
        cases.push(self.case("CreatePatient", |time| self.create(time)));
        cases
    }

    fn case<'s, F>(
        &self,
        rpc: &'static str,
        run: impl Fn(Duration) -> F + 's,
    ) -> (&'static str, Case<'s>)
    where
        F: Future<Output = Result<Outcome>> + Send + 's,
    {
        let mut watched = vec![self.records.watched()];
        if rpc == "ListPatientDoctors" {
            watched.push(self.assignment.watched());
        }
        if self.data.store == Store::Postgres {
            watched.push(self.setting.postgres.watched());
        }
        (rpc, Case::new(name(rpc, self.data.store), watched, run))
    }

    fn call(&self, server: &Server, method: &'static str, message: Vec<u8>) -> Result<Call> {
        Ok(Call {
            protocol: Protocol::Grpc,
            address: server.address,
            method,
            credential: Credential::Claims(tokens::forwarded(&self.data.keys)?),
            message,
        })
    }

    async fn get(&self, time: Duration) -> Result<Outcome> {
        let call = self.call(&self.records, GET_PATIENT, get_patient(N))?;
        load::<Patient>(call, is_patient(N), time).await
    }

    async fn list(&self, time: Duration) -> Result<Outcome> {
        load(self.call(&self.records, LIST_PATIENTS, list_patients())?, is_page, time).await
    }

    async fn doctors(&self, time: Duration) -> Result<Outcome> {
        let id = sample::id(Kind::Patient, 0).to_string();
        let request = ListPatientDoctorsRequest { patient_id: id, ..Default::default() };
        let call = self.call(&self.assignment, LIST_PATIENT_DOCTORS, request.encode_to_vec())?;
        let is_right = |answer: &ListPatientDoctorsResponse| {
            answer.doctors.len() as u64 == DOCTORS_OF_A_PATIENT
        };
        load(call, is_right, time).await
    }

    async fn create(&self, time: Duration) -> Result<Outcome> {
        let call = self.call(&self.records, CREATE_PATIENT, create_patient())?;
        load_creates(&self.db, call, |made| made.email == sample::email(7), time).await
    }

    async fn update(&self, time: Duration) -> Result<Outcome> {
        let claims = Credential::Claims(tokens::forwarded(&self.data.keys)?);
        update_patients(self.records.address, Protocol::Grpc, claims, time).await
    }

    fn by_pgbench(&self, pgbench: &Path, rpc: &str, sql: &'static str) -> Case<'_> {
        let pgbench = pgbench.to_owned();
        let url = self.data.url("records");
        let watched = vec![self.setting.postgres.watched()];
        Case::new(by_pgbench(rpc), watched, move |time| {
            let (url, pgbench) = (url.clone(), pgbench.clone());
            async move {
                tokio::task::block_in_place(|| {
                    pgbench::run(&pgbench, url.expose_secret(), sql, &values(), time)
                })
            }
        })
    }

    fn memory<'s>(&'s self, memory: &'s Server) -> Case<'s> {
        Case::new(FROM_MEMORY, vec![memory.watched()], move |time| {
            let call = self.call(memory, GET_PATIENT, get_patient(0));
            async move { load::<Patient>(call?, is_patient(0), time).await }
        })
    }
}

impl super::Stage for Stage<'_> {
    const GROUP: &'static str = GROUP;

    fn cases(&self) -> Vec<Case<'_>> {
        self.rpcs().into_iter().map(|(_, case)| case).collect()
    }

    async fn stop(self) -> Result<()> {
        self.db.close().await;
        self.assignment.process.stop()?;
        self.records.process.stop()
    }
}

/// Returns the values of the RPCs as pgbench variables.
fn values() -> Vec<(&'static str, String)> {
    vec![
        ("id", sample::id(Kind::Patient, N).to_string()),
        ("owner", tokens::owner().to_string()),
        ("first", sample::first_name(7)),
        ("last", sample::last_name(7)),
        ("birthday", sample::birthday(7).to_string()),
        ("phone", sample::PHONE.to_owned()),
        ("email", sample::email(7)),
        ("address", sample::ADDRESS.to_owned()),
        ("history", sample::HISTORY.to_owned()),
    ]
}
