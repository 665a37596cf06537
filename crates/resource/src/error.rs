//! The errors of operations on resources.

use clinic_net::Error as ErrorResponse;
use clinic_store::idempotency::CreateError;
use clinic_store::page::InvalidPageToken;

use crate::field::InvalidValue;

/// Why an operation on a resource fails.
#[derive(Debug)]
pub enum Error {
    /// The record does not exist, or the caller may not access it in this way.
    NotFound,
    /// The record changed since its etag was read.
    Stale,
    /// A field is invalid.
    Invalid {
        /// The path from the request.
        field: String,
        /// What the field must be.
        message: &'static str,
    },
    /// The page token is damaged or belongs to another query.
    PageToken,
    /// The request id was used for other content.
    RequestIdReused,
    /// A bug in the service.
    Defect(&'static str),
    /// An error of the database.
    Store(clinic_store::Error),
}

impl From<clinic_store::Error> for Error {
    fn from(error: clinic_store::Error) -> Self {
        Self::Store(error)
    }
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
            CreateError::Store(error) => Self::Store(error),
        }
    }
}

impl Error {
    pub(crate) fn invalid_value(
        resource: &str,
        InvalidValue { field, message }: InvalidValue,
    ) -> Self {
        Self::Invalid { field: format!("{resource}.{field}"), message }
    }
}

impl From<Error> for ErrorResponse {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::not_found(),
            Error::Stale => Self::stale_etag(),
            Error::Invalid { field, message } => Self::invalid_field(field, message),
            Error::PageToken => Self::invalid_page_token(),
            Error::RequestIdReused => Self::request_id_reused(),
            Error::Defect(what) => Self::internal(what),
            Error::Store(error) => clinic_server::database_error(error),
        }
    }
}
