//! The RPCs of `PatientService`, each one function. Messages are valid when they get here.

use clinic_chassis::Context;
use clinic_clock::Clock;
use clinic_proto::records::v1::{
    self as proto, BatchGetPatientsRequest, BatchGetPatientsResponse, CreatePatientRequest,
    DeletePatientRequest, GetPatientRequest, ListPatientsRequest, ListPatientsResponse,
    PatientView, UndeletePatientRequest, UpdatePatientRequest,
};
use clinic_store::idempotency::Request as Replay;
use clinic_store::{Db, page};
use clinic_stubs::records::v1::PatientServiceHandler;
use prost::Message as _;

use super::model::{self, Patient};
use super::store::{self, FULL};
use crate::access::{DoctorPatientView, Scope};
use crate::columns::changes;
use crate::error::Error;
use crate::listing;
use crate::names::Prefix;
use crate::rows::{self, Account, Before, Change, New, Which};
use clinic_proto::mask::Mask;

/// The service.
pub(crate) struct Patients {
    db: Db,
    pages: page::Tokens,
    clock: Clock,
    doctor_view: DoctorPatientView,
}

impl Patients {
    pub(crate) fn new(
        db: Db,
        pages: page::Tokens,
        clock: Clock,
        doctor_view: DoctorPatientView,
    ) -> Self {
        Self { db, pages, clock, doctor_view }
    }
}

impl PatientServiceHandler for Patients {
    type Error = Error;

    async fn create_patient(
        &self,
        ctx: &Context,
        mut request: CreatePatientRequest,
    ) -> Result<proto::Patient, Error> {
        let request_id = std::mem::take(&mut request.request_id);
        let replay = Replay::of(
            ctx.principal().id(),
            "CreatePatient",
            &request_id,
            &request.encode_to_vec(),
        );
        let patient = request.patient.unwrap_or_default();
        let (owner_id, user_id) =
            rows::whose(ctx.principal(), &patient.user_id, "patient.user_id")?;
        let new =
            New { id: self.clock.new_id(), owner_id, user_id, columns: model::columns(patient)? };
        let scope = Scope::see_patients_again(ctx.principal(), self.doctor_view);
        let row: Patient = rows::create(&self.db, &ctx.origin(), FULL, replay, &scope, new).await?;
        Ok(row.into_proto(&scope, PatientView::Unspecified))
    }

    async fn get_patient(
        &self,
        ctx: &Context,
        request: GetPatientRequest,
    ) -> Result<proto::Patient, Error> {
        let view = request.view();
        let which = Which::of(&request.id, ctx.principal())?;
        let scope = Scope::see_patients(ctx.principal(), self.doctor_view);
        let row: Patient = rows::get(&self.db, store::table(&scope, view), which, &scope).await?;
        Ok(row.into_proto(&scope, view))
    }

    async fn batch_get_patients(
        &self,
        ctx: &Context,
        request: BatchGetPatientsRequest,
    ) -> Result<BatchGetPatientsResponse, Error> {
        let view = request.view();
        let scope = Scope::see_patients(ctx.principal(), self.doctor_view);
        let table = store::table(&scope, view);
        let rows: Vec<Patient> =
            rows::batch_get(&self.db, table, &request.ids, &scope, request.allow_missing).await?;
        let patients = rows.into_iter().map(|row| row.into_proto(&scope, view)).collect();
        Ok(BatchGetPatientsResponse { patients })
    }

    async fn list_patients(
        &self,
        ctx: &Context,
        request: ListPatientsRequest,
    ) -> Result<ListPatientsResponse, Error> {
        let view = request.view();
        let print = listing::fingerprint(
            ctx.principal(),
            "ListPatients",
            &[request.query.as_bytes(), &[u8::from(request.show_deleted)]],
        );
        let after = self.pages.after(&request.page_token, &print)?;
        let scope = Scope::see_patients(ctx.principal(), self.doctor_view);
        let list = store::list(&scope, view, Prefix::new(&request.query), request.show_deleted);
        let (rows, next) =
            list.page::<Patient>(&self.db, page::size(request.page_size), after).await?;
        let total_size = match request.include_total_size {
            true => Some(list.count(&self.db).await?),
            false => None,
        };
        Ok(ListPatientsResponse {
            patients: rows.into_iter().map(|row| row.into_proto(&scope, view)).collect(),
            next_page_token: self.pages.token(next.as_ref(), &print)?,
            total_size,
        })
    }

    async fn update_patient(
        &self,
        ctx: &Context,
        request: UpdatePatientRequest,
    ) -> Result<proto::Patient, Error> {
        let patient = request.patient.unwrap_or_default();
        let which = Which::of_update(&request.id, &patient.user_id, ctx.principal())?;
        let etag = patient.etag.clone();
        let account = Account::of(&patient.user_id, "patient.user_id");
        let columns = model::columns(patient)?;
        let scope = Scope::change_patients(ctx.principal());
        let change = change(ctx, which, &scope, &etag, Before::Live);
        let change = Change { account, ..change };
        let mask = Mask::of(request.update_mask);
        let row: Patient = change.update(&self.db, FULL, &changes(&mask, columns), |_| ()).await?;
        Ok(row.into_full())
    }

    async fn delete_patient(
        &self,
        ctx: &Context,
        request: DeletePatientRequest,
    ) -> Result<proto::Patient, Error> {
        let scope = Scope::delete(ctx.principal());
        let which = Which::of(&request.id, ctx.principal())?;
        let change = change(ctx, which, &scope, &request.etag, Before::Live);
        Ok(change.delete::<Patient>(&self.db, FULL).await?.into_full())
    }

    async fn undelete_patient(
        &self,
        ctx: &Context,
        request: UndeletePatientRequest,
    ) -> Result<proto::Patient, Error> {
        let scope = Scope::delete(ctx.principal());
        let which = Which::of(&request.id, ctx.principal())?;
        let change = change(ctx, which, &scope, &request.etag, Before::Deleted);
        Ok(change.undelete::<Patient>(&self.db, FULL).await?.into_full())
    }
}

fn change<'a>(
    ctx: &Context,
    which: Which,
    scope: &'a Scope,
    etag: &'a str,
    before: Before,
) -> Change<'a> {
    Change { which, scope, etag, account: None, before, origin: ctx.origin() }
}
