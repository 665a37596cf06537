//! Request ids, which make Create idempotent.

use std::fmt::Debug;

use chrono::TimeDelta;
use clinic_proto::access::v1::Role;
use clinic_proto::assignment::v1::{
    Assignment, CreateAssignmentRequest, EndAssignmentRequest, GetAssignmentRequest,
};
use clinic_proto::records::v1::{
    CreateDoctorRequest, CreatePatientRequest, DeleteDoctorRequest, DeletePatientRequest, Doctor,
    GetPatientRequest, ListPatientsRequest, Patient, UndeletePatientRequest, UpdatePatientRequest,
};
use clinic_testkit::{Suite, assignment, doctor, failure, on_both, patient, visible_error};
use tonic::{Code, Response, Status};

fn assert_reused<T: Debug>(response: Result<Response<T>, Status>) {
    let refused = failure(response);
    let (code, reason) = (refused.code, refused.reason.as_str());
    assert_eq!((code, reason), (Code::InvalidArgument, "REQUEST_ID_REUSED"));
}

on_both! {
    async fn a_retry_creates_nothing_and_gets_the_same_response(suite: &Suite) {
        let staff = suite.staff().await;
        let request_id = suite.clock.new_id().to_string();
        let request =
            CreatePatientRequest { patient: Some(patient()), request_id: request_id.clone() };
        let first = staff.patients().create_patient(request.clone()).await.unwrap().into_inner();
        suite.clock.advance(TimeDelta::minutes(10));
        let again = staff.patients().create_patient(request.clone()).await.unwrap().into_inner();
        assert_eq!(again, first);
        // The case of the UUID does not matter.
        let request = CreatePatientRequest { request_id: request_id.to_uppercase(), ..request };
        let again = staff.patients().create_patient(request).await.unwrap().into_inner();
        assert_eq!(again, first);
        let listed = staff.patients().list_patients(ListPatientsRequest::default()).await.unwrap();
        assert_eq!(listed.into_inner().patients, [first]);
    }

    async fn a_retry_returns_the_current_state_of_the_created_resource(suite: &Suite) {
        let staff = suite.staff().await;
        let request_id = suite.clock.new_id().to_string();
        let create =
            CreatePatientRequest { patient: Some(patient()), request_id: request_id.clone() };
        let first = staff.patients().create_patient(create.clone()).await.unwrap().into_inner();
        let change = Patient { gender: "O".into(), ..Default::default() };
        let request = UpdatePatientRequest {
            id: first.id.clone(),
            patient: Some(change),
            update_mask: None,
        };
        let changed = staff.patients().update_patient(request).await.unwrap().into_inner();
        let again = staff.patients().create_patient(create).await.unwrap().into_inner();
        assert_eq!(again, changed);
        assert_ne!(again.etag, first.etag);

        let d = staff.create_doctor(doctor()).await.id;
        let assignment = Some(assignment(&first.id, &d));
        let create = CreateAssignmentRequest { assignment, request_id };
        let first =
            staff.assignments().create_assignment(create.clone()).await.unwrap().into_inner();
        let end = EndAssignmentRequest { id: first.id, ..Default::default() };
        let ended = staff.assignments().end_assignment(end).await.unwrap().into_inner();
        let again = staff.assignments().create_assignment(create).await.unwrap().into_inner();
        assert_eq!(again, ended);
    }

    async fn a_request_id_with_other_content_is_refused(suite: &Suite) {
        let staff = suite.staff().await;
        let request_id = suite.clock.new_id().to_string();
        let create = |patient| CreatePatientRequest {
            patient: Some(patient),
            request_id: request_id.clone(),
        };
        let made = staff.patients().create_patient(create(patient())).await.unwrap().into_inner();
        let other = Patient { gender: "O".into(), ..patient() };
        assert_reused(staff.patients().create_patient(create(other)).await);

        // Request ids are separate for each method.
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

    async fn request_ids_are_separate_for_each_caller(suite: &Suite) {
        let (staff, other) = (suite.staff().await, suite.staff().await);
        let request_id = suite.clock.new_id().to_string();
        let request = CreatePatientRequest { patient: Some(patient()), request_id };
        let mine = staff.patients().create_patient(request.clone()).await.unwrap().into_inner();
        let theirs = other.patients().create_patient(request).await.unwrap().into_inner();
        assert_ne!(mine.id, theirs.id);
        assert_eq!(theirs.owner_id, other.user.id);
    }

    async fn a_retry_returns_no_more_than_get(suite: &Suite) {
        let staff = suite.staff().await;
        let request_id = suite.clock.new_id().to_string();
        let create = CreatePatientRequest {
            patient: Some(patient()),
            request_id: request_id.clone(),
        };
        let made = staff.patients().create_patient(create.clone()).await.unwrap().into_inner();
        let delete = DeletePatientRequest { id: made.id.clone(), ..Default::default() };
        staff.patients().delete_patient(delete).await.unwrap();
        let get = GetPatientRequest { id: made.id.clone(), ..Default::default() };
        let not_found = visible_error(staff.patients().get_patient(get).await);
        assert_eq!(visible_error(staff.patients().create_patient(create.clone()).await), not_found);
        // The same patient again after an undelete.
        let undelete = UndeletePatientRequest { id: made.id.clone(), ..Default::default() };
        staff.patients().undelete_patient(undelete).await.unwrap();
        let again = staff.patients().create_patient(create).await.unwrap().into_inner();
        assert_eq!(again.id, made.id);

        let create = CreateDoctorRequest { doctor: Some(doctor()), request_id };
        let made = staff.doctors().create_doctor(create.clone()).await.unwrap().into_inner();
        let delete = DeleteDoctorRequest { id: made.id, ..Default::default() };
        staff.doctors().delete_doctor(delete).await.unwrap();
        assert_eq!(visible_error(staff.doctors().create_doctor(create).await), not_found);
    }

    async fn a_retry_after_a_loss_of_access_is_not_found(suite: &Suite) {
        let (staff, deputy) = (suite.staff().await, suite.staff().await);
        let p = staff.create_patient(patient()).await.id;
        let d = staff.create_doctor(doctor()).await.id;
        let deputy = suite.give_roles(&deputy, &[Role::Admin]).await;
        let request_id = suite.clock.new_id().to_string();
        let create = CreateAssignmentRequest { assignment: Some(assignment(&p, &d)), request_id };
        let made =
            deputy.assignments().create_assignment(create.clone()).await.unwrap().into_inner();
        let deputy = suite.give_roles(&deputy, &[Role::Staff]).await;
        let not_found =
            visible_error(deputy.assignments().get_assignment(GetAssignmentRequest { id: made.id }).await);
        assert_eq!(not_found.0, Code::NotFound);
        assert_eq!(visible_error(deputy.assignments().create_assignment(create).await), not_found);
    }

    async fn an_invalid_request_does_not_use_up_its_request_id(suite: &Suite) {
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

    async fn a_retry_succeeds_after_patient_and_doctor_were_deleted(suite: &Suite) {
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
