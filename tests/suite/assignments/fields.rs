//! Validation of the fields of assignments.

use clinic_proto::assignment::v1::{
    Assignment, CreateAssignmentRequest, EndAssignmentRequest, GetAssignmentRequest,
    ListAssignmentsRequest, ListDoctorPatientsRequest, ListPatientDoctorsRequest,
    UpdateAssignmentRequest,
};
use clinic_testkit::{Suite, assignment, invalid_fields, on_both};

use super::{create_pair, list, update};

/// A field, and a function that makes it invalid.
type Bad = (&'static str, fn(&mut Assignment));

on_both! {
    async fn all_invalid_fields_are_reported_together_and_nothing_is_written(suite: &Suite) {
        let staff = suite.staff().await;
        let bad = Assignment {
            etag: "e".repeat(65),
            patient_id: "me".into(),
            doctor_id: "7".into(),
            reason_for_visit: "a".repeat(501),
            notes: "fast\u{7}ing".into(),
            ..Default::default()
        };
        let named = [
            "assignment.etag",
            "assignment.patient_id",
            "assignment.doctor_id",
            "assignment.reason_for_visit",
            "assignment.notes",
        ];
        let request =
            CreateAssignmentRequest { assignment: Some(bad.clone()), request_id: "7".into() };
        let response = staff.assignments().create_assignment(request).await;
        assert_eq!(invalid_fields(response), [&named[..], &["request_id"]].concat());
        assert!(list(&staff, ListAssignmentsRequest::default()).await.is_empty());

        let [patient, doctor] = create_pair(&staff).await;
        let made = staff.assign(&patient, &doctor).await;
        let response = staff.assignments().update_assignment(update(&made.id, bad, &["*"])).await;
        assert_eq!(invalid_fields(response), named);
        assert_eq!(list(&staff, ListAssignmentsRequest::default()).await, [made]);
    }

    async fn each_invalid_field_is_reported(suite: &Suite) {
        let staff = suite.staff().await;
        let [patient, doctor] = create_pair(&staff).await;
        let bad: [Bad; 9] = [
            ("patient_id", |a| a.patient_id.clear()),
            ("doctor_id", |a| a.doctor_id.clear()),
            ("doctor_id", |a| a.doctor_id = "me".into()),
            ("reason_for_visit", |a| a.reason_for_visit = "é".repeat(501)),
            ("reason_for_visit", |a| a.reason_for_visit = "Fe\0ver".into()),
            ("notes", |a| a.notes = "a".repeat(5001)),
            ("notes", |a| a.notes = "\u{9b}31m".into()),
            ("reason_for_visit", |a| a.reason_for_visit = "Fever\r\nCough".into()),
            ("notes", |a| a.notes = "fasting\r".into()),
        ];
        for (field, spoil) in bad {
            let mut assignment = assignment(&patient, &doctor);
            spoil(&mut assignment);
            let request =
                CreateAssignmentRequest { assignment: Some(assignment), ..Default::default() };
            let response = staff.assignments().create_assignment(request).await;
            assert_eq!(invalid_fields(response), [format!("assignment.{field}")]);
        }
        assert!(list(&staff, ListAssignmentsRequest::default()).await.is_empty());
    }

    async fn text_is_stored_unchanged_except_for_surrounding_whitespace(suite: &Suite) {
        let staff = suite.staff().await;
        let [patient, doctor] = create_pair(&staff).await;
        let given = Assignment {
            reason_for_visit: "  BP <120 & 'Zoë'\n".into(),
            notes: format!("\n{}\t", "\u{1FA7A}".repeat(4998)),
            ..assignment(&patient, &doctor)
        };
        let request = CreateAssignmentRequest { assignment: Some(given), ..Default::default() };
        let made = staff.assignments().create_assignment(request).await.unwrap().into_inner();
        let request = GetAssignmentRequest { id: made.id.clone() };
        let read = staff.assignments().get_assignment(request).await.unwrap().into_inner();
        assert_eq!(read, made);
        assert_eq!(read.reason_for_visit, "BP <120 & 'Zoë'");
        assert_eq!(read.notes, "\u{1FA7A}".repeat(4998));
    }

    async fn missing_or_malformed_request_fields_are_reported(suite: &Suite) {
        let staff = suite.staff().await;
        let mut client = staff.assignments();
        let request = CreateAssignmentRequest::default();
        assert_eq!(invalid_fields(client.create_assignment(request).await), ["assignment"]);
        for id in ["", "7", "me"] {
            let request = GetAssignmentRequest { id: id.into() };
            assert_eq!(invalid_fields(client.get_assignment(request).await), ["id"]);
            let request = UpdateAssignmentRequest { id: id.into(), ..Default::default() };
            assert_eq!(invalid_fields(client.update_assignment(request).await), ["id", "assignment"]);
            let request = EndAssignmentRequest { id: id.into(), etag: "e".repeat(65) };
            assert_eq!(invalid_fields(client.end_assignment(request).await), ["id", "etag"]);
        }
        let request = ListAssignmentsRequest {
            page_size: 501,
            page_token: "t".repeat(2049),
            patient_id: "7".into(),
            doctor_id: "7".into(),
            status: 9,
            ..Default::default()
        };
        assert_eq!(
            invalid_fields(client.list_assignments(request).await),
            ["page_size", "page_token", "patient_id", "doctor_id", "status"]
        );
        let request = ListPatientDoctorsRequest { page_size: -1, status: 9, ..Default::default() };
        assert_eq!(
            invalid_fields(client.list_patient_doctors(request).await),
            ["page_size", "patient_id", "status"]
        );
        let request = ListDoctorPatientsRequest { page_size: -1, status: 9, ..Default::default() };
        assert_eq!(
            invalid_fields(client.list_doctor_patients(request).await),
            ["page_size", "doctor_id", "status"]
        );
    }
}
