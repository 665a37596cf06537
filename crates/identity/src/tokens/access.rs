//! Access tokens: made by auth, read by the gateway.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use clinic_clock::{Clock, Skew};
use jsonwebtoken::DecodingKey;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CACHED, Fingerprint, Kind, TokenError, fingerprint, has_expired};
use crate::Roles;
use crate::fresh::Fresh;
use crate::keys::{Jwk, KeyDir, KeyError, SigningKeys};

/// `typ` after RFC 9068.
const ACCESS: Kind = Kind { typ: "at+jwt", audience: "clinic", sent_at_once: false };

/// The issuer of access tokens where nothing else is configured.
pub const DEFAULT_ISSUER: &str = "clinic";

/// Who is signed in. No name and no address: the token is readable for whoever holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AccessClaims {
    /// The account.
    pub sub: Uuid,
    /// The session.
    pub sid: Uuid,
    /// What the account was when the token was made.
    pub roles: Roles,
    /// Whether the address is known to be the person's.
    pub email_verified: bool,
}

/// The claims of an access token that was verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerifiedAccess {
    /// Who is signed in.
    pub claims: AccessClaims,
    /// When the token expires, in seconds since 1970.
    pub exp: i64,
}

/// Makes access tokens.
pub struct AccessSigner {
    keys: Fresh<SigningKeys>,
    issuer: String,
    ttl: TimeDelta,
    clock: Clock,
}

impl AccessSigner {
    /// Signs with the keys of that directory.
    ///
    /// # Errors
    /// When there are no usable keys.
    pub fn open(
        keys: &KeyDir,
        issuer: impl Into<String>,
        ttl: TimeDelta,
        clock: Clock,
    ) -> Result<Self, KeyError> {
        let directory = keys.clone();
        let keys = Fresh::open(clock.clone(), move |before| directory.access_keys(before))?;
        Ok(Self { keys, issuer: issuer.into(), ttl, clock })
    }

    /// A token for those claims, and when it expires.
    ///
    /// # Errors
    /// When the cryptographic library refuses.
    pub fn sign(&self, claims: &AccessClaims) -> Result<(String, DateTime<Utc>), KeyError> {
        let now = self.clock.unix();
        let exp = now.saturating_add(self.ttl.num_seconds());
        let keys = self.keys.get();
        let key = keys.at(now).ok_or(KeyError::Crypto)?;
        let token = ACCESS.sign(key, &self.issuer, claims, exp, &self.clock)?;
        Ok((token, DateTime::from_timestamp(exp, 0).unwrap_or_default()))
    }

    /// The public keys, newest first.
    pub fn jwks(&self) -> Vec<Jwk> {
        self.keys.get().public()
    }
}

/// Reads access tokens, with keys that it is given.
pub struct AccessVerifier {
    keys: RwLock<Arc<KeySet>>,
    cache: Cache<Fingerprint, Remembered>,
    issuer: String,
    clock: Clock,
    skew: Skew,
}

#[derive(Default)]
struct KeySet {
    keys: HashMap<String, DecodingKey>,
    public: Vec<Jwk>,
    /// Counts the changes, so that nothing that an old set verified outlives it.
    generation: u64,
}

#[derive(Clone)]
struct Remembered {
    access: Arc<VerifiedAccess>,
    generation: u64,
}

impl AccessVerifier {
    /// Knows no key yet, and so refuses every token with [`TokenError::UnknownKey`]. Believes
    /// [`DEFAULT_ISSUER`].
    pub fn new(clock: Clock) -> Self {
        Self::for_issuer(DEFAULT_ISSUER, clock)
    }

    /// As [`AccessVerifier::new`], for tokens of another issuer.
    pub fn for_issuer(issuer: impl Into<String>, clock: Clock) -> Self {
        let keys = RwLock::new(Arc::new(KeySet::default()));
        let skew = Skew::new(clock.clone());
        Self { keys, cache: Cache::new(CACHED), issuer: issuer.into(), clock, skew }
    }

    /// Believes these keys from now on, and no others. A key that is not an Ed25519 key for
    /// signatures is left out.
    pub fn set_keys(&self, public: Vec<Jwk>) {
        let mut current = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if current.public == public {
            return;
        }
        let key = |jwk: &Jwk| Some((jwk.kid.clone(), DecodingKey::from_ed_der(&jwk.public_key()?)));
        let keys = public.iter().filter_map(key).collect();
        let generation = current.generation.wrapping_add(1);
        *current = Arc::new(KeySet { keys, public, generation });
    }

    /// The claims of a token that is valid now.
    ///
    /// # Errors
    /// Why it is refused. [`TokenError::UnknownKey`] may be a key that is newer than the ones
    /// given: fetch them again.
    pub fn verify(&self, token: &str) -> Result<Arc<VerifiedAccess>, TokenError> {
        let fingerprint = fingerprint(token)?;
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(known) = self.cache.get(&fingerprint)
            && known.generation == keys.generation
        {
            return match has_expired(known.access.exp, self.clock.unix()) {
                true => Err(TokenError::Expired),
                false => Ok(known.access),
            };
        }
        let kid = ACCESS.key_id(token)?;
        let key = keys.keys.get(&kid).ok_or(TokenError::UnknownKey)?;
        let (issuer, clock) = (&self.issuer, &self.clock);
        let envelope = ACCESS.verify::<AccessClaims>(token, key, issuer, clock, &self.skew)?;
        if envelope.claims.roles.has(clinic_proto::access::v1::Role::Service) {
            return Err(TokenError::NotAllowed);
        }
        let access = Arc::new(VerifiedAccess { claims: envelope.claims, exp: envelope.exp });
        let generation = keys.generation;
        self.cache.insert(fingerprint, Remembered { access: Arc::clone(&access), generation });
        Ok(access)
    }

    #[cfg(test)]
    pub(crate) fn cached(&self) -> usize {
        self.cache.len()
    }
}
