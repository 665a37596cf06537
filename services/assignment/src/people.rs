//! Patients and doctors, as records answers them to the caller: the only place that knows records.

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

/// A page of 500 patients with medical histories of 20,000 four-byte characters is 42 MiB; tonic
/// refuses more than 4 MiB on its own.
const MAX_ANSWER: usize = 64 << 20;

/// Records, asked on the caller's behalf.
pub(crate) struct People {
    patients: PatientServiceClient<Upstream>,
    doctors: DoctorServiceClient<Upstream>,
}

/// What an assignment takes from its patient.
pub(crate) struct Patient {
    pub(crate) id: Uuid,
    pub(crate) owner_id: Option<Uuid>,
    pub(crate) user_id: Option<Uuid>,
}

/// What an assignment takes from its doctor.
pub(crate) struct Doctor {
    pub(crate) id: Uuid,
    pub(crate) user_id: Option<Uuid>,
    verified: bool,
}

impl People {
    pub(crate) fn new(records: &Upstream) -> Self {
        Self {
            patients: PatientServiceClient::new(records.clone())
                .max_decoding_message_size(MAX_ANSWER),
            doctors: DoctorServiceClient::new(records.clone())
                .max_decoding_message_size(MAX_ANSWER),
        }
    }

    /// A patient with as much as the caller may see, by id or as `me`. Of one whom he sees in the
    /// BASIC view only, owner and account are not known.
    pub(crate) async fn patient(&self, ctx: &Context, id: String) -> Result<Patient, Error> {
        self.get_patient(ctx, id, PatientView::Unspecified).await
    }

    /// The id of a patient whom the caller may see, by id or as `me`.
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
        let answer = self.patients.clone().get_patient(ctx.request(request)).await?;
        let proto::Patient { id, owner_id, user_id, .. } = answer.into_inner();
        Ok(Patient {
            id: given(&id)?,
            owner_id: optional(&owner_id)?,
            user_id: optional(&user_id)?,
        })
    }

    /// A doctor, by id or as `me`.
    pub(crate) async fn doctor(&self, ctx: &Context, id: String) -> Result<Doctor, Error> {
        let request = GetDoctorRequest { id };
        let answer = self.doctors.clone().get_doctor(ctx.request(request)).await?;
        let proto::Doctor { id, user_id, verified, .. } = answer.into_inner();
        Ok(Doctor { id: given(&id)?, user_id: optional(&user_id)?, verified })
    }

    /// Those of the doctors that are there, by id. One call, whatever their number.
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
        let answer = self.doctors.clone().batch_get_doctors(ctx.request(request)).await?;
        let doctors = answer.into_inner().doctors.into_iter();
        Ok(doctors.map(|doctor| (doctor.id.clone(), doctor)).collect())
    }

    /// Those of the patients that the caller may see, by id. One call, whatever their number.
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
        let answer = self.patients.clone().batch_get_patients(ctx.request(request)).await?;
        let patients = answer.into_inner().patients.into_iter();
        Ok(patients.map(|patient| (patient.id.clone(), patient)).collect())
    }
}

impl Doctor {
    /// Whether patients may be assigned: somebody has entered the doctor, or has verified the one
    /// who entered himself.
    pub(crate) fn is_assignable(&self) -> bool {
        self.user_id.is_none() || self.verified
    }
}

/// Ended assignments may name somebody more than once.
fn distinct<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    ids.into_iter().collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
}

fn given(id: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(id).map_err(|_| Error::RecordsMalformed("records answered an id that is none"))
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
