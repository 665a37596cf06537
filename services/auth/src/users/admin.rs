//! The operations of administrators on accounts.

use clinic_identity::Roles;
use clinic_net::Context;
use clinic_proto::access::v1::Role;
use clinic_proto::auth::v1::{
    DeactivateUserRequest, ListUsersRequest, ListUsersResponse, ReactivateUserRequest,
    SetUserRolesRequest,
};
use clinic_server::origin;
use clinic_store::page::{self, Cursor};

use super::model::named;
use super::{User, store};
use crate::error::Error;
use crate::{Auth, sessions};

impl Auth {
    pub(crate) async fn list_users(
        &self,
        ctx: &Context,
        request: ListUsersRequest,
    ) -> Result<ListUsersResponse, Error> {
        let ListUsersRequest { page_size, page_token, include_total_size } = request;
        still_admin(store::find(&self.db, ctx.principal().id()).await?)?;
        let fingerprint = page::fingerprint(&[b"ListUsers"]);
        let after = self.pages.after(&page_token, &fingerprint)?.map(|cursor| cursor.id);
        let size = page::size(page_size);
        let users = store::list(&self.db, after, size + 1).await?;
        let cursor = |user: &User| Cursor { branch: 0, id: user.id, key: Vec::new() };
        let (users, next) = page::cut(users, size, cursor);
        let total_size =
            if include_total_size { Some(store::count(&self.db).await?) } else { None };
        Ok(ListUsersResponse {
            users: users.into_iter().map(Into::into).collect(),
            next_page_token: self.pages.token(next.as_ref(), &fingerprint)?,
            total_size,
        })
    }

    pub(crate) async fn set_user_roles(
        &self,
        ctx: &Context,
        request: SetUserRolesRequest,
    ) -> Result<User, Error> {
        let SetUserRolesRequest { id, roles, etag } = request;
        let roles: Roles = roles.into_iter().filter_map(|role| Role::try_from(role).ok()).collect();
        // The contract refuses SERVICE. If it did not, an account could act as an internal service.
        let roles = roles.without(Role::Service);
        self.set_roles_and_status(ctx, &id, &etag, |user| (roles, user.active)).await
    }

    pub(crate) async fn deactivate_user(
        &self,
        ctx: &Context,
        request: DeactivateUserRequest,
    ) -> Result<User, Error> {
        let DeactivateUserRequest { id, etag } = request;
        self.set_roles_and_status(ctx, &id, &etag, |user| (user.roles(), false)).await
    }

    pub(crate) async fn reactivate_user(
        &self,
        ctx: &Context,
        request: ReactivateUserRequest,
    ) -> Result<User, Error> {
        let ReactivateUserRequest { id, etag } = request;
        self.set_roles_and_status(ctx, &id, &etag, |user| (user.roles(), true)).await
    }

    async fn set_roles_and_status(
        &self,
        ctx: &Context,
        id: &str,
        etag: &str,
        change: impl FnOnce(&User) -> (Roles, bool) + Send,
    ) -> Result<User, Error> {
        let id = named(id, ctx.principal())?;
        let now = ctx.now();
        let mut work = self.db.work(&origin(ctx)).await?;
        store::lock_admins(&mut work).await?;
        still_admin(store::find_in(&mut work, ctx.principal().id()).await?)?;
        let user = store::find_in(&mut work, id).await?.ok_or(Error::NotFound)?;
        user.check_etag(etag)?;
        let (roles, active) = change(&user);
        if roles == user.roles() && active == user.active {
            return Ok(user);
        }
        let was_admin = user.is_admin();
        let user = store::update_roles_and_status(&mut work, &user, roles, active, now)
            .await?
            .ok_or(Error::Conflict)?;
        if was_admin && !store::has_admin(&mut work).await? {
            return Err(Error::LastAdmin);
        }
        if !active {
            sessions::store::revoke_all(&mut work, id, None, now).await?;
        }
        work.save().await?;
        Ok(user)
    }
}

/// Checks that the caller still is an active ADMIN. The access token has the roles of the time when
/// it was issued, and callers must not undo a later loss of their role or account.
fn still_admin(caller: Option<User>) -> Result<(), Error> {
    caller.filter(User::is_admin).map(drop).ok_or(Error::RoleRequired)
}
