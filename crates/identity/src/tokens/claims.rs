//! Forwarded claims: the principal of a call, from the gateway to a service and from service to service.

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
use crate::fresh::Fresh;
use crate::keys::{ActsFor, KeyDir, KeyError, SigningKeys, TrustedKey, TrustedKeys};

const CLAIMS: Kind =
    Kind { typ: "clinic-claims+jwt", audience: "clinic-internal", sent_at_once: true };

/// How long a call may run at most. A service that calls another passes the claims on, so they must
/// not end while the call runs.
pub const LONGEST_CALL: Duration = Duration::from_secs(60);
/// The same in seconds, and some more for the way to the service. Clocks that differ are the
/// verifier's concern ([`LEEWAY`]).
const CALL: i64 = 70;
/// How long claims are valid, in seconds. They are signed anew once they would end within a call. A
/// service whose clock is right accepts them for [`LEEWAY`] more.
const LIFE: i64 = 120;

/// Forwarded claims.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claims {
    /// Who the call is made for.
    #[serde(flatten)]
    pub principal: Principal,
    /// The client's address, as the gateway saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<IpAddr>,
}

/// Makes forwarded claims as one issuer.
pub struct ClaimsSigner {
    keys: Fresh<SigningKeys>,
    cache: Cache<Unsigned, Signed>,
    name: String,
    itself: Arc<Claims>,
    clock: Clock,
}

/// Claims to be signed.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Unsigned {
    claims: Claims,
    /// When the principal's access token expires.
    exp: i64,
}

#[derive(Clone)]
struct Signed {
    header: HeaderValue,
    kid: Arc<str>,
    renew_at: i64,
}

impl ClaimsSigner {
    /// Signs as the issuer of that name, with the keys of that directory.
    ///
    /// # Errors
    /// When there are no usable keys.
    pub fn open(keys: &KeyDir, name: &str, clock: Clock) -> Result<Self, KeyError> {
        let (directory, issuer) = (keys.clone(), name.to_owned());
        let keys =
            Fresh::open(clock.clone(), move |before| directory.issuer_keys(&issuer, before))?;
        let itself = Claims { principal: Principal::service(name), client_ip: None }.into();
        Ok(Self { keys, cache: Cache::new(CACHED), name: name.to_owned(), itself, clock })
    }

    /// The clock that its tokens go by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The issuer's claims about itself.
    pub fn itself(&self) -> &Arc<Claims> {
        &self.itself
    }

    /// Claims for a caller of the gateway. They outlive the time for which its access token is
    /// accepted by no more than a call that it began. Services believe them only from an issuer that
    /// may act for users.
    ///
    /// # Errors
    /// When the cryptographic library refuses.
    pub fn forward(
        &self,
        caller: &Authenticated,
        client_ip: Option<IpAddr>,
    ) -> Result<HeaderValue, KeyError> {
        let claims = Claims { principal: caller.principal.clone(), client_ip };
        self.signed(Unsigned { claims, exp: caller.exp })
    }

    /// Claims for the issuer itself, a `SERVICE`.
    ///
    /// # Errors
    /// When the cryptographic library refuses.
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

    #[cfg(test)]
    pub(crate) fn cached(&self) -> usize {
        self.cache.len()
    }
}

/// Reads forwarded claims, believing the issuers of a keys directory.
pub struct ClaimsVerifier {
    keys: Fresh<TrustedKeys>,
    cache: Cache<Fingerprint, Remembered>,
    clock: Clock,
    skew: Skew,
}

#[derive(Clone)]
struct Remembered {
    claims: Arc<Claims>,
    exp: i64,
    /// By which the token was verified: what others verified does not count.
    keys: Arc<TrustedKeys>,
}

impl ClaimsVerifier {
    /// Believes the trusted keys of that directory.
    ///
    /// # Errors
    /// When there are none, or a file there cannot be used.
    pub fn open(keys: &KeyDir, clock: Clock) -> Result<Self, KeyError> {
        let directory = keys.clone();
        let keys = Fresh::open(clock.clone(), move |before| directory.trusted_keys(before))?;
        let skew = Skew::new(clock.clone());
        Ok(Self { keys, cache: Cache::new(CACHED), clock, skew })
    }

    /// The claims of a token that is valid now.
    ///
    /// # Errors
    /// Why it is refused.
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
            keys = self.keys.again();
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

    #[cfg(test)]
    pub(crate) fn cached(&self) -> usize {
        self.cache.len()
    }
}

/// Returns the claims if the key's holder may make them.
fn allowed(claims: Claims, key: &TrustedKey) -> Result<Claims, TokenError> {
    match (&claims.principal, key.acts_for) {
        (Principal::Service(_), ActsFor::Itself | ActsFor::Users) => {
            Ok(Claims { principal: Principal::service(&key.issuer), client_ip: None })
        }
        // No account can have the role: it would make the account an internal service.
        (Principal::User(user), _) if user.roles.has(Role::Service) => Err(TokenError::NotAllowed),
        (Principal::Anonymous | Principal::User(_), ActsFor::Users) => Ok(claims),
        (Principal::Anonymous | Principal::User(_), ActsFor::Itself) => Err(TokenError::NotAllowed),
    }
}
