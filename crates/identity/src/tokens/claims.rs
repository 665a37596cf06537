//! Forwarded claims: the principal of a call, sent from the gateway and between services.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use clinic_clock::{Clock, Skew};
use clinic_proto::access::v1::Role;
use http::HeaderValue;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use super::access::Authenticated;
use super::{CACHED, Fingerprint, Kind, LEEWAY, TokenError, fingerprint, has_expired};
use crate::Principal;
use crate::keys::{ActsFor, KeyDir, KeyError, SigningKeys, TrustedKey, TrustedKeys, check_name};
use crate::reloaded::Reloaded;

const CLAIMS: Kind =
    Kind { typ: "clinic-claims+jwt", audience: "clinic-internal", sent_at_once: true };

/// Maximum duration of a call. A service that calls another passes the claims on, so they must not
/// expire while the call runs.
pub const LONGEST_CALL: Duration = Duration::from_secs(60);
/// The same in seconds, plus time to reach the service. The verifier allows for clock differences
/// ([`LEEWAY`]).
const CALL: i64 = 70;
/// Lifetime of claims, in seconds. They are signed again once they would expire within a call. A
/// service with a correct clock accepts them for [`LEEWAY`] more.
const LIFE: i64 = 120;

/// Forwarded claims.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claims {
    /// The caller on whose behalf the call is made.
    #[serde(flatten)]
    pub principal: Principal,
    /// The client's address as seen by the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<IpAddr>,
}

/// Signer of forwarded claims for one issuer.
pub struct ClaimsSigner {
    keys: Reloaded<SigningKeys>,
    pub(super) cache: Cache<Unsigned, Signed>,
    name: String,
    itself: Arc<Claims>,
    clock: Clock,
}

/// Claims to sign.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Unsigned {
    claims: Claims,
    /// When the principal's access token expires.
    exp: i64,
}

#[derive(Clone)]
pub(super) struct Signed {
    header: HeaderValue,
    kid: Arc<str>,
    renew_at: i64,
}

impl ClaimsSigner {
    /// Creates a signer for the issuer of that name, with the keys of that directory.
    ///
    /// # Errors
    /// If there are no usable keys.
    pub fn open(keys: &KeyDir, name: &str, clock: Clock) -> Result<Self, KeyError> {
        check_name(name)?;
        let keys = Reloaded::open(keys.issuer(name), SigningKeys::read, clock.clone())?;
        let itself = Claims { principal: Principal::service(name), client_ip: None }.into();
        Ok(Self { keys, cache: Cache::new(CACHED), name: name.to_owned(), itself, clock })
    }

    /// Returns the clock that it uses.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns the issuer's claims about itself.
    pub fn itself(&self) -> &Arc<Claims> {
        &self.itself
    }

    /// Returns claims for a caller of the gateway. They expire at most one call after the caller's
    /// access token is no longer accepted. Services accept them only from an issuer that may act
    /// for users.
    ///
    /// # Errors
    /// If the cryptographic library fails.
    pub fn forward(
        &self,
        caller: &Authenticated,
        client_ip: Option<IpAddr>,
    ) -> Result<HeaderValue, KeyError> {
        let claims = Claims { principal: caller.principal.clone(), client_ip };
        self.signed(Unsigned { claims, exp: caller.exp })
    }

    /// Returns claims for the issuer itself, a `SERVICE`.
    ///
    /// # Errors
    /// If the cryptographic library fails.
    pub fn as_service(&self) -> Result<HeaderValue, KeyError> {
        self.signed(Unsigned { claims: (*self.itself).clone(), exp: i64::MAX })
    }

    fn signed(&self, unsigned: Unsigned) -> Result<HeaderValue, KeyError> {
        let now = self.clock.unix();
        let keys = self.keys.get();
        let key = keys.at(now).ok_or(KeyError::Crypto)?;
        if let Some(known) = self.cache.get(&unsigned)
            && *known.kid == *key.kid
            && now < known.renew_at
        {
            return Ok(known.header);
        }
        let last = match has_expired(unsigned.exp, now) {
            true => unsigned.exp,
            false => unsigned.exp.saturating_add(LEEWAY + CALL),
        };
        let exp = now.saturating_add(LIFE).min(last);
        let token = CLAIMS.sign(key, &self.name, &unsigned.claims, exp, &self.clock)?;
        let mut header = HeaderValue::try_from(token).map_err(|_| KeyError::Crypto)?;
        header.set_sensitive(true);
        let renew_at = exp.saturating_sub(CALL);
        let kid = key.kid.as_str().into();
        self.cache.insert(unsigned, Signed { header: header.clone(), kid, renew_at });
        Ok(header)
    }
}

/// Verifier of forwarded claims from the trusted issuers of a keys directory.
pub struct ClaimsVerifier {
    keys: Reloaded<TrustedKeys>,
    pub(super) cache: Cache<Fingerprint, Remembered>,
    clock: Clock,
    skew: Skew,
}

#[derive(Clone)]
pub(super) struct Remembered {
    claims: Arc<Claims>,
    exp: i64,
    /// The keys that verified the token. With other keys, the token is verified again.
    keys: Arc<TrustedKeys>,
}

impl ClaimsVerifier {
    /// Creates a verifier with the trusted keys of that directory.
    ///
    /// # Errors
    /// If there are none, or one of the files cannot be used.
    pub fn open(keys: &KeyDir, clock: Clock) -> Result<Self, KeyError> {
        let keys = Reloaded::open(keys.all_trusted(), TrustedKeys::read, clock.clone())?;
        let skew = Skew::new(clock.clone());
        Ok(Self { keys, cache: Cache::new(CACHED), clock, skew })
    }

    /// Verifies a token and returns its claims.
    ///
    /// # Errors
    /// Why the token is rejected.
    pub fn verify(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        let fingerprint = fingerprint(token)?;
        let mut keys = self.keys.get();
        if let Some(known) = self.cache.get(&fingerprint)
            && Arc::ptr_eq(&known.keys, &keys)
        {
            return match has_expired(known.exp, self.clock.unix()) {
                true => Err(TokenError::Expired),
                false => Ok(known.claims),
            };
        }
        let kid = CLAIMS.key_id(token)?;
        if keys.get(&kid).is_none() {
            keys = self.keys.reload();
        }
        let key = keys.get(&kid).ok_or(TokenError::UnknownKey)?;
        let (issuer, clock) = (&key.issuer, &self.clock);
        let envelope = CLAIMS.verify::<Claims>(token, &key.key, issuer, clock, &self.skew)?;
        let claims = Arc::new(allowed(envelope.claims, key)?);
        let entry =
            Remembered { claims: Arc::clone(&claims), exp: envelope.exp, keys: Arc::clone(&keys) };
        self.cache.insert(fingerprint, entry);
        Ok(claims)
    }
}

/// Returns the claims if the key's issuer may sign them.
fn allowed(claims: Claims, key: &TrustedKey) -> Result<Claims, TokenError> {
    match (&claims.principal, key.acts_for) {
        (Principal::Service(_), ActsFor::Itself | ActsFor::Users) => {
            Ok(Claims { principal: Principal::service(&key.issuer), client_ip: None })
        }
        // No account can have this role, which would make it an internal service.
        (Principal::User(user), _) if user.roles.has(Role::Service) => Err(TokenError::NotAllowed),
        (Principal::Anonymous | Principal::User(_), ActsFor::Users) => Ok(claims),
        (Principal::Anonymous | Principal::User(_), ActsFor::Itself) => Err(TokenError::NotAllowed),
    }
}
