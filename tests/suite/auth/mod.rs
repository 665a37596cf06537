//! Accounts, sessions and tokens.

mod accounts;
mod administration;
mod keys;
mod login;
mod profiles;
mod refreshing;
mod registration;
mod secrets;
mod sessions;
mod storm;

use clinic_proto::auth::v1::{LoginRequest, RefreshRequest, RegisterRequest, Tokens};
use clinic_testkit::{Account, PASSWORD, Suite, email};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

/// Returns a valid registration.
fn registration() -> RegisterRequest {
    RegisterRequest {
        email: email(),
        name: "Robin Miller".to_owned(),
        password: PASSWORD.to_owned(),
        ..RegisterRequest::default()
    }
}

/// Returns the field that an ALREADY_EXISTS error names.
fn taken_field<T: std::fmt::Debug>(response: Result<Response<T>, Status>) -> String {
    let status = response.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "ALREADY_EXISTS");
    info.metadata["field"].clone()
}

pub(crate) async fn login(suite: &Suite, email: &str, password: &str) -> Result<Account, Status> {
    let request = LoginRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        ..LoginRequest::default()
    };
    let response = suite.anonymous().auth.login(request).await?.into_inner();
    Ok(suite.account(response.user.unwrap(), response.tokens.unwrap()))
}

async fn refresh(suite: &Suite, token: &str) -> Result<Tokens, Status> {
    let request = RefreshRequest { refresh: token.to_owned() };
    let response = suite.anonymous().auth.refresh(request).await?.into_inner();
    Ok(response.tokens.unwrap())
}
