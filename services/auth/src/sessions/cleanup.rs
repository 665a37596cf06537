//! Forgetting sessions that ended long ago.

use std::time::Duration;

use chrono::TimeDelta;
use clinic_clock::Clock;
use clinic_store::Db;

use super::store;
use crate::error::Error;

const EVERY: Duration = Duration::from_secs(60 * 60);
/// For how many days after its end a session can still be looked up by an operator.
const KEEP_DAYS: i64 = 30;

/// Runs as long as the server does. Every process of auth may run it: what one has deleted is not
/// there for the other.
pub(crate) async fn clean_up(db: Db, clock: Clock) {
    loop {
        tokio::time::sleep(EVERY).await;
        match forget(&db, &clock).await {
            Ok(deleted) => tracing::debug!(deleted, "ended sessions forgotten"),
            Err(error) => {
                tracing::warn!(?error, "ended sessions could not be forgotten");
            }
        }
    }
}

/// In small portions, so that nobody waits long for the one writer of SQLite.
pub(crate) async fn forget(db: &Db, clock: &Clock) -> Result<u64, Error> {
    let now = clock.now();
    let mut deleted = 0;
    // An expired token is refused either way, so its row says nothing any more.
    while let more @ 1.. = store::delete_used(db, now).await? {
        deleted += more;
    }
    while let more @ 1.. = store::delete_sessions(db, now - TimeDelta::days(KEEP_DAYS)).await? {
        deleted += more;
    }
    Ok(deleted)
}
