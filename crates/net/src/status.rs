//! Builds `google.rpc.Status`: always with an `ErrorInfo`, and with more details where they help
//! (AIP-193).

use std::collections::HashMap;

use clinic_proto::access::v1::ErrorReason;
use clinic_proto::validation::Violation;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The `domain` of every `ErrorInfo`.
pub const DOMAIN: &str = "clinic";

/// Converts `ERROR_REASON_NOT_FOUND` to `NOT_FOUND`, the form that AIP-193 requires.
pub fn reason_text(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// Returns an error with its reason.
pub fn status(code: Code, reason: ErrorReason, message: impl Into<String>) -> Status {
    with_details(code, reason, message, HashMap::new(), |_| {})
}

/// Returns an error with its reason and further details.
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

/// Maximum number of violations in a status. They are sent in a header, and a header that is too
/// large breaks the connection for all its calls.
const MAX_VIOLATIONS: usize = 64;
/// Maximum number of fields that the message names.
const MAX_NAMED: usize = 8;

/// Returns INVALID_ARGUMENT with the first 64 invalid fields and the number of the others.
pub(crate) fn invalid_fields(violations: Vec<Violation>) -> Status {
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
    let (code, reason) = (Code::InvalidArgument, ErrorReason::InvalidField);
    with_details(code, reason, message, HashMap::new(), |details| {
        for violation in violations.into_iter().take(MAX_VIOLATIONS) {
            details.add_bad_request_violation(violation.field, violation.message);
        }
        // This concerns the whole request, so it names no field.
        if let more @ 1.. = count.saturating_sub(MAX_VIOLATIONS) {
            details.add_bad_request_violation("", format!("and {more} more fields"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_violations_fit_into_a_header() {
        let violation = |n| Violation::new(format!("ids[{n}]"), "must be a UUID");
        let status = invalid_fields((0..500).map(violation).collect());
        assert_eq!(
            status.message(),
            "500 fields are invalid: ids[0], ids[1], ids[2], ids[3], ids[4], ids[5], ids[6], \
             ids[7] and 492 more"
        );
        let bad = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(bad.len(), 65);
        assert_eq!((bad[0].field.as_str(), bad[63].field.as_str()), ("ids[0]", "ids[63]"));
        assert_eq!((bad[64].field.as_str(), &*bad[64].description), ("", "and 436 more fields"));
        // HTTP/2 clients accept headers of 16 KiB and more. Base64 adds a third to the details.
        assert!(status.details().len() < 8 * 1024, "{}", status.details().len());
    }
}
