//! Updating patients.

use chrono::TimeDelta;
use clinic_proto::records::v1::{Patient, PatientView, UpdatePatientRequest};
use clinic_testkit::{Suite, failure, invalid_fields, mask, on_both, patient};
use tonic::Code;

use super::{delete, get, named, update};

on_both! {
    async fn without_a_mask_only_fields_with_a_value_change(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(patient()).await;
        let change = Patient { gender: "O".into(), ..Default::default() };
        for update_mask in [None, mask(&[])] {
            let patient = Some(change.clone());
            let request = UpdatePatientRequest { id: made.id.clone(), patient, update_mask };
            let changed = staff.patients().update_patient(request).await.unwrap().into_inner();
            let expected = Patient {
                gender: "O".into(),
                etag: changed.etag.clone(),
                updated_at: changed.updated_at,
                ..made.clone()
            };
            assert_eq!(changed, expected);
        }
    }

    async fn the_update_mask_star_replaces_all_mutable_fields(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(patient()).await;
        let request = update(&made.id, Patient::default(), &["*"]);
        let response = staff.patients().update_patient(request).await;
        assert_eq!(invalid_fields(response), ["patient.first_name", "patient.last_name"]);
        let request = update(&made.id, named("Grace", "Hopper"), &["*"]);
        let changed = staff.patients().update_patient(request).await.unwrap().into_inner();
        let expected = Patient {
            id: made.id.clone(),
            etag: changed.etag.clone(),
            created_at: made.created_at,
            updated_at: changed.updated_at,
            owner_id: made.owner_id.clone(),
            view: PatientView::Full.into(),
            ..named("Grace", "Hopper")
        };
        assert_eq!(changed, expected);
        let read = staff.patients().get_patient(get(&made.id)).await.unwrap().into_inner();
        assert_eq!(read, changed);
    }

    async fn a_mask_sets_its_fields_and_clears_those_without_a_value(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(patient()).await;
        let paths = ["last_name", "date_of_birth", "medical_history"];
        let request = update(&made.id, named("Not", "Byron"), &paths);
        let changed = staff.patients().update_patient(request).await.unwrap().into_inner();
        let expected = Patient {
            last_name: "Byron".into(),
            date_of_birth: String::new(),
            medical_history: String::new(),
            etag: changed.etag.clone(),
            updated_at: changed.updated_at,
            ..made
        };
        assert_eq!(changed, expected);
    }

    async fn an_update_mask_with_an_immutable_or_unknown_field_is_refused(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(patient()).await;
        let output = ["id", "etag", "created_at", "updated_at", "deleted_at", "owner_id", "view"];
        let unknown = ["user_id", "nonsense", "", "patient.gender", "Gender", "gender.x"];
        for path in output.into_iter().chain(unknown) {
            let request = update(&made.id, named("Grace", "Hopper"), &["gender", path]);
            let response = staff.patients().update_patient(request).await;
            assert_eq!(invalid_fields(response), ["update_mask"], "{path}");
        }
        let request = update(&made.id, named("Grace", "Hopper"), &["*", "gender"]);
        assert_eq!(invalid_fields(staff.patients().update_patient(request).await), ["update_mask"]);
        let read = staff.patients().get_patient(get(&made.id)).await.unwrap().into_inner();
        assert_eq!(read, made);
    }

    async fn output_only_fields_of_a_request_are_ignored(suite: &Suite) {
        let (staff, other) = (suite.staff().await, suite.staff().await);
        let foreign = Patient {
            id: other.user.id.clone(),
            owner_id: other.user.id.clone(),
            created_at: other.user.created_at.map(|at| prost_types::Timestamp { seconds: 7, ..at }),
            deleted_at: other.user.created_at,
            view: PatientView::Basic.into(),
            ..patient()
        };
        let made = staff.create_patient(foreign.clone()).await;
        assert_ne!(made.id, foreign.id);
        assert_eq!(made.owner_id, staff.user.id);
        assert_eq!(made.view(), PatientView::Full);
        assert!(made.deleted_at.is_none() && made.created_at != foreign.created_at);
        let paths: [&[&str]; 2] = [&[], &["*"]];
        for paths in paths {
            let request = update(&made.id, foreign.clone(), paths);
            let changed = staff.patients().update_patient(request).await.unwrap().into_inner();
            let expected = Patient {
                etag: changed.etag.clone(),
                updated_at: changed.updated_at,
                ..made.clone()
            };
            assert_eq!(changed, expected);
            // The `user_id` of another account is refused.
            let foreign = Patient { user_id: other.user.id.clone(), ..foreign.clone() };
            let response = staff.patients().update_patient(update(&made.id, foreign, paths)).await;
            assert_eq!(invalid_fields(response), ["patient.user_id"]);
        }
    }

    async fn every_change_sets_a_new_etag_and_updated_at(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(patient()).await;
        assert_eq!(made.created_at, made.updated_at);
        let mut etags = vec![made.etag.clone()];
        let mut updated = made.updated_at.unwrap();
        for gender in ["O", "M", "O"] {
            suite.clock.advance(TimeDelta::minutes(1));
            let change = Patient { gender: gender.into(), ..Default::default() };
            let changed = staff.patients().update_patient(update(&made.id, change, &[])).await;
            let changed = changed.unwrap().into_inner();
            assert_eq!(changed.created_at, made.created_at);
            assert!(changed.updated_at.unwrap().seconds >= updated.seconds + 60);
            assert!(!etags.contains(&changed.etag));
            updated = changed.updated_at.unwrap();
            etags.push(changed.etag);
        }
    }

    async fn an_update_that_changes_nothing_writes_nothing(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(patient()).await;
        suite.clock.advance(TimeDelta::minutes(1));
        // With every kind of mask, and with spaces that are trimmed.
        let spaced = Patient { first_name: format!(" {} ", made.first_name), ..patient() };
        let few = Patient { gender: made.gender.clone(), ..Default::default() };
        for etag in ["", made.etag.as_str()] {
            for (same, paths) in [
                (patient(), &[][..]),
                (made.clone(), &[]),
                (patient(), &["*"]),
                (spaced.clone(), &["first_name", "medical_history"]),
                (few.clone(), &[]),
                (Patient::default(), &[]),
            ] {
                let same = Patient { etag: etag.into(), ..same };
                let response = staff.patients().update_patient(update(&made.id, same, paths)).await;
                assert_eq!(response.unwrap().into_inner(), made, "{paths:?}");
            }
        }
        // The etag is still valid for another editor.
        let change = Patient { gender: "O".into(), etag: made.etag.clone(), ..Default::default() };
        let changed = staff.patients().update_patient(update(&made.id, change, &[])).await;
        let changed = changed.unwrap().into_inner();
        // A stale etag is a conflict even if nothing would change.
        let same = Patient { etag: made.etag, ..changed.clone() };
        for paths in [&[][..], &["*"], &["gender"]] {
            let request = update(&made.id, same.clone(), paths);
            let stale = failure(staff.patients().update_patient(request).await);
            assert_eq!((stale.code, stale.reason.as_str()), (Code::Aborted, "STALE_ETAG"));
        }
        let read = staff.patients().get_patient(get(&made.id)).await.unwrap().into_inner();
        assert_eq!(read, changed);
    }

    async fn an_optional_field_can_be_set_and_cleared(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(named("Ann", "Lee")).await;
        let born = |day: &str| Patient { date_of_birth: day.into(), ..Default::default() };
        let mut before = made;
        for (day, changes) in [("", false), ("1980-02-29", true), ("1980-02-29", false), ("", true)]
        {
            let request = update(&before.id, born(day), &["date_of_birth"]);
            let after = staff.patients().update_patient(request).await.unwrap().into_inner();
            assert_eq!(after.date_of_birth, day);
            assert_eq!(after.etag != before.etag, changes, "{day}");
            before = after;
        }
    }

    async fn update_and_delete_with_a_stale_etag_are_refused(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(patient()).await;
        let change = |etag: &str| {
            let patient = Patient { gender: "O".into(), etag: etag.into(), ..Default::default() };
            update(&made.id, patient, &[])
        };
        let current = staff.patients().update_patient(change(&made.etag)).await.unwrap();
        let current = current.into_inner();
        for etag in [made.etag.as_str(), "x", "v", " "] {
            let stale = failure(staff.patients().update_patient(change(etag)).await);
            assert_eq!((stale.code, stale.reason.as_str()), (Code::Aborted, "STALE_ETAG"));
            let mut request = delete(&made.id);
            request.etag = etag.into();
            let stale = failure(staff.patients().delete_patient(request).await);
            assert_eq!((stale.code, stale.reason.as_str()), (Code::Aborted, "STALE_ETAG"));
        }
        let mut request = delete(&made.id);
        request.etag = current.etag;
        staff.patients().delete_patient(request).await.unwrap();
    }

    async fn patients_may_update_their_own_record_by_me_or_by_id(suite: &Suite) {
        let ann = suite.patient().await;
        for (id, gender) in [("me", "O"), (ann.profile_id.as_str(), "M")] {
            let change = Patient { gender: gender.into(), ..Default::default() };
            let changed = ann.patients().update_patient(update(id, change, &["gender"])).await;
            let changed = changed.unwrap().into_inner();
            assert_eq!(
                (changed.id.as_str(), changed.gender.as_str()),
                (ann.profile_id.as_str(), gender)
            );
            assert_eq!((changed.user_id, changed.owner_id), (ann.user.id.clone(), String::new()));
        }
        // With id `me`, a `user_id` in the request must be the caller's own.
        let other = suite.patient().await;
        for (user_id, found) in [(&ann.user.id, true), (&other.user.id, false)] {
            let whose = Patient { user_id: user_id.clone(), ..patient() };
            let response = ann.patients().update_patient(update("me", whose, &["gender"])).await;
            assert_eq!(response.is_ok(), found);
            assert!(found || failure(response).code == Code::NotFound);
        }
        let response =
            suite.staff().await.patients().update_patient(update("me", patient(), &[])).await;
        assert_eq!(failure(response).code, Code::NotFound);
    }
}
