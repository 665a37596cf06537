//! Exchanges a refresh token for new tokens.

use chrono::TimeDelta;
use clinic_net::Context;
use clinic_proto::auth::v1::{RefreshRequest, RefreshResponse};
use clinic_server::origin;

use super::model::SignIn;
use super::store::{self, Used};
use crate::Auth;
use crate::error::Error;
use crate::tokens::RefreshToken;
use crate::users::{self, User};

/// How long after its first use a token can still be exchanged for the newest one: long enough for
/// all tabs of a browser that woke up, too short for a thief.
const REPLAY: TimeDelta = TimeDelta::seconds(10);
/// Maximum number of successors that a replay follows. All were used within [`REPLAY`], and no
/// browser refreshes that often. Without a limit, a client could make replays ever more expensive.
const MOST_SUCCESSORS: usize = 64;

impl Auth {
    pub(crate) async fn refresh(
        &self,
        ctx: &Context,
        request: RefreshRequest,
    ) -> Result<RefreshResponse, Error> {
        let RefreshRequest { refresh } = request;
        let token = RefreshToken::parse(&refresh).ok_or(Error::RefreshToken)?;
        let (user, sign_in) = match self.rotate(ctx, &token).await? {
            Some(rotated) => rotated,
            None => self.replay(ctx, &token).await?,
        };
        Ok(RefreshResponse { tokens: Some(self.tokens(&user, &sign_in)?) })
    }

    /// Exchanges a token for its successor; `None` if it is unknown, expired, revoked or used.
    async fn rotate(
        &self,
        ctx: &Context,
        token: &RefreshToken,
    ) -> Result<Option<(User, SignIn)>, Error> {
        let now = ctx.now();
        let refresh_expires_at = now + self.settings.refresh_life();
        let salt: [u8; 16] = clinic_random::bytes();
        let refresh = token.successor(&salt);
        let mut work = self.db.work(&origin(ctx)).await?;
        let rotated = store::rotate(&mut work, token, &refresh, now, refresh_expires_at).await?;
        let Some((session_id, user_id)) = rotated else {
            return Ok(None);
        };
        let user = users::store::find_in(&mut work, user_id).await?;
        let user = user.filter(|user| user.active).ok_or(Error::RefreshToken)?;
        let sign_in = SignIn { session_id, refresh, at: now, refresh_expires_at };
        store::insert_used(&mut work, token, &salt, &sign_in).await?;
        work.save().await?;
        Ok(Some((user, sign_in)))
    }

    /// Returns the session's newest token if this one was first used within [`REPLAY`], so all tabs
    /// of a browser get the same token, in whatever order they refresh. A later replay means that
    /// someone has a copy of the token. It is unknown who, so the session ends for both.
    async fn replay(&self, ctx: &Context, token: &RefreshToken) -> Result<(User, SignIn), Error> {
        let used = store::find_used(&self.db, token).await?.ok_or(Error::RefreshToken)?;
        let now = ctx.now();
        let seconds = (used.used_at - now).num_seconds();
        if self.skew.is_due(seconds) {
            tracing::warn!(
                seconds,
                "a refresh token was used in the future: the clock of this machine is behind that \
                 of another auth replica"
            );
        }
        if now - used.used_at > REPLAY {
            if store::revoke(&self.db, &origin(ctx), used.session_id).await? {
                let session = used.session_id;
                tracing::warn!(%session, "a used refresh token was replayed: session ended");
            }
            return Err(Error::RefreshToken);
        }
        let (refresh, used) = self.newest(token, used).await?;
        let Used { session_id, user_id, revoked_at, expires_at, .. } = used;
        if revoked_at.is_some() || expires_at <= now {
            return Err(Error::RefreshToken);
        }
        let user = users::store::find(&self.db, user_id).await?;
        let user = user.filter(|user| user.active).ok_or(Error::RefreshToken)?;
        Ok((user, SignIn { session_id, refresh, at: now, refresh_expires_at: expires_at }))
    }

    /// Follows the successors of a used token to the one that has not been used. Each step reads a
    /// used token together with its session in one statement, so a refresh in between only adds a
    /// step.
    async fn newest(
        &self,
        token: &RefreshToken,
        mut used: Used,
    ) -> Result<(RefreshToken, Used), Error> {
        let mut successor = token.successor(&used.successor_salt);
        for _ in 0..MOST_SUCCESSORS {
            if used.newest_hash.as_ref() == Some(&successor.hash()) {
                return Ok((successor, used));
            }
            used = store::find_used(&self.db, &successor).await?.ok_or(Error::RefreshToken)?;
            successor = successor.successor(&used.successor_salt);
        }
        Err(Error::RefreshToken)
    }
}
