//! Functions that inspect failed calls.

use std::fmt::Debug;

use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

/// The parts of an error.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    /// The `reason` of the `ErrorInfo`, which every error has.
    pub reason: String,
    /// The fields of the `BadRequest`, in order.
    pub fields: Vec<String>,
}

/// Returns the error of a call that must fail.
pub fn failure<T: Debug>(response: Result<Response<T>, Status>) -> Failure {
    let status = response.expect_err("this must be refused");
    let details = status.get_error_details();
    let info = details.error_info().expect("every error has a reason");
    assert_eq!(info.domain, "clinic");
    let fields = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    Failure {
        code: status.code(),
        reason: info.reason.clone(),
        fields: fields.into_iter().map(|violation| violation.field).collect(),
    }
}

/// Returns the bad fields of a call that must fail with INVALID_ARGUMENT.
pub fn invalid_fields<T: Debug>(response: Result<Response<T>, Status>) -> Vec<String> {
    let failure = failure(response);
    assert_eq!(failure.code, Code::InvalidArgument, "{failure:?}");
    failure.fields
}

/// Returns everything that the client of a failed call can see: code, message and the bytes of the
/// details.
pub fn visible_error<T: Debug>(response: Result<Response<T>, Status>) -> (Code, String, Vec<u8>) {
    let status = response.expect_err("this must be refused");
    (status.code(), status.message().to_owned(), status.details().to_vec())
}
