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

/// Finds an account by e-mail address or username. Only an address contains an `@`.
pub(crate) async fn find_by_login(db: &Db, login: &str) -> Result<Option<User>, Error> {
    let by_email = concat!("SELECT ", columns!(), " FROM users WHERE email_key = $1");
    let by_username = concat!("SELECT ", columns!(), " FROM users WHERE username_key = $1");
    let sql = if login.contains('@') { by_email } else { by_username };
    Ok(db.find(Query::new(sql).bind(key(login))).await?)
}

/// Inserts an account.
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

/// Stores another hash of the same password, unless it changed meanwhile. Readers see no
/// difference, so the account keeps its version.
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

/// Changes the password of an active account, unless it changed meanwhile. Returns whether it did.
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

/// Renames an account if its version still matches.
pub(crate) async fn update_name(
    db: &Db,
    origin: &Origin,
    user: &User,
    name: &str,
) -> Result<Option<User>, Error> {
    let query = Query::new(
        "UPDATE users SET name = $3, updated_at = $4, version = version + 1 \
         WHERE id = $1 AND version = $2",
    )
    .bind(user.id)
    .bind(user.version)
    .bind(name.to_owned())
    .bind(origin.at);
    Ok(db.save(origin, update(query)).await?)
}

/// Serializes changes of roles and status, so that one ADMIN always remains. Later reads of this
/// transaction see the changes of earlier ones.
pub(crate) async fn lock_admins(work: &mut Work) -> Result<(), Error> {
    let lock = Query::new("UPDATE admin_guard SET changes = changes + 1 WHERE id = 1");
    work.untracked(lock).await?;
    Ok(())
}

/// Updates roles and status if the account's version still matches.
pub(crate) async fn update_roles_and_status(
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

/// Repeats the condition of the partial index word for word, so that the index serves it.
const ADMINS: &str = "SELECT id FROM users WHERE active AND (roles & 2) <> 0 LIMIT 1";

/// Returns whether an active ADMIN is left.
pub(crate) async fn has_admin(work: &mut Work) -> Result<bool, Error> {
    let found: Option<(Uuid,)> = work.fetch_optional(Query::new(ADMINS)).await?;
    Ok(found.is_some())
}

/// Returns whether there is an active ADMIN.
pub(crate) async fn admins_exist(db: &Db) -> Result<bool, clinic_store::Error> {
    let found: Option<(Uuid,)> = db.fetch_optional(Query::new(ADMINS)).await?;
    Ok(found.is_some())
}

/// Lists accounts after this id, in order of creation.
pub(crate) async fn list(db: &Db, after: Option<Uuid>, limit: i64) -> Result<Vec<User>, Error> {
    let query = Query::new(concat!("SELECT ", columns!(), " FROM users WHERE id > $1 ORDER BY id"));
    let mut query = query.bind(after.unwrap_or_default());
    query.push_limit(limit);
    Ok(db.fetch_all(query).await?)
}

pub(crate) async fn count(db: &Db) -> Result<i64, Error> {
    let (count,): (i64,) = db.fetch_one(Query::new("SELECT COUNT(*) FROM users")).await?;
    Ok(count)
}

/// [`ADMINS`] and the index in the migrations rely on this.
const _: () = assert!(Role::Admin as i32 == 1);
