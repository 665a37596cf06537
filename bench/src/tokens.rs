//! Access tokens and claims of the callers.

use anyhow::Result;
use chrono::TimeDelta;
use clinic_clock::Clock;
use clinic_identity::{
    AccessSigner, Authenticated, ClaimsSigner, DEFAULT_ISSUER, KeyDir, Principal, Roles, User,
};
use clinic_proto::access::v1::Role;
use http::HeaderValue;
use uuid::Uuid;

use crate::sample::{self, Kind};

/// Returns the id of the caller: a member of staff who owns the patients.
pub(crate) fn owner() -> Uuid {
    sample::id(Kind::Owner, 0)
}

fn user(session: u64) -> User {
    User {
        id: owner(),
        session_id: sample::id(Kind::Account, session),
        roles: [Role::Staff].into_iter().collect::<Roles>(),
        email_verified: true,
    }
}

/// Longer than any run.
const LIFE: TimeDelta = TimeDelta::hours(12);

pub(crate) fn access_signer(keys: &KeyDir) -> Result<AccessSigner> {
    Ok(AccessSigner::open(keys, DEFAULT_ISSUER, LIFE, Clock::system())?)
}

/// Returns an access token of the owner, for a gateway.
pub(crate) fn access(keys: &KeyDir) -> Result<String> {
    access_of(&access_signer(keys)?, 0)
}

/// Returns an access token of one of the owner's sessions.
pub(crate) fn access_of(signer: &AccessSigner, session: u64) -> Result<String> {
    Ok(signer.sign(&user(session))?.0)
}

/// Returns the owner's forwarded claims, for a service. They are valid for two minutes.
pub(crate) fn forwarded(keys: &KeyDir) -> Result<HeaderValue> {
    let clock = Clock::system();
    let exp = clock.unix() + LIFE.num_seconds();
    let owner = Authenticated { principal: Principal::User(user(0)), exp };
    Ok(ClaimsSigner::open(keys, "gateway", clock)?.forward(&owner, None)?)
}
