//! The tables of sessions and refresh tokens.

use chrono::{DateTime, Utc};
use clinic_store::{ChangeKind, Db, Origin, Query, Work, Write};
use uuid::Uuid;

use super::model::{Client, Session, SignIn};
use crate::error::Error;
use crate::tokens::RefreshToken;
use crate::users::User;

macro_rules! columns {
    () => {
        "id, created_at, last_used_at, expires_at, revoked_at, user_agent, client_ip"
    };
}

fn end(statement: Query) -> Write {
    Write::new("session", ChangeKind::Delete, statement, "id, version")
}

/// Returns the write that inserts a session with its first refresh token, if the account is active
/// and has not changed since it was read. This serializes a sign-in with a password change and with
/// the end of the account. If these come later, they end the session.
pub(crate) fn insert(user: &User, sign_in: &SignIn, client: &Client) -> Write {
    let query = Query::new(concat!(
        "INSERT INTO sessions (",
        columns!(),
        ", user_id, refresh_hash) SELECT $1, $2, $2, $3, NULL, $4, $5, id, $6 FROM users \
         WHERE id = $7 AND active AND version = $8 AND password_hash = $9"
    ))
    .bind(sign_in.session_id)
    .bind(sign_in.at)
    .bind(sign_in.refresh_expires_at)
    .bind(client.user_agent.clone())
    .bind(client.ip.clone())
    .bind(sign_in.refresh.hash())
    .bind(user.id)
    .bind(user.version)
    .bind(user.password_hash.clone());
    Write::new("session", ChangeKind::Create, query, "id, version").for_share()
}

/// Replaces a valid refresh token with its successor and extends the session. Only one of several
/// concurrent callers succeeds. Returns the ids of the session and its account.
pub(super) async fn rotate(
    work: &mut Work,
    token: &RefreshToken,
    successor: &RefreshToken,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<Option<(Uuid, Uuid)>, Error> {
    let query = Query::new(
        "UPDATE sessions SET version = version + 1, refresh_hash = $2, last_used_at = $3, expires_at = $4 \
         WHERE refresh_hash = $1 AND revoked_at IS NULL AND expires_at > $3",
    )
    .bind(token.hash())
    .bind(successor.hash())
    .bind(now)
    .bind(expires_at);
    let returning = "id, user_id, version";
    let write = Write::new("session", ChangeKind::Update, query, returning);
    let rotated: Option<(Uuid, Uuid, i64)> = work.write(write).await?;
    Ok(rotated.map(|(id, user_id, _)| (id, user_id)))
}

/// Stores a refresh token that was used.
pub(super) async fn insert_used(
    work: &mut Work,
    token: &RefreshToken,
    salt: &[u8],
    successor: &SignIn,
) -> Result<(), Error> {
    let query = Query::new(
        "INSERT INTO used_refresh_tokens (hash, session_id, used_at, successor_salt, expires_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(token.hash())
    .bind(successor.session_id)
    .bind(successor.at)
    .bind(salt.to_vec())
    .bind(successor.refresh_expires_at);
    work.untracked(query).await?;
    Ok(())
}

/// A refresh token that was used, with the columns of its session that a replay needs.
#[derive(sqlx::FromRow)]
pub(super) struct Used {
    pub(super) session_id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) used_at: DateTime<Utc>,
    pub(super) successor_salt: Vec<u8>,
    pub(super) revoked_at: Option<DateTime<Utc>>,
    pub(super) expires_at: DateTime<Utc>,
    /// Hash of the session's current refresh token.
    pub(super) newest_hash: Option<Vec<u8>>,
}

pub(super) async fn find_used(db: &Db, token: &RefreshToken) -> Result<Option<Used>, Error> {
    let query = Query::new(
        "SELECT t.session_id, s.user_id, t.used_at, t.successor_salt, s.revoked_at, s.expires_at, \
         s.refresh_hash AS newest_hash FROM used_refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.hash = $1",
    )
    .bind(token.hash());
    Ok(db.find(query).await?)
}

/// Ends the session that a refresh token belongs to, used or not.
pub(super) async fn revoke_by_token(
    db: &Db,
    origin: &Origin,
    token: &RefreshToken,
) -> Result<(), Error> {
    let query = Query::new(
        "UPDATE sessions SET version = version + 1, revoked_at = $2 WHERE revoked_at IS NULL AND id IN \
         (SELECT id FROM sessions WHERE refresh_hash = $1 \
         UNION ALL SELECT session_id FROM used_refresh_tokens WHERE hash = $1)",
    )
    .bind(token.hash())
    .bind(origin.at);
    db.save::<(Uuid, i64)>(origin, end(query)).await?;
    Ok(())
}

/// Ends a session. Returns whether it had not ended before.
pub(super) async fn revoke(db: &Db, origin: &Origin, id: Uuid) -> Result<bool, Error> {
    let query =
        Query::new("UPDATE sessions SET version = version + 1, revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
            .bind(id)
            .bind(origin.at);
    Ok(db.save::<(Uuid, i64)>(origin, end(query)).await?.is_some())
}

/// Ends a session of this account and returns it. A session that has ended does not change.
pub(super) async fn revoke_own(
    db: &Db,
    origin: &Origin,
    id: Uuid,
    user_id: Uuid,
) -> Result<Option<Session>, Error> {
    let query = Query::new(
        "UPDATE sessions SET version = version + 1, revoked_at = $3 \
         WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL",
    )
    .bind(id)
    .bind(user_id)
    .bind(origin.at);
    let returning = concat!(columns!(), ", version");
    let ended = Write::new("session", ChangeKind::Delete, query, returning);
    if let Some(session) = db.save(origin, ended).await? {
        return Ok(Some(session));
    }
    let find = concat!("SELECT ", columns!(), " FROM sessions WHERE id = $1 AND user_id = $2");
    Ok(db.fetch_optional(Query::new(find).bind(id).bind(user_id)).await?)
}

/// Ends all sessions of an account except one.
pub(crate) async fn revoke_all(
    work: &mut Work,
    user_id: Uuid,
    except: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let query = Query::new(
        "UPDATE sessions SET version = version + 1, revoked_at = $3 \
         WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL",
    )
    .bind(user_id)
    .bind(except.unwrap_or_default())
    .bind(now);
    work.write_all::<(Uuid, i64)>(end(query)).await?;
    Ok(())
}

/// Lists the sessions of an account that have not ended and are older than `before`, newest first.
pub(super) async fn list_alive(
    db: &Db,
    user_id: Uuid,
    before: Option<Uuid>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Session>, Error> {
    let mut query = Query::new(concat!(
        "SELECT ",
        columns!(),
        " FROM sessions WHERE user_id = $1 AND id < $2 AND revoked_at IS NULL AND expires_at > $3 \
         ORDER BY id DESC"
    ))
    .bind(user_id)
    .bind(before.unwrap_or(Uuid::max()))
    .bind(now);
    query.push_limit(limit);
    Ok(db.fetch_all(query).await?)
}

/// Deletes up to 1000 used refresh tokens that expired before a time.
pub(super) const DELETE_USED: &str = "DELETE FROM used_refresh_tokens WHERE hash IN \
    (SELECT hash FROM used_refresh_tokens WHERE expires_at < $1 LIMIT 1000)";

/// Deletes up to 1000 sessions that expired before a time.
pub(super) const DELETE_SESSIONS: &str = "DELETE FROM sessions WHERE id IN \
    (SELECT id FROM sessions WHERE expires_at < $1 LIMIT 1000)";
