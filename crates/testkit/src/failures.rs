//! What a test asks of a refusal.

use std::fmt::Debug;

use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

/// A refusal, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    /// The `reason` of the `ErrorInfo`, which every refusal has.
    pub reason: String,
    /// The fields of the `BadRequest`, in its order.
    pub fields: Vec<String>,
}

/// The refusal that an answer must be.
pub fn failure<T: Debug>(answer: Result<Response<T>, Status>) -> Failure {
    let status = answer.expect_err("this must be refused");
    let details = status.get_error_details();
    let info = details.error_info().expect("every error says its reason");
    assert_eq!(info.domain, "clinic");
    let fields = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    Failure {
        code: status.code(),
        reason: info.reason.clone(),
        fields: fields.into_iter().map(|violation| violation.field).collect(),
    }
}

/// The bad fields that an INVALID_ARGUMENT names.
pub fn fields<T: Debug>(answer: Result<Response<T>, Status>) -> Vec<String> {
    let failure = failure(answer);
    assert_eq!(failure.code, Code::InvalidArgument, "{failure:?}");
    failure.fields
}

/// All that a client can see of the refusal that an answer must be: code, message and the bytes of
/// the details.
pub fn refusal<T: Debug>(answer: Result<Response<T>, Status>) -> (Code, String, Vec<u8>) {
    let status = answer.expect_err("this must be refused");
    (status.code(), status.message().to_owned(), status.details().to_vec())
}
