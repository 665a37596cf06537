//! The RPCs of `DoctorService`, each one function. Messages are valid when they get here.

use clinic_chassis::Context;
use clinic_clock::Clock;
use clinic_proto::access::v1::Role;
use clinic_proto::records::v1::{
    self as proto, BatchGetDoctorsRequest, BatchGetDoctorsResponse, CreateDoctorRequest,
    DeleteDoctorRequest, GetDoctorRequest, ListDoctorsRequest, ListDoctorsResponse,
    UndeleteDoctorRequest, UpdateDoctorRequest, VerifyDoctorRequest,
};
use clinic_store::idempotency::Request as Replay;
use clinic_store::{Changes, Db, Query, page};
use clinic_stubs::records::v1::DoctorServiceHandler;
use prost::Message as _;

use super::model::{self, Doctor};
use super::store::{self, Filter, TABLE};
use crate::access::Scope;
use crate::columns::changes;
use crate::error::Error;
use crate::listing::{self, List};
use crate::names::Prefix;
use crate::rows::{self, Account, Before, Change, New, Which};
use clinic_proto::mask::Mask;

/// The service.
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
        let request_id = std::mem::take(&mut request.request_id);
        let replay =
            Replay::of(ctx.principal().id(), "CreateDoctor", &request_id, &request.encode_to_vec());
        let doctor = request.doctor.unwrap_or_default();
        let (owner_id, user_id) = rows::whose(ctx.principal(), &doctor.user_id, "doctor.user_id")?;
        let new =
            New { id: self.clock.new_id(), owner_id, user_id, columns: model::columns(doctor) };
        let scope = Scope::see_doctors(ctx.principal(), false);
        let row: Doctor = rows::create(&self.db, &ctx.origin(), TABLE, replay, &scope, new).await?;
        Ok(row.into())
    }

    async fn get_doctor(
        &self,
        ctx: &Context,
        request: GetDoctorRequest,
    ) -> Result<proto::Doctor, Error> {
        let which = Which::of(&request.id, ctx.principal())?;
        let row: Doctor =
            rows::get(&self.db, TABLE, which, &Scope::see_doctors(ctx.principal(), false)).await?;
        Ok(row.into())
    }

    async fn batch_get_doctors(
        &self,
        ctx: &Context,
        request: BatchGetDoctorsRequest,
    ) -> Result<BatchGetDoctorsResponse, Error> {
        let scope = Scope::see_doctors(ctx.principal(), false);
        let rows: Vec<Doctor> =
            rows::batch_get(&self.db, TABLE, &request.ids, &scope, request.allow_missing).await?;
        Ok(BatchGetDoctorsResponse { doctors: rows.into_iter().map(Into::into).collect() })
    }

    async fn list_doctors(
        &self,
        ctx: &Context,
        request: ListDoctorsRequest,
    ) -> Result<ListDoctorsResponse, Error> {
        let print = listing::fingerprint(
            ctx.principal(),
            "ListDoctors",
            &[
                request.query.as_bytes(),
                request.specialization.as_bytes(),
                &[request.available.map_or(2, u8::from), u8::from(request.show_deleted)],
            ],
        );
        let after = self.pages.after(&request.page_token, &print)?;
        let filter = Filter::of(&request);
        let list = List {
            table: TABLE,
            scope: &Scope::see_doctors(ctx.principal(), request.show_deleted),
            show_deleted: request.show_deleted,
            prefix: Prefix::new(&request.query),
            filter: &|query| filter.push(query),
        };
        let (rows, next) =
            list.page::<Doctor>(&self.db, page::size(request.page_size), after).await?;
        let total_size = match request.include_total_size {
            true => Some(list.count(&self.db).await?),
            false => None,
        };
        Ok(ListDoctorsResponse {
            doctors: rows.into_iter().map(Into::into).collect(),
            next_page_token: self.pages.token(next.as_ref(), &print)?,
            total_size,
        })
    }

    async fn update_doctor(
        &self,
        ctx: &Context,
        request: UpdateDoctorRequest,
    ) -> Result<proto::Doctor, Error> {
        let doctor = request.doctor.unwrap_or_default();
        let which = Which::of_update(&request.id, &doctor.user_id, ctx.principal())?;
        let etag = doctor.etag.clone();
        let account = Account::of(&doctor.user_id, "doctor.user_id");
        let columns = model::columns(doctor);
        let scope = Scope::change_doctors(ctx.principal());
        let change = change(ctx, which, &scope, &etag, Before::Live);
        let change = Change { account, ..change };
        let mask = Mask::of(request.update_mask);
        let changes = changes(&mask, columns);
        let confirmed = |query: &mut Query| {
            if !ctx.principal().has(Role::Admin) {
                store::push_confirmed(query, &changes);
            }
        };
        let row: Doctor = change.update(&self.db, TABLE, &changes, confirmed).await?;
        Ok(row.into())
    }

    async fn delete_doctor(
        &self,
        ctx: &Context,
        request: DeleteDoctorRequest,
    ) -> Result<proto::Doctor, Error> {
        let scope = Scope::delete(ctx.principal());
        let which = Which::of(&request.id, ctx.principal())?;
        let change = change(ctx, which, &scope, &request.etag, Before::Live);
        Ok(change.delete::<Doctor>(&self.db, TABLE).await?.into())
    }

    async fn undelete_doctor(
        &self,
        ctx: &Context,
        request: UndeleteDoctorRequest,
    ) -> Result<proto::Doctor, Error> {
        let scope = Scope::delete(ctx.principal());
        let which = Which::of(&request.id, ctx.principal())?;
        let change = change(ctx, which, &scope, &request.etag, Before::Deleted);
        Ok(change.undelete::<Doctor>(&self.db, TABLE).await?.into())
    }

    async fn verify_doctor(
        &self,
        ctx: &Context,
        request: VerifyDoctorRequest,
    ) -> Result<proto::Doctor, Error> {
        let scope = Scope::administer(ctx.principal());
        let which = Which::of(&request.id, ctx.principal())?;
        let change = change(ctx, which, &scope, &request.etag, Before::Live);
        let verified = Changes::default().set("verified", true);
        Ok(change.update::<Doctor>(&self.db, TABLE, &verified, |_| ()).await?.into())
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
