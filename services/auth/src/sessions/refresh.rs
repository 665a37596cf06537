//! Going on: a refresh token for new tokens.

use chrono::TimeDelta;
use clinic_chassis::Error;
use clinic_clock::random;
use clinic_proto::access::v1::ErrorReason;
use clinic_proto::auth::v1::{RefreshRequest, RefreshResponse};

use super::model::SignIn;
use super::store::{self, Used};
use crate::Auth;
use crate::tokens::RefreshToken;
use crate::users::{self, User};

/// How long after its use a token gives the same successor again: long enough for all tabs of a
/// browser that woke up, too short for a thief.
const REPLAY_SECONDS: i64 = 10;

impl Auth {
    pub(crate) async fn refresh(&self, request: RefreshRequest) -> Result<RefreshResponse, Error> {
        let RefreshRequest { refresh } = request;
        let token = RefreshToken::parse(&refresh).ok_or_else(refused)?;
        let (user, sign_in) = match self.rotate(&token).await? {
            Some(rotated) => rotated,
            None => self.replay(&token).await?,
        };
        Ok(RefreshResponse { tokens: Some(self.tokens(&user, &sign_in)?) })
    }

    /// Exchanges a token for its successor; none when it is unknown, expired or used.
    async fn rotate(&self, token: &RefreshToken) -> Result<Option<(User, SignIn)>, Error> {
        let now = self.clock.now();
        let refresh_expires_at = now + self.settings.refresh_life();
        let salt: [u8; 16] = random();
        let refresh = token.successor(&salt);
        let mut tx = self.db.begin().await?;
        let rotated = store::rotate(&mut tx, token, &refresh, now, refresh_expires_at).await?;
        let Some((session_id, user_id)) = rotated else {
            return Ok(None);
        };
        let user = users::store::find_in(&mut tx, user_id).await?;
        let user = user.filter(|user| user.active).ok_or_else(refused)?;
        let sign_in = SignIn { session_id, refresh, at: now, refresh_expires_at };
        store::insert_used(&mut tx, token, &salt, &sign_in).await?;
        tx.commit().await?;
        Ok(Some((user, sign_in)))
    }

    /// The same successor again, when the token was just used; otherwise somebody has a copy of it,
    /// and since nobody can tell who, the session ends for both.
    async fn replay(&self, token: &RefreshToken) -> Result<(User, SignIn), Error> {
        let used = store::find_used(&self.db, token).await?.ok_or_else(refused)?;
        let Used { session_id, user_id, used_at, successor_salt, revoked_at, expires_at } = used;
        let now = self.clock.now();
        if now - used_at > TimeDelta::seconds(REPLAY_SECONDS) {
            if store::revoke(&self.db, session_id, now).await? {
                tracing::warn!(session = %session_id, "a used refresh token came back: session ended");
            }
            return Err(refused());
        }
        if revoked_at.is_some() || expires_at <= now {
            return Err(refused());
        }
        let user = users::store::find(&self.db, user_id).await?;
        let user = user.filter(|user| user.active).ok_or_else(refused)?;
        let refresh = token.successor(&successor_salt);
        Ok((user, SignIn { session_id, refresh, at: now, refresh_expires_at: expires_at }))
    }
}

/// Always the same answer, whatever is wrong with the token.
fn refused() -> Error {
    Error::unauthenticated(
        ErrorReason::InvalidToken,
        "the refresh token is not valid any more: sign in again",
    )
}
