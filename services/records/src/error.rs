//! The errors of this service.

use clinic_net::Error as ErrorResponse;
use clinic_resource::Error as ResourceError;

/// Why a call fails. The conversion to [`ErrorResponse`] defines what a client sees.
#[derive(Debug)]
pub(crate) enum Error {
    /// An error that all resources have in common.
    Resource(ResourceError),
    /// An undelete of a record that is not deleted.
    NotDeleted,
    /// The account already has a record.
    UserTaken,
    /// Another doctor has the license number.
    LicenseTaken,
    /// The caller is a service that may not create records.
    RoleRequired,
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
                if taken.is_unique("patients_user_id_key")
                    || taken.is_unique("doctors_user_id_key") =>
            {
                Self::UserTaken
            }
            ResourceError::Store(taken) if taken.is_unique("doctors_license_key_key") => {
                Self::LicenseTaken
            }
            _ => Self::Resource(error),
        }
    }
}

impl From<Error> for ErrorResponse {
    fn from(error: Error) -> Self {
        match error {
            Error::Resource(error) => error.into(),
            Error::NotDeleted => {
                Self::already_exists_resource("nothing to undelete: the resource is not deleted")
            }
            Error::UserTaken => {
                Self::already_exists("user_id", "the account already has a record of this kind")
            }
            Error::LicenseTaken => {
                Self::already_exists("license_number", "another doctor has this license number")
            }
            Error::RoleRequired => Self::role_required(),
        }
    }
}
