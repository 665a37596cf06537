//! Verifying self-registered doctors.

use chrono::TimeDelta;
use clinic_proto::records::v1::{Doctor, ListPatientsRequest, VerifyDoctorRequest};
use clinic_testkit::{Account, Suite, doctor, failure, on_both, patient};
use tonic::Code;

use super::{delete, get, update};

fn verify(id: &str) -> VerifyDoctorRequest {
    VerifyDoctorRequest { id: id.into(), ..Default::default() }
}

on_both! {
    async fn verification_takes_effect_without_a_new_token(suite: &Suite) {
        let (house, staff) = (suite.unverified_doctor().await, suite.staff().await);
        let before = house.doctors().get_doctor(get("me")).await.unwrap().into_inner();
        assert_eq!((before.verified, before.owner_id.as_str()), (false, ""));
        staff.create_patient(patient()).await;
        let everyone = ListPatientsRequest::default();
        let seen = house.patients().list_patients(everyone.clone()).await.unwrap().into_inner();
        assert!(seen.patients.is_empty());

        let admin = suite.admin().await;
        let verified =
            admin.doctors().verify_doctor(verify(&before.id)).await.unwrap().into_inner();
        let expected = Doctor {
            verified: true,
            etag: verified.etag.clone(),
            updated_at: verified.updated_at,
            ..before.clone()
        };
        assert_eq!(verified, expected);
        assert_ne!(verified.etag, before.etag);
        // The old access token is enough.
        let seen = house.patients().list_patients(everyone).await.unwrap().into_inner();
        assert_eq!(seen.patients.len(), 1);
    }

    async fn verifying_a_verified_doctor_changes_nothing(suite: &Suite) {
        let (house, admin) = (suite.verified_doctor().await, suite.admin().await);
        let before = house.doctors().get_doctor(get("me")).await.unwrap().into_inner();
        suite.clock.advance(TimeDelta::minutes(1));
        for etag in ["", before.etag.as_str()] {
            let request = VerifyDoctorRequest { id: before.id.clone(), etag: etag.into() };
            let again = admin.doctors().verify_doctor(request).await.unwrap().into_inner();
            assert_eq!(again, before);
        }
        let request = VerifyDoctorRequest { id: before.id, etag: "v1".into() };
        let stale = failure(admin.doctors().verify_doctor(request).await);
        assert_eq!((stale.code, stale.reason.as_str()), (Code::Aborted, "STALE_ETAG"));
    }

    async fn changing_the_license_or_specialization_ends_the_verification(suite: &Suite) {
        let (house, admin) = (suite.verified_doctor().await, suite.admin().await);
        let made = house.doctors().get_doctor(get("me")).await.unwrap().into_inner();
        let with = |license: &str, specialization: &str| Doctor {
            license_number: license.into(),
            specialization: specialization.into(),
            etag: String::new(),
            ..made.clone()
        };
        let change = async |by: &Account, doctor: Doctor, paths: &[&str]| {
            let response = by.doctors().update_doctor(update(&made.id, doctor, paths)).await;
            response.unwrap().into_inner().verified
        };
        // No change: the same value, another case of the same value, or a field that the mask omits.
        let same = with(&made.license_number, "CARDIOLOGY");
        assert!(change(&house, same.clone(), &[]).await);
        assert!(change(&house, same.clone(), &["*"]).await);
        let other = with("OTHER", "Surgery");
        assert!(change(&house, other.clone(), &["email"]).await);
        // An ADMIN confirms the values that they write.
        assert!(change(&admin, other, &[]).await);
        for (paths, license, specialization) in [
            (&["license_number"][..], "L2", ""),
            (&["specialization"], "", "Oncology"),
            (&[], "L3", ""),
            (&["*"], "L3", "Surgery"),
        ] {
            assert!(!change(&house, with(license, specialization), paths).await, "{paths:?}");
            // Another change of the profile does not verify it.
            assert!(!change(&house, same.clone(), &["email"]).await, "{paths:?}");
            admin.doctors().verify_doctor(verify(&made.id)).await.unwrap();
        }
    }

    async fn an_update_by_the_owner_does_not_end_the_verification(suite: &Suite) {
        let (staff, admin) = (suite.staff().await, suite.admin().await);
        let made = staff.create_doctor(doctor()).await;
        admin.doctors().verify_doctor(verify(&made.id)).await.unwrap();
        let change = Doctor { etag: String::new(), qualifications: "PhD".into(), ..made.clone() };
        let changed = staff.doctors().update_doctor(update(&made.id, change, &["*"])).await;
        assert!(changed.unwrap().into_inner().verified);
    }

    async fn verifying_with_the_etag_of_an_older_profile_is_refused(suite: &Suite) {
        let (house, admin) = (suite.unverified_doctor().await, suite.admin().await);
        let checked = admin.doctors().get_doctor(get(&house.profile_id)).await.unwrap();
        let change = Doctor { license_number: "MD-OTHER".into(), ..Default::default() };
        house.doctors().update_doctor(update("me", change, &[])).await.unwrap();
        let request =
            VerifyDoctorRequest { id: house.profile_id.clone(), etag: checked.into_inner().etag };
        let stale = failure(admin.doctors().verify_doctor(request).await);
        assert_eq!(stale.reason, "STALE_ETAG");
        let mine = house.doctors().get_doctor(get("me")).await.unwrap().into_inner();
        assert!(!mine.verified);
    }

    async fn verifying_with_a_stale_etag_or_a_deleted_doctor_is_refused(suite: &Suite) {
        let (staff, admin) = (suite.staff().await, suite.admin().await);
        let made = staff.create_doctor(doctor()).await;
        let request = VerifyDoctorRequest { id: made.id.clone(), etag: "v7".into() };
        let stale = failure(admin.doctors().verify_doctor(request).await);
        assert_eq!((stale.code, stale.reason.as_str()), (Code::Aborted, "STALE_ETAG"));
        staff.doctors().delete_doctor(delete(&made.id)).await.unwrap();
        let gone = failure(admin.doctors().verify_doctor(verify(&made.id)).await);
        assert_eq!(gone.code, Code::NotFound);
    }
}
