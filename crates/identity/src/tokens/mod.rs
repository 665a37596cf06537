//! The two kinds of JSON Web Tokens, and what every one of them must pass (RFC 8725).

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

/// Longer than any token that this suite makes (about 500 bytes), and short enough that refusing
/// a flood of them costs nothing.
const MAX_BYTES: usize = 4096;

/// How far the clocks of the signer and of the verifier may differ, in seconds. A token is accepted
/// from so long before its `iat` and `nbf` until so long after its `exp`.
const LEEWAY: i64 = 60;

/// How many tokens are remembered as verified or signed: some 2 MiB when full.
const CACHED: usize = 10_000;

/// Why a token is refused. For logs and tests; to the client they are all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than any token of this suite.
    #[error("the token is too long")]
    TooLong,
    /// Not a JSON Web Token of this suite's form.
    #[error("the token is malformed")]
    Malformed,
    /// Another algorithm than EdDSA, or none.
    #[error("the token is not signed with EdDSA")]
    Algorithm,
    /// A token of another kind.
    #[error("the token is of another kind")]
    Type,
    /// Signed with a key that is not known here (or not yet: ask for the keys again).
    #[error("the token's key is not known")]
    UnknownKey,
    /// The signature does not match.
    #[error("the token's signature is wrong")]
    Signature,
    /// Made by someone else than its key belongs to.
    #[error("the token's issuer is wrong")]
    Issuer,
    /// Meant for someone else.
    #[error("the token is meant for someone else")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The issuer claims more than it may.
    #[error("the token claims more than its issuer may")]
    NotAllowed,
}

/// What every token says of itself, beside the claims of its kind.
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
    /// Whether such a token is sent at once after it was signed. One that has expired when it comes
    /// then shows that clocks differ.
    sent_at_once: bool,
}

/// Whether a token's time is over, also by a clock that is behind.
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

    /// The id of the key that the token says it is signed with, once the token's form is right.
    fn key_id(&self, token: &str) -> Result<String, TokenError> {
        // A header with another algorithm than the library knows (`none` is one) does not parse.
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
        // RFC 7515, 4.1.11: an extension that is not understood must not be ignored.
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        header.kid.ok_or(TokenError::UnknownKey)
    }

    /// The claims of a token that that key signed, with everything checked but who they are about.
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
                    "claims had expired when they came: the clock of this machine is ahead of the \
                     issuer's, or somebody sends old claims again"
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
                "a token comes from the future: the clock of this machine is behind the issuer's"
            );
        }
        if refused { Err(TokenError::NotYetValid) } else { Ok(envelope) }
    }
}

/// Leaves to the library the algorithm and the signature. It reads the system's clock for the
/// rest, which [`Kind::verify`] therefore checks itself: every claim, always.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

/// What a cache knows a token by. Not the token: a cache must not be a store of credentials.
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
