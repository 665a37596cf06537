//! The callers, and the records that they call for.

use clinic_proto::assignment::v1::{Assignment, CreateAssignmentRequest};
use clinic_proto::auth::v1::LoginRequest;
use clinic_proto::records::v1::{CreateDoctorRequest, CreatePatientRequest, Doctor, Patient};
use clinic_testkit::{Account, Clients, PASSWORD, Suite, assignment, doctor, patient};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Anonymous,
    Patient,
    UnverifiedDoctor,
    VerifiedDoctor,
    Owner,
    OtherStaff,
    Admin,
    Service,
    Registrar,
}

impl Kind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Anonymous,
        Self::Patient,
        Self::UnverifiedDoctor,
        Self::VerifiedDoctor,
        Self::Owner,
        Self::OtherStaff,
        Self::Admin,
        Self::Service,
        Self::Registrar,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Patient => "PATIENT",
            Self::UnverifiedDoctor => "unverified DOCTOR",
            Self::VerifiedDoctor => "verified DOCTOR",
            Self::Owner => "STAFF owner",
            Self::OtherStaff => "other STAFF",
            Self::Admin => "ADMIN",
            Self::Service => "SERVICE",
            Self::Registrar => "auth",
        }
    }
}

/// The caller of a case.
pub(crate) struct Caller {
    pub(crate) kind: Kind,
    pub(crate) clients: Clients,
    pub(crate) account: Option<Account>,
}

pub(crate) struct World<'a> {
    pub(crate) suite: &'a Suite,
    pub(crate) owner: Account,
    pub(crate) patient: Account,
    pub(crate) doctor: Account,
    unverified: Account,
    other: Account,
    admin: Account,
    service: Clients,
    registrar: Clients,
}

impl<'a> World<'a> {
    pub(crate) async fn new(suite: &'a Suite) -> Self {
        Self {
            suite,
            owner: suite.staff().await,
            patient: suite.patient().await,
            doctor: suite.verified_doctor().await,
            unverified: suite.unverified_doctor().await,
            other: suite.staff().await,
            admin: suite.admin().await,
            service: suite.as_service("reporting"),
            registrar: suite.as_service("auth"),
        }
    }

    /// Returns the caller of an RPC. Calls of auth may end sessions, so callers of auth get a new
    /// one. The others share one: to sign in costs more time than most calls.
    pub(crate) async fn caller(&self, kind: Kind, path: &str) -> Caller {
        let service = |clients: Clients| Caller { kind, clients, account: None };
        let account = match kind {
            Kind::Anonymous => return service(self.suite.anonymous()),
            Kind::Service => return service(self.service.clone()),
            Kind::Registrar => return service(self.registrar.clone()),
            Kind::Admin => &self.admin,
            Kind::Patient => &self.patient,
            Kind::UnverifiedDoctor => &self.unverified,
            Kind::VerifiedDoctor => &self.doctor,
            Kind::Owner => &self.owner,
            Kind::OtherStaff => &self.other,
        };
        let account = match (kind, path.starts_with("/clinic.auth.")) {
            (_, false) => account.clone(),
            (Kind::Admin, true) => self.suite.admin().await,
            (_, true) => self.sign_in(account).await,
        };
        Caller { kind, clients: account.clients.clone(), account: Some(account) }
    }

    async fn sign_in(&self, account: &Account) -> Account {
        let request = LoginRequest {
            email: account.user.email.clone(),
            password: PASSWORD.to_owned(),
            ..Default::default()
        };
        let response = self.suite.anonymous().auth.login(request).await.unwrap().into_inner();
        let mut session = self.suite.account(response.user.unwrap(), response.tokens.unwrap());
        session.profile_id = account.profile_id.clone();
        session
    }

    /// Creates a patient of the owner.
    pub(crate) async fn patient(&self) -> Patient {
        let request = CreatePatientRequest { patient: Some(patient()), ..Default::default() };
        self.owner.clients.patients.clone().create_patient(request).await.unwrap().into_inner()
    }

    /// Creates the patient of an account, as auth does.
    pub(crate) async fn accounts_patient(&self) -> Patient {
        let patient = Patient { user_id: self.suite.clock.new_id().to_string(), ..patient() };
        let request = CreatePatientRequest { patient: Some(patient), ..Default::default() };
        self.registrar.patients.clone().create_patient(request).await.unwrap().into_inner()
    }

    /// Creates the doctor of an account, as auth does.
    pub(crate) async fn accounts_doctor(&self) -> Doctor {
        let doctor = Doctor { user_id: self.suite.clock.new_id().to_string(), ..doctor() };
        let request = CreateDoctorRequest { doctor: Some(doctor), ..Default::default() };
        self.registrar.doctors.clone().create_doctor(request).await.unwrap().into_inner()
    }

    /// Creates a doctor of the owner.
    pub(crate) async fn doctor(&self) -> Doctor {
        let request = CreateDoctorRequest { doctor: Some(doctor()), ..Default::default() };
        self.owner.clients.doctors.clone().create_doctor(request).await.unwrap().into_inner()
    }

    /// Creates an assignment of the verified doctor to a new patient of the owner.
    pub(crate) async fn assignment(&self) -> Assignment {
        let patient = self.patient().await;
        let request = CreateAssignmentRequest {
            assignment: Some(assignment(&patient.id, &self.doctor.profile_id)),
            ..Default::default()
        };
        self.owner
            .clients
            .assignments
            .clone()
            .create_assignment(request)
            .await
            .unwrap()
            .into_inner()
    }

    /// Returns the assignment of the verified doctor to the patient with an account. Creates it if it
    /// is missing.
    pub(crate) async fn own_assignment(&self) -> Assignment {
        let request = CreateAssignmentRequest {
            assignment: Some(assignment(&self.patient.profile_id, &self.doctor.profile_id)),
            ..Default::default()
        };
        let mut admin = self.admin.clients.assignments.clone();
        match admin.create_assignment(request).await {
            Ok(made) => made.into_inner(),
            Err(status) => {
                assert_eq!(status.code(), tonic::Code::AlreadyExists);
                let request = clinic_proto::assignment::v1::ListAssignmentsRequest {
                    patient_id: self.patient.profile_id.clone(),
                    ..Default::default()
                };
                let list = admin.list_assignments(request).await.unwrap().into_inner();
                list.assignments.into_iter().next().unwrap()
            }
        }
    }
}
