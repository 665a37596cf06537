//! Forwarded claims: who calls, from the gateway to the services and from service to service.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use clinic_clock::{Clock, Skew};
use clinic_proto::access::v1::Role;
use http::HeaderValue;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use super::access::{AccessClaims, VerifiedAccess};
use super::{CACHED, Fingerprint, Kind, LEEWAY, TokenError, fingerprint, has_expired};
use crate::Caller;
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

/// Who calls, on the wire.
#[derive(Clone, Serialize, Deserialize)]
struct Forwarded {
    kind: Subject,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    user: Option<AccessClaims>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<IpAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Subject {
    Anonymous,
    User,
    Service,
}

/// Makes forwarded claims as one issuer.
pub struct ClaimsSigner {
    keys: Fresh<SigningKeys>,
    cache: Cache<Asked, Signed>,
    name: String,
    clock: Clock,
}

/// What was asked to be signed.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Asked {
    Anonymous(Option<IpAddr>),
    User(VerifiedAccess, Option<IpAddr>),
    Service,
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
        Ok(Self { keys, cache: Cache::new(CACHED), name: name.to_owned(), clock })
    }

    /// The issuer's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Claims for a signed-in account. They outlive the time for which its access token is accepted
    /// by no more than a call that it began. Only an issuer that may act for users is believed with them.
    ///
    /// # Errors
    /// When the cryptographic library refuses.
    pub fn for_user(
        &self,
        access: &VerifiedAccess,
        client_ip: Option<IpAddr>,
    ) -> Result<HeaderValue, KeyError> {
        self.signed(Asked::User(access.clone(), client_ip))
    }

    /// Claims for nobody that is known, as [`ClaimsSigner::for_user`].
    ///
    /// # Errors
    /// When the cryptographic library refuses.
    pub fn anonymous(&self, client_ip: Option<IpAddr>) -> Result<HeaderValue, KeyError> {
        self.signed(Asked::Anonymous(client_ip))
    }

    /// Claims for the issuer itself, a `SERVICE`.
    ///
    /// # Errors
    /// When the cryptographic library refuses.
    pub fn as_service(&self) -> Result<HeaderValue, KeyError> {
        self.signed(Asked::Service)
    }

    fn signed(&self, asked: Asked) -> Result<HeaderValue, KeyError> {
        let now = self.clock.unix();
        let keys = self.keys.get();
        let key = keys.at(now).ok_or(KeyError::Crypto)?;
        if let Some(known) = self.cache.get(&asked)
            && *known.kid == *key.kid
            && now < known.renew_at
        {
            return Ok(known.header);
        }
        let full = now.saturating_add(LIFE);
        let (claims, exp) = match &asked {
            Asked::Anonymous(ip) => (Forwarded::new(Subject::Anonymous, None, *ip), full),
            Asked::Service => (Forwarded::new(Subject::Service, None, None), full),
            Asked::User(VerifiedAccess { claims, exp }, ip) => {
                let last = match has_expired(*exp, now) {
                    true => *exp,
                    false => exp.saturating_add(LEEWAY + CALL),
                };
                (Forwarded::new(Subject::User, Some(claims.clone()), *ip), full.min(last))
            }
        };
        let token = CLAIMS.sign(key, &self.name, claims, exp, &self.clock)?;
        let mut header = HeaderValue::try_from(token).map_err(|_| KeyError::Crypto)?;
        header.set_sensitive(true);
        let renew_at = exp.saturating_sub(CALL);
        let kid = key.kid.as_str().into();
        self.cache.insert(asked, Signed { header: header.clone(), kid, renew_at });
        Ok(header)
    }

    #[cfg(test)]
    pub(crate) fn cached(&self) -> usize {
        self.cache.len()
    }
}

impl Forwarded {
    fn new(kind: Subject, user: Option<AccessClaims>, client_ip: Option<IpAddr>) -> Self {
        Self { kind, user, client_ip }
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
    caller: Arc<Caller>,
    exp: i64,
    /// By which the token was verified: what others verified does not count.
    keys: Arc<TrustedKeys>,
}

impl ClaimsVerifier {
    /// Believes who is trusted in that directory.
    ///
    /// # Errors
    /// When nobody is, or a file there cannot be used.
    pub fn open(keys: &KeyDir, clock: Clock) -> Result<Self, KeyError> {
        let directory = keys.clone();
        let keys = Fresh::open(clock.clone(), move |before| directory.trusted_keys(before))?;
        let skew = Skew::new(clock.clone());
        Ok(Self { keys, cache: Cache::new(CACHED), clock, skew })
    }

    /// Who the claims say is calling.
    ///
    /// # Errors
    /// Why they are not believed.
    pub fn verify(&self, token: &str) -> Result<Arc<Caller>, TokenError> {
        let fingerprint = fingerprint(token)?;
        let mut keys = self.keys.get();
        if let Some(known) = self.cache.get(&fingerprint)
            && Arc::ptr_eq(&known.keys, &keys)
        {
            return match has_expired(known.exp, self.clock.unix()) {
                true => Err(TokenError::Expired),
                false => Ok(known.caller),
            };
        }
        let kid = CLAIMS.key_id(token)?;
        if keys.get(&kid).is_none() {
            keys = self.keys.again();
        }
        let key = keys.get(&kid).ok_or(TokenError::UnknownKey)?;
        let (issuer, clock) = (&key.issuer, &self.clock);
        let envelope = CLAIMS.verify::<Forwarded>(token, &key.key, issuer, clock, &self.skew)?;
        let caller = Arc::new(caller(envelope.claims, key)?);
        let entry =
            Remembered { caller: Arc::clone(&caller), exp: envelope.exp, keys: Arc::clone(&keys) };
        self.cache.insert(fingerprint, entry);
        Ok(caller)
    }

    #[cfg(test)]
    pub(crate) fn cached(&self) -> usize {
        self.cache.len()
    }
}

fn caller(claims: Forwarded, key: &TrustedKey) -> Result<Caller, TokenError> {
    let Forwarded { kind, user, client_ip } = claims;
    match (kind, user, key.acts_for) {
        (Subject::Service, None, ActsFor::Itself | ActsFor::Users) => {
            Ok(Caller::service(&key.issuer))
        }
        (Subject::Anonymous, None, ActsFor::Users) => Ok(Caller::anonymous(client_ip)),
        (Subject::User, Some(user), ActsFor::Users) => {
            let AccessClaims { sub, sid, roles, email_verified } = user;
            // No account can have it: it would make the account one of us.
            if roles.has(Role::Service) {
                return Err(TokenError::NotAllowed);
            }
            Ok(Caller::user(sub, sid, roles, email_verified, client_ip))
        }
        (Subject::Anonymous | Subject::User, _, ActsFor::Itself) => Err(TokenError::NotAllowed),
        (Subject::User, None, ActsFor::Users)
        | (Subject::Anonymous | Subject::Service, Some(_), _) => Err(TokenError::Malformed),
    }
}
