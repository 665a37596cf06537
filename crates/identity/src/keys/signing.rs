//! Private keys.

use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use clinic_clock::Clock;
use jsonwebtoken::EncodingKey;
use pem::Pem;
use uuid::Uuid;

use super::file::{self, Secrecy};
use super::{Jwk, KeyError};

/// How old a key must be before it signs while an older one can. Every process has read the files
/// again by then (30 s, and a little more), also when its clock is a minute ahead of the machine
/// that made the key: whichever auth the gateway asks for a key that it does not know, it is
/// published there before anything is signed with it.
pub(super) const SETTLE_SECONDS: i64 = 95;

/// A private key. No `Debug`: it would only be a way to print it.
#[derive(Clone)]
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) key: EncodingKey,
    pub(super) public: Jwk,
    made_at: i64,
}

/// Private keys of one purpose, newest first; never empty.
pub(crate) struct SigningKeys(Vec<SigningKey>);

impl PartialEq for SigningKeys {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|key| &key.public).eq(other.0.iter().map(|key| &key.public))
    }
}

impl SigningKeys {
    pub(super) fn read(directory: &Path, before: Option<&Self>) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for (kid, path) in file::list(directory, "pem")?.into_iter().rev() {
            match (read(&kid, &path), before) {
                (Ok(key), _) => keys.push(key),
                (Err(error), None) => return Err(error),
                (Err(error), Some(before)) => {
                    tracing::warn!(%error, "a key counts as it was before");
                    keys.extend(before.0.iter().find(|key| key.kid == kid).cloned());
                }
            }
        }
        if keys.is_empty() {
            return Err(KeyError::Missing { path: directory.to_owned() });
        }
        Ok(Self(keys))
    }

    /// The key that signs at that time (seconds since 1970): the newest that has settled, or the
    /// oldest when none has.
    pub(crate) fn at(&self, now: i64) -> Option<&SigningKey> {
        let settled = |key: &&SigningKey| key.made_at.saturating_add(SETTLE_SECONDS) <= now;
        self.0.iter().find(settled).or(self.0.last())
    }

    /// The public keys, newest first.
    pub(crate) fn public(&self) -> Vec<Jwk> {
        self.0.iter().map(|key| key.public.clone()).collect()
    }
}

pub(super) fn read(kid: &str, path: &Path) -> Result<SigningKey, KeyError> {
    let text = file::read(path, Secrecy::Private)?;
    let invalid =
        |problem: &str| KeyError::Invalid { path: path.to_owned(), problem: problem.to_owned() };
    // Of the name only: anything in the file could be quoted by a message about it.
    let id = Uuid::try_parse(kid).map_err(|_| invalid("its name is not a UUID"))?;
    let pem = pem::parse(&text).map_err(|_| invalid("it is not PEM"))?;
    let pair = Ed25519KeyPair::from_pkcs8(pem.contents())
        .map_err(|_| invalid("it is not an Ed25519 private key in PKCS#8 form"))?;
    // An id of another kind (an operator's own) has no time: such a key counts as an old one.
    let made_at = id.get_timestamp().map_or(0, |t| i64::try_from(t.to_unix().0).unwrap_or(0));
    Ok(SigningKey {
        kid: kid.to_owned(),
        key: EncodingKey::from_ed_der(pem.contents()),
        public: Jwk::new(kid, pair.public_key().as_ref()),
        made_at,
    })
}

/// A new key that is nowhere yet.
pub(super) struct NewKey {
    pub(super) kid: String,
    pub(super) pem: String,
    pub(super) public: Jwk,
}

pub(super) fn generate(clock: &Clock) -> Result<NewKey, KeyError> {
    let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Crypto)?;
    // Version 1 holds the private half only: what OpenSSL writes, and every tool reads.
    let der = pair.to_pkcs8v1().map_err(|_| KeyError::Crypto)?;
    let kid = clock.new_id().to_string();
    let public = Jwk::new(&kid, pair.public_key().as_ref());
    Ok(NewKey { kid, pem: pem::encode(&Pem::new("PRIVATE KEY", der.as_ref())), public })
}
