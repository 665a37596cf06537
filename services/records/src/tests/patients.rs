//! Tests of patients.

use clinic_net::Context;
use clinic_proto::access::v1::Role;
use clinic_proto::records::v1::{
    DeletePatientRequest, GetPatientRequest, ListPatientsRequest, Patient, PatientView,
    UndeletePatientRequest, UpdatePatientRequest,
};
use clinic_stubs::records::v1::PatientServiceHandler as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{
    Records, a_patient, admin, assert_fails, auth, mask, on_both, other_staff, patient, staff, user,
};
use crate::error::Error;
use crate::listing::Filter;
use clinic_resource::Error as ResourceError;
use clinic_resource::text::Prefix;
use clinic_resource::{List, Listing, Part, Scope, View};
use clinic_store::Query;
use clinic_store::page::Cursor;

on_both! {
    concurrent_reads_each_get_their_own_record_and_view
    an_undelete_does_not_give_an_account_a_second_record
    auth_deletes_only_records_without_an_owner
    a_page_of_long_records_is_read_in_portions
    a_search_of_many_names_lists_each_match_once
}

fn get(id: &str) -> GetPatientRequest {
    GetPatientRequest { id: id.into(), view: 0 }
}

fn delete(id: &str) -> DeletePatientRequest {
    DeletePatientRequest { id: id.into(), etag: String::new() }
}

/// Reads all pages, of this size.
async fn pages(records: &Records, caller: &Context, query: &str, size: i32) -> Vec<String> {
    let mut request =
        ListPatientsRequest { query: query.into(), page_size: size, ..Default::default() };
    let mut all = Vec::new();
    loop {
        let page = records.patients.list_patients(caller, request.clone()).await.unwrap();
        assert!(page.patients.len() <= usize::try_from(size).unwrap());
        let names = page.patients.iter().map(|p| format!("{} {}", p.first_name, p.last_name));
        all.extend(names);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

async fn concurrent_reads_each_get_their_own_record_and_view(records: &Records) {
    let staff_and_doctor = user(7, &[Role::Staff, Role::Doctor]);
    records.register_doctor(&staff_and_doctor, true).await;
    let own = records.add(&staff_and_doctor, a_patient("Own", "One")).await;
    let other = records.add(&other_staff(), a_patient("Other", "One")).await;
    let calls = (0..64).map(|call| {
        let patient = if call % 2 == 0 { &own } else { &other };
        let caller = if call % 4 < 2 { staff_and_doctor.clone() } else { admin() };
        let view = if call % 4 == 1 { PatientView::Basic } else { PatientView::Full };
        async move {
            let read = records.patients.get_patient(&caller, get(&patient.id)).await.unwrap();
            assert_eq!((&read.id, read.view()), (&patient.id, view));
        }
    });
    futures::future::join_all(calls).await;
}

async fn an_undelete_does_not_give_an_account_a_second_record(records: &Records) {
    let first = records.register(&patient()).await;
    records.patients.delete_patient(&auth(), delete(&first.id)).await.unwrap();
    let second = records.register(&patient()).await;
    assert!(records.patients.get_patient(&patient(), get("me")).await.unwrap() == second);
    let undelete = UndeletePatientRequest { id: first.id, etag: String::new() };
    let back = records.patients.undelete_patient(&admin(), undelete).await;
    assert_fails!(back, Error::UserTaken);
    let change = Some(Patient { etag: "v7".into(), ..a_patient("X", "Y") });
    let update =
        UpdatePatientRequest { id: "me".into(), patient: change, update_mask: mask(&["*"]) };
    let stale = records.patients.update_patient(&patient(), update).await;
    assert_fails!(stale, Error::Resource(ResourceError::Stale));
}

async fn auth_deletes_only_records_without_an_owner(records: &Records) {
    let owned = records.add(&staff(), a_patient("Ann", "Lee")).await;
    assert_fails!(
        records.patients.delete_patient(&auth(), delete(&owned.id)).await,
        Error::Resource(ResourceError::NotFound)
    );
    let own = records.register(&patient()).await;
    records.patients.delete_patient(&auth(), delete(&own.id)).await.unwrap();
    assert_fails!(
        records.patients.get_patient(&patient(), get("me")).await,
        Error::Resource(ResourceError::NotFound)
    );
}

async fn a_page_of_long_records_is_read_in_portions(records: &Records) {
    // A little more than two portions. The first is already too large for a response.
    let history = "x".repeat(60_000);
    for n in 0..130 {
        let patient =
            Patient { medical_history: history.clone(), ..a_patient("Ann", &format!("Lee {n}")) };
        records.add(&staff(), patient).await;
    }
    let scope =
        crate::scopes::visible_patients(staff().principal(), crate::DoctorPatientView::Basic);
    for (asked, statements, rows) in [(View::Full, 1, 64), (View::Basic, 3, 130)] {
        let listing = Counted { filter: by_name(&scope, ""), parts: AtomicUsize::new(0) };
        let list = List { scope: &scope, asked, listing };
        let page = list.page::<crate::patients::Patient>(&records.db, 500, None).await.unwrap();
        let read = list.listing.parts.load(Ordering::Relaxed);
        assert_eq!((read, page.messages().count()), (statements, rows), "{asked:?}");
        assert_eq!(page.next().is_some(), asked == View::Full);
    }
}

fn by_name<'a>(scope: &'a Scope, prefix: &str) -> Filter<'a> {
    Filter { scope, show_deleted: false, prefix: Prefix::new(prefix), also: Query::empty() }
}

/// Counts the requests for a part: one for each statement.
struct Counted<'a> {
    filter: Filter<'a>,
    parts: AtomicUsize,
}

impl Listing for Counted<'_> {
    fn part(&self, number: u8, after: Option<&Cursor>) -> Option<Part> {
        let part = self.filter.part(number, after)?;
        self.parts.fetch_add(1, Ordering::Relaxed);
        Some(part)
    }

    fn condition(&self) -> Query {
        self.filter.condition()
    }
}

/// Each part of the list has more matches than one statement reads, with one and with two arms.
async fn a_search_of_many_names_lists_each_match_once(records: &Records) {
    let both = user(1, &[Role::Staff, Role::Patient]);
    let (mut by_last, mut by_first) = (Vec::new(), Vec::new());
    for n in 0..70 {
        records.add(&staff(), a_patient("Ann", &format!("Smith {n:02}"))).await;
        by_last.push(format!("Ann Smith {n:02}"));
        records.add(&staff(), a_patient(&format!("Smi {n:02}"), "Lee")).await;
        by_first.push(format!("Smi {n:02} Lee"));
        records.add(&staff(), a_patient("Zoe", "Other")).await;
    }
    let expected: Vec<String> = by_last.into_iter().chain(by_first).collect();
    for caller in [staff(), both] {
        for size in [500, 65, 7] {
            assert_eq!(pages(records, &caller, "smi", size).await, expected, "{size}");
        }
    }
    // The numbers of parts are in page tokens, so they must stay the same in later releases.
    let scope =
        crate::scopes::visible_patients(staff().principal(), crate::DoctorPatientView::Basic);
    for (prefix, size, part) in [("", 1, 0), ("smi", 1, 1), ("smi", 70, 1), ("smi", 71, 2)] {
        let list = by_name(&scope, prefix).list(View::Basic);
        let page = list.page::<crate::patients::Patient>(&records.db, size, None).await.unwrap();
        assert_eq!(page.next().unwrap().branch, part, "{prefix} {size}");
    }
}
