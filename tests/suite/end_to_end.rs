//! The main workflow, through all services.

use clinic_proto::assignment::v1::{
    AssignmentStatus, CreateAssignmentRequest, EndAssignmentRequest, ListPatientDoctorsRequest,
};
use clinic_proto::records::v1::{
    CreateDoctorRequest, CreatePatientRequest, DeletePatientRequest, GetPatientRequest,
    ListPatientsRequest, Patient, PatientView, UpdatePatientRequest,
};
use clinic_testkit::{Suite, assignment, doctor, on_both, patient};

on_both! {
    async fn staff_can_manage_patients_doctors_and_assignments(suite: &Suite) {
        let mut staff = suite.staff().await.clients;
        let request = CreatePatientRequest { patient: Some(patient()), ..Default::default() };
        let made = staff.patients.create_patient(request).await.unwrap().into_inner();
        assert_eq!(made.medical_history, patient().medical_history);
        assert_eq!(made.view(), PatientView::Full);

        let request = GetPatientRequest { id: made.id.clone(), ..Default::default() };
        let read = staff.patients.get_patient(request).await.unwrap().into_inner();
        assert_eq!(read, made);

        let list = staff.patients.list_patients(ListPatientsRequest::default()).await.unwrap();
        assert_eq!(list.into_inner().patients, std::slice::from_ref(&made));

        let change = Patient { phone_number: "5557654321".into(), etag: made.etag.clone(), ..Default::default() };
        let request = UpdatePatientRequest { id: made.id.clone(), patient: Some(change), update_mask: None };
        let changed = staff.patients.update_patient(request).await.unwrap().into_inner();
        assert_eq!(changed.phone_number, "5557654321");
        assert_eq!(changed.first_name, made.first_name);
        assert_ne!(changed.etag, made.etag);

        let request = CreateDoctorRequest { doctor: Some(doctor()), ..Default::default() };
        let healer = staff.doctors.create_doctor(request).await.unwrap().into_inner();
        let request = CreateAssignmentRequest {
            assignment: Some(assignment(&made.id, &healer.id)),
            ..Default::default()
        };
        let treats = staff.assignments.create_assignment(request).await.unwrap().into_inner();
        assert_eq!(treats.status(), AssignmentStatus::Active);

        let request = ListPatientDoctorsRequest { patient_id: made.id.clone(), ..Default::default() };
        let doctors = staff.assignments.list_patient_doctors(request.clone()).await.unwrap().into_inner();
        assert_eq!(doctors.doctors.len(), 1);
        assert_eq!(doctors.doctors[0].doctor.as_ref().unwrap().id, healer.id);

        let end = EndAssignmentRequest { id: treats.id, ..Default::default() };
        let ended = staff.assignments.end_assignment(end).await.unwrap().into_inner();
        assert_eq!(ended.status(), AssignmentStatus::Ended);
        let doctors = staff.assignments.list_patient_doctors(request).await.unwrap().into_inner();
        assert!(doctors.doctors.is_empty());

        let request = DeletePatientRequest { id: made.id, ..Default::default() };
        let deleted = staff.patients.delete_patient(request).await.unwrap().into_inner();
        assert!(deleted.deleted_at.is_some());
        let list = staff.patients.list_patients(ListPatientsRequest::default()).await.unwrap();
        assert!(list.into_inner().patients.is_empty());
    }
}
