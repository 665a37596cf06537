//! Creates that may be sent twice: the same request id and content again makes nothing, and gives
//! what the first one made, as it is now and as far as the caller may still see it. The first answer
//! itself is not kept: it would be a copy of private data that outlives a deletion and a lost right.
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

use crate::db::{Db, Row};
use crate::error::Error;
use crate::query::Query;
use crate::write::{Insert, Origin};

/// A request that may be sent twice: one caller's, for one method, by the id that he chose.
#[derive(Clone, Debug)]
pub struct Request {
    caller: Uuid,
    method: &'static str,
    request_id: Uuid,
    payload_hash: Vec<u8>,
}

impl Request {
    /// The account or service that calls, the method's short name (`CreatePatient`), the request's
    /// id, and its encoding with the id cleared. None when there is no id.
    pub fn of(
        caller: Uuid,
        method: &'static str,
        request_id: &str,
        payload: &[u8],
    ) -> Option<Self> {
        let request_id = Uuid::parse_str(request_id).ok()?;
        let payload_hash = digest::digest(&digest::SHA256, payload).as_ref().to_vec();
        Some(Self { caller, method, request_id, payload_hash })
    }

    /// What the request made before, if it was here: as `get` finds it, which names the resource
    /// and holds the caller's rights. New ones must still be claimed: another may come in between.
    pub async fn find<T: Row>(
        &self,
        db: &Db,
        get: impl FnOnce(Uuid) -> Query,
    ) -> Result<Option<T>, CreateError> {
        let Some(id) = self.judge(db.find(self.first()).await?)? else {
            return Ok(None);
        };
        db.find(get(id)).await?.map(Some).ok_or(CreateError::Gone)
    }

    /// The INSERT that claims the id for a new resource. It makes no row when the id was claimed
    /// before. Of two at the same time the second waits until the first has committed.
    pub(crate) fn claim(&self, resource_id: Uuid, now: DateTime<Utc>) -> Query {
        Query::new(
            "INSERT INTO requests \
             (caller, method, request_id, payload_hash, resource_id, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (caller, method, request_id) DO NOTHING",
        )
        .bind(self.caller)
        .bind(self.method)
        .bind(self.request_id)
        .bind(self.payload_hash.clone())
        .bind(resource_id)
        .bind(now)
    }

    /// The request that had this id first.
    fn first(&self) -> Query {
        Query::new(
            "SELECT payload_hash, resource_id FROM requests \
             WHERE caller = $1 AND method = $2 AND request_id = $3",
        )
        .bind(self.caller)
        .bind(self.method)
        .bind(self.request_id)
    }

    fn judge(&self, first: Option<(Vec<u8>, Uuid)>) -> Result<Option<Uuid>, CreateError> {
        match first {
            None => Ok(None),
            Some((hash, id)) if hash == self.payload_hash => Ok(Some(id)),
            Some(_) => Err(CreateError::Reused),
        }
    }
}

/// Why a Create gives no row.
#[derive(Debug)]
pub enum CreateError {
    /// What the request made before is not there, or not for this caller, any more.
    Gone,
    /// The id was used for a request with other content.
    Reused,
    /// The database.
    Store(Error),
}

impl From<Error> for CreateError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Makes the resource, or gives what the same request made before, as [`Request::find`] does.
pub async fn create<T: Row>(
    db: &Db,
    origin: &Origin,
    request: Option<&Request>,
    insert: Insert,
    get: impl FnOnce(Uuid) -> Query,
) -> Result<T, CreateError> {
    if let Some(made) = db.save(origin, insert.once(request)).await? {
        return Ok(made);
    }
    let found = match request {
        Some(request) => request.find(db, get).await?,
        None => None,
    };
    // Without a request something is made always; with one it was forgotten between the statements.
    found.ok_or(CreateError::Store(Error::Conflict))
}

/// Forgets the request ids claimed before `time`; gives how many.
pub async fn forget_before(db: &Db, time: DateTime<Utc>) -> Result<u64, Error> {
    let forget = Query::new("DELETE FROM requests WHERE created_at < $1").bind(time);
    db.untracked().execute(forget).await
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
