//! A request that may be sent twice, and its row in the table of [`crate::idempotency`].

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::query::Query;

/// A request that may be sent twice. Its id is chosen by the caller, for one method.
#[derive(Clone, Debug)]
pub struct Request {
    caller: Uuid,
    method: &'static str,
    request_id: Uuid,
    pub(crate) payload_hash: Vec<u8>,
}

impl Request {
    /// Takes the calling account or service, the method's short name (`CreatePatient`), the request
    /// id, and the encoded request with the id cleared. Returns `None` if the id is not a UUID.
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

    /// Returns the INSERT that claims the id for a new resource. It inserts no row if the id is
    /// already claimed. Of two concurrent ones, the second waits until the first has committed.
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

    /// Returns the SELECT of the first request with this id.
    pub(crate) fn first(&self) -> Query {
        Query::new(
            "SELECT payload_hash, resource_id FROM requests \
             WHERE caller = $1 AND method = $2 AND request_id = $3",
        )
        .bind(self.caller)
        .bind(self.method)
        .bind(self.request_id)
    }
}
