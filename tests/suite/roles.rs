//! Callers with several roles see what each of their roles permits, and nothing twice.

use chrono::TimeDelta;
use clinic_proto::access::v1::Role;
use clinic_proto::assignment::v1::{ListAssignmentsRequest, ListDoctorPatientsRequest};
use clinic_proto::records::v1::{
    Doctor, GetDoctorRequest, GetPatientRequest, ListPatientsRequest, Patient, PatientView,
    UpdateDoctorRequest, UpdatePatientRequest,
};
use clinic_testkit::{Account, Suite, failure, on_both, patient};
use tonic::Code;

/// Returns the patients on all pages of a query, with their views. Asserts the total.
async fn list_all(by: &Account, query: &str) -> Vec<(String, PatientView)> {
    let mut request = ListPatientsRequest {
        query: query.into(),
        page_size: 1,
        include_total_size: true,
        ..Default::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = by.patients().list_patients(request.clone()).await.unwrap().into_inner();
        seen.extend(page.patients.into_iter().map(|patient| {
            let view = patient.view();
            (patient.id, view)
        }));
        assert!(seen.len() < 100, "paging does not end");
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            assert_eq!(page.total_size, i64::try_from(seen.len()).ok());
            return seen;
        }
    }
}

async fn view_of(by: &Account, id: &str) -> PatientView {
    let request = GetPatientRequest { id: id.into(), ..Default::default() };
    by.patients().get_patient(request).await.unwrap().into_inner().view()
}

fn touch(id: &str) -> UpdatePatientRequest {
    let patient = Some(Patient { gender: "O".into(), ..Default::default() });
    UpdatePatientRequest { id: id.into(), patient, update_mask: None }
}

on_both! {
    async fn a_doctor_who_is_staff_sees_all_patients_but_only_their_own_in_full(suite: &Suite) {
        let (staff, house) = (suite.staff().await, suite.verified_doctor().await);
        let theirs = staff.create_patient(patient()).await.id;
        suite.clock.advance(TimeDelta::milliseconds(2));
        let both = suite.give_roles(&house, &[Role::Staff, Role::Doctor]).await;
        let mine = both.create_patient(patient()).await.id;
        let expected = [(theirs.clone(), PatientView::Basic), (mine.clone(), PatientView::Full)];
        assert_eq!(list_all(&both, "").await, expected);
        assert_eq!(list_all(&both, "love").await, expected);
        assert_eq!(view_of(&both, &theirs).await, PatientView::Basic);
        assert_eq!(view_of(&both, &mine).await, PatientView::Full);
        both.patients().update_patient(touch(&mine)).await.unwrap();
        let refused = failure(both.patients().update_patient(touch(&theirs)).await);
        assert_eq!(refused.code, Code::NotFound);
        // The doctor may still update their own profile.
        let change = Doctor { qualifications: "PhD".into(), ..Default::default() };
        let request =
            UpdateDoctorRequest { id: "me".into(), doctor: Some(change), update_mask: None };
        both.doctors().update_doctor(request).await.unwrap();
    }

    async fn an_unverified_doctor_who_is_staff_sees_only_their_own_patients(suite: &Suite) {
        let (staff, house) = (suite.staff().await, suite.unverified_doctor().await);
        staff.create_patient(patient()).await;
        let both = suite.give_roles(&house, &[Role::Staff, Role::Doctor]).await;
        let mine = both.create_patient(patient()).await.id;
        assert_eq!(list_all(&both, "").await, [(mine, PatientView::Full)]);
    }

    async fn a_patient_who_is_staff_sees_their_own_record_and_patients(suite: &Suite) {
        let (ann, bob) = (suite.patient().await, suite.patient().await);
        suite.clock.advance(TimeDelta::milliseconds(2));
        let both = suite.give_roles(&ann, &[Role::Patient, Role::Staff]).await;
        let mine = both.create_patient(patient()).await.id;
        let expected =
            [(ann.profile_id.clone(), PatientView::Full), (mine.clone(), PatientView::Full)];
        assert_eq!(list_all(&both, "").await, expected);
        assert_eq!(list_all(&both, "love").await, expected);
        for id in ["me", &ann.profile_id, &mine] {
            both.patients().update_patient(touch(id)).await.unwrap();
        }
        let refused = failure(both.patients().update_patient(touch(&bob.profile_id)).await);
        assert_eq!(refused.code, Code::NotFound);
    }

    async fn an_administrator_who_is_a_doctor_sees_everything_in_full(suite: &Suite) {
        let (staff, house) = (suite.staff().await, suite.verified_doctor().await);
        let theirs = staff.create_patient(patient()).await.id;
        let both = suite.give_roles(&house, &[Role::Doctor, Role::Admin]).await;
        assert_eq!(list_all(&both, "").await, [(theirs.clone(), PatientView::Full)]);
        assert_eq!(view_of(&both, &theirs).await, PatientView::Full);
        let request = GetDoctorRequest { id: "me".into() };
        let mine = both.doctors().get_doctor(request).await.unwrap().into_inner();
        assert_eq!(mine.id, house.profile_id);
    }

    async fn removing_a_role_removes_its_access(suite: &Suite) {
        let (staff, house) = (suite.staff().await, suite.verified_doctor().await);
        let theirs = staff.create_patient(patient()).await.id;
        assert_eq!(view_of(&house, &theirs).await, PatientView::Basic);
        let staff_only = suite.give_roles(&house, &[Role::Staff]).await;
        assert!(list_all(&staff_only, "").await.is_empty());
        let request = GetPatientRequest { id: theirs, ..Default::default() };
        let refused = failure(staff_only.patients().get_patient(request).await);
        assert_eq!(refused.code, Code::NotFound);
    }

    async fn assignments_visible_to_several_roles_are_listed_once(suite: &Suite) {
        let (staff, house) = (suite.staff().await, suite.verified_doctor().await);
        let both = suite.give_roles(&house, &[Role::Staff, Role::Doctor]).await;
        // Visible for two reasons: the caller owns the patient, and is the doctor.
        let mine = both.create_patient(patient()).await.id;
        let own = both.assign(&mine, &house.profile_id).await.id;
        suite.clock.advance(TimeDelta::milliseconds(2));
        let theirs = staff.create_patient(patient()).await.id;
        let other = staff.assign(&theirs, &house.profile_id).await.id;
        let mut request =
            ListAssignmentsRequest { page_size: 1, include_total_size: true, ..Default::default() };
        let mut seen = Vec::new();
        loop {
            let page = both.assignments().list_assignments(request.clone()).await.unwrap();
            let page = page.into_inner();
            assert_eq!(page.total_size, Some(2));
            seen.extend(page.assignments.into_iter().map(|assignment| assignment.id));
            assert!(seen.len() < 100, "paging does not end");
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, [own, other]);
        let request = ListDoctorPatientsRequest { doctor_id: "me".into(), ..Default::default() };
        let page = both.assignments().list_doctor_patients(request).await.unwrap().into_inner();
        let views: Vec<_> =
            page.patients.iter().map(|entry| entry.patient.as_ref().unwrap().view()).collect();
        assert_eq!(views, [PatientView::Full, PatientView::Basic]);
    }
}
