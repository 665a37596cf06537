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

fn user() -> User {
    User {
        id: owner(),
        session_id: sample::id(Kind::Account, 0),
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
    Ok(access_signer(keys)?.sign(&user())?.0)
}

/// Returns a function that signs access tokens of different sessions of the owner.
pub(crate) fn access_of(signer: &AccessSigner) -> impl Fn(u32) -> Result<String> {
    |session| {
        let session_id = sample::id(Kind::Account, session.into());
        Ok(signer.sign(&User { session_id, ..user() })?.0)
    }
}

/// Returns the owner's forwarded claims, for a service. They are valid for two minutes.
pub(crate) fn forwarded(keys: &KeyDir) -> Result<HeaderValue> {
    let clock = Clock::system();
    let exp = clock.unix() + LIFE.num_seconds();
    let owner = Authenticated { principal: Principal::User(user()), exp };
    Ok(ClaimsSigner::open(keys, "gateway", clock)?.forward(&owner, None)?)
}

/// Returns a request with the claims.
pub(crate) fn with<T>(message: T, claims: &HeaderValue) -> Result<tonic::Request<T>> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert(clinic_identity::CLAIMS_HEADER, claims.to_str()?.parse()?);
    Ok(request)
}
