//! A client of records that reads patients and doctors on behalf of the caller.

use std::collections::{BTreeSet, HashMap};

use clinic_net::{Context, Upstream};
use clinic_proto::records::v1::{
    self as proto, BatchGetDoctorsRequest, BatchGetPatientsRequest, GetDoctorRequest,
    GetPatientRequest, PatientView,
};
use clinic_stubs::records::v1::doctor_service_client::DoctorServiceClient;
use clinic_stubs::records::v1::patient_service_client::PatientServiceClient;
use uuid::Uuid;

use crate::error::Error;

/// Maximum size of a response. A page of 500 patients with medical histories of 20,000 four-byte
/// characters is 42 MiB; tonic's default is 4 MiB.
const MAX_ANSWER: usize = 64 << 20;

/// A client of records that calls on behalf of the caller.
pub(crate) struct RecordsClient {
    patients: PatientServiceClient<Upstream>,
    doctors: DoctorServiceClient<Upstream>,
}

/// The fields of a patient that an assignment copies.
pub(crate) struct Patient {
    pub(crate) id: Uuid,
    pub(crate) owner_id: Option<Uuid>,
    pub(crate) user_id: Option<Uuid>,
}

/// The fields of a doctor that an assignment uses.
pub(crate) struct Doctor {
    pub(crate) id: Uuid,
    pub(crate) user_id: Option<Uuid>,
    verified: bool,
}

impl RecordsClient {
    pub(crate) fn new(records: &Upstream) -> Self {
        Self {
            patients: PatientServiceClient::new(records.clone())
                .max_decoding_message_size(MAX_ANSWER),
            doctors: DoctorServiceClient::new(records.clone())
                .max_decoding_message_size(MAX_ANSWER),
        }
    }

    /// Returns a patient, by id or as `me`, in the view that the caller may see. In the BASIC view,
    /// owner and account are `None`.
    pub(crate) async fn patient(&self, ctx: &Context, id: String) -> Result<Patient, Error> {
        self.get_patient(ctx, id, PatientView::Unspecified).await
    }

    /// Returns the id of a patient that the caller may see, by id or as `me`.
    pub(crate) async fn patient_id(&self, ctx: &Context, id: String) -> Result<Uuid, Error> {
        Ok(self.get_patient(ctx, id, PatientView::Basic).await?.id)
    }

    async fn get_patient(
        &self,
        ctx: &Context,
        id: String,
        view: PatientView,
    ) -> Result<Patient, Error> {
        let request = GetPatientRequest { id, view: view.into() };
        let response = self.patients.clone().get_patient(ctx.request(request)).await?;
        let proto::Patient { id, owner_id, user_id, .. } = response.into_inner();
        Ok(Patient {
            id: given(&id)?,
            owner_id: optional(&owner_id)?,
            user_id: optional(&user_id)?,
        })
    }

    /// Returns a doctor, by id or as `me`.
    pub(crate) async fn doctor(&self, ctx: &Context, id: String) -> Result<Doctor, Error> {
        let request = GetDoctorRequest { id };
        let response = self.doctors.clone().get_doctor(ctx.request(request)).await?;
        let proto::Doctor { id, user_id, verified, .. } = response.into_inner();
        Ok(Doctor { id: given(&id)?, user_id: optional(&user_id)?, verified })
    }

    /// Returns the existing ones of these doctors, by id. Makes at most one call.
    pub(crate) async fn doctors<'a>(
        &self,
        ctx: &Context,
        ids: impl IntoIterator<Item = &'a str>,
    ) -> Result<HashMap<String, proto::Doctor>, Error> {
        let ids = distinct(ids);
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let request = BatchGetDoctorsRequest { ids, allow_missing: true };
        let response = self.doctors.clone().batch_get_doctors(ctx.request(request)).await?;
        let doctors = response.into_inner().doctors.into_iter();
        Ok(doctors.map(|doctor| (doctor.id.clone(), doctor)).collect())
    }

    /// Returns those of these patients that the caller may see, by id. Makes at most one call.
    pub(crate) async fn patients<'a>(
        &self,
        ctx: &Context,
        ids: impl IntoIterator<Item = &'a str>,
    ) -> Result<HashMap<String, proto::Patient>, Error> {
        let ids = distinct(ids);
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let view = PatientView::Unspecified.into();
        let request = BatchGetPatientsRequest { ids, view, allow_missing: true };
        let response = self.patients.clone().batch_get_patients(ctx.request(request)).await?;
        let patients = response.into_inner().patients.into_iter();
        Ok(patients.map(|patient| (patient.id.clone(), patient)).collect())
    }
}

impl Doctor {
    /// Returns whether patients may be assigned: self-registered doctors must be verified.
    pub(crate) fn is_assignable(&self) -> bool {
        self.user_id.is_none() || self.verified
    }
}

/// Removes duplicates, because several ended assignments can have the same patient or doctor.
fn distinct<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    ids.into_iter().collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
}

fn given(id: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(id).map_err(|_| Error::RecordsMalformed("records returned an invalid id"))
}

fn optional(id: &str) -> Result<Option<Uuid>, Error> {
    if id.is_empty() { Ok(None) } else { given(id).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doctor_who_registered_himself_takes_no_patients_before_he_is_verified() {
        let doctor = |user_id, verified| Doctor { id: Uuid::nil(), user_id, verified };
        assert!(doctor(None, false).is_assignable());
        assert!(!doctor(Some(Uuid::nil()), false).is_assignable());
        assert!(doctor(Some(Uuid::nil()), true).is_assignable());
    }

    #[test]
    fn nobody_is_asked_for_twice() {
        assert_eq!(distinct(["b", "a", "b"]), ["a", "b"]);
    }
}
