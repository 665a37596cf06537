//! Access tokens: auth signs them, the gateway verifies them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use clinic_clock::{Clock, Skew};
use clinic_proto::access::v1::Role;
use jsonwebtoken::DecodingKey;
use quick_cache::sync::Cache;

use super::{CACHED, Fingerprint, Kind, TokenError, fingerprint, has_expired};
use crate::keys::{Jwk, KeyDir, KeyError, SigningKeys};
use crate::reloaded::Reloaded;
use crate::{Principal, User};

/// `typ` as in RFC 9068.
const ACCESS: Kind = Kind { typ: "at+jwt", audience: "clinic", sent_at_once: false };

/// Default issuer of access tokens.
pub const DEFAULT_ISSUER: &str = "clinic";

/// An authenticated principal, valid until its token expires.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authenticated {
    /// The caller on whose behalf the call is made.
    pub principal: Principal,
    /// Expiry of its access token, in seconds since 1970.
    pub exp: i64,
}

impl Authenticated {
    /// A caller without an access token.
    pub const ANONYMOUS: Self = Self { principal: Principal::Anonymous, exp: i64::MAX };
}

/// Signer of access tokens.
pub struct AccessSigner {
    keys: Reloaded<SigningKeys>,
    issuer: String,
    ttl: TimeDelta,
    clock: Clock,
}

impl AccessSigner {
    /// Creates a signer with the keys of that directory.
    ///
    /// # Errors
    /// If there are no usable keys.
    pub fn open(
        keys: &KeyDir,
        issuer: impl Into<String>,
        ttl: TimeDelta,
        clock: Clock,
    ) -> Result<Self, KeyError> {
        let keys = Reloaded::open(keys.access(), SigningKeys::read, clock.clone())?;
        Ok(Self { keys, issuer: issuer.into(), ttl, clock })
    }

    /// Returns a token for a signed-in account, and its expiry.
    ///
    /// # Errors
    /// If the cryptographic library fails.
    pub fn sign(&self, user: &User) -> Result<(String, DateTime<Utc>), KeyError> {
        let now = self.clock.unix();
        let exp = now.saturating_add(self.ttl.num_seconds());
        let keys = self.keys.get();
        let key = keys.at(now).ok_or(KeyError::Crypto)?;
        let token = ACCESS.sign(key, &self.issuer, user, exp, &self.clock)?;
        Ok((token, DateTime::from_timestamp(exp, 0).unwrap_or_default()))
    }

    /// Returns the public keys, newest first.
    pub fn jwks(&self) -> Vec<Jwk> {
        self.keys.get().public()
    }
}

/// Verifier of access tokens, with keys from [`AccessVerifier::set_keys`].
pub struct AccessVerifier {
    keys: RwLock<Arc<KeySet>>,
    pub(super) cache: Cache<Fingerprint, Remembered>,
    issuer: String,
    clock: Clock,
    skew: Skew,
}

#[derive(Default)]
struct KeySet {
    keys: HashMap<String, DecodingKey>,
    public: Vec<Jwk>,
    /// Number of changes. Cached results of an older set are ignored.
    generation: u64,
}

#[derive(Clone)]
pub(super) struct Remembered {
    access: Arc<Authenticated>,
    generation: u64,
}

impl AccessVerifier {
    /// Creates a verifier for [`DEFAULT_ISSUER`]. Until it has keys, it rejects every token with
    /// [`TokenError::UnknownKey`].
    pub fn new(clock: Clock) -> Self {
        Self::for_issuer(DEFAULT_ISSUER, clock)
    }

    /// Creates a verifier like [`AccessVerifier::new`], but for another issuer.
    pub fn for_issuer(issuer: impl Into<String>, clock: Clock) -> Self {
        let keys = RwLock::new(Arc::new(KeySet::default()));
        let skew = Skew::new(clock.clone());
        Self { keys, cache: Cache::new(CACHED), issuer: issuer.into(), clock, skew }
    }

    /// Replaces the trusted keys. Ignores keys that are not Ed25519 keys for signatures.
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

    /// Verifies a token and returns its account.
    ///
    /// # Errors
    /// Why the token is rejected. After [`TokenError::UnknownKey`], fetch the keys again: the
    /// token's key may be newer than the current ones.
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
}
