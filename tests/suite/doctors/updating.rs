//! Updating doctors.

use chrono::TimeDelta;
use clinic_proto::records::v1::{Doctor, UpdateDoctorRequest};
use clinic_testkit::{Suite, doctor, failure, invalid_fields, mask, on_both};
use tonic::Code;

use super::{get, update};

fn required() -> Doctor {
    Doctor {
        first_name: "Meredith".into(),
        last_name: "Grey".into(),
        specialization: "Surgery".into(),
        license_number: "MD-G".into(),
        ..Default::default()
    }
}

on_both! {
    async fn without_a_mask_only_fields_with_a_value_change(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_doctor(doctor()).await;
        for update_mask in [None, mask(&[])] {
            let change = Doctor { available: Some(false), ..Default::default() };
            let request =
                UpdateDoctorRequest { id: made.id.clone(), doctor: Some(change), update_mask };
            let changed = staff.doctors().update_doctor(request).await.unwrap().into_inner();
            let expected = Doctor {
                available: Some(false),
                etag: changed.etag.clone(),
                updated_at: changed.updated_at,
                ..made.clone()
            };
            assert_eq!(changed, expected);
        }
    }

    async fn the_update_mask_star_replaces_all_mutable_fields(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_doctor(Doctor { available: Some(false), ..doctor() }).await;
        let response =
            staff.doctors().update_doctor(update(&made.id, Doctor::default(), &["*"])).await;
        assert_eq!(
            invalid_fields(response),
            [
                "doctor.first_name",
                "doctor.last_name",
                "doctor.specialization",
                "doctor.license_number"
            ]
        );
        let changed = staff.doctors().update_doctor(update(&made.id, required(), &["*"])).await;
        let changed = changed.unwrap().into_inner();
        let expected = Doctor {
            id: made.id.clone(),
            etag: changed.etag.clone(),
            created_at: made.created_at,
            updated_at: changed.updated_at,
            owner_id: made.owner_id.clone(),
            // The default, as in Create.
            available: Some(true),
            ..required()
        };
        assert_eq!(changed, expected);
    }

    async fn a_mask_sets_its_fields_and_clears_those_without_a_value(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_doctor(doctor()).await;
        let paths = ["years_of_experience", "consultation_fee", "specialization"];
        let changed = staff.doctors().update_doctor(update(&made.id, required(), &paths)).await;
        let changed = changed.unwrap().into_inner();
        let expected = Doctor {
            years_of_experience: 0,
            consultation_fee: String::new(),
            specialization: "Surgery".into(),
            etag: changed.etag.clone(),
            updated_at: changed.updated_at,
            ..made
        };
        assert_eq!(changed, expected);
    }

    async fn an_update_mask_with_an_immutable_or_unknown_field_is_refused(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_doctor(doctor()).await;
        for path in [
            "id",
            "etag",
            "created_at",
            "updated_at",
            "deleted_at",
            "owner_id",
            "verified",
            "user_id",
            "nonsense",
            "",
            "doctor.email",
        ] {
            let request = update(&made.id, required(), &["email", path]);
            assert_eq!(
                invalid_fields(staff.doctors().update_doctor(request).await),
                ["update_mask"],
                "{path}"
            );
        }
        let request = update(&made.id, required(), &["email", "*"]);
        assert_eq!(invalid_fields(staff.doctors().update_doctor(request).await), ["update_mask"]);
        let read = staff.doctors().get_doctor(get(&made.id)).await.unwrap().into_inner();
        assert_eq!(read, made);
    }

    async fn an_update_that_changes_nothing_writes_nothing(suite: &Suite) {
        let house = suite.verified_doctor().await;
        let (staff, admin) = (suite.staff().await, suite.admin().await);
        let owned = staff.create_doctor(doctor()).await;
        let mine = house.doctors().get_doctor(get("me")).await.unwrap().into_inner();
        suite.clock.advance(TimeDelta::minutes(1));
        for (by, made) in [(&staff, &owned), (&admin, &owned), (&house, &mine)] {
            for (etag, paths) in [
                ("", &[][..]),
                (made.etag.as_str(), &["*"]),
                (&made.etag, &["license_number", "available", "years_of_experience"]),
            ] {
                let same = Doctor { etag: etag.into(), ..made.clone() };
                let response = by.doctors().update_doctor(update(&made.id, same, paths)).await;
                assert_eq!(response.unwrap().into_inner(), *made, "{paths:?}");
            }
            let stale = Doctor { etag: "v77".into(), ..made.clone() };
            let stale = failure(by.doctors().update_doctor(update(&made.id, stale, &[])).await);
            assert_eq!((stale.code, stale.reason.as_str()), (Code::Aborted, "STALE_ETAG"));
        }
    }

    async fn create_and_update_cannot_set_verified(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_doctor(Doctor { verified: true, ..doctor() }).await;
        assert!(!made.verified);
        let change = Doctor { verified: true, ..required() };
        let paths: [&[&str]; 2] = [&[], &["*"]];
        for paths in paths {
            let changed =
                staff.doctors().update_doctor(update(&made.id, change.clone(), paths)).await;
            assert!(!changed.unwrap().into_inner().verified);
        }
    }

    async fn unverified_doctors_may_update_only_their_own_profile(suite: &Suite) {
        let (house, other) = (suite.unverified_doctor().await, suite.unverified_doctor().await);
        for (id, license_number) in [("me", "MD-1"), (house.profile_id.as_str(), "MD-2")] {
            let license_number = license_number.to_owned();
            let change = Doctor { license_number: license_number.clone(), ..Default::default() };
            let response = house.doctors().update_doctor(update(id, change.clone(), &[])).await;
            let changed = response.unwrap().into_inner();
            assert_eq!((changed.id.as_str(), changed.verified), (house.profile_id.as_str(), false));
            assert_eq!(changed.license_number, license_number);
            // Other doctors may not change it.
            let theirs = update(&house.profile_id, change, &[]);
            let refused = failure(other.doctors().update_doctor(theirs).await);
            assert_eq!(refused.code, Code::NotFound);
        }
    }

    async fn verified_doctors_may_update_only_their_own_profile(suite: &Suite) {
        let change = || Doctor { qualifications: "MD, PhD".into(), ..Default::default() };
        let (house, other) = (suite.verified_doctor().await, suite.verified_doctor().await);
        for id in ["me", house.profile_id.as_str()] {
            let changed = house.doctors().update_doctor(update(id, change(), &[])).await.unwrap();
            let changed = changed.into_inner();
            assert_eq!((changed.id.as_str(), changed.verified), (house.profile_id.as_str(), true));
            assert_eq!(changed.qualifications, "MD, PhD");
        }
        let response = other.doctors().update_doctor(update(&house.profile_id, change(), &[])).await;
        assert_eq!(failure(response).code, Code::NotFound);
    }
}
