//! The services, called directly, compared with the database alone and with a service without a
//! database.

use std::path::Path;

use anyhow::Result;
use clinic_store::{Db, Query};
use secrecy::ExposeSecret as _;

use super::{N, Rpc, Stage as _, load_patient};
use crate::call::Target;
use crate::load::pgbench;
use crate::measure::{Case, contest};
use crate::process::Server;
use crate::report::Report;
use crate::sample::{self, Kind};
use crate::setting::Setting;
use crate::suite::{Data, Store};
use crate::tokens;

pub(crate) const GROUP: &str = "service";

pub(crate) const FROM_MEMORY: &str = "GetPatient, from memory";

pub(crate) fn by_pgbench(rpc: Rpc) -> String {
    format!("{rpc:?}, its SQL by pgbench")
}

pub(crate) fn name(rpc: Rpc, store: Store) -> String {
    format!("{rpc:?}, {}", store.name())
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
    for rpc in stage.rpcs() {
        let mut cases = vec![stage.case(rpc)];
        if let (Some(pgbench), Some(sql)) = (&pgbench, sql(rpc)) {
            cases.push(stage.by_pgbench(pgbench, rpc, sql));
        }
        if data.store == Store::Sqlite && rpc == Rpc::GetPatient {
            cases.push(stage.memory(&memory));
        }
        contest(report, GROUP, cases).await?;
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
fn sql(rpc: Rpc) -> Option<&'static str> {
    match rpc {
        Rpc::GetPatient => Some(GET_SQL),
        Rpc::ListPatients => Some(LIST_SQL),
        Rpc::CreatePatient => Some(INSERT_SQL),
        Rpc::UpdatePatient | Rpc::ListPatientDoctors => None,
    }
}

impl<'a> Stage<'a> {
    pub(crate) async fn start(setting: &'a Setting, data: &'a Data) -> Result<Self> {
        let records = Server::service(setting, "records", data, None)?;
        let assignment = Server::service(setting, "assignment", data, Some(&records))?;
        let db = data.databases.open("records").await?;
        Ok(Self { setting, data, records, assignment, db })
    }

    fn rpcs(&self) -> Vec<Rpc> {
        // CreatePatient is the last one, because it changes the tables.
        if self.setting.quick {
            return vec![Rpc::GetPatient, Rpc::ListPatients, Rpc::CreatePatient];
        }
        vec![
            Rpc::GetPatient,
            Rpc::ListPatients,
            Rpc::UpdatePatient,
            Rpc::ListPatientDoctors,
            Rpc::CreatePatient,
        ]
    }

    fn case(&self, rpc: Rpc) -> Case<'_> {
        let mut watched = vec![self.records.watched()];
        let mut server = &self.records;
        if rpc == Rpc::ListPatientDoctors {
            server = &self.assignment;
            watched.push(server.watched());
        }
        if self.data.store == Store::Postgres {
            watched.push(self.setting.postgres.watched());
        }
        Case::new(name(rpc, self.data.store), watched, move |time| async move {
            rpc.load(Target::service(server.address, &self.data.keys)?, &self.db, time).await
        })
    }

    fn by_pgbench(&self, pgbench: &Path, rpc: Rpc, sql: &'static str) -> Case<'_> {
        let (pgbench, url) = (pgbench.to_owned(), self.data.databases.url("records"));
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
        Case::new(FROM_MEMORY, vec![memory.watched()], move |time| async move {
            load_patient(Target::service(memory.address, &self.data.keys)?, 0, time).await
        })
    }
}

impl super::Stage for Stage<'_> {
    const GROUP: &'static str = GROUP;

    fn cases(&self) -> Vec<Case<'_>> {
        self.rpcs().into_iter().map(|rpc| self.case(rpc)).collect()
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
