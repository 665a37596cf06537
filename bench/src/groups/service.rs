//! Straight at the services, against what the database alone can do, and against a service without
//! one.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clinic_proto::assignment::v1::{ListPatientDoctorsRequest, ListPatientDoctorsResponse};
use clinic_proto::records::v1::Patient;
use clinic_store::{Db, Query};
use prost::Message as _;
use secrecy::ExposeSecret as _;

use super::{
    CREATE_PATIENT, GET_PATIENT, LIST_PATIENT_DOCTORS, LIST_PATIENTS, create_patient, get_patient,
    is_page, is_patient, list_patients, load, load_creates, update_patients,
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

/// The patient who is asked for.
const N: u64 = PATIENTS / 2;

pub(crate) const FROM_MEMORY: &str = "GetPatient, from memory";

pub(crate) fn by_pgbench(rpc: &str) -> String {
    format!("{rpc}, its SQL by pgbench")
}

pub(crate) fn name(rpc: &str, store: Store) -> String {
    format!("{rpc}, {}", store.name())
}

pub(crate) async fn run(setting: &Setting, data: &Data, report: &mut Report) -> Result<()> {
    let records = Server::service(setting, "records", data, None)?;
    let assignment = Server::service(setting, "assignment", data, Some(&records))?;
    let memory = Server::memory(setting, &data.keys)?;
    let db = data.databases.open("records").await?;
    let target = Target { setting, data, records: &records, assignment: &assignment, db: &db };

    let mut gets = vec![target.case("GetPatient", |time| target.get(time))];
    let mut lists = vec![target.case("ListPatients", |time| target.list(time))];
    let mut creates = vec![target.case("CreatePatient", |time| target.create(time))];
    match data.store {
        Store::Postgres => match setting.postgres.pgbench() {
            Some(pgbench) => {
                db.execute(Query::new("CREATE SEQUENCE IF NOT EXISTS bench_ids")).await?;
                gets.push(target.pgbench(&pgbench, "GetPatient", GET_SQL));
                lists.push(target.pgbench(&pgbench, "ListPatients", LIST_SQL));
                creates.push(target.pgbench(&pgbench, "CreatePatient", INSERT_SQL));
            }
            None => report.missing("what the database alone can do, since pgbench is not there"),
        },
        Store::Sqlite => gets.push(Case::new(FROM_MEMORY, vec![memory.watched()], |time| {
            let call = target.call(&memory, GET_PATIENT, get_patient(0));
            async move { load::<Patient>(call?, is_patient(0), time).await }
        })),
    }
    let mut contests = vec![gets, lists];
    if !setting.quick {
        contests.push(vec![target.case("UpdatePatient", |time| target.update(time))]);
        contests.push(vec![target.case("ListPatientDoctors", |time| target.doctors(time))]);
    }
    // The last: the tables are not the same afterwards.
    contests.push(creates);
    for cases in contests {
        contest(report, GROUP, setting.effort, cases).await?;
    }
    db.close().await;
    [memory, assignment, records].into_iter().try_for_each(|server| server.process.stop())
}

struct Target<'a> {
    setting: &'a Setting,
    data: &'a Data,
    records: &'a Server,
    assignment: &'a Server,
    db: &'a Db,
}

/// What records sends for GetPatient.
const GET_SQL: &str = "\
SELECT id, version, created_at, updated_at, deleted_at, owner_id, user_id, first_name, last_name, \
date_of_birth, gender, phone_number, email, address, medical_history FROM patients \
WHERE id = :id::uuid AND deleted_at IS NULL AND (owner_id = :owner::uuid);\n";

/// What records sends for the first page of ListPatients.
const LIST_SQL: &str = "\
SELECT id, version, created_at, updated_at, deleted_at, owner_id, user_id, first_name, last_name, \
date_of_birth, gender, phone_number, email, address, medical_history FROM patients \
WHERE deleted_at IS NULL AND (owner_id = :owner::uuid) ORDER BY id LIMIT 51;\n";

/// What records sends for CreatePatient; ids go up, as those of records do.
const INSERT_SQL: &str = "\
INSERT INTO patients (id, version, created_at, updated_at, owner_id, user_id, first_name, \
first_name_key, last_name, last_name_key, date_of_birth, gender, phone_number, email, address, \
medical_history) VALUES \
(('01900000-0000-7000-8000-' || lpad(to_hex(nextval('bench_ids')), 12, '0'))::uuid, 1, now(), \
now(), :owner::uuid, NULL, :first, :first::bytea, :last, :last::bytea, :birthday::date, 'F', \
:phone, :email, :address, :history) \
RETURNING id, version, created_at, updated_at, deleted_at, owner_id, user_id, first_name, \
last_name, date_of_birth, gender, phone_number, email, address, medical_history;\n";

impl<'a> Target<'a> {
    fn case<F>(&self, rpc: &str, run: impl Fn(Duration) -> F + 'a) -> Case<'a>
    where
        F: Future<Output = Result<Outcome>> + Send + 'a,
    {
        let mut watched = vec![self.records.watched()];
        if rpc == "ListPatientDoctors" {
            watched.push(self.assignment.watched());
        }
        if self.data.store == Store::Postgres {
            watched.push(self.setting.postgres.watched());
        }
        Case::new(name(rpc, self.data.store), watched, run)
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
        let call = self.call(self.records, GET_PATIENT, get_patient(N))?;
        load::<Patient>(call, is_patient(N), time).await
    }

    async fn list(&self, time: Duration) -> Result<Outcome> {
        load(self.call(self.records, LIST_PATIENTS, list_patients())?, is_page, time).await
    }

    async fn doctors(&self, time: Duration) -> Result<Outcome> {
        let id = sample::id(Kind::Patient, 0).to_string();
        let request = ListPatientDoctorsRequest { patient_id: id, ..Default::default() };
        let call = self.call(self.assignment, LIST_PATIENT_DOCTORS, request.encode_to_vec())?;
        let is_right = |answer: &ListPatientDoctorsResponse| {
            answer.doctors.len() as u64 == DOCTORS_OF_A_PATIENT
        };
        load(call, is_right, time).await
    }

    async fn create(&self, time: Duration) -> Result<Outcome> {
        let call = self.call(self.records, CREATE_PATIENT, create_patient())?;
        load_creates(self.db, call, |made| made.email == sample::email(7), time).await
    }

    async fn update(&self, time: Duration) -> Result<Outcome> {
        let claims = Credential::Claims(tokens::forwarded(&self.data.keys)?);
        update_patients(self.records.address, Protocol::Grpc, claims, time).await
    }

    fn pgbench(&self, pgbench: &Path, rpc: &str, sql: &'static str) -> Case<'a> {
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
}

/// The values that the RPC has, as pgbench's variables.
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
