//! The calls that most tests begin with, and clients for other calls.

use clinic_proto::access::v1::Role;
use clinic_proto::assignment::v1::{Assignment, CreateAssignmentRequest};
use clinic_proto::auth::v1::{RefreshRequest, SetUserRolesRequest};
use clinic_proto::records::v1::{CreateDoctorRequest, CreatePatientRequest, Doctor, Patient};
use clinic_stubs::assignment::v1::assignment_service_client::AssignmentServiceClient;
use clinic_stubs::records::v1::doctor_service_client::DoctorServiceClient;
use clinic_stubs::records::v1::patient_service_client::PatientServiceClient;

use crate::{Account, Client, Suite, assignment};

impl Account {
    /// Returns a client with the account's token.
    pub fn patients(&self) -> PatientServiceClient<Client> {
        self.clients.patients.clone()
    }

    /// Returns a client with the account's token.
    pub fn doctors(&self) -> DoctorServiceClient<Client> {
        self.clients.doctors.clone()
    }

    /// Returns a client with the account's token.
    pub fn assignments(&self) -> AssignmentServiceClient<Client> {
        self.clients.assignments.clone()
    }

    /// Creates a patient that the account owns.
    pub async fn create_patient(&self, patient: Patient) -> Patient {
        let request = CreatePatientRequest { patient: Some(patient), ..Default::default() };
        self.patients().create_patient(request).await.unwrap().into_inner()
    }

    /// Creates a doctor that the account owns.
    pub async fn create_doctor(&self, doctor: Doctor) -> Doctor {
        let request = CreateDoctorRequest { doctor: Some(doctor), ..Default::default() };
        self.doctors().create_doctor(request).await.unwrap().into_inner()
    }

    /// Assigns a doctor to a patient.
    pub async fn assign(&self, patient_id: &str, doctor_id: &str) -> Assignment {
        let assignment = Some(assignment(patient_id, doctor_id));
        let request = CreateAssignmentRequest { assignment, ..Default::default() };
        self.assignments().create_assignment(request).await.unwrap().into_inner()
    }
}

impl Suite {
    /// Replaces the account's roles, and returns it with refreshed tokens.
    pub async fn give_roles(&self, account: &Account, roles: &[Role]) -> Account {
        let request = SetUserRolesRequest {
            id: account.user.id.clone(),
            roles: roles.iter().map(|role| (*role).into()).collect(),
            ..Default::default()
        };
        let user = self.admin().await.clients.users.set_user_roles(request).await.unwrap();
        let request = RefreshRequest { refresh: account.tokens.refresh.clone() };
        let response = self.anonymous().auth.refresh(request).await.unwrap().into_inner();
        let mut changed = self.account(user.into_inner(), response.tokens.unwrap());
        changed.profile_id = account.profile_id.clone();
        changed
    }
}
