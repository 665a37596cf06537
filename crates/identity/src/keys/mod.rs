//! The keys directory: private keys for signing, and the public keys that services trust.
//!
//! ```text
//! access/<kid>.pem           private; signs access tokens; only auth reads it
//! issuers/<name>/<kid>.pem   private; signs forwarded claims as <name>
//! trusted/<name>.json        public; the keys of <name>, and whether it may act for users
//! ```
//!
//! A key id is a UUIDv7, so the newest sorts last. Files are never changed in place, but replaced
//! atomically. To remove a key, delete its file and its entry in `trusted`. Adding keys locks the
//! directory, because it reads and writes several files.

mod file;
mod jwk;
mod signing;
mod trusted;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clinic_clock::Clock;

pub use jwk::Jwk;
pub(crate) use signing::{SigningKey, SigningKeys};
pub use trusted::ActsFor;
use trusted::TrustedIssuer;
pub(crate) use trusted::{TrustedKey, TrustedKeys};

/// The suite's own issuers. Only the gateway acts for users.
const ISSUERS: [(&str, ActsFor); 4] = [
    ("assignment", ActsFor::Itself),
    ("auth", ActsFor::Itself),
    ("gateway", ActsFor::Users),
    ("records", ActsFor::Itself),
];

/// Why keys cannot be used. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A directory has no keys.
    #[error("there are no keys in {}: run `clinic keys init`, or copy this folder from the machine where the suite's keys were created", path.display())]
    Missing { path: PathBuf },
    /// A file or directory cannot be read.
    #[error("{} cannot be read ({source}): make it readable for this user", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// A file or directory cannot be written.
    #[error("{} cannot be written ({source}): make it writable for this user", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    /// Other users may read a private key, or change a public one.
    #[error("{0} is open to other users: run `chmod 600 {0}`, and replace the key if others may have used this access", path.display())]
    TooOpen { path: PathBuf },
    /// A file is not a valid key file.
    #[error("{} is not a usable key file ({problem}): restore it or copy it again; only if all processes use this folder, delete it and run `clinic keys init`", path.display())]
    Invalid { path: PathBuf, problem: String },
    /// A name is not valid for an issuer.
    #[error(
        "an issuer's name is 1 to 63 lower-case letters, digits and hyphens, beginning with a letter"
    )]
    Name,
    /// The cryptographic library failed.
    #[error("a key could not be created or used: check that the system has randomness")]
    Crypto,
}

/// A directory of keys.
#[derive(Clone, Debug)]
pub struct KeyDir {
    root: Arc<Path>,
}

impl KeyDir {
    /// Returns the keys directory at that path. It need not exist yet.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { root: path.as_ref().into() }
    }

    /// Returns whether the name is reserved for an issuer of the suite.
    pub fn is_reserved(name: &str) -> bool {
        ISSUERS.iter().any(|(own, _)| *own == name)
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Creates the missing keys: one for access tokens, and a trusted one for each issuer of the
    /// suite. Returns the files that were written, as paths in the directory.
    ///
    /// # Errors
    /// If the directory cannot be read or written, or contains an invalid key.
    pub fn init(&self, clock: &Clock) -> Result<Vec<String>, KeyError> {
        let _lock = file::lock(&self.root)?;
        let mut made = Vec::new();
        if file::list(&self.access(), "pem")?.is_empty() {
            made.push(self.add_access_key(clock)?);
        }
        for (name, acts_for) in ISSUERS {
            made.extend(self.add_missing_issuer(name, acts_for, clock)?);
        }
        Ok(made)
    }

    /// Adds a key for access tokens and one for each issuer whose private keys are here. New keys
    /// begin to sign after [`signing::SETTLE_SECONDS`]; old ones stay trusted. Returns the files
    /// that were written.
    ///
    /// # Errors
    /// As for [`KeyDir::init`], and if there is nothing to rotate.
    pub fn rotate(&self, clock: &Clock) -> Result<Vec<String>, KeyError> {
        if file::list(&self.access(), "pem")?.is_empty() {
            return Err(KeyError::Missing { path: self.access() });
        }
        let _lock = file::lock(&self.root)?;
        // Read all of them before adding anything.
        let names = file::directories(&self.root.join("issuers"))?;
        let issuers = names.iter().map(|name| {
            let missing = || KeyError::Missing { path: self.trusted(name) };
            self.trusted_issuer(name)?.ok_or_else(missing)
        });
        let issuers = issuers.collect::<Result<Vec<_>, _>>()?;
        let mut made = vec![self.add_access_key(clock)?];
        for issuer in issuers {
            made.extend(self.add_issuer_key(issuer, clock)?);
        }
        Ok(made)
    }

    /// Creates an issuer of forwarded claims, such as an operator's own internal service, unless it
    /// exists. Returns the files that were written.
    ///
    /// # Errors
    /// As for [`KeyDir::init`], and if the name is not valid for an issuer.
    pub fn add_issuer(
        &self,
        name: &str,
        acts_for: ActsFor,
        clock: &Clock,
    ) -> Result<Vec<String>, KeyError> {
        check_name(name)?;
        let _lock = file::lock(&self.root)?;
        self.add_missing_issuer(name, acts_for, clock)
    }

    fn add_missing_issuer(
        &self,
        name: &str,
        acts_for: ActsFor,
        clock: &Clock,
    ) -> Result<Vec<String>, KeyError> {
        let keys = file::list(&self.issuer(name), "pem")?;
        let known = self.trusted_issuer(name)?;
        let mut issuer = known.clone().unwrap_or_else(|| TrustedIssuer::new(name, acts_for));
        match &known {
            // The private key is kept elsewhere, where only its owner can read it.
            Some(_) if keys.is_empty() => return Ok(Vec::new()),
            None if keys.is_empty() => return self.add_issuer_key(issuer, clock).map(Vec::from),
            _ => {}
        }
        for (kid, path) in keys {
            issuer.add(signing::read(&kid, &path)?.public);
        }
        if known.as_ref() == Some(&issuer) {
            return Ok(Vec::new());
        }
        issuer.write(&self.trusted(name), clock)?;
        Ok(vec![format!("trusted/{name}.json")])
    }

    fn add_access_key(&self, clock: &Clock) -> Result<String, KeyError> {
        let (public, pem) = signing::generate(clock)?;
        file::write(&self.access().join(format!("{}.pem", public.kid)), &pem, clock)?;
        Ok(format!("access/{}.pem", public.kid))
    }

    /// Writes the public half first: a key must be trusted before it signs anything.
    fn add_issuer_key(
        &self,
        mut issuer: TrustedIssuer,
        clock: &Clock,
    ) -> Result<[String; 2], KeyError> {
        let (public, pem) = signing::generate(clock)?;
        let name = issuer.issuer.clone();
        let private_key = format!("{}.pem", public.kid);
        issuer.add(public);
        issuer.write(&self.trusted(&name), clock)?;
        file::write(&self.issuer(&name).join(&private_key), &pem, clock)?;
        Ok([format!("trusted/{name}.json"), format!("issuers/{name}/{private_key}")])
    }

    fn trusted_issuer(&self, name: &str) -> Result<Option<TrustedIssuer>, KeyError> {
        let path = self.trusted(name);
        if path.exists() { TrustedIssuer::read(name, &path).map(Some) } else { Ok(None) }
    }

    pub(crate) fn access(&self) -> PathBuf {
        self.root.join("access")
    }

    pub(crate) fn issuer(&self, name: &str) -> PathBuf {
        self.root.join("issuers").join(name)
    }

    pub(crate) fn all_trusted(&self) -> PathBuf {
        self.root.join("trusted")
    }

    fn trusted(&self, name: &str) -> PathBuf {
        self.all_trusted().join(format!("{name}.json"))
    }
}

/// Restricts names, because a name becomes a file name and the issuer of tokens.
pub(crate) fn check_name(name: &str) -> Result<(), KeyError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    if begins && name.len() <= 63 && name.chars().all(plain) { Ok(()) } else { Err(KeyError::Name) }
}

#[cfg(test)]
mod tests;
