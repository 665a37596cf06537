//! Updating assignments.

use chrono::TimeDelta;
use clinic_proto::assignment::v1::{Assignment, GetAssignmentRequest, UpdateAssignmentRequest};
use clinic_testkit::{Account, Suite, failure, invalid_fields, on_both};
use tonic::Code;

use super::{create_pair, end, update};

fn texts(reason_for_visit: &str, notes: &str) -> Assignment {
    Assignment {
        reason_for_visit: reason_for_visit.into(),
        notes: notes.into(),
        ..Default::default()
    }
}

async fn change(by: &Account, request: UpdateAssignmentRequest) -> [String; 2] {
    let changed = by.assignments().update_assignment(request).await.unwrap().into_inner();
    [changed.reason_for_visit, changed.notes]
}

on_both! {
    async fn the_update_mask_selects_the_fields_that_change(suite: &Suite) {
        let staff = suite.staff().await;
        let [p, d] = create_pair(&staff).await;
        let made = staff.assign(&p, &d).await;
        let id = made.id.as_str();
        // Without a mask, only fields with a value change.
        let request =
            UpdateAssignmentRequest { update_mask: None, ..update(id, texts("A", ""), &[]) };
        assert_eq!(change(&staff, request).await, ["A", "fasting"]);
        assert_eq!(change(&staff, update(id, texts("", "N"), &[])).await, ["A", "N"]);
        assert_eq!(
            change(&staff, update(id, texts("B", "x"), &["reason_for_visit"])).await,
            ["B", "N"]
        );
        assert_eq!(change(&staff, update(id, texts("x", ""), &["notes"])).await, ["B", ""]);
        assert_eq!(change(&staff, update(id, texts("", " M "), &["*"])).await, ["", "M"]);
        let paths = ["notes", "reason_for_visit"];
        assert_eq!(change(&staff, update(id, texts("C", "O"), &paths)).await, ["C", "O"]);
    }

    async fn an_update_mask_with_an_immutable_or_unknown_field_is_refused(suite: &Suite) {
        let staff = suite.staff().await;
        let [p, d] = create_pair(&staff).await;
        let made = staff.assign(&p, &d).await;
        for path in [
            "id",
            "etag",
            "created_at",
            "updated_at",
            "deleted_at",
            "patient_id",
            "doctor_id",
            "assigned_by",
            "status",
            "started_at",
            "ended_at",
            "nonsense",
            "",
        ] {
            let request = update(&made.id, texts("A", "N"), &["notes", path]);
            let response = staff.assignments().update_assignment(request).await;
            assert_eq!(invalid_fields(response), ["update_mask"], "{path}");
        }
        let request = update(&made.id, texts("A", "N"), &["*", "notes"]);
        assert_eq!(invalid_fields(staff.assignments().update_assignment(request).await), ["update_mask"]);
        let request = GetAssignmentRequest { id: made.id.clone() };
        let read = staff.assignments().get_assignment(request).await.unwrap().into_inner();
        assert_eq!(read, made);
    }

    async fn an_update_cannot_change_patient_doctor_or_status(suite: &Suite) {
        let staff = suite.staff().await;
        let [p, d] = create_pair(&staff).await;
        let made = staff.assign(&p, &d).await;
        let [other_patient, other_doctor] = create_pair(&staff).await;
        let foreign = Assignment {
            patient_id: made.patient_id.to_uppercase(),
            doctor_id: made.doctor_id.clone(),
            status: 2,
            ended_at: made.created_at,
            ..texts("A", "N")
        };
        let paths: [&[&str]; 2] = [&[], &["*"]];
        for paths in paths {
            let request = update(&made.id, foreign.clone(), paths);
            let changed =
                staff.assignments().update_assignment(request).await.unwrap().into_inner();
            let expected = Assignment {
                etag: changed.etag.clone(),
                updated_at: changed.updated_at,
                reason_for_visit: "A".into(),
                notes: "N".into(),
                ..made.clone()
            };
            assert_eq!(changed, expected);
        }
        // Another patient or doctor is refused rather than ignored.
        let patient = Assignment { patient_id: other_patient, ..texts("B", "") };
        let doctor = Assignment { doctor_id: other_doctor, ..texts("B", "") };
        for (foreign, field) in [(patient, "patient_id"), (doctor, "doctor_id")] {
            for paths in [&[], &["*"], &["notes"]] as [&[&str]; 3] {
                let request = update(&made.id, foreign.clone(), paths);
                let response = staff.assignments().update_assignment(request).await;
                assert_eq!(invalid_fields(response), [format!("assignment.{field}")]);
            }
        }
        let request = GetAssignmentRequest { id: made.id.clone() };
        let read = staff.assignments().get_assignment(request).await.unwrap().into_inner();
        assert_eq!(read.reason_for_visit, "A");
    }

    async fn an_update_that_changes_nothing_writes_nothing(suite: &Suite) {
        let staff = suite.staff().await;
        let [p, d] = create_pair(&staff).await;
        let made = staff.assign(&p, &d).await;
        suite.clock.advance(TimeDelta::minutes(1));
        for (etag, paths) in
            [("", &[][..]), (made.etag.as_str(), &["*"]), (&made.etag, &["notes"])]
        {
            for same in [made.clone(), texts(&made.reason_for_visit, &format!("{}\n", made.notes))]
            {
                let same = Assignment { etag: etag.into(), ..same };
                let request = update(&made.id, same, paths);
                let response = staff.assignments().update_assignment(request).await.unwrap();
                assert_eq!(response.into_inner(), made, "{paths:?}");
            }
        }
        let stale = update(&made.id, Assignment { etag: "v77".into(), ..made.clone() }, &[]);
        let stale = failure(staff.assignments().update_assignment(stale).await);
        assert_eq!((stale.code, stale.reason.as_str()), (Code::Aborted, "STALE_ETAG"));
    }

    async fn an_update_with_a_stale_etag_is_refused(suite: &Suite) {
        let staff = suite.staff().await;
        let [p, d] = create_pair(&staff).await;
        let made = staff.assign(&p, &d).await;
        let request =
            |etag: &str| update(&made.id, Assignment { etag: etag.into(), ..texts("A", "N") }, &[]);
        staff.assignments().update_assignment(request(&made.etag)).await.unwrap();
        for etag in [made.etag.as_str(), "x"] {
            let stale = failure(staff.assignments().update_assignment(request(etag)).await);
            assert_eq!((stale.code, stale.reason.as_str()), (Code::Aborted, "STALE_ETAG"));
        }
    }

    async fn an_ended_assignment_cannot_be_updated(suite: &Suite) {
        let staff = suite.staff().await;
        let [p, d] = create_pair(&staff).await;
        let made = staff.assign(&p, &d).await;
        let ended = staff.assignments().end_assignment(end(&made.id)).await.unwrap().into_inner();
        for account in [&staff, &suite.admin().await] {
            for etag in ["", made.etag.as_str(), ended.etag.as_str()] {
                let change = Assignment { etag: etag.into(), ..texts("A", "N") };
                let response =
                    account.assignments().update_assignment(update(&made.id, change, &[])).await;
                let refused = failure(response);
                let (code, reason) = (refused.code, refused.reason.as_str());
                assert_eq!((code, reason), (Code::FailedPrecondition, "ASSIGNMENT_ENDED"));
            }
        }
        let request = GetAssignmentRequest { id: made.id };
        let read = staff.assignments().get_assignment(request).await.unwrap().into_inner();
        assert_eq!(read, ended);
    }
}
