//! Reads and changes an account.

use clinic_net::Context;
use clinic_proto::access::v1::Role;
use clinic_proto::auth::v1::{GetUserRequest, UpdateUserRequest};
use clinic_proto::validation::Presence;
use clinic_server::origin;
use uuid::Uuid;

use super::model::named;
use super::{User, store};
use crate::Auth;
use crate::error::Error;

impl Auth {
    pub(crate) async fn get_user(
        &self,
        ctx: &Context,
        request: GetUserRequest,
    ) -> Result<User, Error> {
        let GetUserRequest { id } = request;
        self.visible_user(ctx, named(&id, ctx.principal())?).await
    }

    pub(crate) async fn update_user(
        &self,
        ctx: &Context,
        request: UpdateUserRequest,
    ) -> Result<User, Error> {
        let UpdateUserRequest { id, user, update_mask } = request;
        let current = self.visible_user(ctx, named(&id, ctx.principal())?).await?;
        let wanted = user.unwrap_or_default();
        current.check_etag(&wanted.etag)?;
        // Only the name can change. Without a mask, an empty name counts as not given; with one,
        // the contract refuses it. An update that changes nothing writes nothing.
        let name = wanted.name.trim();
        let given_only = matches!(Presence::of(update_mask.as_ref()), Presence::Given);
        if name == current.name || (name.is_empty() && given_only) {
            return Ok(current);
        }
        let updated = store::update_name(&self.db, &origin(ctx), &current, name).await?;
        updated.ok_or_else(|| if wanted.etag.is_empty() { Error::Conflict } else { Error::Stale })
    }

    /// Returns an account that the caller may see: their own, or any for an ADMIN. Reads the caller
    /// too: an access token stays valid for some minutes after the account or the role is lost.
    async fn visible_user(&self, ctx: &Context, id: Uuid) -> Result<User, Error> {
        let me = store::find(&self.db, ctx.principal().id()).await?.filter(|user| user.active);
        let me = me.ok_or(Error::InvalidToken)?;
        if me.id == id {
            return Ok(me);
        }
        if !(ctx.principal().has(Role::Admin) && me.is_admin()) {
            return Err(Error::NotFound);
        }
        store::find(&self.db, id).await?.ok_or(Error::NotFound)
    }
}
