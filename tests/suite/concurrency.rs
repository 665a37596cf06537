//! Concurrent calls that compete for the same resource.

use std::fmt::Debug;

use clinic_proto::assignment::v1::{
    Assignment, CreateAssignmentRequest, ListAssignmentsRequest, UpdateAssignmentRequest,
};
use clinic_proto::records::v1::{
    CreateDoctorRequest, CreatePatientRequest, DeleteDoctorRequest, DeletePatientRequest, Doctor,
    ListDoctorsRequest, ListPatientsRequest, Patient, UndeleteDoctorRequest, UpdateDoctorRequest,
    UpdatePatientRequest,
};
use clinic_testkit::{Account, Suite, assignment, doctor, failure, on_both, patient};
use futures::future::join_all;
use tonic::{Code, Response, Status};

/// Makes a call on `count` connections of an account at once, and returns the results.
async fn at_once<T, F>(
    suite: &Suite,
    account: &Account,
    count: usize,
    call: impl Fn(Account, usize) -> F,
) -> Vec<Result<Response<T>, Status>>
where
    T: Send + 'static,
    F: Future<Output = Result<Response<T>, Status>> + Send + 'static,
{
    // Connects first, so that only the call itself is left.
    let connections = join_all((0..count).map(async |_| {
        let connection = suite.account(account.user.clone(), account.tokens.clone());
        let request = ListPatientsRequest { page_size: 1, ..Default::default() };
        connection.patients().list_patients(request).await.unwrap();
        connection
    }));
    let calls = connections.await.into_iter().enumerate().map(|(at, by)| call(by, at));
    let calls: Vec<_> = calls.map(tokio::spawn).collect();
    let mut responses = Vec::new();
    for call in calls {
        responses.push(call.await.unwrap());
    }
    responses
}

/// Returns the only success. Asserts that all others fail with this code and reason.
fn winner<T: Debug>(responses: Vec<Result<Response<T>, Status>>, code: Code, reason: &str) -> T {
    let (won, lost): (Vec<_>, Vec<_>) = responses.into_iter().partition(Result::is_ok);
    for response in lost {
        let lost = failure(response);
        assert_eq!((lost.code, lost.reason.as_str()), (code, reason));
    }
    let [won]: [_; 1] = won.try_into().expect("exactly one succeeds");
    won.unwrap().into_inner()
}

/// Returns the response of all calls. Asserts that they are equal.
fn common_response<T: Debug + PartialEq>(responses: Vec<Result<Response<T>, Status>>) -> T {
    let mut responses = responses.into_iter().map(|response| response.unwrap().into_inner());
    let first = responses.next().unwrap();
    for other in responses {
        assert_eq!(other, first);
    }
    first
}

on_both! {
    async fn of_two_concurrent_updates_with_the_same_etag_one_wins(suite: &Suite) {
        let staff = suite.staff().await;
        for _ in 0..5 {
            let made = staff.create_patient(patient()).await;
            let responses = at_once(suite, &staff, 2, |by, at| {
                let change = Patient {
                    etag: made.etag.clone(),
                    address: format!("{at} Main St"),
                    ..Default::default()
                };
                let request = UpdatePatientRequest {
                    id: made.id.clone(),
                    patient: Some(change),
                    update_mask: None,
                };
                async move { by.patients().update_patient(request).await }
            })
            .await;
            winner(responses, Code::Aborted, "STALE_ETAG");

            let made = staff.create_doctor(doctor()).await;
            let responses = at_once(suite, &staff, 2, |by, at| {
                let change = Doctor {
                    etag: made.etag.clone(),
                    qualifications: format!("{at}"),
                    ..Default::default()
                };
                let request = UpdateDoctorRequest {
                    id: made.id.clone(),
                    doctor: Some(change),
                    update_mask: None,
                };
                async move { by.doctors().update_doctor(request).await }
            })
            .await;
            winner(responses, Code::Aborted, "STALE_ETAG");

            let patient = staff.create_patient(patient()).await;
            let made = staff.assign(&patient.id, &made.id).await;
            let responses = at_once(suite, &staff, 2, |by, at| {
                let change = Assignment {
                    etag: made.etag.clone(),
                    notes: format!("{at}"),
                    ..Default::default()
                };
                let request = UpdateAssignmentRequest {
                    id: made.id.clone(),
                    assignment: Some(change),
                    update_mask: None,
                };
                async move { by.assignments().update_assignment(request).await }
            })
            .await;
            winner(responses, Code::Aborted, "STALE_ETAG");
        }
    }

    async fn concurrent_updates_without_an_etag_all_succeed(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(patient()).await;
        let responses = at_once(suite, &staff, 20, |by, at| {
            let change = Patient { address: format!("{at} Main St"), ..Default::default() };
            let request = UpdatePatientRequest {
                id: made.id.clone(),
                patient: Some(change),
                update_mask: None,
            };
            async move { by.patients().update_patient(request).await }
        })
        .await;
        let mut etags: Vec<_> =
            responses.into_iter().map(|response| response.unwrap().into_inner().etag).collect();
        etags.sort();
        etags.dedup();
        assert_eq!(etags.len(), 20);
    }

    async fn concurrent_creates_with_one_request_id_create_one_resource(suite: &Suite) {
        let staff = suite.staff().await;
        for count in [2, 20] {
            let request_id = suite.clock.new_id().to_string();
            let request =
                CreatePatientRequest { patient: Some(patient()), request_id: request_id.clone() };
            let responses = at_once(suite, &staff, count, |by, _| {
                let request = request.clone();
                async move { by.patients().create_patient(request).await }
            })
            .await;
            let patient = common_response(responses);

            // Request ids are separate for each method.
            let request =
                CreateDoctorRequest { doctor: Some(doctor()), request_id: request_id.clone() };
            let responses = at_once(suite, &staff, count, |by, _| {
                let request = request.clone();
                async move { by.doctors().create_doctor(request).await }
            })
            .await;
            let doctor = common_response(responses);

            let assignment = Some(assignment(&patient.id, &doctor.id));
            let request = CreateAssignmentRequest { assignment, request_id };
            let responses = at_once(suite, &staff, count, |by, _| {
                let request = request.clone();
                async move { by.assignments().create_assignment(request).await }
            })
            .await;
            common_response(responses);
        }
        let request = ListPatientsRequest::default();
        let patients = staff.patients().list_patients(request).await.unwrap().into_inner().patients;
        let request = ListDoctorsRequest::default();
        let doctors = staff.doctors().list_doctors(request).await.unwrap().into_inner().doctors;
        let request = ListAssignmentsRequest::default();
        let made = staff.assignments().list_assignments(request).await.unwrap().into_inner();
        assert_eq!([patients.len(), doctors.len(), made.assignments.len()], [2, 2, 2]);
    }

    async fn of_many_concurrent_assignments_of_one_pair_one_succeeds(suite: &Suite) {
        let staff = suite.staff().await;
        let doctor = staff.create_doctor(doctor()).await;
        for (count, with_ids) in [(2, false), (2, true), (20, false), (20, true)] {
            let patient = staff.create_patient(patient()).await;
            let responses = at_once(suite, &staff, count, |by, _| {
                let id = if with_ids { suite.clock.new_id().to_string() } else { String::new() };
                let assignment = Some(assignment(&patient.id, &doctor.id));
                let request = CreateAssignmentRequest { assignment, request_id: id };
                async move { by.assignments().create_assignment(request).await }
            })
            .await;
            winner(responses, Code::AlreadyExists, "ALREADY_EXISTS");
        }
    }

    async fn of_many_concurrent_doctors_with_one_license_number_one_succeeds(suite: &Suite) {
        let staff = suite.staff().await;
        let responses = at_once(suite, &staff, 10, |by, _| {
            let doctor = Some(Doctor { license_number: "MD-1".into(), ..doctor() });
            let request = CreateDoctorRequest { doctor, ..Default::default() };
            async move { by.doctors().create_doctor(request).await }
        })
        .await;
        winner(responses, Code::AlreadyExists, "ALREADY_EXISTS");
    }

    async fn of_two_concurrent_undeletes_of_one_license_number_one_succeeds(suite: &Suite) {
        let staff = suite.staff().await;
        let mut gone = Vec::new();
        for _ in 0..2 {
            let licensed = Doctor { license_number: "MD-1".into(), ..doctor() };
            let made = staff.create_doctor(licensed).await;
            let request = DeleteDoctorRequest { id: made.id.clone(), ..Default::default() };
            staff.doctors().delete_doctor(request).await.unwrap();
            gone.push(made.id);
        }
        let responses = at_once(suite, &staff, 2, |by, at| {
            let request = UndeleteDoctorRequest { id: gone[at].clone(), ..Default::default() };
            async move { by.doctors().undelete_doctor(request).await }
        })
        .await;
        winner(responses, Code::AlreadyExists, "ALREADY_EXISTS");
    }

    async fn of_many_concurrent_deletes_of_one_patient_one_succeeds(suite: &Suite) {
        let staff = suite.staff().await;
        let made = staff.create_patient(patient()).await;
        let responses = at_once(suite, &staff, 10, |by, _| {
            let request = DeletePatientRequest { id: made.id.clone(), ..Default::default() };
            async move { by.patients().delete_patient(request).await }
        })
        .await;
        winner(responses, Code::NotFound, "NOT_FOUND");
    }
}
