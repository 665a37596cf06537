//! The RPCs of `PatientService`. The codec has validated the requests.

use clinic_clock::Clock;
use clinic_net::Context;
use clinic_proto::mask::Mask;
use clinic_proto::records::v1::{
    self as proto, BatchGetPatientsRequest, BatchGetPatientsResponse, CreatePatientRequest,
    DeletePatientRequest, GetPatientRequest, ListPatientsRequest, ListPatientsResponse,
    UndeletePatientRequest, UpdatePatientRequest,
};
use clinic_resource::text::Prefix;
use clinic_resource::{New, list, read, write};
use clinic_server::origin;
use clinic_store::idempotency;
use clinic_store::{Db, Query, page};
use clinic_stubs::records::v1::PatientServiceHandler;
use prost::Message as _;

use super::fields::{Patient, asked};
use crate::error::Error;
use crate::listing::Filter;
use crate::scopes::{self, DoctorPatientView};

/// The handler of `PatientService`.
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
        let caller = ctx.principal();
        let content = request.encode_to_vec();
        let claim = idempotency::Request::of(caller.id(), "CreatePatient", &request_id, &content);
        let message = request.patient.unwrap_or_default();
        let columns = scopes::owner_and_account(caller, &message.user_id, "patient.user_id")?;
        let scope = scopes::patients_for_repeated_create(caller, self.doctor_view);
        let new = New::<Patient> { id: self.clock.new_id(), message, columns, request: claim };
        Ok(write::create(&self.db, &origin(ctx), &scope, new).await?)
    }

    async fn get_patient(
        &self,
        ctx: &Context,
        request: GetPatientRequest,
    ) -> Result<proto::Patient, Error> {
        let condition = scopes::by_id(&request.id, ctx.principal())?;
        let scope = scopes::visible_patients(ctx.principal(), self.doctor_view);
        Ok(read::get::<Patient>(&self.db, &condition, &scope, asked(request.view())).await?)
    }

    async fn batch_get_patients(
        &self,
        ctx: &Context,
        request: BatchGetPatientsRequest,
    ) -> Result<BatchGetPatientsResponse, Error> {
        let asked = asked(request.view());
        let BatchGetPatientsRequest { ids, allow_missing, .. } = request;
        let scope = scopes::visible_patients(ctx.principal(), self.doctor_view);
        let patients =
            read::batch_get::<Patient>(&self.db, &ids, &scope, asked, allow_missing).await?;
        Ok(BatchGetPatientsResponse { patients })
    }

    async fn list_patients(
        &self,
        ctx: &Context,
        request: ListPatientsRequest,
    ) -> Result<ListPatientsResponse, Error> {
        let asked = asked(request.view());
        let filters: [&[u8]; 2] = [request.query.as_bytes(), &[u8::from(request.show_deleted)]];
        let fingerprint = list::fingerprint(ctx.principal(), "ListPatients", &filters);
        let after = list::after(&self.pages, &request.page_token, &fingerprint)?;
        let scope = scopes::visible_patients(ctx.principal(), self.doctor_view);
        let filter = Filter {
            scope: &scope,
            show_deleted: request.show_deleted,
            prefix: Prefix::new(&request.query),
            also: Query::empty(),
        };
        let list = filter.list(asked);
        let page = list.page::<Patient>(&self.db, page::size(request.page_size), after).await?;
        let total_size = list.total::<Patient>(&self.db, request.include_total_size).await?;
        let (patients, next_page_token) = page.into_items(&self.pages, &fingerprint, |it| it)?;
        Ok(ListPatientsResponse { patients, next_page_token, total_size })
    }

    async fn update_patient(
        &self,
        ctx: &Context,
        request: UpdatePatientRequest,
    ) -> Result<proto::Patient, Error> {
        let mut patient = request.patient.unwrap_or_default();
        let etag = std::mem::take(&mut patient.etag);
        let scope = scopes::changeable_patients(ctx.principal());
        let mut change = scopes::update_of(ctx, &request.id, &scope, &etag)?;
        let (id, user_id) = (&request.id, &patient.user_id);
        change.requires.extend(scopes::requires_account(ctx, id, user_id, "patient.user_id")?);
        let changes = write::changes::<Patient>(&Mask::of(request.update_mask), patient)?;
        change.update::<Patient>(&self.db, &changes, |_| ()).await
    }

    async fn delete_patient(
        &self,
        ctx: &Context,
        request: DeletePatientRequest,
    ) -> Result<proto::Patient, Error> {
        let scope = scopes::deletable(ctx.principal());
        scopes::update_of(ctx, &request.id, &scope, &request.etag)?
            .delete::<Patient>(&self.db)
            .await
    }

    async fn undelete_patient(
        &self,
        ctx: &Context,
        request: UndeletePatientRequest,
    ) -> Result<proto::Patient, Error> {
        let scope = scopes::deletable(ctx.principal());
        let change = scopes::update_of_deleted(ctx, &request.id, &scope, &request.etag)?;
        change.undelete::<Patient>(&self.db).await
    }
}
