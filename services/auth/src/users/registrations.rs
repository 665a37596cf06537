//! Registrations that bring a profile along. Two databases are to agree, so it is written down that
//! the profile may be there before records is asked for it, and struck out with the account's making.
//! What is left is taken back: by whoever saw it fail, by the next who registers that address, or by
//! the broom. So nothing has to be known about a call whose answer was lost, or a commit's.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clinic_net::Context;
use clinic_store::{Db, Query, Work};
use uuid::Uuid;

use super::model::key;
use super::profile::Profile;
use crate::Auth;
use crate::error::Error;

const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How long a registration may take: longer than any deadline, also by a clock that is a minute
/// ahead of the one that wrote the registration down.
const PATIENCE: TimeDelta = TimeDelta::minutes(3);

/// Writes down that records will be asked for a profile of an account to be.
pub(super) async fn begin(
    db: &Db,
    user_id: Uuid,
    email: &str,
    profile: &Profile,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let (kind, bytes) = profile.encode();
    let query = Query::new(
        "INSERT INTO registrations (user_id, email_key, kind, profile, abandoned, created_at) \
         VALUES ($1, $2, $3, $4, FALSE, $5)",
    )
    .bind(user_id)
    .bind(key(email))
    .bind(kind.to_owned())
    .bind(bytes)
    .bind(now);
    db.untracked().execute(query).await?;
    Ok(())
}

/// Strikes a registration out in the transaction that makes the account, unless somebody is taking
/// its profile back.
pub(crate) async fn settle(work: &mut Work, user_id: Uuid) -> Result<(), Error> {
    let query = Query::new("DELETE FROM registrations WHERE user_id = $1 AND NOT abandoned");
    if work.untracked(query.bind(user_id)).await? > 0 { Ok(()) } else { Err(Error::Conflict) }
}

/// Strikes one out that has nothing at records.
pub(super) async fn forget(db: &Db, user_id: Uuid) -> Result<(), Error> {
    let query = Query::new("DELETE FROM registrations WHERE user_id = $1");
    db.untracked().execute(query.bind(user_id)).await?;
    Ok(())
}

/// From now on its account cannot be made; gives its profile, unless the account is there.
async fn abandon(db: &Db, user_id: Uuid) -> Result<Option<Profile>, Error> {
    let query = Query::new(
        "UPDATE registrations SET abandoned = TRUE WHERE user_id = $1 RETURNING kind, profile",
    );
    let found: Vec<(String, Vec<u8>)> = db.untracked().fetch_all(query.bind(user_id)).await?;
    found.into_iter().next().map(|(kind, bytes)| Profile::decode(&kind, &bytes)).transpose()
}

async fn of_address(db: &Db, email: &str) -> Result<Vec<(Uuid,)>, Error> {
    let query = Query::new("SELECT user_id FROM registrations WHERE email_key = $1");
    Ok(db.fetch_all(query.bind(key(email))).await?)
}

async fn begun_before(db: &Db, time: DateTime<Utc>) -> Result<Vec<(Uuid,)>, Error> {
    let query =
        Query::new("SELECT user_id FROM registrations WHERE created_at < $1 ORDER BY created_at");
    Ok(db.fetch_all(query.bind(time)).await?)
}

impl Auth {
    /// Takes back what earlier attempts with that address left behind: the client that tries again
    /// must not be told that its own license number is taken.
    pub(super) async fn withdraw_earlier(&self, ctx: &Context, email: &str) -> Result<(), Error> {
        for (user_id,) in of_address(&self.db, email).await? {
            self.withdraw(ctx, user_id).await?;
        }
        Ok(())
    }

    /// Takes the profile of an account that was not made back, if records has it.
    async fn withdraw(&self, ctx: &Context, user_id: Uuid) -> Result<(), Error> {
        let Some(profile) = abandon(&self.db, user_id).await? else { return Ok(()) };
        // The same request again: records answers with what it made before, or makes it now, and a
        // first one that is still on its way will find it made and deleted.
        match self.profiles.create(ctx, profile, user_id).await {
            Ok(Some(made)) => self.profiles.take_back(ctx, made).await?,
            // Taken back before, by somebody who did not come to forget it.
            Ok(None) => {}
            // As it would have refused the first.
            Err(error) if error.is_refusal_of_records() => {}
            Err(error) => return Err(error),
        }
        forget(&self.db, user_id).await
    }

    /// The same in the background, where nobody waits for it.
    pub(crate) fn spawn_withdraw(self: &Arc<Self>, user_id: Uuid) {
        let auth = Arc::clone(self);
        tokio::spawn(async move { auth.withdraw_or_say(user_id).await });
    }

    async fn withdraw_or_say(&self, user_id: Uuid) {
        let withdrawn = match self.profiles.background() {
            Ok(ctx) => self.withdraw(&ctx, user_id).await,
            Err(error) => Err(error),
        };
        if let Err(error) = withdrawn {
            tracing::warn!(
                %user_id,
                ?error,
                "a profile without an account could not be taken back yet"
            );
        }
    }

    /// Takes back what was left behind, also by processes that are no more; runs as long as the
    /// server does.
    pub(crate) async fn sweep_registrations(self: Arc<Self>) {
        loop {
            self.withdraw_all_before(self.clock.now() - PATIENCE).await;
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    }

    pub(crate) async fn withdraw_all_before(&self, time: DateTime<Utc>) {
        match begun_before(&self.db, time).await {
            Ok(left) => {
                for (user_id,) in left {
                    self.withdraw_or_say(user_id).await;
                }
            }
            Err(error) => tracing::warn!(?error, "registrations cannot be read"),
        }
    }
}
