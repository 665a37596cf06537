//! Creating assignments: which callers may assign which patients to which doctors.

use clinic_proto::access::v1::Role;
use clinic_proto::assignment::v1::{
    Assignment, AssignmentStatus, CreateAssignmentRequest, ListAssignmentsRequest,
};
use clinic_proto::records::v1::{DeleteDoctorRequest, DeletePatientRequest};
use clinic_testkit::{Suite, assignment, doctor, failure, on_both, patient, visible_error};
use tonic::Code;

use super::{create, create_pair, list};

on_both! {
    async fn a_new_assignment_has_its_creator_and_start_time(suite: &Suite) {
        let staff = suite.staff().await;
        let [p, d] = create_pair(&staff).await;
        let given = Assignment {
            id: p.clone(),
            assigned_by: p.clone(),
            status: AssignmentStatus::Ended.into(),
            ended_at: staff.user.created_at,
            deleted_at: staff.user.created_at,
            ..assignment(&p, &d)
        };
        let request = CreateAssignmentRequest { assignment: Some(given), ..Default::default() };
        let made = staff.assignments().create_assignment(request).await.unwrap().into_inner();
        let expected = Assignment {
            id: made.id.clone(),
            etag: made.etag.clone(),
            created_at: made.created_at,
            updated_at: made.created_at,
            started_at: made.created_at,
            assigned_by: staff.user.id.clone(),
            status: AssignmentStatus::Active.into(),
            ..assignment(&p, &d)
        };
        assert_eq!(made, expected);
        assert!(made.id != p && made.created_at.is_some() && !made.etag.is_empty());
    }

    async fn a_patient_and_a_doctor_have_at_most_one_active_assignment(suite: &Suite) {
        let (staff, admin) = (suite.staff().await, suite.admin().await);
        let [p, d] = create_pair(&staff).await;
        let made = create(&staff, [&p, &d]).await.unwrap().into_inner();
        for account in [&staff, &admin] {
            let refused = failure(create(account, [&p, &d]).await);
            let (code, reason) = (refused.code, refused.reason.as_str());
            assert_eq!((code, reason), (Code::AlreadyExists, "ALREADY_EXISTS"));
        }
        assert_eq!(list(&admin, ListAssignmentsRequest::default()).await, [made]);
    }

    async fn staff_cannot_assign_another_owners_patient(suite: &Suite) {
        let (staff, other) = (suite.staff().await, suite.staff().await);
        let [p, d] = create_pair(&staff).await;
        let never = suite.clock.new_id().to_string();
        let not_found = visible_error(create(&other, [&never, &d]).await);
        assert_eq!(not_found.0, Code::NotFound);
        assert_eq!(visible_error(create(&other, [&p, &d]).await), not_found);
        // Nor does the response reveal whether the doctor is verified.
        let house = suite.unverified_doctor().await;
        assert_eq!(visible_error(create(&other, [&p, &house.profile_id]).await), not_found);
        let ann = suite.patient().await;
        assert_eq!(visible_error(create(&other, [&ann.profile_id, &d]).await), not_found);
        assert!(list(&suite.admin().await, ListAssignmentsRequest::default()).await.is_empty());
        // Staff may assign their own patient to any doctor.
        let mine = other.create_patient(patient()).await;
        create(&other, [&mine.id, &d]).await.unwrap();
    }

    async fn doctors_and_patients_with_role_staff_assign_only_patients_they_own(suite: &Suite) {
        let staff = suite.staff().await;
        let [p, d] = create_pair(&staff).await;
        let house = suite.verified_doctor().await;
        let house = suite.give_roles(&house, &[Role::Doctor, Role::Staff]).await;
        let ann = suite.patient().await;
        let ann = suite.give_roles(&ann, &[Role::Patient, Role::Staff]).await;
        let never = suite.clock.new_id().to_string();
        let not_found = visible_error(create(&house, [&never, &d]).await);
        assert_eq!(visible_error(create(&house, [&p, &d]).await), not_found);
        assert_eq!(visible_error(create(&house, [&p, &house.profile_id]).await), not_found);
        assert_eq!(visible_error(create(&ann, [&ann.profile_id, &d]).await), not_found);
        let mine = house.create_patient(patient()).await;
        create(&house, [&mine.id, &house.profile_id]).await.unwrap();
    }

    async fn an_administrator_may_assign_any_patient(suite: &Suite) {
        let (staff, admin) = (suite.staff().await, suite.admin().await);
        let [p, d] = create_pair(&staff).await;
        let made = create(&admin, [&p, &d]).await.unwrap().into_inner();
        assert_eq!(made.assigned_by, admin.user.id);
        // The patient's owner sees it too.
        assert_eq!(list(&staff, ListAssignmentsRequest::default()).await, [made]);
        let ann = suite.patient().await;
        create(&admin, [&ann.profile_id, &d]).await.unwrap();
    }

    async fn a_self_registered_doctor_gets_no_patients_until_verified(suite: &Suite) {
        let (staff, house) = (suite.staff().await, suite.unverified_doctor().await);
        let p = staff.create_patient(patient()).await.id;
        for account in [&staff, &suite.admin().await] {
            let refused = failure(create(account, [&p, &house.profile_id]).await);
            let (code, reason) = (refused.code, refused.reason.as_str());
            assert_eq!((code, reason), (Code::FailedPrecondition, "DOCTOR_NOT_VERIFIED"));
        }
        assert!(list(&staff, ListAssignmentsRequest::default()).await.is_empty());
        create(&staff, [&p, &suite.verified_doctor().await.profile_id]).await.unwrap();
    }

    async fn deleted_patients_and_doctors_cannot_be_assigned(suite: &Suite) {
        let staff = suite.staff().await;
        let [p, d] = create_pair(&staff).await;
        let never = suite.clock.new_id().to_string();
        let not_found = visible_error(create(&staff, [&p, &never]).await);
        let gone = staff.create_doctor(doctor()).await.id;
        let request = DeleteDoctorRequest { id: gone.clone(), ..Default::default() };
        staff.doctors().delete_doctor(request).await.unwrap();
        assert_eq!(visible_error(create(&staff, [&p, &gone]).await), not_found);
        let request = DeletePatientRequest { id: p.clone(), ..Default::default() };
        staff.patients().delete_patient(request).await.unwrap();
        assert_eq!(visible_error(create(&staff, [&p, &d]).await), not_found);
        // The id of a patient is not the id of a doctor.
        assert_eq!(visible_error(create(&staff, [&d, &p]).await), not_found);
    }
}
