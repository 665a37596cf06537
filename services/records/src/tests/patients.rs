//! Tests of patients.

use clinic_identity::Principal;
use clinic_net::Context;
use clinic_proto::access::v1::Role;
use clinic_proto::records::v1::{
    BatchGetPatientsRequest, CreatePatientRequest, DeletePatientRequest, GetPatientRequest,
    ListPatientsRequest, ListPatientsResponse, Patient, PatientView, UndeletePatientRequest,
    UpdatePatientRequest,
};
use clinic_stubs::records::v1::PatientServiceHandler as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{
    Records, a_patient, admin, assert_fails, auth, call_of, doctor, mask, on_both, other_staff,
    patient, staff, user, user_id,
};
use crate::error::Error;
use crate::listing::Filter;
use clinic_resource::Error as ResourceError;
use clinic_resource::text::Prefix;
use clinic_resource::{List, Listing, Part, Scope, View};
use clinic_store::Query;
use clinic_store::page::Cursor;

on_both! {
    a_patient_is_seen_by_who_may_and_is_not_there_for_others
    many_reads_at_once_have_each_its_own_record_and_view
    me_is_the_callers_own_record
    text_stays_as_it_was_but_for_surrounding_space
    only_auth_ties_a_record_to_an_account
    the_same_request_id_makes_one_patient
    concurrent_creates_with_one_request_id_make_one_patient
    a_mask_decides_what_an_update_changes
    of_two_updates_with_one_etag_one_wins
    a_deleted_patient_is_gone_until_it_is_undeleted
    an_undelete_does_not_give_an_account_a_second_record
    a_service_takes_back_only_what_nobody_owns
    a_batch_comes_in_the_order_of_its_ids
    pages_neither_skip_nor_repeat_while_others_insert
    a_name_is_found_by_its_beginning_last_names_first
    a_page_token_belongs_to_its_query
    a_page_of_long_records_is_read_in_portions
    a_search_of_many_names_lists_each_match_once
    several_roles_see_the_union_once
    deleted_patients_are_listed_for_who_may_undelete_them
}

fn get(id: &str) -> GetPatientRequest {
    GetPatientRequest { id: id.into(), view: 0 }
}

fn delete(id: &str) -> DeletePatientRequest {
    DeletePatientRequest { id: id.into(), etag: String::new() }
}

fn undelete(id: &str) -> UndeletePatientRequest {
    UndeletePatientRequest { id: id.into(), etag: String::new() }
}

fn update(id: &str, patient: Patient, paths: &[&str]) -> UpdatePatientRequest {
    UpdatePatientRequest { id: id.into(), patient: Some(patient), update_mask: mask(paths) }
}

fn names(response: &ListPatientsResponse) -> Vec<String> {
    response.patients.iter().map(|p| format!("{} {}", p.first_name, p.last_name)).collect()
}

async fn list(records: &Records, caller: &Context, query: &str) -> Vec<String> {
    let request = ListPatientsRequest { query: query.into(), ..Default::default() };
    names(&records.patients.list_patients(caller, request).await.unwrap())
}

/// Reads all pages, of this size.
async fn pages(records: &Records, caller: &Context, query: &str, size: i32) -> Vec<String> {
    let mut request =
        ListPatientsRequest { query: query.into(), page_size: size, ..Default::default() };
    let mut all = Vec::new();
    loop {
        let page = records.patients.list_patients(caller, request.clone()).await.unwrap();
        assert!(page.patients.len() <= usize::try_from(size).unwrap());
        all.extend(names(&page));
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

async fn a_patient_is_seen_by_who_may_and_is_not_there_for_others(records: Records) {
    let given =
        Patient { medical_history: "flu".into(), gender: "F".into(), ..a_patient("Ann", "Lee") };
    let made = records.add(&staff(), given).await;
    assert_eq!(made.owner_id, user_id(&staff()));
    for caller in [staff(), admin()] {
        assert!(records.patients.get_patient(&caller, get(&made.id)).await.unwrap() == made);
        assert_eq!(list(&records, &caller, "").await, ["Ann Lee"]);
    }
    let unverified = user(6, &[Role::Doctor]);
    records.register_doctor(&unverified, false).await;
    for caller in [other_staff(), patient(), doctor(), unverified, auth()] {
        assert_fails!(
            records.patients.get_patient(&caller, get(&made.id)).await,
            Error::Resource(ResourceError::NotFound)
        );
        assert_fails!(
            records.patients.delete_patient(&caller, delete(&made.id)).await,
            Error::Resource(ResourceError::NotFound)
        );
        let change = update(&made.id, a_patient("X", "Y"), &["*"]);
        assert_fails!(
            records.patients.update_patient(&caller, change).await,
            Error::Resource(ResourceError::NotFound)
        );
        assert!(list(&records, &caller, "").await.is_empty());
    }
    records.register_doctor(&doctor(), true).await;
    let basic = records.patients.get_patient(&doctor(), get(&made.id)).await.unwrap();
    assert_eq!((basic.first_name.as_str(), basic.gender.as_str()), ("Ann", "F"));
    assert_eq!((basic.medical_history.as_str(), basic.etag.as_str()), ("", ""));
    assert_eq!(basic.view, i32::from(PatientView::Basic));
    assert_eq!(list(&records, &doctor(), "").await, ["Ann Lee"]);

    let asked = GetPatientRequest { id: made.id, view: PatientView::Basic.into() };
    assert!(records.patients.get_patient(&staff(), asked).await.unwrap() == basic);
}

async fn many_reads_at_once_have_each_its_own_record_and_view(records: Records) {
    let staff_and_doctor = user(7, &[Role::Staff, Role::Doctor]);
    records.register_doctor(&staff_and_doctor, true).await;
    let own = records.add(&staff_and_doctor, a_patient("Own", "One")).await;
    let other = records.add(&other_staff(), a_patient("Other", "One")).await;
    let calls = (0..64).map(|call| {
        let patient = if call % 2 == 0 { &own } else { &other };
        let caller = if call % 4 < 2 { staff_and_doctor.clone() } else { admin() };
        let view = if call % 4 == 1 { PatientView::Basic } else { PatientView::Full };
        let records = &records;
        async move {
            let read = records.patients.get_patient(&caller, get(&patient.id)).await.unwrap();
            assert_eq!((&read.id, read.view()), (&patient.id, view));
        }
    });
    futures::future::join_all(calls).await;
}

async fn me_is_the_callers_own_record(records: Records) {
    let made = records.register(&patient()).await;
    records.add(&staff(), a_patient("Some", "Body")).await;
    assert_eq!((made.owner_id.as_str(), made.user_id.as_str()), ("", &*user_id(&patient())));
    assert!(records.patients.get_patient(&patient(), get("me")).await.unwrap() == made);
    assert!(records.patients.get_patient(&patient(), get(&made.id)).await.unwrap() == made);
    let change = Patient { address: "there".into(), ..Patient::default() };
    let changed = records
        .patients
        .update_patient(&patient(), update("me", change, &["address"]))
        .await
        .unwrap();
    assert_eq!((changed.address.as_str(), changed.first_name.as_str()), ("there", "Pat"));
    assert_eq!(list(&records, &patient(), "").await, ["Pat Ient"]);
    for caller in [staff(), doctor(), admin()] {
        assert_fails!(
            records.patients.get_patient(&caller, get("me")).await,
            Error::Resource(ResourceError::NotFound)
        );
    }
}

async fn text_stays_as_it_was_but_for_surrounding_space(records: Records) {
    let given = Patient {
        medical_history: " BP <120 & \"ok\"\n\tü  ".into(),
        date_of_birth: "1980-02-29".into(),
        ..a_patient(" Ann Mary ", "O'Neil")
    };
    let made = records.add(&staff(), given).await;
    assert_eq!(made.medical_history, "BP <120 & \"ok\"\n\tü");
    assert_eq!((made.first_name.as_str(), made.last_name.as_str()), ("Ann Mary", "O'Neil"));
    assert_eq!((made.date_of_birth.as_str(), made.created_at), ("1980-02-29", made.updated_at));
}

async fn only_auth_ties_a_record_to_an_account(records: Records) {
    let create = |user_id: String| CreatePatientRequest {
        patient: Some(Patient { user_id, ..a_patient("A", "B") }),
        ..Default::default()
    };
    let mine = user_id(&patient());
    for caller in [staff(), admin()] {
        let made = records.patients.create_patient(&caller, create(mine.clone())).await;
        assert_fails!(made, Error::Resource(ResourceError::Invalid { .. }));
    }
    for user_id in ["", &mine] {
        let reporting = call_of(Principal::service("reporting"));
        let made = records.patients.create_patient(&reporting, create(user_id.into())).await;
        assert_fails!(made, Error::RoleRequired);
    }
    let nobodys = records.patients.create_patient(&auth(), create(String::new())).await;
    assert_fails!(nobodys, Error::Resource(ResourceError::Invalid { .. }));
    records.patients.create_patient(&auth(), create(mine.clone())).await.unwrap();
    assert_fails!(records.patients.create_patient(&auth(), create(mine)).await, Error::UserTaken);
}

async fn the_same_request_id_makes_one_patient(records: Records) {
    let request = |first_name: &str| CreatePatientRequest {
        patient: Some(a_patient(first_name, "Lee")),
        request_id: "7f0c7a10-0000-4000-8000-000000000001".into(),
    };
    let first = records.patients.create_patient(&staff(), request("Ann")).await.unwrap();
    let again = records.patients.create_patient(&staff(), request("Ann")).await.unwrap();
    assert!(first == again);
    let reused = records.patients.create_patient(&staff(), request("Bob")).await;
    assert_fails!(reused, Error::Resource(ResourceError::RequestIdReused));
    let others = records.patients.create_patient(&other_staff(), request("Bob")).await.unwrap();
    assert_ne!(others.id, first.id);
    assert_eq!(list(&records, &staff(), "").await, ["Ann Lee"]);
}

async fn concurrent_creates_with_one_request_id_make_one_patient(records: Records) {
    let request = CreatePatientRequest {
        patient: Some(a_patient("Ann", "Lee")),
        request_id: "7f0c7a10-0000-4000-8000-000000000001".into(),
    };
    let caller = staff();
    let create = || records.patients.create_patient(&caller, request.clone());
    let (a, b, c, d) = tokio::join!(create(), create(), create(), create());
    let a = a.unwrap();
    assert!([b, c, d].into_iter().all(|made| made.unwrap() == a));
    assert_eq!(list(&records, &staff(), "").await, ["Ann Lee"]);
}

async fn a_mask_decides_what_an_update_changes(records: Records) {
    let made = records.add(&staff(), a_patient("Ann", "Lee")).await;
    let given = Patient {
        first_name: "Eve".into(),
        email: "a@example.com".into(),
        gender: "F".into(),
        ..Patient::default()
    };
    let change = |paths: &[&str]| update(&made.id, given.clone(), paths);

    let one = records.patients.update_patient(&staff(), change(&["gender"])).await.unwrap();
    assert_eq!((one.gender.as_str(), one.first_name.as_str()), ("F", "Ann"));
    assert!(one.etag != made.etag);
    let all_given = records.patients.update_patient(&staff(), change(&[])).await.unwrap();
    assert_eq!((all_given.first_name.as_str(), all_given.last_name.as_str()), ("Eve", "Lee"));
    assert_eq!(list(&records, &staff(), "eve").await, ["Eve Lee"]);
    assert!(list(&records, &staff(), "ann").await.is_empty());
    let replaced = update(&made.id, a_patient("Zoe", "Poe"), &["*"]);
    let replaced = records.patients.update_patient(&staff(), replaced).await.unwrap();
    assert_eq!((replaced.email.as_str(), replaced.gender.as_str()), ("", ""));
    assert_eq!(replaced.owner_id, made.owner_id);
}

async fn of_two_updates_with_one_etag_one_wins(records: Records) {
    let made = records.add(&staff(), a_patient("Ann", "Lee")).await;
    let caller = staff();
    let change = |first_name: &str| {
        let patient = Patient { etag: made.etag.clone(), ..a_patient(first_name, "Lee") };
        records.patients.update_patient(&caller, update(&made.id, patient, &["first_name"]))
    };
    let (one, two) = tokio::join!(change("One"), change("Two"));
    let (won, lost) = if one.is_ok() { (one, two) } else { (two, one) };
    assert_ne!(won.unwrap().etag, made.etag);
    assert_fails!(lost, Error::Resource(ResourceError::Stale));
    let nonsense = Patient { etag: "x".into(), ..a_patient("A", "B") };
    let update = update(&made.id, nonsense, &["*"]);
    assert_fails!(
        records.patients.update_patient(&caller, update.clone()).await,
        Error::Resource(ResourceError::Stale)
    );
    assert_fails!(
        records.patients.update_patient(&other_staff(), update).await,
        Error::Resource(ResourceError::NotFound)
    );
    let delete = DeletePatientRequest { id: made.id.clone(), etag: made.etag.clone() };
    assert_fails!(
        records.patients.delete_patient(&caller, delete).await,
        Error::Resource(ResourceError::Stale)
    );
}

async fn a_deleted_patient_is_gone_until_it_is_undeleted(records: Records) {
    let made = records.add(&staff(), a_patient("Ann", "Lee")).await;
    let undeleted = records.patients.undelete_patient(&staff(), undelete(&made.id)).await;
    assert_fails!(undeleted, Error::NotDeleted);
    let undeleted = records.patients.undelete_patient(&other_staff(), undelete(&made.id)).await;
    assert_fails!(undeleted, Error::Resource(ResourceError::NotFound));
    let deleted = records.patients.delete_patient(&staff(), delete(&made.id)).await.unwrap();
    assert!(deleted.deleted_at.is_some() && deleted.etag != made.etag);
    for caller in [staff(), admin()] {
        assert_fails!(
            records.patients.get_patient(&caller, get(&made.id)).await,
            Error::Resource(ResourceError::NotFound)
        );
        assert_fails!(
            records.patients.delete_patient(&caller, delete(&made.id)).await,
            Error::Resource(ResourceError::NotFound)
        );
        let change = update(&made.id, a_patient("X", "Y"), &["*"]);
        assert_fails!(
            records.patients.update_patient(&caller, change).await,
            Error::Resource(ResourceError::NotFound)
        );
    }
    let stale = UndeletePatientRequest { id: made.id.clone(), etag: made.etag };
    assert_fails!(
        records.patients.undelete_patient(&staff(), stale).await,
        Error::Resource(ResourceError::Stale)
    );
    let back = records.patients.undelete_patient(&staff(), undelete(&made.id)).await.unwrap();
    assert!(back.deleted_at.is_none());
    assert_eq!(list(&records, &staff(), "").await, ["Ann Lee"]);
}

async fn an_undelete_does_not_give_an_account_a_second_record(records: Records) {
    let first = records.register(&patient()).await;
    records.patients.delete_patient(&auth(), delete(&first.id)).await.unwrap();
    let second = records.register(&patient()).await;
    assert!(records.patients.get_patient(&patient(), get("me")).await.unwrap() == second);
    let back = records.patients.undelete_patient(&admin(), undelete(&first.id)).await;
    assert_fails!(back, Error::UserTaken);
    let change = Patient { etag: "v7".into(), ..a_patient("X", "Y") };
    let stale = records.patients.update_patient(&patient(), update("me", change, &["*"])).await;
    assert_fails!(stale, Error::Resource(ResourceError::Stale));
}

async fn a_service_takes_back_only_what_nobody_owns(records: Records) {
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

async fn a_batch_comes_in_the_order_of_its_ids(records: Records) {
    let a = records.add(&staff(), a_patient("A", "A")).await;
    let b = records.add(&staff(), a_patient("B", "B")).await;
    let foreign = records.add(&other_staff(), a_patient("C", "C")).await;
    let batch = |ids: &[&str], allow_missing| BatchGetPatientsRequest {
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        view: 0,
        allow_missing,
    };
    let got = batch(&[&b.id, &a.id], false);
    let got = records.patients.batch_get_patients(&staff(), got).await.unwrap().patients;
    assert!(got == [b.clone(), a.clone()]);
    let twice = batch(&[&b.id, &a.id, &b.id.to_uppercase()], true);
    let twice = records.patients.batch_get_patients(&staff(), twice).await;
    assert_fails!(twice, Error::Resource(ResourceError::Invalid { .. }));
    let missing =
        records.patients.batch_get_patients(&staff(), batch(&[&a.id, &foreign.id], false)).await;
    assert_fails!(missing, Error::Resource(ResourceError::NotFound));
    let got =
        records.patients.batch_get_patients(&staff(), batch(&[&foreign.id, &a.id], true)).await;
    assert!(got.unwrap().patients == [a]);
}

async fn pages_neither_skip_nor_repeat_while_others_insert(records: Records) {
    let mut expected = Vec::new();
    for n in 0..7 {
        let name = format!("P{n}");
        records.add(&staff(), a_patient(&name, "X")).await;
        expected.push(format!("{name} X"));
    }
    let mut seen = Vec::new();
    let mut request =
        ListPatientsRequest { page_size: 2, include_total_size: true, ..Default::default() };
    for total in 7..11 {
        let page = records.patients.list_patients(&staff(), request.clone()).await.unwrap();
        assert_eq!(page.total_size, Some(total));
        seen.extend(names(&page));
        request.page_token = page.next_page_token;
        records.add(&staff(), a_patient("New", "X")).await;
    }
    seen.truncate(7);
    assert_eq!(seen, expected);
}

async fn a_name_is_found_by_its_beginning_last_names_first(records: Records) {
    for (first, last) in [
        ("Smilla", "Berg"),
        ("Ann", "Smith"),
        ("Smith", "Smart"),
        ("Ann", "Müller"),
        ("SMEDLEY", "Zed"),
        ("Ann", "Small"),
        ("Percent%", "Under_score"),
        ("Bob", "Smith"),
    ] {
        records.add(&staff(), a_patient(first, last)).await;
    }
    records.add(&other_staff(), a_patient("Smog", "Smoke")).await;
    let expected =
        ["Ann Small", "Smith Smart", "Ann Smith", "Bob Smith", "SMEDLEY Zed", "Smilla Berg"];
    assert_eq!(list(&records, &staff(), " sM").await, expected);
    for size in 1..=7 {
        assert_eq!(pages(&records, &staff(), "sm", size).await, expected, "pages of {size}");
    }
    assert_eq!(list(&records, &staff(), "MÜ").await, ["Ann Müller"]);
    assert_eq!(list(&records, &staff(), "percent%").await, ["Percent% Under_score"]);
    assert!(list(&records, &staff(), "%").await.is_empty());
    assert_eq!(pages(&records, &admin(), "smo", 1).await, ["Smog Smoke"]);
    let count = ListPatientsRequest {
        query: "sm".into(),
        page_size: 1,
        include_total_size: true,
        ..Default::default()
    };
    let count = records.patients.list_patients(&staff(), count).await.unwrap();
    assert_eq!(count.total_size, Some(6));
}

async fn a_page_token_belongs_to_its_query(records: Records) {
    for n in 0..3 {
        records.add(&staff(), a_patient("A", &format!("B{n}"))).await;
    }
    let request =
        ListPatientsRequest { page_size: 1, query: "b".into(), ..ListPatientsRequest::default() };
    let token =
        records.patients.list_patients(&staff(), request.clone()).await.unwrap().next_page_token;
    let with = |token: &str| ListPatientsRequest { page_token: token.into(), ..request.clone() };
    for other in [
        ListPatientsRequest { query: "b1".into(), ..with(&token) },
        ListPatientsRequest { query: String::new(), ..with(&token) },
        ListPatientsRequest { show_deleted: true, ..with(&token) },
        with(&token[1..]),
        with("x"),
    ] {
        assert_fails!(
            records.patients.list_patients(&staff(), other).await,
            Error::Resource(ResourceError::PageToken)
        );
    }
    for other in [admin(), user(1, &[Role::Staff, Role::Patient])] {
        assert_fails!(
            records.patients.list_patients(&other, with(&token)).await,
            Error::Resource(ResourceError::PageToken)
        );
    }
    let larger = ListPatientsRequest { page_size: 9, ..with(&token) };
    assert_eq!(records.patients.list_patients(&staff(), larger).await.unwrap().patients.len(), 2);
}

async fn several_roles_see_the_union_once(records: Records) {
    let me = user(1, &[Role::Staff, Role::Patient, Role::Doctor]);
    records.register(&me).await;
    for n in 0..3 {
        records.add(&me, a_patient("Own", &format!("{n}"))).await;
        records.add(&other_staff(), a_patient("Foreign", &format!("{n}"))).await;
    }
    let mut own = pages(&records, &me, "", 2).await;
    own.sort();
    assert_eq!(own, ["Own 0", "Own 1", "Own 2", "Pat Ient"]);
    records.register_doctor(&me, true).await;
    assert_eq!(pages(&records, &me, "", 2).await.len(), 7);
    assert_eq!(pages(&records, &me, "fo", 2).await, ["Foreign 0", "Foreign 1", "Foreign 2"]);
    let page = records.patients.list_patients(&me, ListPatientsRequest::default()).await.unwrap();
    let full = |p: &Patient| p.view == i32::from(PatientView::Full);
    assert_eq!(page.patients.iter().filter(|patient| full(patient)).count(), 4);
    assert!(page.patients.iter().all(|p| full(p) != p.first_name.starts_with("Foreign")));
}

async fn deleted_patients_are_listed_for_who_may_undelete_them(records: Records) {
    let made = records.add(&staff(), a_patient("Ann", "Lee")).await;
    records.patients.delete_patient(&staff(), delete(&made.id)).await.unwrap();
    let own = records.register(&patient()).await;
    records.patients.delete_patient(&admin(), delete(&own.id)).await.unwrap();
    records.register_doctor(&doctor(), true).await;
    for (caller, shown) in
        [(staff(), 1), (admin(), 2), (other_staff(), 0), (patient(), 0), (doctor(), 0)]
    {
        for (show_deleted, shown) in [(true, shown), (false, 0)] {
            let request = ListPatientsRequest {
                show_deleted,
                include_total_size: true,
                ..ListPatientsRequest::default()
            };
            let page = records.patients.list_patients(&caller, request).await.unwrap();
            assert_eq!(page.patients.len(), shown);
            assert_eq!(page.total_size, i64::try_from(shown).ok());
        }
    }
}

async fn a_page_of_long_records_is_read_in_portions(records: Records) {
    // A little more than two portions. The first is already too large for a response.
    let history = "x".repeat(60_000);
    for n in 0..130 {
        let patient =
            Patient { medical_history: history.clone(), ..a_patient("Ann", &format!("Lee {n}")) };
        records.add(&staff(), patient).await;
    }
    let scope = crate::scopes::see_patients(staff().principal(), crate::DoctorPatientView::Basic);
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
async fn a_search_of_many_names_lists_each_match_once(records: Records) {
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
            assert_eq!(pages(&records, &caller, "smi", size).await, expected, "{size}");
        }
    }
    // The numbers of parts are in page tokens, so they must stay the same in later releases.
    let scope = crate::scopes::see_patients(staff().principal(), crate::DoctorPatientView::Basic);
    for (prefix, size, part) in [("", 1, 0), ("smi", 1, 1), ("smi", 70, 1), ("smi", 71, 2)] {
        let list = by_name(&scope, prefix).list(View::Basic);
        let page = list.page::<crate::patients::Patient>(&records.db, size, None).await.unwrap();
        assert_eq!(page.next().unwrap().branch, part, "{prefix} {size}");
    }
}
