//! Creates the first administrator, without a running service.

use anyhow::{Result, bail};
use clinic_clock::Clock;
use clinic_identity::Roles;
use clinic_net::Error as ErrorResponse;
use clinic_proto::access::v1::Role;
use clinic_proto::auth::v1::RegisterRequest;
use clinic_proto::validation::{Presence, Validate as _, Violations};
use clinic_store::{Db, Origin};
use secrecy::{ExposeSecret as _, SecretString};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::error::Error;
use crate::password::{Hasher, Person, problems};
use crate::users::{User, store};

/// Returns whether there is an active administrator.
///
/// # Errors
/// When the query fails.
pub async fn admins_exist(db: &Db) -> Result<bool, clinic_store::Error> {
    store::admins_exist(db).await
}

/// Creates an administrator and returns the account's id. The e-mail address counts as verified,
/// because the operator vouches for it.
///
/// # Errors
/// A sentence that names what is wrong with the e-mail address, the name or the password, or says
/// that the account exists.
pub async fn create_admin(
    db: &Db,
    clock: &Clock,
    email: &str,
    name: &str,
    password: &SecretString,
) -> Result<Uuid> {
    let (email, name) = (email.trim(), name.trim());
    check(email, name, password.expose_secret())?;
    let now = clock.now();
    let permit = Hasher::new().and_then(|hasher| hasher.admit(None, email)).map_err(said)?;
    let user = User {
        id: clock.new_id(),
        email: email.to_owned(),
        username: None,
        name: name.to_owned(),
        password_hash: permit.hash(password.clone()).await.map_err(said)?,
        roles: Roles::from(Role::Admin).bits(),
        active: true,
        email_verified: true,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let mut work = db.work(&Origin::operator(now)).await?;
    store::insert(&mut work, &user).await.map_err(said)?;
    work.save().await?;
    Ok(user.id)
}

/// Checks the rules of the contract and those of passwords.
fn check(email: &str, name: &str, password: &str) -> Result<()> {
    let mut found = Violations::default();
    let request = RegisterRequest {
        email: email.to_owned(),
        name: name.to_owned(),
        // A placeholder that the contract accepts. The password is checked below.
        password: "not looked at".to_owned(),
        ..RegisterRequest::default()
    };
    request.check(Presence::Create, &mut found);
    for problem in problems(password, &Person { email, username: "", name }) {
        found.add("password", problem);
    }
    let found: Vec<_> =
        found.into_vec().into_iter().map(|v| format!("the {} {}", v.field, v.message)).collect();
    if found.is_empty() { Ok(()) } else { bail!("{}", found.join(", and ")) }
}

/// Converts an error to the message that a client would get.
fn said(error: Error) -> anyhow::Error {
    let status = Status::from(ErrorResponse::from(error));
    match status.code() {
        Code::Internal => anyhow::anyhow!("internal error: see the log"),
        _ => anyhow::anyhow!("{}", status.message()),
    }
}
