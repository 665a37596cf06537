//! The errors of this service.

use std::error::Error as StdError;

use clinic_identity::role_name;
use clinic_net::Error as ErrorResponse;
use clinic_proto::access::v1::{ErrorReason, Role};
use clinic_proto::validation::Violation;
use clinic_store::page::InvalidPageToken;
use tonic::{Code, Status};

/// Why a call fails. The conversion to [`ErrorResponse`] defines what a client sees.
#[derive(Debug)]
pub(crate) enum Error {
    /// The account or session does not exist, or the caller may not see it.
    NotFound,
    /// The account changed since its etag was read.
    Stale,
    /// A concurrent write came first.
    Conflict,
    /// Another account has the e-mail address.
    EmailTaken,
    /// Another account has the username.
    UsernameTaken,
    /// Another doctor has the license number.
    LicenseTaken,
    /// Fields are invalid.
    Invalid(Vec<Violation>),
    /// The page token is damaged or belongs to another query.
    PageToken,
    /// Registration with this role is closed.
    RegistrationClosed(Role),
    /// The account is the last active administrator.
    LastAdmin,
    /// The account does not exist, the password is wrong, or the account is not active.
    WrongCredentials,
    /// The refresh token is not valid, for any reason.
    RefreshToken,
    /// The caller has no valid access token, or the account is closed.
    InvalidToken,
    /// The caller's roles do not allow the call.
    RoleRequired,
    /// Too many sign-ins from one address, or for one account, are in progress.
    TooManySignIns,
    /// The queue for hashing passwords is full.
    HashersBusy,
    /// The error that records returned.
    Records(Status),
    /// An internal error.
    Internal(Box<dyn StdError + Send + Sync>),
    /// An error of the database.
    Store(clinic_store::Error),
}

impl Error {
    pub(crate) fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }

    /// Returns whether records refused to create a profile. After any other error, the profile may
    /// exist.
    pub(crate) fn is_rejection_by_records(&self) -> bool {
        match self {
            Self::LicenseTaken => true,
            Self::Records(status) => {
                matches!(status.code(), Code::InvalidArgument | Code::AlreadyExists)
            }
            _ => false,
        }
    }
}

impl From<clinic_store::Error> for Error {
    fn from(error: clinic_store::Error) -> Self {
        if error.is_unique("users_email_key_key") {
            Self::EmailTaken
        } else if error.is_unique("users_username_key_key") {
            Self::UsernameTaken
        } else {
            Self::Store(error)
        }
    }
}

impl From<InvalidPageToken> for Error {
    fn from(_: InvalidPageToken) -> Self {
        Self::PageToken
    }
}

impl From<Error> for ErrorResponse {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::not_found(),
            Error::Stale => Self::stale_etag(),
            Error::Conflict => Self::conflict(),
            Error::EmailTaken => {
                Self::already_exists("email", "an account with this e-mail address already exists")
            }
            Error::UsernameTaken => {
                Self::already_exists("username", "this username is taken: choose another one")
            }
            Error::LicenseTaken => Self::already_exists(
                "doctor.license_number",
                "a doctor with this license number is already registered",
            ),
            Error::Invalid(violations) => Self::invalid_fields(violations),
            Error::PageToken => Self::invalid_page_token(),
            Error::RegistrationClosed(role) => {
                let role = role_name(role);
                Self::permission_denied(
                    ErrorReason::RegistrationClosed,
                    format!("registration with the role {role} is closed: ask an administrator"),
                )
            }
            Error::LastAdmin => Self::failed_precondition(
                ErrorReason::LastAdmin,
                "this is the last active administrator: create another one first",
            ),
            // One message for all causes, so that it does not tell which accounts exist.
            Error::WrongCredentials => Self::unauthenticated(
                ErrorReason::InvalidCredentials,
                "e-mail address, username or password is wrong, or the account is not active",
            ),
            Error::RefreshToken => Self::unauthenticated(
                ErrorReason::InvalidToken,
                "the refresh token is no longer valid: sign in again",
            ),
            Error::InvalidToken => Self::invalid_token(),
            Error::RoleRequired => Self::role_required(),
            Error::TooManySignIns => Self::too_many_calls(
                "too many sign-ins at once from your address or for this account: try again soon",
            ),
            Error::HashersBusy => {
                Self::unavailable("too many sign-ins at once: try again soon", "the queue is full")
            }
            Error::Records(status) => status.into(),
            Error::Internal(cause) => Self::internal(cause),
            Error::Store(error) => clinic_server::database_error(error),
        }
    }
}
