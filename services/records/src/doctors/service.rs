//! The RPCs of `DoctorService`. The codec has validated the requests.

use clinic_clock::Clock;
use clinic_net::Context;
use clinic_proto::access::v1::Role;
use clinic_proto::mask::Mask;
use clinic_proto::records::v1::{
    self as proto, BatchGetDoctorsRequest, BatchGetDoctorsResponse, CreateDoctorRequest,
    DeleteDoctorRequest, GetDoctorRequest, ListDoctorsRequest, ListDoctorsResponse,
    UndeleteDoctorRequest, UpdateDoctorRequest, VerifyDoctorRequest,
};
use clinic_resource::text::{Prefix, fold};
use clinic_resource::{New, Scope, View, list, read, write};
use clinic_server::origin;
use clinic_store::idempotency;
use clinic_store::{Changes, Db, Query, page};
use clinic_stubs::records::v1::DoctorServiceHandler;
use prost::Message as _;

use super::fields::{self, Doctor};
use crate::error::Error;
use crate::listing::Filter;
use crate::scopes;

/// The handler of `DoctorService`.
pub(crate) struct Doctors {
    db: Db,
    pages: page::Tokens,
    clock: Clock,
}

impl Doctors {
    pub(crate) fn new(db: Db, pages: page::Tokens, clock: Clock) -> Self {
        Self { db, pages, clock }
    }
}

impl DoctorServiceHandler for Doctors {
    type Error = Error;

    async fn create_doctor(
        &self,
        ctx: &Context,
        mut request: CreateDoctorRequest,
    ) -> Result<proto::Doctor, Error> {
        // The id must not be part of the content that is compared when the request is repeated.
        let request_id = std::mem::take(&mut request.request_id);
        let caller = ctx.principal();
        let content = request.encode_to_vec();
        let claim = idempotency::Request::of(caller.id(), "CreateDoctor", &request_id, &content);
        let message = request.doctor.unwrap_or_default();
        let columns = scopes::owner_and_account(caller, &message.user_id, "doctor.user_id")?;
        // A repeated request returns the doctor that it created, if the caller may still see it.
        let scope = scopes::visible_doctors(caller, false);
        let new = New::<Doctor> { id: self.clock.new_id(), message, columns, request: claim };
        Ok(write::create(&self.db, &origin(ctx), &scope, new).await?)
    }

    async fn get_doctor(
        &self,
        ctx: &Context,
        request: GetDoctorRequest,
    ) -> Result<proto::Doctor, Error> {
        let condition = scopes::by_id(&request.id, ctx.principal())?;
        let scope = scopes::visible_doctors(ctx.principal(), false);
        Ok(read::get::<Doctor>(&self.db, &condition, &scope, View::Full).await?)
    }

    async fn batch_get_doctors(
        &self,
        ctx: &Context,
        request: BatchGetDoctorsRequest,
    ) -> Result<BatchGetDoctorsResponse, Error> {
        let BatchGetDoctorsRequest { ids, allow_missing } = request;
        let scope = scopes::visible_doctors(ctx.principal(), false);
        let doctors =
            read::batch_get::<Doctor>(&self.db, &ids, &scope, View::Full, allow_missing).await?;
        Ok(BatchGetDoctorsResponse { doctors })
    }

    async fn list_doctors(
        &self,
        ctx: &Context,
        request: ListDoctorsRequest,
    ) -> Result<ListDoctorsResponse, Error> {
        let filters: [&[u8]; 3] = [
            request.query.as_bytes(),
            request.specialization.as_bytes(),
            // 2: not filtered by availability.
            &[request.available.map_or(2, u8::from), u8::from(request.show_deleted)],
        ];
        let fingerprint = list::fingerprint(ctx.principal(), "ListDoctors", &filters);
        let after = list::after(&self.pages, &request.page_token, &fingerprint)?;
        let scope = scopes::visible_doctors(ctx.principal(), request.show_deleted);
        let filter = filter(&request, &scope);
        let list = filter.list(View::Full);
        let page = list.page::<Doctor>(&self.db, page::size(request.page_size), after).await?;
        let total_size = list.total::<Doctor>(&self.db, request.include_total_size).await?;
        let (doctors, next_page_token) = page.into_items(&self.pages, &fingerprint, |it| it)?;
        Ok(ListDoctorsResponse { doctors, next_page_token, total_size })
    }

    async fn update_doctor(
        &self,
        ctx: &Context,
        request: UpdateDoctorRequest,
    ) -> Result<proto::Doctor, Error> {
        let mut doctor = request.doctor.unwrap_or_default();
        let etag = std::mem::take(&mut doctor.etag);
        let scope = scopes::changeable_doctors(ctx.principal());
        let mut change = scopes::update_of(ctx, &request.id, &scope, &etag)?;
        let (id, user_id) = (&request.id, &doctor.user_id);
        change.requires.extend(scopes::requires_account(ctx, id, user_id, "doctor.user_id")?);
        let changes = write::changes::<Doctor>(&Mask::of(request.update_mask), doctor)?;
        // A change by anyone but an ADMIN must be verified again.
        let still_verified = |query: &mut Query| {
            if !ctx.principal().has(Role::Admin) {
                fields::push_still_verified(query, &changes);
            }
        };
        change.update::<Doctor>(&self.db, &changes, still_verified).await
    }

    async fn delete_doctor(
        &self,
        ctx: &Context,
        request: DeleteDoctorRequest,
    ) -> Result<proto::Doctor, Error> {
        let scope = scopes::deletable(ctx.principal());
        scopes::update_of(ctx, &request.id, &scope, &request.etag)?.delete::<Doctor>(&self.db).await
    }

    async fn undelete_doctor(
        &self,
        ctx: &Context,
        request: UndeleteDoctorRequest,
    ) -> Result<proto::Doctor, Error> {
        let scope = scopes::deletable(ctx.principal());
        let change = scopes::update_of_deleted(ctx, &request.id, &scope, &request.etag)?;
        change.undelete::<Doctor>(&self.db).await
    }

    async fn verify_doctor(
        &self,
        ctx: &Context,
        request: VerifyDoctorRequest,
    ) -> Result<proto::Doctor, Error> {
        let scope = scopes::all_for_admins(ctx.principal());
        let change = scopes::update_of(ctx, &request.id, &scope, &request.etag)?;
        let verified = Changes::default().set("verified", true);
        change.update::<Doctor>(&self.db, &verified, |_| ()).await
    }
}

/// Converts a list request to a filter.
pub(crate) fn filter<'a>(request: &ListDoctorsRequest, scope: &'a Scope) -> Filter<'a> {
    let prefix = Prefix::new(&request.query);
    let mut also = Query::empty();
    let specialization = fold(&request.specialization);
    if !specialization.is_empty() {
        also.push(" AND specialization_key = ").push_bind(specialization);
    }
    if let Some(available) = request.available {
        // With `available = …`, SQLite would use the index on `available` for a search by name, and
        // sort half of all doctors for each page. `IS DISTINCT FROM` cannot use that index.
        if prefix.is_some() {
            also.push(" AND NOT (available IS DISTINCT FROM ").push_bind(available).push(")");
        } else {
            also.push(" AND available = ").push_bind(available);
        }
    }
    Filter { scope, show_deleted: request.show_deleted, prefix, also }
}
