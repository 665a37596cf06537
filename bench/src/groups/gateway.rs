//! The whole suite as a client sees it: through the gateway to the services and PostgreSQL.

use anyhow::Result;
use clinic_store::Db;

use super::{N, Rpc, Stage as _, accounts, load_patient};
use crate::call::{Protocol, Target};
use crate::measure::{Case, contest, total_memory};
use crate::process::Server;
use crate::report::Report;
use crate::setting::Setting;
use crate::suite::{Data, Suite, start_all_in_one};
use crate::tokens;

pub(crate) const GROUP: &str = "suite";

pub(crate) fn name(rpc: Rpc, protocol: Protocol) -> String {
    format!("{rpc:?}, {}", protocol.name())
}

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
    report.figure(IDLE, total_memory(&suite.watched()), "MiB");
    for cases in [stage.gets(), stage.others()] {
        contest(report, GROUP, cases).await?;
    }
    // Hashing passwords takes the most memory.
    accounts::register(suite.gateway.address).await?;
    accounts::sign_in(suite.gateway.address, setting.effort.time).await?;
    report.figure(LOADED, total_memory(&suite.watched()), "MiB");
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
        Protocol::ALL.map(|protocol| self.case(Rpc::GetPatient, protocol)).into()
    }

    fn others(&self) -> Vec<Case<'_>> {
        if self.setting.quick {
            return Vec::new();
        }
        let of = |protocol| {
            [
                self.get_from_one(protocol),
                self.case(Rpc::ListPatients, protocol),
                self.case(Rpc::ListPatientDoctors, protocol),
                self.case(Rpc::UpdatePatient, protocol),
                self.case(Rpc::CreatePatient, protocol),
            ]
        };
        Protocol::ALL.into_iter().flat_map(of).collect()
    }

    fn case(&self, rpc: Rpc, protocol: Protocol) -> Case<'_> {
        let watched = [self.suite.watched(), vec![self.setting.postgres.watched()]].concat();
        let target = Target::gateway(self.suite.gateway.address, protocol, &self.access);
        let load = move |time| rpc.load(target.clone(), &self.db, time);
        Case::new(name(rpc, protocol), watched, load)
    }

    fn get_from_one(&self, protocol: Protocol) -> Case<'_> {
        let name = format!("{}, one process", name(Rpc::GetPatient, protocol));
        let watched = vec![self.one.watched(), self.setting.postgres.watched()];
        let target = Target::gateway(self.one.address, protocol, &self.access);
        Case::new(name, watched, move |time| load_patient(target.clone(), N, time))
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
