//! The two kinds of JSON Web Tokens, and the checks that both must pass (RFC 8725).

pub(crate) mod access;
pub(crate) mod claims;

use aws_lc_rs::digest;
use clinic_clock::{Clock, Skew};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::KeyError;
use crate::keys::SigningKey;

/// Maximum length of a token. The suite's tokens have about 500 bytes; rejecting a flood of longer
/// ones costs almost nothing.
const MAX_BYTES: usize = 4096;

/// Maximum difference between the clocks of signer and verifier, in seconds. A token is accepted
/// from this long before its `iat` and `nbf` until this long after its `exp`.
const LEEWAY: i64 = 60;

/// Maximum number of tokens in a cache of verified or signed tokens; about 2 MiB when full.
const CACHED: usize = 10_000;

/// Why a token is rejected. Only for logs and tests: clients receive the same error for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is longer than any token of this suite.
    #[error("the token is too long")]
    TooLong,
    /// It is not a JSON Web Token in this suite's form.
    #[error("the token is malformed")]
    Malformed,
    #[error("the token is not signed with EdDSA")]
    Algorithm,
    #[error("the token is of the wrong kind")]
    Type,
    /// Its key is unknown, perhaps because it is new: fetch the keys again.
    #[error("the token's key is unknown")]
    UnknownKey,
    #[error("the token's signature is wrong")]
    Signature,
    /// Its issuer is not the owner of its key.
    #[error("the token's issuer is wrong")]
    Issuer,
    #[error("the token's audience is wrong")]
    Audience,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token's issuer may not sign such claims")]
    NotAllowed,
}

/// The standard claims of every token, and the claims of its kind.
#[derive(Serialize, Deserialize)]
struct Envelope<C> {
    iss: String,
    aud: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: Uuid,
    #[serde(flatten)]
    claims: C,
}

/// One kind of token.
struct Kind {
    typ: &'static str,
    audience: &'static str,
    /// Whether a token is sent as soon as it is signed. If it arrives expired, the clocks differ.
    sent_at_once: bool,
}

/// Returns whether a token expired at least [`LEEWAY`] ago.
fn has_expired(exp: i64, now: i64) -> bool {
    exp.saturating_add(LEEWAY) <= now
}

impl Kind {
    /// Signs claims of this kind, valid from now until `exp` (seconds since 1970).
    fn sign<C: Serialize>(
        &self,
        key: &SigningKey,
        issuer: &str,
        claims: C,
        exp: i64,
        clock: &Clock,
    ) -> Result<String, KeyError> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(self.typ.to_owned());
        header.kid = Some(key.kid.clone());
        let now = clock.unix();
        let envelope = Envelope {
            iss: issuer.to_owned(),
            aud: self.audience.to_owned(),
            iat: now,
            nbf: now,
            exp,
            jti: clock.new_id(),
            claims,
        };
        jsonwebtoken::encode(&header, &envelope, &key.key).map_err(|_| KeyError::Crypto)
    }

    /// Checks the token's header and returns the id of its key.
    fn key_id(&self, token: &str) -> Result<String, TokenError> {
        // A header with an algorithm unknown to the library, such as `none`, does not parse.
        let header = jsonwebtoken::decode_header(token).map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::Json(_) => TokenError::Algorithm,
            _ => TokenError::Malformed,
        })?;
        if header.alg != Algorithm::EdDSA {
            return Err(TokenError::Algorithm);
        }
        if header.typ.as_deref() != Some(self.typ) {
            return Err(TokenError::Type);
        }
        // RFC 7515, 4.1.11: an unknown extension must not be ignored.
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        header.kid.ok_or(TokenError::UnknownKey)
    }

    /// Checks everything but the principal, and returns the claims of a token signed by that key.
    fn verify<C: DeserializeOwned>(
        &self,
        token: &str,
        key: &DecodingKey,
        issuer: &str,
        clock: &Clock,
        skew: &Skew,
    ) -> Result<Envelope<C>, TokenError> {
        let envelope: Envelope<C> = jsonwebtoken::decode(token, key, &signature_only())
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::InvalidSignature => TokenError::Signature,
                jsonwebtoken::errors::ErrorKind::InvalidAlgorithm => TokenError::Algorithm,
                _ => TokenError::Malformed,
            })?
            .claims;
        if envelope.iss != issuer {
            return Err(TokenError::Issuer);
        }
        if envelope.aud != self.audience {
            return Err(TokenError::Audience);
        }
        let now = clock.unix();
        if has_expired(envelope.exp, now) {
            let seconds = now.saturating_sub(envelope.exp);
            if self.sent_at_once && skew.is_due(seconds) {
                tracing::warn!(
                    issuer,
                    seconds,
                    "claims had expired on arrival: the clock of this machine is ahead of the \
                     issuer's, or old claims are sent again"
                );
            }
            return Err(TokenError::Expired);
        }
        let seconds = envelope.iat.max(envelope.nbf).saturating_sub(now);
        let refused = seconds > LEEWAY;
        if skew.is_due(seconds) {
            tracing::warn!(
                issuer,
                seconds,
                refused,
                "a token is dated in the future: the clock of this machine is behind the issuer's"
            );
        }
        if refused { Err(TokenError::NotYetValid) } else { Ok(envelope) }
    }
}

/// Makes the library check only the algorithm and the signature. For the other claims it would read
/// the system's clock, so [`Kind::verify`] checks them all.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

/// Key of a token in a cache: a hash, because a cache must not store credentials.
type Fingerprint = [u8; 32];

fn fingerprint(token: &str) -> Result<Fingerprint, TokenError> {
    if token.len() > MAX_BYTES {
        return Err(TokenError::TooLong);
    }
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    hash.as_ref().try_into().map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
mod tests;
