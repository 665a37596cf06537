//! The errors of this service.

use clinic_net::Error as ErrorResponse;
use clinic_proto::access::v1::ErrorReason;
use clinic_resource::Error as ResourceError;
use tonic::{Code, Status};

/// Why a call fails. The conversion to [`ErrorResponse`] defines what a client sees.
#[derive(Debug)]
pub(crate) enum Error {
    /// An error that all resources have in common.
    Resource(ResourceError),
    /// The assignment has ended and cannot change.
    Ended,
    /// The doctor already treats the patient.
    AlreadyAssigned,
    /// No administrator has verified the self-registered doctor.
    DoctorNotVerified,
    /// The error that records returned.
    Records(Status),
    /// The response of records breaks its contract.
    RecordsMalformed(&'static str),
}

impl Error {
    pub(crate) fn not_found() -> Self {
        Self::Resource(ResourceError::NotFound)
    }

    pub(crate) fn invalid(field: &str, message: &'static str) -> Self {
        Self::Resource(ResourceError::Invalid { field: field.to_owned(), message })
    }
}

impl From<ResourceError> for Error {
    fn from(error: ResourceError) -> Self {
        match &error {
            ResourceError::Store(taken)
                if taken.is_unique("assignments_patient_id_doctor_id_key") =>
            {
                Self::AlreadyAssigned
            }
            _ => Self::Resource(error),
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        // Replaced, so that the response is the same to the byte as for a missing assignment,
        // whatever the release of records.
        match status.code() {
            Code::NotFound => Self::not_found(),
            _ => Self::Records(status),
        }
    }
}

impl From<Error> for ErrorResponse {
    fn from(error: Error) -> Self {
        match error {
            Error::Resource(error) => error.into(),
            Error::Ended => Self::failed_precondition(
                ErrorReason::AssignmentEnded,
                "the assignment has ended and can no longer change",
            ),
            Error::AlreadyAssigned => {
                Self::already_exists_resource("the doctor is already assigned to the patient")
            }
            Error::DoctorNotVerified => Self::failed_precondition(
                ErrorReason::DoctorNotVerified,
                "an administrator must verify the doctor first",
            ),
            Error::Records(status) => status.into(),
            Error::RecordsMalformed(what) => Self::internal(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(error: Error) -> Status {
        ErrorResponse::from(error).into()
    }

    fn all(status: &Status) -> (Code, &str, &[u8]) {
        (status.code(), status.message(), status.details())
    }

    #[test]
    fn what_records_does_not_find_is_the_same_to_the_byte() {
        let other = status(Error::from(Status::not_found("no such patient")));
        assert_eq!(all(&other), all(&status(Error::not_found())));
    }

    #[test]
    fn records_that_is_not_there_is_unavailable() {
        let down = status(Error::from(Status::unavailable("connection refused: 10.0.0.7")));
        assert_eq!(down.code(), Code::Unavailable);
        assert!(!down.message().contains("10.0.0.7") && !down.details().is_empty());
    }
}
