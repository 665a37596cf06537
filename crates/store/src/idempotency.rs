//! Creates that may be sent twice: the same request id and content again gives the first result.
//!
//! Each service with Creates has this table in its migrations:
//! ```sql
//! CREATE TABLE requests (
//!     caller uuid NOT NULL,
//!     method text NOT NULL,
//!     request_id uuid NOT NULL,
//!     payload_hash bytea NOT NULL,
//!     resource_id uuid NOT NULL,
//!     created_at timestamptz NOT NULL,
//!     PRIMARY KEY (caller, method, request_id)
//! );
//! CREATE INDEX requests_created_at_idx ON requests (created_at);
//! ```

use std::time::Duration;

use aws_lc_rs::digest;
use chrono::{DateTime, TimeDelta, Utc};
use clinic_clock::Clock;
use uuid::Uuid;

use crate::db::Db;
use crate::error::Error;
use crate::query::Query;
use crate::tx::Tx;

/// What makes a request id unique: one caller's, for one method.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The account or service that calls.
    pub caller: Uuid,
    /// The method's short name, such as `CreatePatient`.
    pub method: &'static str,
    /// The caller's choice.
    pub request_id: Uuid,
}

/// What a request id turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// New: make the resource, with the id that was offered, in this transaction.
    New,
    /// Seen with the same content: answer with this resource.
    Replay(Uuid),
    /// Seen with other content: refuse.
    Reused,
}

/// Claims a request id within the transaction that makes the resource. Of two at the same time the
/// second waits here until the first has committed, and then is a replay.
pub async fn claim(
    tx: &mut Tx,
    key: &Key,
    payload_hash: &[u8],
    new_resource_id: Uuid,
    now: DateTime<Utc>,
) -> Result<Claim, Error> {
    let claimed = tx
        .execute(
            Query::new(
                "INSERT INTO requests \
                 (caller, method, request_id, payload_hash, resource_id, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6) \
                 ON CONFLICT (caller, method, request_id) DO NOTHING",
            )
            .bind(key.caller)
            .bind(key.method)
            .bind(key.request_id)
            .bind(payload_hash.to_vec())
            .bind(new_resource_id)
            .bind(now),
        )
        .await?;
    if claimed == 1 {
        return Ok(Claim::New);
    }
    match judge(tx.fetch_optional(first(key)).await?, payload_hash) {
        // It was forgotten between the two statements.
        Claim::New => Err(Error::Conflict),
        seen => Ok(seen),
    }
}

/// What a request id is before anything is done for it. New ones must still be claimed: another
/// request may come in between.
pub async fn look_up(db: &Db, key: &Key, payload_hash: &[u8]) -> Result<Claim, Error> {
    Ok(judge(db.fetch_optional(first(key)).await?, payload_hash))
}

/// The request that had this id first.
fn first(key: &Key) -> Query {
    Query::new(
        "SELECT payload_hash, resource_id FROM requests \
         WHERE caller = $1 AND method = $2 AND request_id = $3",
    )
    .bind(key.caller)
    .bind(key.method)
    .bind(key.request_id)
}

fn judge(first: Option<(Vec<u8>, Uuid)>, payload_hash: &[u8]) -> Claim {
    match first {
        None => Claim::New,
        Some((hash, id)) if hash == payload_hash => Claim::Replay(id),
        Some(_) => Claim::Reused,
    }
}

/// Forgets the request ids claimed before `time`; gives how many.
pub async fn forget_before(db: &Db, time: DateTime<Utc>) -> Result<u64, Error> {
    db.execute(Query::new("DELETE FROM requests WHERE created_at < $1").bind(time)).await
}

/// How long a request id is remembered: longer than any client goes on trying.
const MEMORY: TimeDelta = TimeDelta::hours(24);
const FORGET_EVERY: Duration = Duration::from_secs(60 * 60);

/// Forgets old request ids, every hour; never ends.
pub async fn keep_forgetting(db: Db, clock: Clock) {
    let mut hourly = tokio::time::interval(FORGET_EVERY);
    loop {
        hourly.tick().await;
        match forget_before(&db, clock.now() - MEMORY).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "old request ids forgotten"),
            Err(error) => tracing::warn!(%error, "old request ids are still there"),
        }
    }
}

/// The `payload_hash` of a request, from its encoding with the request id cleared.
pub fn payload_hash(request: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, request).as_ref().to_vec()
}
