//! Errors say what is wrong, but quote neither requests nor stored data.

use std::fmt::Debug;

use clinic_proto::assignment::v1::{Assignment, CreateAssignmentRequest, UpdateAssignmentRequest};
use clinic_proto::records::v1::{
    CreateDoctorRequest, CreatePatientRequest, Doctor, ListDoctorsRequest, ListPatientsRequest,
    Patient, UpdatePatientRequest,
};
use clinic_testkit::{Suite, assignment, doctor, mask, on_both, patient};
use tonic::{Response, Status};

const SECRET: &str = "Xq7Zebra";

/// Asserts that an error contains neither the secret nor words of SQL, in any of its parts.
fn assert_quotes_nothing<T: Debug>(response: Result<Response<T>, Status>) {
    let status = response.expect_err("must be refused");
    let details = String::from_utf8_lossy(status.details()).into_owned();
    let metadata = format!("{:?}", status.metadata());
    for text in [status.message(), &details, &metadata, &format!("{status:?}")] {
        let text = text.to_lowercase();
        assert!(!text.contains(&SECRET.to_lowercase()), "{text}");
        for word in ["select ", "insert ", "sqlite", "postgres", "constraint", "unique"] {
            assert!(!text.contains(word), "{text}");
        }
    }
}

on_both! {
    async fn validation_errors_do_not_quote_the_request(suite: &Suite) {
        let staff = suite.staff().await;
        let secret = || SECRET.to_owned();
        let invalid = || format!("{SECRET}\0{}", "a".repeat(20_000));
        let bad = Patient {
            first_name: invalid(),
            last_name: invalid(),
            date_of_birth: secret(),
            gender: secret(),
            phone_number: secret(),
            email: secret(),
            address: invalid(),
            medical_history: invalid(),
            etag: invalid(),
            user_id: secret(),
            ..Default::default()
        };
        let request = CreatePatientRequest { patient: Some(bad.clone()), request_id: secret() };
        assert_quotes_nothing(staff.patients().create_patient(request).await);
        let update_mask = mask(&[SECRET]);
        let request = UpdatePatientRequest { id: secret(), patient: Some(bad), update_mask };
        assert_quotes_nothing(staff.patients().update_patient(request).await);
        let request =
            ListPatientsRequest { query: invalid(), page_token: secret(), ..Default::default() };
        assert_quotes_nothing(staff.patients().list_patients(request).await);
        let request =
            ListPatientsRequest { query: secret(), page_token: secret(), ..Default::default() };
        assert_quotes_nothing(staff.patients().list_patients(request).await);
        let request =
            ListDoctorsRequest { query: secret(), page_token: secret(), ..Default::default() };
        assert_quotes_nothing(staff.doctors().list_doctors(request).await);

        let bad = Doctor {
            specialization: invalid(),
            license_number: invalid(),
            qualifications: invalid(),
            consultation_fee: secret(),
            email: secret(),
            phone_number: secret(),
            ..Default::default()
        };
        let request = CreateDoctorRequest { doctor: Some(bad), request_id: secret() };
        assert_quotes_nothing(staff.doctors().create_doctor(request).await);
        let bad = Assignment {
            patient_id: secret(),
            doctor_id: secret(),
            reason_for_visit: invalid(),
            notes: invalid(),
            ..Default::default()
        };
        let request = CreateAssignmentRequest { assignment: Some(bad), request_id: secret() };
        assert_quotes_nothing(staff.assignments().create_assignment(request).await);
    }

    async fn conflicts_do_not_quote_the_request_or_stored_data(suite: &Suite) {
        let staff = suite.staff().await;
        let secret = || SECRET.to_owned();
        let pat = Patient { first_name: secret(), medical_history: secret(), ..patient() };
        let request = CreatePatientRequest {
            patient: Some(pat.clone()),
            request_id: suite.clock.new_id().to_string(),
        };
        let made = staff.patients().create_patient(request.clone()).await.unwrap().into_inner();
        let request = CreatePatientRequest {
            patient: Some(Patient { last_name: secret(), ..pat.clone() }),
            ..request
        };
        assert_quotes_nothing(staff.patients().create_patient(request).await);
        let stale = Patient { etag: "v7".into(), ..pat };
        let request =
            UpdatePatientRequest { id: made.id.clone(), patient: Some(stale), update_mask: None };
        assert_quotes_nothing(staff.patients().update_patient(request).await);

        let doc = Doctor { license_number: secret(), ..doctor() };
        let healer = staff.create_doctor(doc.clone()).await;
        let request = CreateDoctorRequest { doctor: Some(doc), ..Default::default() };
        assert_quotes_nothing(staff.doctors().create_doctor(request).await);

        let treats = Assignment { notes: secret(), ..assignment(&made.id, &healer.id) };
        let request = CreateAssignmentRequest { assignment: Some(treats), ..Default::default() };
        let made =
            staff.assignments().create_assignment(request.clone()).await.unwrap().into_inner();
        assert_quotes_nothing(staff.assignments().create_assignment(request).await);
        let stale = Assignment { notes: secret(), etag: "v7".into(), ..Default::default() };
        let request =
            UpdateAssignmentRequest { id: made.id, assignment: Some(stale), update_mask: None };
        assert_quotes_nothing(staff.assignments().update_assignment(request).await);
    }
}
