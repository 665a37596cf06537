//! A Create that is sent twice.

use std::fmt::Debug;

use chrono::TimeDelta;
use clinic_proto::assignment::v1::{Assignment, CreateAssignmentRequest};
use clinic_proto::records::v1::{
    CreateDoctorRequest, CreatePatientRequest, DeleteDoctorRequest, DeletePatientRequest, Doctor,
    ListPatientsRequest, Patient,
};
use clinic_testkit::{assignment, doctor, failure, on_both, patient};
use tonic::{Code, Response, Status};

fn assert_reused<T: Debug>(answer: Result<Response<T>, Status>) {
    let refused = failure(answer);
    let (code, reason) = (refused.code, refused.reason.as_str());
    assert_eq!((code, reason), (Code::InvalidArgument, "REQUEST_ID_REUSED"));
}

on_both! {
    async fn the_same_request_again_gives_the_first_result(suite: &Suite) {
        let staff = suite.staff().await;
        let request_id = suite.clock.new_id().to_string();
        let request =
            CreatePatientRequest { patient: Some(patient()), request_id: request_id.clone() };
        let first = staff.patients().create_patient(request.clone()).await.unwrap().into_inner();
        suite.clock.advance(TimeDelta::minutes(10));
        let again = staff.patients().create_patient(request.clone()).await.unwrap().into_inner();
        assert_eq!(again, first);
        // Without regard to how the UUID is written.
        let request = CreatePatientRequest { request_id: request_id.to_uppercase(), ..request };
        let again = staff.patients().create_patient(request).await.unwrap().into_inner();
        assert_eq!(again, first);
        let listed = staff.patients().list_patients(ListPatientsRequest::default()).await.unwrap();
        assert_eq!(listed.into_inner().patients, [first]);
    }

    async fn other_content_under_the_same_id_is_refused(suite: &Suite) {
        let staff = suite.staff().await;
        let request_id = suite.clock.new_id().to_string();
        let create = |patient| CreatePatientRequest {
            patient: Some(patient),
            request_id: request_id.clone(),
        };
        let made = staff.patients().create_patient(create(patient())).await.unwrap().into_inner();
        let other = Patient { gender: "O".into(), ..patient() };
        assert_reused(staff.patients().create_patient(create(other)).await);

        let create =
            |doctor| CreateDoctorRequest { doctor: Some(doctor), request_id: request_id.clone() };
        let given = doctor();
        let healer =
            staff.doctors().create_doctor(create(given.clone())).await.unwrap().into_inner();
        let other = Doctor { available: Some(false), ..given };
        assert_reused(staff.doctors().create_doctor(create(other)).await);

        let create = |assignment| CreateAssignmentRequest {
            assignment: Some(assignment),
            request_id: request_id.clone(),
        };
        let given = assignment(&made.id, &healer.id);
        staff.assignments().create_assignment(create(given.clone())).await.unwrap();
        let other = Assignment { notes: "eating".into(), ..given };
        assert_reused(staff.assignments().create_assignment(create(other)).await);
        let listed = staff.patients().list_patients(ListPatientsRequest::default()).await.unwrap();
        assert_eq!(listed.into_inner().patients, [made]);
    }

    async fn everybody_has_request_ids_of_his_own(suite: &Suite) {
        let (staff, other) = (suite.staff().await, suite.staff().await);
        let request_id = suite.clock.new_id().to_string();
        let request = CreatePatientRequest { patient: Some(patient()), request_id };
        let mine = staff.patients().create_patient(request.clone()).await.unwrap().into_inner();
        let theirs = other.patients().create_patient(request).await.unwrap().into_inner();
        assert_ne!(mine.id, theirs.id);
        assert_eq!(theirs.owner_id, other.user.id);
    }

    async fn an_invalid_request_does_not_use_up_its_id(suite: &Suite) {
        let staff = suite.staff().await;
        let request_id = suite.clock.new_id().to_string();
        let create = |patient| CreatePatientRequest {
            patient: Some(patient),
            request_id: request_id.clone(),
        };
        let bad = Patient { gender: "X".into(), ..patient() };
        let refused = failure(staff.patients().create_patient(create(bad)).await);
        assert_eq!(refused.reason, "INVALID_FIELD");
        staff.patients().create_patient(create(patient())).await.unwrap();
    }

    async fn a_retry_is_answered_whatever_has_happened_to_patient_and_doctor(suite: &Suite) {
        let staff = suite.staff().await;
        let p = staff.create_patient(patient()).await.id;
        let d = staff.create_doctor(doctor()).await.id;
        let request_id = suite.clock.new_id().to_string();
        let request = CreateAssignmentRequest { assignment: Some(assignment(&p, &d)), request_id };
        let made =
            staff.assignments().create_assignment(request.clone()).await.unwrap().into_inner();
        let gone = DeleteDoctorRequest { id: d, ..Default::default() };
        staff.doctors().delete_doctor(gone).await.unwrap();
        let again =
            staff.assignments().create_assignment(request.clone()).await.unwrap().into_inner();
        assert_eq!(again, made);
        let gone = DeletePatientRequest { id: p, ..Default::default() };
        staff.patients().delete_patient(gone).await.unwrap();
        let again = staff.assignments().create_assignment(request).await.unwrap().into_inner();
        assert_eq!(again, made);
    }
}
