//! Private keys.

use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use clinic_clock::Clock;
use jsonwebtoken::EncodingKey;
use pem::Pem;
use uuid::Uuid;

use super::file;
use super::{Jwk, KeyError};

/// Minimum age of a key before it signs, unless there is no older key. By then every process has
/// reread the files (every 30 s, plus a margin), even if its clock is a minute ahead of the machine
/// that created the key. So every replica of auth publishes the key before any of them uses it.
pub(super) const SETTLE_SECONDS: i64 = 95;

/// A private key. Without `Debug`, so that it cannot be printed.
#[derive(Clone)]
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) key: EncodingKey,
    pub(super) public: Jwk,
    made_at: i64,
}

/// Private keys for one purpose, newest first; never empty.
pub(crate) struct SigningKeys(Vec<SigningKey>);

impl PartialEq for SigningKeys {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|key| &key.public).eq(other.0.iter().map(|key| &key.public))
    }
}

impl SigningKeys {
    /// Reads the keys in a directory. If a file has become unusable, its key in `before` stays in
    /// use, so that one bad file does not block changes to the others.
    pub(crate) fn read(directory: &Path, before: Option<&Self>) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for (kid, path) in file::list(directory, "pem")?.into_iter().rev() {
            match (read(&kid, &path), before) {
                (Ok(key), _) => keys.push(key),
                (Err(error), None) => return Err(error),
                (Err(error), Some(before)) => {
                    tracing::warn!(%error, "cannot reload a key file; its old key stays in use");
                    keys.extend(before.0.iter().find(|key| key.kid == kid).cloned());
                }
            }
        }
        if keys.is_empty() {
            return Err(KeyError::Missing { path: directory.to_owned() });
        }
        Ok(Self(keys))
    }

    /// Returns the key that signs at that time (seconds since 1970): the newest that has reached
    /// the minimum age, or the oldest if none has.
    pub(crate) fn at(&self, now: i64) -> Option<&SigningKey> {
        let settled = |key: &&SigningKey| key.made_at.saturating_add(SETTLE_SECONDS) <= now;
        self.0.iter().find(settled).or(self.0.last())
    }

    /// Returns the public keys, newest first.
    pub(crate) fn public(&self) -> Vec<Jwk> {
        self.0.iter().map(|key| key.public.clone()).collect()
    }
}

pub(super) fn read(kid: &str, path: &Path) -> Result<SigningKey, KeyError> {
    let text = file::read(path, file::PRIVATE)?;
    let invalid =
        |problem: &str| KeyError::Invalid { path: path.to_owned(), problem: problem.to_owned() };
    // Drop the errors of the parsers, which could quote the private key.
    let id = Uuid::try_parse(kid).map_err(|_| invalid("its name is not a UUID"))?;
    let pem = pem::parse(&text).map_err(|_| invalid("it is not PEM"))?;
    let pair = Ed25519KeyPair::from_pkcs8(pem.contents())
        .map_err(|_| invalid("it is not an Ed25519 private key in PKCS#8 form"))?;
    // Other kinds of ids, chosen by an operator, have no time: such a key counts as old.
    let made_at = id.get_timestamp().map_or(0, |t| i64::try_from(t.to_unix().0).unwrap_or(0));
    Ok(SigningKey {
        kid: kid.to_owned(),
        key: EncodingKey::from_ed_der(pem.contents()),
        public: Jwk::new(kid, pair.public_key().as_ref()),
        made_at,
    })
}

/// Returns a new key: its public half, and its private half as PEM.
pub(super) fn generate(clock: &Clock) -> Result<(Jwk, String), KeyError> {
    let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Crypto)?;
    // Version 1 contains only the private half. OpenSSL writes it, and every tool reads it.
    let der = pair.to_pkcs8v1().map_err(|_| KeyError::Crypto)?;
    let public = Jwk::new(&clock.new_id().to_string(), pair.public_key().as_ref());
    Ok((public, pem::encode(&Pem::new("PRIVATE KEY", der.as_ref()))))
}
