//! Changes the caller's own password.

use clinic_net::Context;
use clinic_proto::auth::v1::{ChangePasswordRequest, ChangePasswordResponse};
use clinic_proto::validation::Violation;
use clinic_server::origin;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Person, Verdict, problems};
use crate::error::Error;
use crate::{Auth, sessions, users};

impl Auth {
    pub(crate) async fn change_password(
        &self,
        ctx: &Context,
        request: ChangePasswordRequest,
    ) -> Result<ChangePasswordResponse, Error> {
        let ChangePasswordRequest { current_password, new_password } = request;
        let (current, new) =
            (SecretString::from(current_password), SecretString::from(new_password));
        let id = ctx.principal().user_id().ok_or(Error::RoleRequired)?;
        let permit = self.hasher.admit(ctx.client_ip(), &id.to_string())?;
        let user = users::store::find(&self.db, id).await?.filter(|user| user.active);
        // An access token stays valid for some minutes after the account is closed.
        let user = user.ok_or(Error::InvalidToken)?;
        let verdict = permit.verify(current, Some(user.password_hash.clone())).await?;
        let person = Person {
            email: &user.email,
            username: user.username.as_deref().unwrap_or_default(),
            name: &user.name,
        };
        let mut bad: Vec<_> = problems(new.expose_secret(), &person)
            .into_iter()
            .map(|problem| Violation::new("new_password", problem))
            .collect();
        if verdict == Verdict::Wrong {
            bad.insert(0, Violation::new("current_password", "is wrong"));
        }
        if !bad.is_empty() {
            return Err(Error::Invalid(bad));
        }
        let hash = permit.hash(new).await?;
        let now = ctx.now();
        let mut work = self.db.work(&origin(ctx)).await?;
        if !users::store::update_password(&mut work, id, &user.password_hash, &hash, now).await? {
            return Err(Error::Conflict);
        }
        sessions::store::revoke_all(&mut work, id, ctx.principal().session_id(), now).await?;
        work.save().await?;
        Ok(ChangePasswordResponse {})
    }
}
