//! Signs in with a password.

use clinic_net::Context;
use clinic_proto::auth::v1::{LoginRequest, LoginResponse};
use clinic_proto::validation::Violation;
use clinic_server::origin;
use secrecy::SecretString;
use uuid::Uuid;

use super::model::Client;
use super::store;
use crate::Auth;
use crate::error::Error;
use crate::password::{Permit, Verdict};
use crate::users::{self, User};

impl Auth {
    pub(crate) async fn login(
        &self,
        ctx: &Context,
        request: LoginRequest,
    ) -> Result<LoginResponse, Error> {
        let LoginRequest { email, username, password } = request;
        let login = login_name(&email, &username)?;
        let client = Client::of(ctx);
        let password = SecretString::from(password);
        // Before the query, so that a refusal costs little.
        let permit = self.hasher.admit(ctx.client_ip(), &users::key(login))?;
        let mut user = users::store::find_by_login(&self.db, login).await?;
        loop {
            let known = self.verified(ctx, &permit, &password, user).await?;
            let sign_in = self.new_sign_in(ctx);
            let begin = store::insert(&known, &sign_in, &client);
            if self.db.save::<(Uuid, i64)>(&origin(ctx), begin).await?.is_some() {
                let tokens = self.tokens(&known, &sign_in)?;
                return Ok(LoginResponse { user: Some(known.into()), tokens: Some(tokens) });
            }
            // The account changed while the hash was computed, so repeats this with the new row.
            user = users::store::find(&self.db, known.id).await?;
        }
    }

    /// Returns the account if it is active and the password is right.
    async fn verified(
        &self,
        ctx: &Context,
        permit: &Permit,
        password: &SecretString,
        user: Option<User>,
    ) -> Result<User, Error> {
        // Does the same work whether or not the account exists and is active.
        let stored = user.as_ref().map(|user| user.password_hash.clone());
        let verdict = permit.verify(password.clone(), stored).await?;
        let user = user.filter(|user| user.active && verdict != Verdict::Wrong);
        let mut user = user.ok_or(Error::WrongCredentials)?;
        if verdict == Verdict::Outdated {
            let hash = permit.hash(password.clone()).await?;
            users::store::update_hash(&self.db, &origin(ctx), &user, &hash).await?;
            user.password_hash = hash;
        }
        Ok(user)
    }
}

/// Returns the one of the two that is given. The contract requires exactly one.
fn login_name<'a>(email: &'a str, username: &'a str) -> Result<&'a str, Error> {
    match (email.trim(), username.trim()) {
        ("", username) => Ok(username),
        (email, _) if email.contains('@') => Ok(email),
        // An invalid address is not treated as a username.
        _ => Err(Error::Invalid(vec![Violation::new("email", "must be an e-mail address")])),
    }
}
