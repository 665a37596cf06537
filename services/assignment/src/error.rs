//! Why a call to this service fails.

use clinic_chassis::Error as Answer;
use clinic_proto::access::v1::ErrorReason;
use clinic_store::idempotency::CreateError;
use clinic_store::page::InvalidPageToken;
use tonic::{Code, Status};

/// Why a call fails. What each means to a client is said in one place, at the conversion.
#[derive(Debug)]
pub(crate) enum Error {
    /// There is no such assignment, patient or doctor that the caller may see, or may do this with.
    NotFound,
    /// The assignment changed since its etag was read.
    Stale,
    /// The assignment has ended, and stays as it is.
    Ended,
    /// The doctor treats the patient already.
    AlreadyAssigned,
    /// Nobody has confirmed yet that the self-registered doctor is one.
    DoctorNotVerified,
    /// A field that is not what the contract says.
    Invalid {
        /// The path from the request.
        field: &'static str,
        /// What it must be.
        message: &'static str,
    },
    /// The page token is damaged or belongs to another query.
    PageToken,
    /// The request id was used for other content.
    RequestIdReused,
    /// What records answered instead of a patient or a doctor.
    Records(Status),
    /// Records answered what its contract does not allow.
    RecordsMalformed(&'static str),
    /// The database.
    Store(clinic_store::Error),
}

impl From<InvalidPageToken> for Error {
    fn from(_: InvalidPageToken) -> Self {
        Self::PageToken
    }
}

impl From<CreateError> for Error {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Gone => Self::NotFound,
            CreateError::Reused => Self::RequestIdReused,
            CreateError::Store(error) => error.into(),
        }
    }
}

impl From<clinic_store::Error> for Error {
    fn from(error: clinic_store::Error) -> Self {
        if error.is_unique("assignments_patient_id_doctor_id_key") {
            Self::AlreadyAssigned
        } else {
            Self::Store(error)
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        // Not passed on: whatever the release of records, it is the answer that this service gives
        // for an assignment, to the byte.
        match status.code() {
            Code::NotFound => Self::NotFound,
            _ => Self::Records(status),
        }
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::not_found(),
            Error::Stale => Self::stale_etag(),
            Error::Ended => Self::failed_precondition(
                ErrorReason::AssignmentEnded,
                "the assignment has ended and cannot change any more",
            ),
            Error::AlreadyAssigned => {
                Self::already_exists_resource("the doctor is assigned to the patient already")
            }
            Error::DoctorNotVerified => Self::failed_precondition(
                ErrorReason::DoctorNotVerified,
                "an administrator must verify the doctor first",
            ),
            Error::Invalid { field, message } => Self::invalid_field(field, message),
            Error::PageToken => Self::invalid_page_token(),
            Error::RequestIdReused => Self::request_id_reused(),
            Error::Records(status) => status.into(),
            Error::RecordsMalformed(what) => Self::internal(what),
            Error::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(status: &Status) -> (Code, &str, &[u8]) {
        (status.code(), status.message(), status.details())
    }

    fn status(error: Error) -> Status {
        Answer::from(error).into()
    }

    #[test]
    fn what_records_does_not_find_is_the_same_to_the_byte() {
        let other = Error::from(Status::not_found("no such patient"));
        assert_eq!(all(&status(other)), all(&status(Error::NotFound)));
    }

    #[test]
    fn records_that_is_not_there_is_unavailable() {
        let down = status(Error::from(Status::unavailable("connection refused: 10.0.0.7")));
        assert_eq!(down.code(), Code::Unavailable);
        assert!(!down.message().contains("10.0.0.7") && !down.details().is_empty());
    }
}
