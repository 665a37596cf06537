//! The tables of sessions and refresh tokens.

use chrono::{DateTime, Utc};
use clinic_chassis::Error;
use clinic_store::{Db, Query, Tx};
use uuid::Uuid;

use super::model::{Client, Session, SignIn};
use crate::tokens::RefreshToken;

macro_rules! columns {
    () => {
        "id, created_at, last_used_at, expires_at, revoked_at, user_agent, client_ip"
    };
}

/// Begins a session with its first refresh token.
pub(crate) async fn insert(
    tx: &mut Tx,
    user_id: Uuid,
    sign_in: &SignIn,
    client: &Client,
) -> Result<(), Error> {
    let query = Query::new(concat!(
        "INSERT INTO sessions (",
        columns!(),
        ", user_id) VALUES ($1, $2, $2, $3, NULL, $4, $5, $6)"
    ))
    .bind(sign_in.session_id)
    .bind(sign_in.at)
    .bind(sign_in.refresh_expires_at)
    .bind(client.user_agent.clone())
    .bind(client.ip.clone())
    .bind(user_id);
    tx.execute(query).await?;
    insert_refresh_token(tx, sign_in).await
}

pub(super) async fn insert_refresh_token(tx: &mut Tx, sign_in: &SignIn) -> Result<(), Error> {
    let query = Query::new(
        "INSERT INTO refresh_tokens (hash, session_id, created_at, expires_at) \
         VALUES ($1, $2, $3, $4)",
    )
    .bind(sign_in.refresh.hash())
    .bind(sign_in.session_id)
    .bind(sign_in.at)
    .bind(sign_in.refresh_expires_at);
    tx.execute(query).await?;
    Ok(())
}

/// Uses a refresh token, which only one of many callers at once can; gives its session.
pub(super) async fn use_refresh_token(
    tx: &mut Tx,
    token: &RefreshToken,
    salt: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<Uuid>, Error> {
    let query = Query::new(
        "UPDATE refresh_tokens SET used_at = $2, successor_salt = $3 \
         WHERE hash = $1 AND used_at IS NULL AND expires_at > $2 RETURNING session_id",
    )
    .bind(token.hash())
    .bind(now)
    .bind(salt.to_vec());
    let session: Option<(Uuid,)> = tx.fetch_optional(query).await?;
    Ok(session.map(|(id,)| id))
}

/// Prolongs a session that is alive, and holds it until the end of the transaction; gives its
/// account.
pub(super) async fn prolong(
    tx: &mut Tx,
    session_id: Uuid,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<Option<Uuid>, Error> {
    let query = Query::new(
        "UPDATE sessions SET last_used_at = $2, expires_at = $3 \
         WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2 RETURNING user_id",
    )
    .bind(session_id)
    .bind(now)
    .bind(expires_at);
    let user: Option<(Uuid,)> = tx.fetch_optional(query).await?;
    Ok(user.map(|(id,)| id))
}

/// A refresh token that was used, with what its replay needs.
#[derive(sqlx::FromRow)]
pub(super) struct Used {
    pub(super) session_id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) used_at: DateTime<Utc>,
    pub(super) successor_salt: Vec<u8>,
    pub(super) revoked_at: Option<DateTime<Utc>>,
    pub(super) expires_at: DateTime<Utc>,
}

pub(super) async fn find_used(db: &Db, token: &RefreshToken) -> Result<Option<Used>, Error> {
    let query = Query::new(
        "SELECT t.session_id, s.user_id, t.used_at, t.successor_salt, s.revoked_at, s.expires_at \
         FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id \
         WHERE t.hash = $1 AND t.used_at IS NOT NULL",
    )
    .bind(token.hash());
    Ok(db.find(query).await?)
}

/// When a refresh token expires.
pub(super) async fn find_expiry(
    db: &Db,
    token: &RefreshToken,
) -> Result<Option<DateTime<Utc>>, Error> {
    let query = Query::new("SELECT expires_at FROM refresh_tokens WHERE hash = $1");
    let found: Option<(DateTime<Utc>,)> = db.find(query.bind(token.hash())).await?;
    Ok(found.map(|(at,)| at))
}

/// Ends the session that a refresh token belongs to, used or not.
pub(super) async fn revoke_by_token(
    db: &Db,
    token: &RefreshToken,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let query = Query::new(
        "UPDATE sessions SET revoked_at = $2 WHERE revoked_at IS NULL \
         AND id = (SELECT session_id FROM refresh_tokens WHERE hash = $1)",
    )
    .bind(token.hash())
    .bind(now);
    db.execute(query).await?;
    Ok(())
}

/// Ends a session; true when it was alive.
pub(super) async fn revoke(db: &Db, id: Uuid, now: DateTime<Utc>) -> Result<bool, Error> {
    let query =
        Query::new("UPDATE sessions SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL");
    Ok(db.execute(query.bind(id).bind(now)).await? > 0)
}

/// Ends a session of that account; when it had ended, it stays as it was.
pub(super) async fn revoke_own(
    db: &Db,
    id: Uuid,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Session>, Error> {
    let query = Query::new(concat!(
        "UPDATE sessions SET revoked_at = COALESCE(revoked_at, $3) \
         WHERE id = $1 AND user_id = $2 RETURNING ",
        columns!()
    ))
    .bind(id)
    .bind(user_id)
    .bind(now);
    Ok(db.write_optional(query).await?)
}

/// Ends all sessions of an account, but one.
pub(crate) async fn revoke_all(
    tx: &mut Tx,
    user_id: Uuid,
    except: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let query = Query::new(
        "UPDATE sessions SET revoked_at = $3 \
         WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL",
    )
    .bind(user_id)
    .bind(except.unwrap_or_default())
    .bind(now);
    tx.execute(query).await?;
    Ok(())
}

/// The sessions of an account that are alive and older than that one, newest first.
pub(super) async fn list_alive(
    db: &Db,
    user_id: Uuid,
    before: Option<Uuid>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Session>, Error> {
    let query = Query::new(concat!(
        "SELECT ",
        columns!(),
        " FROM sessions WHERE user_id = $1 AND id < $2 AND revoked_at IS NULL AND expires_at > $3 \
         ORDER BY id DESC LIMIT $4"
    ))
    .bind(user_id)
    .bind(before.unwrap_or(Uuid::max()))
    .bind(now)
    .bind(limit);
    Ok(db.fetch_all(query).await?)
}

/// Deletes some refresh tokens that expired before; gives how many.
pub(super) async fn delete_refresh_tokens(db: &Db, before: DateTime<Utc>) -> Result<u64, Error> {
    let query = Query::new(
        "DELETE FROM refresh_tokens WHERE hash IN \
         (SELECT hash FROM refresh_tokens WHERE expires_at < $1 LIMIT 1000)",
    );
    Ok(db.execute(query.bind(before)).await?)
}

/// Deletes some sessions that expired, or would have, before; gives how many.
pub(super) async fn delete_sessions(db: &Db, before: DateTime<Utc>) -> Result<u64, Error> {
    let query = Query::new(
        "DELETE FROM sessions WHERE id IN \
         (SELECT id FROM sessions WHERE expires_at < $1 LIMIT 1000)",
    );
    Ok(db.execute(query.bind(before)).await?)
}
