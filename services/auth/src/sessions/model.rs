//! The types of sessions.

use chrono::{DateTime, Utc};
use clinic_net::Context;
use clinic_proto::auth::v1 as proto;
use clinic_proto::time::timestamp;
use uuid::Uuid;

use crate::Auth;
use crate::tokens::RefreshToken;

/// Characters of a user agent that are stored.
const MAX_USER_AGENT: usize = 256;

/// A stored session. No `Debug`: user agent and IP address are private.
#[derive(Clone, sqlx::FromRow)]
pub(crate) struct Session {
    pub(crate) id: Uuid,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) last_used_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) revoked_at: Option<DateTime<Utc>>,
    pub(crate) user_agent: String,
    pub(crate) client_ip: String,
}

impl Session {
    /// Converts the session to the message for a caller whose session is `current`.
    pub(crate) fn seen_from(self, current: Option<Uuid>) -> proto::Session {
        let Self { id, created_at, last_used_at, expires_at, revoked_at, user_agent, client_ip } =
            self;
        proto::Session {
            id: id.to_string(),
            created_at: Some(timestamp(created_at)),
            last_used_at: Some(timestamp(last_used_at)),
            expires_at: Some(timestamp(expires_at)),
            revoked_at: revoked_at.map(timestamp),
            user_agent,
            client_ip,
            current: current == Some(id),
        }
    }
}

/// User agent and IP address of a sign-in.
#[derive(Default)]
pub(crate) struct Client {
    pub(crate) user_agent: String,
    pub(crate) ip: String,
}

impl Client {
    /// Returns the client of a call.
    pub(crate) fn of(ctx: &Context) -> Self {
        let user_agent = ctx.user_agent().unwrap_or_default();
        Self {
            user_agent: user_agent.chars().take(MAX_USER_AGENT).collect(),
            ip: ctx.client_ip().map(|ip| ip.to_string()).unwrap_or_default(),
        }
    }
}

/// The result of a sign-in or refresh, before the access token is created.
pub(crate) struct SignIn {
    pub(crate) session_id: Uuid,
    pub(crate) refresh: RefreshToken,
    pub(crate) at: DateTime<Utc>,
    pub(crate) refresh_expires_at: DateTime<Utc>,
}

impl Auth {
    /// Creates the id and the first refresh token of a new session.
    pub(crate) fn new_sign_in(&self, ctx: &Context) -> SignIn {
        let at = ctx.now();
        SignIn {
            session_id: self.clock.new_id(),
            refresh: RefreshToken::generate(),
            at,
            refresh_expires_at: at + self.settings.refresh_life(),
        }
    }
}
