//! Latency of calls as the tables grow. It should stay the same.

use std::time::Duration;

use anyhow::{Result, ensure};
use clinic_proto::records::v1::{ListPatientsRequest, ListPatientsResponse, Patient};
use clinic_stubs::records::v1::patient_service_client::PatientServiceClient;
use prost::Message as _;

use super::{GET_PATIENT, LIST_PATIENTS, PAGE, get_patient, is_page, is_patient, load};
use crate::call::{Call, Credential, Protocol};
use crate::fill;
use crate::load::Outcome;
use crate::measure::{Case, contest};
use crate::report::Report;
use crate::setting::Setting;
use crate::suite::{Data, Server, Store};
use crate::tokens;

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
        contest(report, GROUP, setting.effort, cases).await?;
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
        let middle = self.patients / 2;
        let page = |page_token: &str, query: &str| {
            let (page_token, query) = (page_token.to_owned(), query.to_owned());
            ListPatientsRequest { page_size: PAGE, page_token, query, ..Default::default() }
                .encode_to_vec()
        };
        let (method, message) = match kind {
            Kind::GetPatient => (GET_PATIENT, get_patient(middle)),
            Kind::FirstPage => (LIST_PATIENTS, page("", "")),
            Kind::DeepPage => (LIST_PATIENTS, page(&self.deep, "")),
            Kind::NameSearch => (LIST_PATIENTS, page("", SEARCHED)),
        };
        let call = Call {
            protocol: Protocol::Grpc,
            address: self.records.address,
            method,
            credential: Credential::Claims(tokens::forwarded(&self.data.keys)?),
            message,
        };
        match kind {
            Kind::GetPatient => load(call, is_patient(middle), time).await,
            Kind::FirstPage | Kind::DeepPage => load(call, is_page, time).await,
            Kind::NameSearch => {
                let found = |patient: &Patient| patient.last_name.starts_with(SEARCHED);
                let is_right = |answer: &ListPatientsResponse| {
                    is_page(answer) && answer.patients.iter().all(found)
                };
                load(call, is_right, time).await
            }
        }
    }
}

/// Returns the token of the page at `middle`, found page by page.
async fn token_before(records: &Server, data: &Data, middle: u64) -> Result<String> {
    const LARGEST: i32 = 500;
    let mut patients = PatientServiceClient::connect(records.url()).await?;
    let mut token = String::new();
    for _ in 0..middle / 500 {
        let request =
            ListPatientsRequest { page_size: LARGEST, page_token: token, ..Default::default() };
        let request = tokens::with(request, &tokens::forwarded(&data.keys)?)?;
        token = patients.list_patients(request).await?.into_inner().next_page_token;
        ensure!(!token.is_empty(), "the list is shorter than it should be");
    }
    Ok(token)
}
