//! The one form in which this suite says that something failed: `google.rpc.Status` with an
//! `ErrorInfo` always, and more details where they help (AIP-193).

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::access::v1::ErrorReason;
use crate::validation::Violation;

/// The `domain` of every `ErrorInfo`.
pub const DOMAIN: &str = "clinic";

/// `ERROR_REASON_NOT_FOUND` → `NOT_FOUND`, the form that AIP-193 wants.
pub fn reason_text(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// An error with its reason.
pub fn status(code: Code, reason: ErrorReason, message: impl Into<String>) -> Status {
    with_details(code, reason, message, HashMap::new(), |_| {})
}

/// An error with its reason and further details.
pub fn with_details(
    code: Code,
    reason: ErrorReason,
    message: impl Into<String>,
    metadata: HashMap<String, String>,
    more: impl FnOnce(&mut ErrorDetails),
) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason_text(reason), DOMAIN, metadata);
    more(&mut details);
    Status::with_error_details(code, message, details)
}

/// How many violations an answer names: they travel in a header, and a header that is too large
/// breaks the connection for everyone on it.
const MAX_VIOLATIONS: usize = 64;
/// How many of them its message names, which is for people.
const MAX_NAMED: usize = 8;

/// INVALID_ARGUMENT with every bad field, or as many as anybody reads and how many more there are.
pub fn invalid_fields(violations: Vec<Violation>) -> Status {
    let count = violations.len();
    let message = match violations.as_slice() {
        [only] => format!("{}: {}", only.field, only.message),
        many => {
            let named: Vec<&str> = many.iter().take(MAX_NAMED).map(|v| v.field.as_str()).collect();
            let more = match count.saturating_sub(MAX_NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{count} fields are invalid: {}{more}", named.join(", "))
        }
    };
    with_details(
        Code::InvalidArgument,
        ErrorReason::InvalidField,
        message,
        HashMap::new(),
        |details| {
            for violation in violations.into_iter().take(MAX_VIOLATIONS) {
                details.add_bad_request_violation(violation.field, violation.message);
            }
            // Of the request as a whole, so it names no field.
            if let more @ 1.. = count.saturating_sub(MAX_VIOLATIONS) {
                details.add_bad_request_violation("", format!("and {more} more fields"));
            }
        },
    )
}
