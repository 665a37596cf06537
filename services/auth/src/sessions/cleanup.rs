//! Deletes sessions that expired long ago.

use std::time::Duration;

use chrono::TimeDelta;
use clinic_clock::Clock;
use clinic_store::{Db, Query};

use super::store;
use crate::error::Error;

const EVERY: Duration = Duration::from_secs(60 * 60);
/// How long operators can still look up an expired session.
const KEEP: TimeDelta = TimeDelta::days(30);

/// Deletes old sessions periodically, as long as the server runs. Several replicas can do this at
/// the same time.
pub(crate) async fn clean_up(db: Db, clock: Clock) {
    loop {
        tokio::time::sleep(EVERY).await;
        match delete_old(&db, &clock).await {
            Ok(deleted) => tracing::debug!(deleted, "deleted old sessions"),
            Err(error) => tracing::warn!(?error, "cannot delete old sessions"),
        }
    }
}

/// Deletes in small portions, because SQLite has one writer and other writes wait for it.
pub(crate) async fn delete_old(db: &Db, clock: &Clock) -> Result<u64, Error> {
    let now = clock.now();
    let mut deleted = 0;
    // An expired token is refused with or without its row.
    for (delete, before) in [(store::DELETE_USED, now), (store::DELETE_SESSIONS, now - KEEP)] {
        while let more @ 1.. = db.untracked().execute(Query::new(delete).bind(before)).await? {
            deleted += more;
        }
    }
    Ok(deleted)
}
