//! A resource that the caller may not see gets the same NOT_FOUND, to the byte, as a missing one.

use std::fmt::Debug;

use clinic_proto::assignment::v1::{
    Assignment, CreateAssignmentRequest, EndAssignmentRequest, GetAssignmentRequest,
    ListDoctorPatientsRequest, ListPatientDoctorsRequest, UpdateAssignmentRequest,
};
use clinic_proto::records::v1::{
    BatchGetDoctorsRequest, BatchGetPatientsRequest, DeleteDoctorRequest, DeletePatientRequest,
    Doctor, GetDoctorRequest, GetPatientRequest, Patient, UndeleteDoctorRequest,
    UndeletePatientRequest, UpdateDoctorRequest, UpdatePatientRequest,
};
use clinic_testkit::{Account, Suite, assignment, doctor, on_both, patient, visible_error};
use tonic::{Code, Response, Status};

type Refusal = (Code, String, Vec<u8>);

/// Refusals that must all be the same NOT_FOUND.
#[derive(Default)]
struct Refusals(Vec<(String, Refusal)>);

impl Refusals {
    fn add<T: Debug>(&mut self, what: &str, id: &str, response: Result<Response<T>, Status>) {
        assert!(response.is_err(), "{what} {id}");
        self.0.push((format!("{what} {id}"), visible_error(response)));
    }

    fn assert_all_the_same(self) {
        let (_, first) = &self.0[0];
        assert_eq!(first.0, Code::NotFound);
        for (what, response) in &self.0 {
            assert_eq!(response, first, "{what}");
        }
    }

    /// Calls every RPC that names a patient, with no etag, a current one and a stale one.
    async fn of_patient(&mut self, by: &Account, id: &str, skip_undelete: bool) {
        let (mut client, id) = (by.patients(), id.to_owned());
        let request = GetPatientRequest { id: id.clone(), ..Default::default() };
        self.add("GetPatient", &id, client.get_patient(request).await);
        let request = BatchGetPatientsRequest { ids: vec![id.clone()], ..Default::default() };
        self.add("BatchGetPatients", &id, client.batch_get_patients(request).await);
        for etag in ["", "v1", "v7"] {
            let etag = etag.to_owned();
            let patient = Patient { gender: "O".into(), etag: etag.clone(), ..Default::default() };
            let request =
                UpdatePatientRequest { id: id.clone(), patient: Some(patient), update_mask: None };
            self.add("UpdatePatient", &id, client.update_patient(request).await);
            let request = DeletePatientRequest { id: id.clone(), etag: etag.clone() };
            self.add("DeletePatient", &id, client.delete_patient(request).await);
            if !skip_undelete {
                let request = UndeletePatientRequest { id: id.clone(), etag };
                self.add("UndeletePatient", &id, client.undelete_patient(request).await);
            }
        }
        let request = ListPatientDoctorsRequest { patient_id: id.clone(), ..Default::default() };
        self.add("ListPatientDoctors", &id, by.assignments().list_patient_doctors(request).await);
    }

    /// Calls every RPC that changes a doctor.
    async fn of_doctor(&mut self, by: &Account, id: &str, skip_undelete: bool) {
        let (mut client, id) = (by.doctors(), id.to_owned());
        for etag in ["", "v1", "v7"] {
            let etag = etag.to_owned();
            let doctor = Doctor { email: "a@b".into(), etag: etag.clone(), ..Default::default() };
            let request =
                UpdateDoctorRequest { id: id.clone(), doctor: Some(doctor), update_mask: None };
            self.add("UpdateDoctor", &id, client.update_doctor(request).await);
            let request = DeleteDoctorRequest { id: id.clone(), etag: etag.clone() };
            self.add("DeleteDoctor", &id, client.delete_doctor(request).await);
            if !skip_undelete {
                let request = UndeleteDoctorRequest { id: id.clone(), etag };
                self.add("UndeleteDoctor", &id, client.undelete_doctor(request).await);
            }
        }
    }

    /// Calls every RPC that reads a doctor.
    async fn of_doctor_read(&mut self, by: &Account, id: &str) {
        let (mut client, id) = (by.doctors(), id.to_owned());
        let request = GetDoctorRequest { id: id.clone() };
        self.add("GetDoctor", &id, client.get_doctor(request).await);
        let request = BatchGetDoctorsRequest { ids: vec![id.clone()], ..Default::default() };
        self.add("BatchGetDoctors", &id, client.batch_get_doctors(request).await);
        let request = ListDoctorPatientsRequest { doctor_id: id.clone(), ..Default::default() };
        self.add("ListDoctorPatients", &id, by.assignments().list_doctor_patients(request).await);
    }

    async fn of_new_assignment(&mut self, by: &Account, patient_id: &str, doctor_id: &str) {
        let assignment = Some(assignment(patient_id, doctor_id));
        let request = CreateAssignmentRequest { assignment, ..Default::default() };
        let response = by.assignments().create_assignment(request).await;
        self.add("CreateAssignment", patient_id, response);
    }

    async fn of_assignment(&mut self, by: &Account, id: &str) {
        let (mut client, id) = (by.assignments(), id.to_owned());
        let request = GetAssignmentRequest { id: id.clone() };
        self.add("GetAssignment", &id, client.get_assignment(request).await);
        for etag in ["", "v1", "v7"] {
            let etag = etag.to_owned();
            let change = Assignment { notes: "n".into(), etag: etag.clone(), ..Default::default() };
            let request = UpdateAssignmentRequest {
                id: id.clone(),
                assignment: Some(change),
                update_mask: None,
            };
            self.add("UpdateAssignment", &id, client.update_assignment(request).await);
            let request = EndAssignmentRequest { id: id.clone(), etag };
            self.add("EndAssignment", &id, client.end_assignment(request).await);
        }
    }
}

fn unknown_id(suite: &Suite) -> String {
    suite.clock.new_id().to_string()
}

on_both! {
    async fn foreign_deleted_and_missing_records_get_the_same_not_found(suite: &Suite) {
        let (staff, other) = (suite.staff().await, suite.staff().await);
        let mut refusals = Refusals::default();

        let theirs = other.create_patient(patient()).await.id;
        let theirs_gone = other.create_patient(patient()).await.id;
        let gone = staff.create_patient(patient()).await.id;
        for (by, id) in [(&other, &theirs_gone), (&staff, &gone)] {
            let request = DeletePatientRequest { id: id.clone(), ..Default::default() };
            by.patients().delete_patient(request).await.unwrap();
        }
        for id in [&unknown_id(suite), &theirs, &theirs_gone] {
            refusals.of_patient(&staff, id, false).await;
        }
        refusals.of_patient(&staff, &gone, true).await;

        let doctor_of_theirs = other.create_doctor(doctor()).await.id;
        let gone_doctor = staff.create_doctor(doctor()).await.id;
        let request = DeleteDoctorRequest { id: gone_doctor.clone(), ..Default::default() };
        staff.doctors().delete_doctor(request).await.unwrap();
        refusals.of_doctor(&staff, &unknown_id(suite), false).await;
        refusals.of_doctor(&staff, &doctor_of_theirs, false).await;
        refusals.of_doctor(&staff, &gone_doctor, true).await;
        refusals.of_doctor_read(&staff, &unknown_id(suite)).await;
        refusals.of_doctor_read(&staff, &gone_doctor).await;

        let mine = staff.create_patient(patient()).await.id;
        for patient_id in [&unknown_id(suite), &theirs, &theirs_gone, &gone] {
            refusals.of_new_assignment(&staff, patient_id, &doctor_of_theirs).await;
        }
        for doctor_id in [&unknown_id(suite), &gone_doctor] {
            refusals.of_new_assignment(&staff, &mine, doctor_id).await;
        }
        let active = other.assign(&theirs, &doctor_of_theirs).await.id;
        let second = other.create_patient(patient()).await.id;
        let ended = other.assign(&second, &doctor_of_theirs).await.id;
        let request = EndAssignmentRequest { id: ended.clone(), ..Default::default() };
        other.assignments().end_assignment(request).await.unwrap();
        for id in [&unknown_id(suite), &active, &ended] {
            refusals.of_assignment(&staff, id).await;
        }
        refusals.assert_all_the_same();
    }

    async fn the_id_me_gets_the_same_not_found_without_a_record(suite: &Suite) {
        let staff = suite.staff().await;
        let mut refusals = Refusals::default();
        let id = unknown_id(suite);
        let request = GetPatientRequest { id: id.clone(), ..Default::default() };
        refusals.add("GetPatient", &id, staff.patients().get_patient(request).await);
        for account in [&staff, &suite.verified_doctor().await, &suite.admin().await] {
            let request = GetPatientRequest { id: "me".into(), ..Default::default() };
            refusals.add("GetPatient", "me", account.patients().get_patient(request).await);
            let request =
                ListPatientDoctorsRequest { patient_id: "me".into(), ..Default::default() };
            let response = account.assignments().list_patient_doctors(request).await;
            refusals.add("ListPatientDoctors", "me", response);
        }
        let request = GetDoctorRequest { id: "me".into() };
        refusals.add("GetDoctor", "me", staff.doctors().get_doctor(request).await);
        let request = ListDoctorPatientsRequest { doctor_id: "me".into(), ..Default::default() };
        refusals.add(
            "ListDoctorPatients",
            "me",
            staff.assignments().list_doctor_patients(request).await,
        );
        refusals.assert_all_the_same();
    }

    async fn direct_calls_to_services_get_the_same_not_found(suite: &Suite) {
        let service = suite.as_service("reporting");
        let staff = suite.staff().await;
        let mut refusals = Refusals::default();
        let id = unknown_id(suite);
        let request = GetPatientRequest { id: id.clone(), ..Default::default() };
        refusals.add("GetPatient", &id, staff.patients().get_patient(request).await);
        // Of the services, only auth may delete patients, and only those without an owner.
        let theirs = staff.create_patient(patient()).await.id;
        for id in [id, theirs] {
            let request = DeletePatientRequest { id: id.clone(), ..Default::default() };
            refusals.add(
                "DeletePatient",
                &id,
                service.patients.clone().delete_patient(request).await,
            );
        }
        refusals.assert_all_the_same();
    }
}
