//! Public keys: the trusted issuers, and the principals that each may sign claims for.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use clinic_clock::Clock;
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, Serialize};

use super::file;
use super::{Jwk, KeyError};

/// The principals that an issuer may sign claims for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActsFor {
    /// Any user, because the issuer authenticates them; and itself.
    Users,
    /// Only itself, a `SERVICE`.
    Itself,
}

/// A file in `trusted/`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrustedIssuer {
    pub(super) issuer: String,
    acts_for: ActsFor,
    keys: Vec<Jwk>,
}

impl TrustedIssuer {
    pub(super) fn new(name: &str, acts_for: ActsFor) -> Self {
        Self { issuer: name.to_owned(), acts_for, keys: Vec::new() }
    }

    /// Adds a key, newest first, unless it is present.
    pub(super) fn add(&mut self, key: Jwk) {
        if !self.keys.contains(&key) {
            self.keys.push(key);
            self.keys.sort_by(|a, b| b.kid.cmp(&a.kid));
        }
    }

    pub(super) fn read(name: &str, path: &Path) -> Result<Self, KeyError> {
        let text = file::read(path, file::PUBLIC)?;
        let invalid = |problem| KeyError::Invalid { path: path.to_owned(), problem };
        let issuer: Self =
            serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        if issuer.issuer != name {
            return Err(invalid(format!("its issuer must be `{name}`, like the file's name")));
        }
        Ok(issuer)
    }

    pub(super) fn write(&self, path: &Path, clock: &Clock) -> Result<(), KeyError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| KeyError::Invalid {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
        file::write(path, &format!("{text}\n"), clock)
    }
}

/// A trusted key.
#[derive(Clone)]
pub(crate) struct TrustedKey {
    pub(crate) issuer: Arc<str>,
    pub(crate) acts_for: ActsFor,
    pub(crate) key: DecodingKey,
    public: Jwk,
}

impl PartialEq for TrustedKey {
    fn eq(&self, other: &Self) -> bool {
        let Self { issuer, acts_for, key: _, public } = self;
        *issuer == other.issuer && *acts_for == other.acts_for && *public == other.public
    }
}

/// All trusted keys by id.
#[derive(PartialEq)]
pub(crate) struct TrustedKeys(HashMap<String, TrustedKey>);

impl TrustedKeys {
    /// Reads the issuers in a directory; `before` as in [`super::SigningKeys::read`].
    pub(crate) fn read(directory: &Path, before: Option<&Self>) -> Result<Self, KeyError> {
        let mut all = Self(HashMap::new());
        for (name, path) in file::list(directory, "json")? {
            let added = all.keys_of(&name, &path);
            let keys = match (added, before) {
                (Ok(keys), _) => keys,
                (Err(error), None) => return Err(error),
                (Err(error), Some(before)) => {
                    tracing::warn!(%error, "cannot reload an issuer; its old keys stay trusted");
                    let of_file = before.0.values().filter(|key| *key.issuer == *name);
                    of_file.filter(|key| all.get(&key.public.kid).is_none()).cloned().collect()
                }
            };
            all.0.extend(keys.into_iter().map(|key| (key.public.kid.clone(), key)));
        }
        if all.0.is_empty() {
            return Err(KeyError::Missing { path: directory.to_owned() });
        }
        Ok(all)
    }

    /// Returns the keys in a file. Fails if one of them is already known.
    fn keys_of(&self, name: &str, path: &Path) -> Result<Vec<TrustedKey>, KeyError> {
        super::check_name(name)?;
        let TrustedIssuer { issuer, acts_for, keys } = TrustedIssuer::read(name, path)?;
        let issuer: Arc<str> = issuer.into();
        let invalid = |problem| KeyError::Invalid { path: path.to_owned(), problem };
        let mut found: Vec<TrustedKey> = Vec::new();
        for jwk in keys {
            let kid = jwk.kid.clone();
            // Two issuers with one key could sign claims as each other.
            if self.get(&kid).is_some() || found.iter().any(|key| key.public.kid == kid) {
                return Err(invalid(format!("key `{kid}` occurs twice")));
            }
            let not_ours = || invalid(format!("key `{kid}` is not an Ed25519 key"));
            let key = DecodingKey::from_ed_der(&jwk.public_key().ok_or_else(not_ours)?);
            found.push(TrustedKey { issuer: Arc::clone(&issuer), acts_for, key, public: jwk });
        }
        Ok(found)
    }

    pub(crate) fn get(&self, kid: &str) -> Option<&TrustedKey> {
        self.0.get(kid)
    }
}
