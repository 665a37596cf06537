//! Access tokens: made by auth, read by the gateway.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use clinic_clock::{Clock, Skew};
use clinic_proto::access::v1::Role;
use jsonwebtoken::DecodingKey;
use quick_cache::sync::Cache;

use super::{CACHED, Fingerprint, Kind, TokenError, fingerprint, has_expired};
use crate::fresh::Fresh;
use crate::keys::{Jwk, KeyDir, KeyError, SigningKeys};
use crate::{Principal, User};

/// `typ` after RFC 9068.
const ACCESS: Kind = Kind { typ: "at+jwt", audience: "clinic", sent_at_once: false };

/// The issuer of access tokens where nothing else is configured.
pub const DEFAULT_ISSUER: &str = "clinic";

/// A principal that is known until a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authenticated {
    /// Who the call is made for.
    pub principal: Principal,
    /// When its access token expires, in seconds since 1970.
    pub exp: i64,
}

impl Authenticated {
    /// A call without an access token.
    pub const ANONYMOUS: Self = Self { principal: Principal::Anonymous, exp: i64::MAX };
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

    /// A token for a signed-in account, and when it expires.
    ///
    /// # Errors
    /// When the cryptographic library refuses.
    pub fn sign(&self, user: &User) -> Result<(String, DateTime<Utc>), KeyError> {
        let now = self.clock.unix();
        let exp = now.saturating_add(self.ttl.num_seconds());
        let keys = self.keys.get();
        let key = keys.at(now).ok_or(KeyError::Crypto)?;
        let token = ACCESS.sign(key, &self.issuer, user, exp, &self.clock)?;
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
    access: Arc<Authenticated>,
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

    /// The signed-in account of a token that is valid now.
    ///
    /// # Errors
    /// Why it is refused. [`TokenError::UnknownKey`] may be a key that is newer than the ones
    /// given: fetch them again.
    pub fn verify(&self, token: &str) -> Result<Arc<Authenticated>, TokenError> {
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
        let envelope = ACCESS.verify::<User>(token, key, issuer, clock, &self.skew)?;
        if envelope.claims.roles.has(Role::Service) {
            return Err(TokenError::NotAllowed);
        }
        let access = Arc::new(Authenticated {
            principal: Principal::User(envelope.claims),
            exp: envelope.exp,
        });
        let generation = keys.generation;
        self.cache.insert(fingerprint, Remembered { access: Arc::clone(&access), generation });
        Ok(access)
    }

    #[cfg(test)]
    pub(crate) fn cached(&self) -> usize {
        self.cache.len()
    }
}
