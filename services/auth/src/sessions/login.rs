//! Signing in with a password.

use clinic_chassis::Error;
use clinic_identity::Caller;
use clinic_proto::access::v1::ErrorReason;
use clinic_proto::auth::v1::{LoginRequest, LoginResponse};
use secrecy::SecretString;

use super::model::Client;
use super::store;
use crate::password::Verdict;
use crate::{Auth, users};

impl Auth {
    pub(crate) async fn login(
        &self,
        caller: &Caller,
        client: Client,
        request: LoginRequest,
    ) -> Result<LoginResponse, Error> {
        let LoginRequest { email, username, password } = request;
        let login = login_name(&email, &username)?;
        let user = users::store::find_by_login(&self.db, login).await?;
        // The same work whether or not there is such an account, and whether or not it is active.
        let stored = user.as_ref().map(|user| user.password_hash.clone());
        let password = SecretString::from(password);
        let verdict = self.hasher.verify(password.clone(), stored).await?;
        let user = user.filter(|user| user.active && verdict != Verdict::Wrong);
        let user = user.ok_or_else(refused)?;
        let new_hash = match verdict {
            Verdict::Outdated => self.hasher.hash(password).await?,
            Verdict::Right | Verdict::Wrong => user.password_hash.clone(),
        };
        let sign_in = self.new_sign_in();
        let client = client.at(caller.client_ip());
        let mut tx = self.db.begin().await?;
        let user =
            users::store::lock_for_login(&mut tx, user.id, &user.password_hash, &new_hash).await?;
        // The password changed, or the account was closed, while the hash was computed.
        let user = user.ok_or_else(refused)?;
        store::insert(&mut tx, user.id, &sign_in, &client).await?;
        tx.commit().await?;
        let tokens = self.tokens(&user, &sign_in)?;
        Ok(LoginResponse { user: Some(user.into()), tokens: Some(tokens) })
    }
}

/// The one of the two that is given, as the contract demands.
fn login_name<'a>(email: &'a str, username: &'a str) -> Result<&'a str, Error> {
    match (email.trim(), username.trim()) {
        ("", username) => Ok(username),
        (email, _) if email.contains('@') => Ok(email),
        // Never taken for a username: what was said to be an address must be one.
        _ => Err(Error::invalid_field("email", "must be an e-mail address")),
    }
}

/// Always the same answer: which of the three it was is nobody's business.
fn refused() -> Error {
    Error::unauthenticated(
        ErrorReason::InvalidCredentials,
        "e-mail address, username or password is wrong, or the account is not active",
    )
}
