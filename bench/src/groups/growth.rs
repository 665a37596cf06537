//! Latency of calls as the tables grow. It should stay the same.

use std::time::Duration;

use anyhow::{Result, ensure};
use clinic_proto::records::v1::{ListPatientsRequest, ListPatientsResponse};

use super::{LIST_PATIENTS, load_page, load_patient};
use crate::call::{Connection, Target};
use crate::fill;
use crate::load::Outcome;
use crate::measure::{Case, contest};
use crate::process::Server;
use crate::report::Report;
use crate::setting::Setting;
use crate::suite::{Data, Store};

pub(crate) const GROUP: &str = "growth";
pub(crate) const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];
/// Name of one patient in sixteen: more than a page at any size.
const SEARCHED: &str = "Turing";

/// A call whose time must not depend on the number of patients, except for `NameSearch`.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    GetPatient,
    FirstPage,
    DeepPage,
    NameSearch,
}

impl Kind {
    const ALL: [Self; 4] = [Self::GetPatient, Self::FirstPage, Self::DeepPage, Self::NameSearch];
    pub(crate) const TARGETS: [Self; 3] = [Self::GetPatient, Self::FirstPage, Self::DeepPage];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::GetPatient => "GetPatient",
            Self::FirstPage => "first page",
            Self::DeepPage => "deep page",
            Self::NameSearch => "name search",
        }
    }
}

pub(crate) fn name(kind: Kind, store: Store, patients: u64) -> String {
    format!("{}, {}, {patients} patients", kind.name(), store.name())
}

/// Runs the cases of all sizes in turns, because the machine's speed changes within minutes.
pub(crate) async fn run(setting: &Setting, store: Store, report: &mut Report) -> Result<()> {
    let mut clinics = Vec::new();
    for patients in SIZES {
        clinics.push(Clinic::of(setting, store, patients).await?);
    }
    for kind in Kind::ALL {
        let cases = clinics.iter().map(|clinic| clinic.case(setting, kind)).collect();
        contest(report, GROUP, cases).await?;
    }
    clinics.into_iter().try_for_each(|clinic| clinic.records.process.stop())
}

/// A database with a number of patients, and its service.
struct Clinic {
    patients: u64,
    data: Data,
    records: Server,
    /// Token of the page in the middle of the list.
    deep: String,
}

impl Clinic {
    async fn of(setting: &Setting, store: Store, patients: u64) -> Result<Self> {
        let data = Data::create(setting, store, &format!("growth_{patients}"))?;
        fill::patients_only(&data, patients).await?;
        let records = Server::service(setting, "records", &data, None)?;
        let deep = token_before(&records, &data, patients / 2).await?;
        Ok(Self { patients, data, records, deep })
    }

    fn case(&self, setting: &Setting, kind: Kind) -> Case<'_> {
        let mut watched = vec![self.records.watched()];
        if self.data.store == Store::Postgres {
            watched.push(setting.postgres.watched());
        }
        let name = name(kind, self.data.store, self.patients);
        Case::new(name, watched, move |time| self.load(kind, time))
    }

    async fn load(&self, kind: Kind, time: Duration) -> Result<Outcome> {
        let target = Target::service(self.records.address, &self.data.keys)?;
        let (page_token, query) = match kind {
            Kind::GetPatient => return load_patient(target, self.patients / 2, time).await,
            Kind::FirstPage => ("", ""),
            Kind::DeepPage => (self.deep.as_str(), ""),
            Kind::NameSearch => ("", SEARCHED),
        };
        load_page(&target, page_token, query, time).await
    }
}

/// Returns the token of the page at `middle`, found page by page.
async fn token_before(records: &Server, data: &Data, middle: u64) -> Result<String> {
    const LARGEST: i32 = 500;
    let target = || Target::service(records.address, &data.keys);
    let mut connection = Connection::open(&target()?).await?;
    let mut page_token = String::new();
    for _ in 0..middle / 500 {
        let request = ListPatientsRequest { page_size: LARGEST, page_token, ..Default::default() };
        let call = target()?.call(LIST_PATIENTS, &request);
        let page: ListPatientsResponse = call.message_of(&connection.ask(&call).await?)?;
        page_token = page.next_page_token;
        ensure!(!page_token.is_empty(), "the list is shorter than it should be");
    }
    Ok(page_token)
}
