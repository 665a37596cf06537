//! Idempotent Creates. A second request with the same id and content creates nothing, and returns
//! the resource of the first one as it is now, if the caller may still see it. The first response
//! is not stored: a copy of private data would outlive a deletion or a revoked permission.
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

use chrono::{DateTime, TimeDelta, Utc};
use clinic_clock::Clock;
use uuid::Uuid;

use crate::db::Db;
use crate::error::Error;
use crate::query::Query;
pub use crate::request::Request;
use crate::row::Row;
use crate::write::{Insert, Origin};

impl Request {
    /// Returns the resource of an earlier request with this id, if any. `get` selects it by its id,
    /// if the caller may see it. A new id must still be claimed, because another request may use it
    /// meanwhile.
    pub async fn find<T: Row>(
        &self,
        db: &Db,
        get: impl FnOnce(Uuid) -> Query,
    ) -> Result<Option<T>, CreateError> {
        let first: Option<(Vec<u8>, Uuid)> = db.find(self.first()).await?;
        let id = match first {
            None => return Ok(None),
            Some((hash, _)) if hash != self.payload_hash => return Err(CreateError::Reused),
            Some((_, id)) => id,
        };
        db.find(get(id)).await?.map(Some).ok_or(CreateError::Gone)
    }
}

/// Why a Create returns no resource.
#[derive(Debug)]
pub enum CreateError {
    /// The resource of the earlier request no longer exists, or the caller may no longer see it.
    Gone,
    /// The id was used for a request with other content.
    Reused,
    Store(Error),
}

impl From<Error> for CreateError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Creates the resource, or returns that of an earlier request, as [`Request::find`] does.
pub async fn create<T: Row>(
    db: &Db,
    origin: &Origin,
    request: Option<&Request>,
    insert: Insert,
    get: impl FnOnce(Uuid) -> Query,
) -> Result<T, CreateError> {
    if let Some(made) = db.save(origin, insert.with_request(request)).await? {
        return Ok(made);
    }
    let found = match request {
        Some(request) => request.find(db, get).await?,
        None => None,
    };
    // Without a request there is always a row. With one, its id was deleted in between.
    found.ok_or(CreateError::Store(Error::Conflict))
}

/// Deletes the request ids claimed before `time`. Returns their number.
pub async fn delete_before(db: &Db, time: DateTime<Utc>) -> Result<u64, Error> {
    let delete = Query::new("DELETE FROM requests WHERE created_at < $1").bind(time);
    db.untracked().execute(delete).await
}

/// How long a request id is kept: longer than any client retries.
const RETENTION: TimeDelta = TimeDelta::hours(24);
const DELETE_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Deletes old request ids every hour. Never returns.
pub async fn clean_up(db: Db, clock: Clock) {
    let mut hourly = tokio::time::interval(DELETE_INTERVAL);
    loop {
        hourly.tick().await;
        match delete_before(&db, clock.now() - RETENTION).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "deleted old request ids"),
            Err(error) => tracing::warn!(%error, "cannot delete old request ids"),
        }
    }
}
