//! Tests of doctors.

use clinic_net::Context;
use clinic_proto::records::v1::{
    BatchGetDoctorsRequest, CreateDoctorRequest, DeleteDoctorRequest, Doctor, GetDoctorRequest,
    ListDoctorsRequest, UndeleteDoctorRequest, UpdateDoctorRequest, VerifyDoctorRequest,
};
use clinic_stubs::records::v1::DoctorServiceHandler as _;

use super::{
    Records, a_doctor, admin, assert_fails, auth, doctor, mask, on_both, other_staff, patient,
    staff,
};
use crate::error::Error;
use clinic_resource::Error as ResourceError;

on_both! {
    everybody_sees_doctors_and_their_owners_change_them
    a_license_number_is_unique_among_doctors_that_are_there
    a_doctor_changes_the_own_profile_also_before_it_is_verified
    what_was_verified_is_verified_again_when_it_changes
    only_an_admin_verifies
    filters_combine_with_the_query
    deleted_doctors_are_listed_for_who_may_undelete_them
    unset_values_keep_their_defaults
}

fn get(id: &str) -> GetDoctorRequest {
    GetDoctorRequest { id: id.into() }
}

fn delete(id: &str) -> DeleteDoctorRequest {
    DeleteDoctorRequest { id: id.into(), etag: String::new() }
}

fn update(id: &str, doctor: Doctor, paths: &[&str]) -> UpdateDoctorRequest {
    UpdateDoctorRequest { id: id.into(), doctor: Some(doctor), update_mask: mask(paths) }
}

async fn list(records: &Records, caller: &Context, request: ListDoctorsRequest) -> Vec<String> {
    let total = ListDoctorsRequest { include_total_size: true, page_size: 1, ..request.clone() };
    let total = records.doctors.list_doctors(caller, total).await.unwrap().total_size;
    let mut request = ListDoctorsRequest { page_size: 2, ..request };
    let mut all = Vec::new();
    loop {
        let page = records.doctors.list_doctors(caller, request.clone()).await.unwrap();
        all.extend(page.doctors.into_iter().map(|doctor| doctor.last_name));
        if page.next_page_token.is_empty() {
            assert_eq!(total, i64::try_from(all.len()).ok());
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

async fn everybody_sees_doctors_and_their_owners_change_them(records: Records) {
    let made = records.add_doctor(&staff(), a_doctor("Lee", "L1")).await;
    for caller in [staff(), other_staff(), admin(), doctor(), patient()] {
        assert!(records.doctors.get_doctor(&caller, get(&made.id)).await.unwrap() == made);
        let batch = BatchGetDoctorsRequest { ids: vec![made.id.clone()], ..Default::default() };
        let batch = records.doctors.batch_get_doctors(&caller, batch).await.unwrap();
        assert!(batch.doctors == std::slice::from_ref(&made));
        assert_eq!(list(&records, &caller, ListDoctorsRequest::default()).await, ["Lee"]);
    }
    let change = |etag: &str| {
        let doctor = Doctor { etag: etag.into(), years_of_experience: 9, ..Doctor::default() };
        update(&made.id, doctor, &[])
    };
    for caller in [other_staff(), doctor(), auth()] {
        assert_fails!(
            records.doctors.update_doctor(&caller, change("")).await,
            Error::Resource(ResourceError::NotFound)
        );
        assert_fails!(
            records.doctors.delete_doctor(&caller, delete(&made.id)).await,
            Error::Resource(ResourceError::NotFound)
        );
    }
    let changed = records.doctors.update_doctor(&staff(), change(&made.etag)).await.unwrap();
    assert_eq!((changed.years_of_experience, changed.last_name.as_str()), (9, "Lee"));
    assert_fails!(
        records.doctors.update_doctor(&staff(), change(&made.etag)).await,
        Error::Resource(ResourceError::Stale)
    );
    records.doctors.update_doctor(&admin(), change("")).await.unwrap();
}

async fn a_license_number_is_unique_among_doctors_that_are_there(records: Records) {
    let first = records.add_doctor(&staff(), a_doctor("One", "MD-1")).await;
    let second = records.add_doctor(&staff(), a_doctor("Two", "MD-2")).await;
    let again = |license: &str, request_id: &str| CreateDoctorRequest {
        doctor: Some(a_doctor("Three", license)),
        request_id: request_id.into(),
    };
    let id = "7f0c7a10-0000-4000-8000-000000000001";
    for request_id in ["", id] {
        let taken =
            records.doctors.create_doctor(&other_staff(), again(" md-1 ", request_id)).await;
        assert_fails!(taken, Error::LicenseTaken);
    }
    let change = update(&second.id, a_doctor("Two", "Md-1"), &["license_number"]);
    assert_fails!(records.doctors.update_doctor(&staff(), change).await, Error::LicenseTaken);
    records.doctors.delete_doctor(&staff(), delete(&first.id)).await.unwrap();
    // The failed attempt did not use up the request id.
    records.doctors.create_doctor(&other_staff(), again("MD-1", id)).await.unwrap();
    let back = UndeleteDoctorRequest { id: first.id, etag: String::new() };
    assert_fails!(records.doctors.undelete_doctor(&staff(), back).await, Error::LicenseTaken);
}

async fn a_doctor_changes_the_own_profile_also_before_it_is_verified(records: Records) {
    let unverified = records.register_doctor(&doctor(), false).await;
    assert!(records.doctors.get_doctor(&doctor(), get("me")).await.unwrap() == unverified);
    let change = || {
        let doctor = Doctor { available: Some(false), ..Doctor::default() };
        update("me", doctor, &["available"])
    };
    let changed = records.doctors.update_doctor(&doctor(), change()).await.unwrap();
    assert!(!changed.verified && changed.available == Some(false));
    let verify = VerifyDoctorRequest { id: changed.id, etag: changed.etag };
    records.doctors.verify_doctor(&admin(), verify).await.unwrap();
    let changed = records.doctors.update_doctor(&doctor(), change()).await.unwrap();
    assert!(changed.verified && changed.available == Some(false));
}

async fn what_was_verified_is_verified_again_when_it_changes(records: Records) {
    let made = records.register_doctor(&doctor(), true).await;
    let as_it_was = |license: &str, specialization: &str| Doctor {
        license_number: license.into(),
        specialization: specialization.into(),
        ..made.clone()
    };
    let verify = async || {
        let request = VerifyDoctorRequest { id: made.id.clone(), etag: String::new() };
        records.doctors.verify_doctor(&admin(), request).await.unwrap();
    };
    let change = async |caller: &Context, doctor: Doctor, paths: &[&str]| {
        let doctor = Doctor { etag: String::new(), ..doctor };
        records.doctors.update_doctor(caller, update(&made.id, doctor, paths)).await
    };
    let me = doctor();
    // No change: the same value, another case of the same value, or a field that the mask omits.
    let same = as_it_was(&made.license_number, "CARDIOLOGY");
    assert!(change(&me, same.clone(), &[]).await.unwrap().verified);
    assert!(change(&me, same.clone(), &["*"]).await.unwrap().verified);
    let other = as_it_was("OTHER", "Surgery");
    assert!(change(&me, other.clone(), &["email"]).await.unwrap().verified);
    // An ADMIN confirms the values that they write.
    assert!(change(&admin(), other, &[]).await.unwrap().verified);
    for (paths, license, specialization) in [
        (["license_number"].as_slice(), "L2", ""),
        (&["specialization"], "", "Oncology"),
        (&[], "L3", ""),
        (&["*"], "L3", "Surgery"),
    ] {
        let changed = change(&me, as_it_was(license, specialization), paths).await.unwrap();
        assert!(!changed.verified, "{paths:?}");
        // Another change of the profile does not verify it.
        let again = change(&me, same.clone(), &["email"]).await.unwrap();
        assert!(!again.verified, "{paths:?}");
        verify().await;
    }
}

async fn only_an_admin_verifies(records: Records) {
    let made = records.add_doctor(&staff(), a_doctor("Lee", "L1")).await;
    let verify = |etag: &str| VerifyDoctorRequest { id: made.id.clone(), etag: etag.into() };
    assert_fails!(
        records.doctors.verify_doctor(&staff(), verify("")).await,
        Error::Resource(ResourceError::NotFound)
    );
    assert_fails!(
        records.doctors.verify_doctor(&admin(), verify("v9")).await,
        Error::Resource(ResourceError::Stale)
    );
    let verified = records.doctors.verify_doctor(&admin(), verify(&made.etag)).await.unwrap();
    assert!(verified.verified && verified.etag != made.etag);
    let all = update(&made.id, a_doctor("Lee", "L1"), &["*"]);
    assert!(records.doctors.update_doctor(&staff(), all).await.unwrap().verified);
}

async fn filters_combine_with_the_query(records: Records) {
    for (n, (last, specialization, available)) in [
        ("Adams", "Cardiology", true),
        ("Abel", "CARDIOLOGY", false),
        ("Baker", "Cardiology", true),
        ("Abbot", "Surgery", true),
    ]
    .into_iter()
    .enumerate()
    {
        let doctor = Doctor {
            specialization: specialization.into(),
            available: Some(available),
            ..a_doctor(last, &format!("L{n}"))
        };
        records.add_doctor(&staff(), doctor).await;
    }
    let request = |specialization: &str, available, query: &str| ListDoctorsRequest {
        specialization: specialization.into(),
        available,
        query: query.into(),
        ..ListDoctorsRequest::default()
    };
    for (request, expected) in [
        (request("", None, ""), &["Adams", "Abel", "Baker", "Abbot"][..]),
        (request(" cardiology", None, ""), &["Adams", "Abel", "Baker"]),
        (request("Cardiology", Some(true), ""), &["Adams", "Baker"]),
        (request("", Some(false), ""), &["Abel"]),
        (request("", None, "a"), &["Abbot", "Abel", "Adams"]),
        (request("cardiology", Some(true), "a"), &["Adams"]),
        (request("", None, "doc"), &["Adams", "Abel", "Baker", "Abbot"]),
        (request("Cardio", None, ""), &[]),
    ] {
        assert_eq!(list(&records, &patient(), request).await, expected);
    }
}

async fn deleted_doctors_are_listed_for_who_may_undelete_them(records: Records) {
    records.add_doctor(&other_staff(), a_doctor("Live", "L1")).await;
    let made = records.add_doctor(&staff(), a_doctor("Gone", "L2")).await;
    records.doctors.delete_doctor(&staff(), delete(&made.id)).await.unwrap();
    let shown = ListDoctorsRequest { show_deleted: true, ..ListDoctorsRequest::default() };
    for caller in [staff(), admin()] {
        let mut all = list(&records, &caller, shown.clone()).await;
        all.sort();
        assert_eq!(all, ["Gone", "Live"]);
        assert_eq!(list(&records, &caller, ListDoctorsRequest::default()).await, ["Live"]);
    }
    for caller in [other_staff(), patient(), doctor()] {
        assert_eq!(list(&records, &caller, shown.clone()).await, ["Live"]);
    }
}

async fn unset_values_keep_their_defaults(records: Records) {
    let made = records.add_doctor(&staff(), a_doctor("Lee", "L1")).await;
    assert_eq!((made.available, made.years_of_experience, made.verified), (Some(true), 0, false));
    let given = Doctor {
        available: Some(false),
        years_of_experience: 80,
        consultation_fee: "150.50".into(),
        ..Doctor::default()
    };
    let changed =
        records.doctors.update_doctor(&staff(), update(&made.id, given, &[])).await.unwrap();
    assert_eq!((changed.available, changed.years_of_experience), (Some(false), 80));
    assert_eq!(changed.consultation_fee, "150.50");
    let replaced = update(&made.id, a_doctor("Lee", "L1"), &["*"]);
    let replaced = records.doctors.update_doctor(&staff(), replaced).await.unwrap();
    assert_eq!((replaced.available, replaced.years_of_experience), (Some(true), 0));
}
