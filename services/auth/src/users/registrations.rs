//! Registrations with a profile, which span two databases. A row here records the intent before
//! records is called, and is deleted in the transaction that inserts the account. A row that remains
//! belongs to a failed registration, whose profile must be deleted. This happens right after a failed
//! call, at the next registration with the same e-mail address, or in the sweep. It also covers calls
//! and commits whose response was lost.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clinic_net::Context;
use clinic_store::{Db, Query, Work};
use uuid::Uuid;

use super::model::{User, key};
use super::records_client::Profile;
use crate::Auth;
use crate::error::Error;

const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Age at which a registration counts as failed: longer than any deadline, even if this clock is a
/// minute ahead of the one that wrote the row.
const FAILED_AFTER: TimeDelta = TimeDelta::minutes(3);

/// Records the intent to create the profile of a future account.
pub(super) async fn begin(db: &Db, user: &User, profile: &Profile) -> Result<(), Error> {
    let (kind, bytes) = profile.encode();
    let query = Query::new(
        "INSERT INTO registrations (user_id, email_key, kind, profile, abandoned, created_at) \
         VALUES ($1, $2, $3, $4, FALSE, $5)",
    )
    .bind(user.id)
    .bind(key(&user.email))
    .bind(kind.to_owned())
    .bind(bytes)
    .bind(user.created_at);
    db.untracked().execute(query).await?;
    Ok(())
}

/// Deletes a registration in the transaction that inserts the account. Fails if its profile is
/// being deleted or has been deleted.
pub(crate) async fn complete(work: &mut Work, user_id: Uuid) -> Result<(), Error> {
    let query = Query::new("DELETE FROM registrations WHERE user_id = $1 AND NOT abandoned");
    if work.untracked(query.bind(user_id)).await? > 0 { Ok(()) } else { Err(Error::Conflict) }
}

/// Deletes a registration that has no profile in records.
pub(super) async fn delete(db: &Db, user_id: Uuid) -> Result<(), Error> {
    let query = Query::new("DELETE FROM registrations WHERE user_id = $1");
    db.untracked().execute(query.bind(user_id)).await?;
    Ok(())
}

/// Prevents the account from being created. Returns the profile, or `None` if the row is gone: the
/// account was created, or the registration was withdrawn before.
async fn abandon(db: &Db, user_id: Uuid) -> Result<Option<Profile>, Error> {
    let query = Query::new(
        "UPDATE registrations SET abandoned = TRUE WHERE user_id = $1 RETURNING kind, profile",
    );
    let found: Vec<(String, Vec<u8>)> = db.untracked().fetch_all(query.bind(user_id)).await?;
    found.into_iter().next().map(|(kind, bytes)| Profile::decode(&kind, &bytes)).transpose()
}

impl Auth {
    /// Withdraws all other registrations with this address, also those in progress. Otherwise a
    /// client that tries again would find its own license number taken.
    pub(super) async fn withdraw_earlier(&self, ctx: &Context, email: &str) -> Result<(), Error> {
        let query = Query::new("SELECT user_id FROM registrations WHERE email_key = $1");
        for (user_id,) in self.db.fetch_all::<(Uuid,)>(query.bind(key(email))).await? {
            self.withdraw(ctx, user_id).await?;
        }
        Ok(())
    }

    /// Prevents the account from being created, and removes its profile from records.
    async fn withdraw(&self, ctx: &Context, user_id: Uuid) -> Result<(), Error> {
        let Some(profile) = abandon(&self.db, user_id).await? else { return Ok(()) };
        // Repeats the create request, because only its response contains the profile's id. The profile
        // is created now if the first request did not arrive; if it arrives later, it creates nothing,
        // because records knows its request id.
        match self.records.create(ctx, profile, user_id).await {
            Ok(Some(made)) => self.records.delete(ctx, made).await?,
            // The profile is already deleted: a process stopped before it deleted the row.
            Ok(None) => {}
            // records rejected the first request too, so there is no profile.
            Err(error) if error.is_rejection_by_records() => {}
            Err(error) => return Err(error),
        }
        delete(&self.db, user_id).await
    }

    /// Deletes the profile in the background.
    pub(crate) fn spawn_withdraw(self: &Arc<Self>, user_id: Uuid) {
        let auth = Arc::clone(self);
        tokio::spawn(async move { auth.withdraw_or_log(user_id).await });
    }

    async fn withdraw_or_log(&self, user_id: Uuid) {
        let withdraw = async { self.withdraw(&self.records.background()?, user_id).await };
        if let Err(error) = withdraw.await {
            tracing::warn!(
                %user_id,
                ?error,
                "cannot delete a profile without an account, will try again"
            );
        }
    }

    /// Deletes profiles that were left behind, also by processes that died. Runs as long as the
    /// server.
    pub(crate) async fn sweep_registrations(self: Arc<Self>) {
        loop {
            self.withdraw_all_before(self.clock.now() - FAILED_AFTER).await;
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    }

    pub(crate) async fn withdraw_all_before(&self, time: DateTime<Utc>) {
        let query = Query::new(
            "SELECT user_id FROM registrations WHERE created_at < $1 ORDER BY created_at",
        );
        match self.db.fetch_all::<(Uuid,)>(query.bind(time)).await {
            Ok(left) => {
                for (user_id,) in left {
                    self.withdraw_or_log(user_id).await;
                }
            }
            Err(error) => tracing::warn!(?error, "cannot read registrations"),
        }
    }
}
