//! Why a call to this service fails.

use clinic_chassis::Error as Answer;
use clinic_store::idempotency::CreateError;
use clinic_store::page::InvalidPageToken;

/// Why a call fails. What each means to a client is said in one place, at the conversion.
#[derive(Debug)]
pub(crate) enum Error {
    /// There is no such record that the caller may see, or may do this with.
    NotFound,
    /// The record changed since its etag was read.
    Stale,
    /// An undelete of a record that is not deleted.
    NotDeleted,
    /// The account has a record already.
    UserTaken,
    /// Another doctor has the license number.
    LicenseTaken,
    /// A field that this caller may not set, or that is not what the contract says.
    Invalid {
        /// The path from the request.
        field: &'static str,
        /// What it must be.
        message: &'static str,
    },
    /// A service that makes no records.
    RoleRequired,
    /// The page token is damaged or belongs to another query.
    PageToken,
    /// The request id was used for other content.
    RequestIdReused,
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
        if error.is_unique("patients_user_id_key") || error.is_unique("doctors_user_id_key") {
            Self::UserTaken
        } else if error.is_unique("doctors_license_key_key") {
            Self::LicenseTaken
        } else {
            Self::Store(error)
        }
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::not_found(),
            Error::Stale => Self::stale_etag(),
            Error::NotDeleted => {
                Self::already_exists_resource("the resource is there: it is not deleted")
            }
            Error::UserTaken => {
                Self::already_exists("user_id", "the account has such a record already")
            }
            Error::LicenseTaken => {
                Self::already_exists("license_number", "another doctor has this license number")
            }
            Error::Invalid { field, message } => Self::invalid_field(field, message),
            Error::RoleRequired => Self::role_required(),
            Error::PageToken => Self::invalid_page_token(),
            Error::RequestIdReused => Self::request_id_reused(),
            Error::Store(error) => error.into(),
        }
    }
}
