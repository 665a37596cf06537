//! Creates and deletes the patient or doctor record of an account in records.

use clinic_identity::ClaimsSigner;
use clinic_net::{Context, Upstream};
use clinic_proto::records::v1::{
    CreateDoctorRequest, CreatePatientRequest, DeleteDoctorRequest, DeletePatientRequest, Doctor,
    Patient,
};
use clinic_stubs::records::v1::doctor_service_client::DoctorServiceClient;
use clinic_stubs::records::v1::patient_service_client::PatientServiceClient;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::error::Error;

/// The patient or doctor in a registration.
pub(super) enum Profile {
    Patient(Box<Patient>),
    Doctor(Box<Doctor>),
}

impl Profile {
    /// Returns the kind and the encoded message.
    pub(super) fn encode(&self) -> (&'static str, Vec<u8>) {
        match self {
            Self::Patient(patient) => (PATIENT, patient.encode_to_vec()),
            Self::Doctor(doctor) => (DOCTOR, doctor.encode_to_vec()),
        }
    }

    pub(super) fn decode(kind: &str, message: &[u8]) -> Result<Self, Error> {
        match kind {
            PATIENT => Patient::decode(message).map(|patient| Self::Patient(patient.into())),
            DOCTOR => Doctor::decode(message).map(|doctor| Self::Doctor(doctor.into())),
            _ => return Err(Error::internal("a registration has a profile of an unknown kind")),
        }
        // The text of the decoder's error may quote the profile.
        .map_err(|_| Error::internal("a registration has a damaged profile"))
    }
}

const PATIENT: &str = "patient";
const DOCTOR: &str = "doctor";

/// The id of a created record.
pub(super) enum Made {
    Patient(String),
    Doctor(String),
}

/// A client of records that calls as auth, not on behalf of a user.
pub(crate) struct RecordsClient {
    patients: PatientServiceClient<Upstream>,
    doctors: DoctorServiceClient<Upstream>,
    claims: ClaimsSigner,
}

impl RecordsClient {
    pub(crate) fn new(records: Upstream, claims: ClaimsSigner) -> Self {
        Self {
            claims,
            patients: PatientServiceClient::new(records.clone()),
            doctors: DoctorServiceClient::new(records),
        }
    }

    /// Returns the context of background work.
    pub(super) fn background(&self) -> Result<Context, Error> {
        Context::background(&self.claims).map_err(Error::internal)
    }

    /// Creates the record of an account, or returns the existing one; `None` if it was created and
    /// deleted before. The request id is the account's id, so a repeated request creates one record.
    pub(super) async fn create(
        &self,
        ctx: &Context,
        profile: Profile,
        user_id: Uuid,
    ) -> Result<Option<Made>, Error> {
        let ctx = ctx.as_service(&self.claims).map_err(Error::internal)?;
        let (user_id, request_id) = (user_id.to_string(), user_id.to_string());
        let outcome = match profile {
            Profile::Patient(patient) => {
                let patient = Some(Patient { user_id, ..*patient });
                let request = ctx.request(CreatePatientRequest { patient, request_id });
                let made = self.patients.clone().create_patient(request).await;
                made.map(|made| Made::Patient(made.into_inner().id))
            }
            Profile::Doctor(doctor) => {
                let doctor = Some(Doctor { user_id, ..*doctor });
                let request = ctx.request(CreateDoctorRequest { doctor, request_id });
                let made = self.doctors.clone().create_doctor(request).await;
                made.map(|made| Made::Doctor(made.into_inner().id))
            }
        };
        unless_deleted(outcome)
    }

    /// Deletes the record of an account that was not created, unless it was deleted before.
    pub(super) async fn delete(&self, ctx: &Context, made: Made) -> Result<(), Error> {
        let ctx = ctx.as_service(&self.claims).map_err(Error::internal)?;
        let etag = String::new();
        let outcome = match made {
            Made::Patient(id) => {
                let request = ctx.request(DeletePatientRequest { id, etag });
                self.patients.clone().delete_patient(request).await.map(drop)
            }
            Made::Doctor(id) => {
                let request = ctx.request(DeleteDoctorRequest { id, etag });
                self.doctors.clone().delete_doctor(request).await.map(drop)
            }
        };
        unless_deleted(outcome).map(drop)
    }
}

/// Converts the outcome of a call of records: `None` if the record was deleted before.
fn unless_deleted<T>(outcome: Result<T, Status>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(made) => Ok(Some(made)),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(refused(status)),
    }
}

/// Converts an error of records to an error of Register. The paths of bad fields are the same in
/// both requests, such as `doctor.license_number`.
fn refused(status: Status) -> Error {
    let field = |status: &Status| status.get_details_error_info()?.metadata.get("field").cloned();
    match status.code() {
        Code::AlreadyExists if field(&status).as_deref() == Some("license_number") => {
            Error::LicenseTaken
        }
        Code::InvalidArgument
        | Code::AlreadyExists
        | Code::Aborted
        | Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled => Error::Records(status),
        // Not the client's fault: auth lacks a permission, or records has a bug.
        code => Error::internal(format!("records returned {code:?} to auth")),
    }
}
