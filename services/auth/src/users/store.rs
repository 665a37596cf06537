//! The table of accounts.

use chrono::{DateTime, Utc};
use clinic_identity::Roles;
use clinic_proto::access::v1::Role;
use clinic_store::{ChangeKind, Db, Insert, Origin, Query, Work, Write};
use uuid::Uuid;

use super::User;
use super::model::key;
use crate::error::Error;

macro_rules! columns {
    () => {
        "id, email, username, name, password_hash, roles, active, email_verified, version, \
         created_at, updated_at"
    };
}

pub(crate) async fn find(db: &Db, id: Uuid) -> Result<Option<User>, Error> {
    let query = Query::new(concat!("SELECT ", columns!(), " FROM users WHERE id = $1")).bind(id);
    Ok(db.find(query).await?)
}

pub(crate) async fn find_in(work: &mut Work, id: Uuid) -> Result<Option<User>, Error> {
    let query = Query::new(concat!("SELECT ", columns!(), " FROM users WHERE id = $1")).bind(id);
    Ok(work.fetch_optional(query).await?)
}

/// By what was typed to sign in: with an `@` it is an e-mail address, which no username has.
pub(crate) async fn find_by_login(db: &Db, login: &str) -> Result<Option<User>, Error> {
    let by_email = concat!("SELECT ", columns!(), " FROM users WHERE email_key = $1");
    let by_username = concat!("SELECT ", columns!(), " FROM users WHERE username_key = $1");
    let sql = if login.contains('@') { by_email } else { by_username };
    Ok(db.find(Query::new(sql).bind(key(login))).await?)
}

/// Makes an account.
pub(crate) async fn insert(work: &mut Work, user: &User) -> Result<(), Error> {
    let values = vec![
        ("id", user.id.into()),
        ("email", user.email.clone().into()),
        ("username", user.username.clone().into()),
        ("name", user.name.clone().into()),
        ("password_hash", user.password_hash.clone().into()),
        ("roles", user.roles.into()),
        ("active", user.active.into()),
        ("email_verified", user.email_verified.into()),
        ("version", user.version.into()),
        ("created_at", user.created_at.into()),
        ("updated_at", user.updated_at.into()),
        ("email_key", key(&user.email).into()),
        ("username_key", user.username.as_deref().map(key).into()),
    ];
    let returning = Query::new("id, version");
    let write = Insert { record: "user", table: "users", id: user.id, values, returning };
    work.write::<(Uuid, i64)>(write).await?;
    Ok(())
}

fn update(statement: Query) -> Write {
    Write::new("user", ChangeKind::Update, statement, columns!())
}

/// Stores the same password as another hash, unless it changed meanwhile. The account is still the
/// same to every reader, so it keeps its version.
pub(crate) async fn update_hash(
    db: &Db,
    origin: &Origin,
    user: &User,
    hash: &str,
) -> Result<(), Error> {
    let query =
        Query::new("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2")
            .bind(user.id)
            .bind(user.password_hash.clone())
            .bind(hash.to_owned());
    let write = Write::new("user", ChangeKind::Update, query, "id, version");
    db.save::<(Uuid, i64)>(origin, write).await?;
    Ok(())
}

/// Gives an active account another password, unless it changed meanwhile.
pub(crate) async fn update_password(
    work: &mut Work,
    id: Uuid,
    known_hash: &str,
    new_hash: &str,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let query = Query::new(
        "UPDATE users SET password_hash = $3, updated_at = $4, version = version + 1 \
         WHERE id = $1 AND active AND password_hash = $2",
    )
    .bind(id)
    .bind(known_hash.to_owned())
    .bind(new_hash.to_owned())
    .bind(now);
    let write = Write::new("user", ChangeKind::Update, query, "id, version");
    Ok(work.write::<(Uuid, i64)>(write).await?.is_some())
}

/// Renames an account if `version` still matches.
pub(crate) async fn update_name(
    db: &Db,
    origin: &Origin,
    id: Uuid,
    version: i64,
    name: &str,
) -> Result<Option<User>, Error> {
    let query = Query::new(
        "UPDATE users SET name = $3, updated_at = $4, version = version + 1 \
         WHERE id = $1 AND version = $2",
    )
    .bind(id)
    .bind(version)
    .bind(name.to_owned())
    .bind(origin.at);
    Ok(db.save(origin, update(query)).await?)
}

/// Makes changes of roles and status wait for one another, so that the last ADMIN stays, and what is
/// read from now on is what the others left.
pub(crate) async fn lock_admins(work: &mut Work) -> Result<(), Error> {
    let lock = Query::new("UPDATE admin_guard SET changes = changes + 1 WHERE id = 1");
    work.untracked(lock).await?;
    Ok(())
}

/// Updates roles and status if the account's version still matches.
pub(crate) async fn update_standing(
    work: &mut Work,
    user: &User,
    roles: Roles,
    active: bool,
    now: DateTime<Utc>,
) -> Result<Option<User>, Error> {
    let query = Query::new(
        "UPDATE users SET roles = $3, active = $4, updated_at = $5, version = version + 1 \
         WHERE id = $1 AND version = $2",
    )
    .bind(user.id)
    .bind(user.version)
    .bind(roles.bits())
    .bind(active)
    .bind(now);
    Ok(work.write(update(query)).await?)
}

/// The text of the partial index, which serves it only word for word.
const ADMINS: &str = "SELECT id FROM users WHERE active AND (roles & 2) <> 0 LIMIT 1";

/// Whether an active ADMIN is left.
pub(crate) async fn has_admin(work: &mut Work) -> Result<bool, Error> {
    let found: Option<(Uuid,)> = work.fetch_optional(Query::new(ADMINS)).await?;
    Ok(found.is_some())
}

/// Whether there is an active ADMIN.
pub(crate) async fn admins_exist(db: &Db) -> Result<bool, clinic_store::Error> {
    let found: Option<(Uuid,)> = db.fetch_optional(Query::new(ADMINS)).await?;
    Ok(found.is_some())
}

/// Accounts after that id, in the order in which they were made.
pub(crate) async fn list(db: &Db, after: Option<Uuid>, limit: i64) -> Result<Vec<User>, Error> {
    let query = Query::new(concat!(
        "SELECT ",
        columns!(),
        " FROM users WHERE id > $1 ORDER BY id LIMIT $2"
    ));
    Ok(db.fetch_all(query.bind(after.unwrap_or_default()).bind(limit)).await?)
}

pub(crate) async fn count(db: &Db) -> Result<i64, Error> {
    let (count,): (i64,) = db.fetch_one(Query::new("SELECT COUNT(*) FROM users")).await?;
    Ok(count)
}

/// What the text of [`ADMINS`] and the index in the migrations count on.
const _: () = assert!(Role::Admin as i32 == 1);
