//! Principals, the tokens that carry them, keys, and access rules.
//!
//! Knows no transport (a token is a string, claims are a header value) and no database. Accounts,
//! passwords and sessions are in auth.

mod fresh;
mod keys;
mod policy;
mod principal;
mod roles;
mod tokens;

pub use clinic_contract::AccessError;
pub use keys::{ActsFor, Jwk, KeyDir, KeyError};
pub use policy::{Access, Denied, Policy, Rule};
pub use principal::{Principal, Service, User, client_network};
pub use roles::{Roles, role_from_name, role_name};
pub use tokens::TokenError;
pub use tokens::access::{AccessSigner, AccessVerifier, Authenticated, DEFAULT_ISSUER};
pub use tokens::claims::{Claims, ClaimsSigner, ClaimsVerifier, LONGEST_CALL};

/// The header, or metadata key, that carries the forwarded claims.
pub const CLAIMS_HEADER: &str = "x-clinic-claims";
/// What the gateway drops from whatever a client sends: every header with this prefix.
pub const RESERVED_PREFIX: &str = "x-clinic-";
