//! The patient or doctor record of an account, which records keeps.

use clinic_chassis::{Call, Error, Upstream};
use clinic_identity::ClaimsSigner;
use clinic_proto::records::v1::doctor_service_client::DoctorServiceClient;
use clinic_proto::records::v1::patient_service_client::PatientServiceClient;
use clinic_proto::records::v1::{
    CreateDoctorRequest, CreatePatientRequest, DeleteDoctorRequest, DeletePatientRequest, Doctor,
    Patient,
};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// What a new account brings along.
pub(super) enum Profile {
    None,
    Patient(Box<Patient>),
    Doctor(Box<Doctor>),
}

/// A request to records that is ready to be sent, by whatever task.
pub(super) enum Prepared {
    None,
    Patient(Request<CreatePatientRequest>),
    Doctor(Request<CreateDoctorRequest>),
}

/// A record that was made.
pub(super) enum Made {
    None,
    Patient(String),
    Doctor(String),
}

/// The way to records, as auth itself.
pub(crate) struct Profiles {
    patients: PatientServiceClient<Upstream>,
    doctors: DoctorServiceClient<Upstream>,
    claims: ClaimsSigner,
}

impl Profiles {
    pub(crate) fn new(records: Upstream, claims: ClaimsSigner) -> Self {
        Self {
            patients: PatientServiceClient::new(records.clone()),
            doctors: DoctorServiceClient::new(records),
            claims,
        }
    }

    /// The request that makes the record of that account. Its id is the request id too, so that a
    /// request that is sent twice makes one record.
    pub(super) fn prepare(&self, profile: Profile, user_id: Uuid) -> Result<Prepared, Error> {
        let claims = || self.claims.as_service().map_err(Error::internal);
        let (user_id, request_id) = (user_id.to_string(), user_id.to_string());
        Ok(match profile {
            Profile::None => Prepared::None,
            Profile::Patient(patient) => {
                let patient = Some(Patient { user_id, ..*patient });
                let message = CreatePatientRequest { patient, request_id };
                Prepared::Patient(Call::outbound_as(claims()?, message))
            }
            Profile::Doctor(doctor) => {
                let doctor = Some(Doctor { user_id, ..*doctor });
                let message = CreateDoctorRequest { doctor, request_id };
                Prepared::Doctor(Call::outbound_as(claims()?, message))
            }
        })
    }

    pub(super) async fn create(&self, request: Prepared) -> Result<Made, Error> {
        match request {
            Prepared::None => Ok(Made::None),
            Prepared::Patient(request) => {
                let made = self.patients.clone().create_patient(request).await.map_err(refused)?;
                Ok(Made::Patient(made.into_inner().id))
            }
            Prepared::Doctor(request) => {
                let made = self.doctors.clone().create_doctor(request).await.map_err(refused)?;
                Ok(Made::Doctor(made.into_inner().id))
            }
        }
    }

    /// Takes a record back whose account could not be made. Nothing more can be done when this
    /// fails too: the log names the record, which belongs to nobody.
    pub(super) async fn take_back(&self, made: Made) {
        let claims = match self.claims.as_service() {
            Ok(claims) => claims,
            Err(error) => return tracing::error!(%error, "a profile could not be taken back"),
        };
        let etag = String::new();
        let (id, outcome) = match made {
            Made::None => return,
            Made::Patient(id) => {
                let message = DeletePatientRequest { id: id.clone(), etag };
                let request = Call::outbound_as(claims, message);
                (id, self.patients.clone().delete_patient(request).await.map(drop))
            }
            Made::Doctor(id) => {
                let message = DeleteDoctorRequest { id: id.clone(), etag };
                let request = Call::outbound_as(claims, message);
                (id, self.doctors.clone().delete_doctor(request).await.map(drop))
            }
        };
        if let Err(status) = outcome {
            tracing::error!(record = id, code = ?status.code(), "a profile could not be taken back");
        }
    }
}

/// What records answered, as Register answers it. The paths of bad fields are the same in both
/// requests (`doctor.license_number`).
fn refused(status: Status) -> Error {
    let field = |status: &Status| status.get_details_error_info()?.metadata.get("field").cloned();
    match status.code() {
        Code::AlreadyExists if field(&status).as_deref() == Some("license_number") => {
            Error::already_exists(
                "doctor.license_number",
                "a doctor with this license number is registered already",
            )
        }
        Code::InvalidArgument
        | Code::AlreadyExists
        | Code::Aborted
        | Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled => Error::from(status),
        // Anything else is not about what the client sent: auth may not ask, or records is broken.
        code => Error::internal(format!("records answered {code:?} to auth")),
    }
}
