//! The type of accounts.

use chrono::{DateTime, Utc};
use clinic_identity::{Principal, Roles};
use clinic_proto::access::v1::Role;
use clinic_proto::auth::v1 as proto;
use clinic_proto::time::timestamp;
use clinic_store::etag::{etag, is_current};
use uuid::Uuid;

use crate::error::Error;

/// A stored account. No `Debug`: it contains personal data and a credential.
#[derive(Clone, sqlx::FromRow)]
pub(crate) struct User {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) username: Option<String>,
    pub(crate) name: String,
    pub(crate) password_hash: String,
    /// See [`User::roles`].
    pub(crate) roles: i64,
    pub(crate) active: bool,
    pub(crate) email_verified: bool,
    pub(crate) version: i64,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

impl User {
    pub(crate) fn roles(&self) -> Roles {
        Roles::from_bits(self.roles)
    }

    /// Returns whether this is an active ADMIN.
    pub(crate) fn is_admin(&self) -> bool {
        self.active && self.roles().has(Role::Admin)
    }

    /// Fails if an etag is given and is not the current one.
    pub(crate) fn check_etag(&self, etag: &str) -> Result<(), Error> {
        if is_current(etag, self.version) { Ok(()) } else { Err(Error::Stale) }
    }
}

impl From<User> for proto::User {
    fn from(user: User) -> Self {
        let roles = user.roles();
        let User {
            id,
            email,
            username,
            name,
            password_hash: _,
            roles: _,
            active,
            email_verified,
            version,
            created_at,
            updated_at,
        } = user;
        Self {
            id: id.to_string(),
            etag: etag(version),
            created_at: Some(timestamp(created_at)),
            updated_at: Some(timestamp(updated_at)),
            deleted_at: None,
            email,
            username: username.unwrap_or_default(),
            name,
            roles: roles.iter().map(i32::from).collect(),
            active,
            email_verified,
        }
    }
}

/// Returns the key by which an e-mail address or username is unique and found.
pub(crate) fn key(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Returns the id of the account that a request names by id or as `me`.
pub(crate) fn named(id: &str, principal: &Principal) -> Result<Uuid, Error> {
    if id == "me" {
        return principal.user_id().ok_or(Error::NotFound);
    }
    Uuid::try_parse(id).map_err(|_| Error::NotFound)
}
