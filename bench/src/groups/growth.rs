//! What becomes of a call while the tables grow: it must not notice.

use anyhow::{Result, ensure};
use clinic_proto::records::v1::patient_service_client::PatientServiceClient;
use clinic_proto::records::v1::{ListPatientsRequest, ListPatientsResponse, Patient};
use prost::Message as _;

use super::{
    GET_PATIENT, LIST_PATIENTS, PAGE, get_patient, is_page, is_patient, list_patients, load,
};
use crate::call::{Call, Credential, Protocol};
use crate::fill;
use crate::measure::{Case, contest};
use crate::report::Report;
use crate::setting::Setting;
use crate::suite::{Data, Server, Store};
use crate::tokens;

pub(crate) const GROUP: &str = "growth";
pub(crate) const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];
const CASES: [&str; 4] = ["GetPatient", "first page", "deep page", "name search"];
pub(crate) const SIZE_MUST_NOT_MATTER: [&str; 3] = ["GetPatient", "first page", "deep page"];

pub(crate) fn name(case: &str, store: Store, patients: u64) -> String {
    format!("{case}, {}, {patients} patients", store.name())
}

pub(crate) async fn run(setting: &Setting, store: Store, report: &mut Report) -> Result<()> {
    let data = Data::create(setting, store, "growth").await?;
    let records = Server::service(setting, "records", &data, None)?;
    let mut from = 0;
    for size in SIZES {
        fill::more_patients(&data, from..size).await?;
        from = size;
        let middle = size / 2;
        let deep = token_before(&records, &data, middle).await?;
        let search = ListPatientsRequest {
            page_size: PAGE,
            // Of one in sixteen patients, so there is more than a page at any size.
            query: "Turing".to_owned(),
            ..ListPatientsRequest::default()
        };
        let deep = ListPatientsRequest { page_size: PAGE, page_token: deep, ..Default::default() };
        let mut watched = vec![records.watched()];
        if store == Store::Postgres {
            watched.push(setting.postgres.watched());
        }
        let call = |method, message| -> Result<Call> {
            Ok(Call {
                protocol: Protocol::Grpc,
                address: records.address,
                method,
                credential: Credential::Claims(tokens::forwarded(&data.keys)?),
                message,
            })
        };
        let call = &call;
        let [get, first, deeper, named] = CASES.map(|case| name(case, store, size));
        let page = |name, message: Vec<u8>, is_right: fn(&ListPatientsResponse) -> bool| {
            Case::new(name, watched.clone(), move |time| {
                let call = call(LIST_PATIENTS, message.clone());
                async move { load::<ListPatientsResponse>(call?, is_right, time).await }
            })
        };
        let cases = vec![
            Case::new(get, watched.clone(), move |time| {
                let call = call(GET_PATIENT, get_patient(middle));
                async move { load::<Patient>(call?, is_patient(middle), time).await }
            }),
            page(first, list_patients(), is_page),
            page(deeper, deep.encode_to_vec(), is_page),
            page(named, search.encode_to_vec(), |answer| {
                is_page(answer) && answer.patients.iter().all(|p| p.last_name.starts_with("Turing"))
            }),
        ];
        contest(report, GROUP, setting.effort, cases).await?;
    }
    records.process.stop()
}

/// Where the page in the middle of the list begins, found as a client finds it: page by page.
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
