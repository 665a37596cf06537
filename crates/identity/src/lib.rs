//! Principals, the tokens that carry them, keys, and access rules.
//!
//! Independent of transports (a token is a string, claims are a header value) and of databases.
//! Accounts, passwords and sessions are in auth.

mod keys;
mod policy;
mod principal;
mod reloaded;
mod roles;
mod tokens;

pub use clinic_contract::AccessError;
pub use keys::{ActsFor, Jwk, KeyDir, KeyError};
pub use policy::{AllowedCallers, Denied, Policy, Rule};
pub use principal::{Principal, Service, User, client_network};
pub use roles::{Roles, role_from_name, role_name};
pub use tokens::TokenError;
pub use tokens::access::{AccessSigner, AccessVerifier, Authenticated, DEFAULT_ISSUER};
pub use tokens::claims::{Claims, ClaimsSigner, ClaimsVerifier, LONGEST_CALL};

/// The header, or metadata key, that carries the forwarded claims.
pub const CLAIMS_HEADER: &str = "x-clinic-claims";
/// Prefix of the headers that the gateway removes from clients' requests.
pub const RESERVED_PREFIX: &str = "x-clinic-";
