//! Who is calling: tokens, keys, the forwarded claims and the access rules.
//!
//! Owns what makes a caller believed. Knows no transport (a token is a string, claims are a header
//! value) and no database: accounts, passwords and sessions are the business of auth.

mod caller;
mod fresh;
mod keys;
mod policy;
mod roles;
mod tokens;

pub use caller::{Caller, Kind, client_network};
pub use keys::{ActsFor, Jwk, KeyDir, KeyError};
pub use policy::{Access, Denied, Policy, PolicyError, Rule};
pub use roles::{Roles, role_from_name, role_name};
pub use tokens::TokenError;
pub use tokens::access::{
    AccessClaims, AccessSigner, AccessVerifier, DEFAULT_ISSUER, VerifiedAccess,
};
pub use tokens::claims::{ClaimsSigner, ClaimsVerifier, LONGEST_CALL};

/// The header, or metadata key, that carries the forwarded claims.
pub const CLAIMS_HEADER: &str = "x-clinic-claims";
/// What the gateway drops from whatever a client sends: every header with this prefix.
pub const RESERVED_PREFIX: &str = "x-clinic-";
