//! Why a call to this service fails.

use std::error::Error as StdError;

use clinic_identity::role_name;
use clinic_net::Error as Answer;
use clinic_proto::access::v1::{ErrorReason, Role};
use clinic_proto::validation::Violation;
use clinic_store::page::InvalidPageToken;
use tonic::{Code, Status};

/// Why a call fails. The conversion says what each means to a client.
#[derive(Debug)]
pub(crate) enum Error {
    /// There is no such account or session that the caller may see.
    NotFound,
    /// The account changed since its etag was read.
    Stale,
    /// Another write came in between.
    Conflict,
    /// Another account has the e-mail address.
    EmailTaken,
    /// Another account has the username.
    UsernameTaken,
    /// Another doctor has the license number.
    LicenseTaken,
    /// Fields that are not what they must be.
    Invalid(Vec<Violation>),
    /// The page token is damaged or belongs to another query.
    PageToken,
    /// Nobody can register with that role here.
    RegistrationClosed(Role),
    /// The account is the last active administrator.
    LastAdmin,
    /// No such account, another password, or an account that is not active.
    WrongCredentials,
    /// The refresh token is not valid, for whatever reason.
    RefreshToken,
    /// The caller has no valid access token, or the account is closed.
    InvalidToken,
    /// The caller's roles do not allow it.
    RoleRequired,
    /// Too many sign-ins of one address are under way.
    TooManySignIns,
    /// All memory for hashing passwords is in use.
    HashersBusy,
    /// What records answered.
    Records(Status),
    /// A defect.
    Internal(Box<dyn StdError + Send + Sync>),
    /// The database.
    Store(clinic_store::Error),
}

impl Error {
    pub(crate) fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }

    /// Whether records has said that it did not make a profile. Any other error says nothing.
    pub(crate) fn is_refusal_of_records(&self) -> bool {
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

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::not_found(),
            Error::Stale => Self::stale_etag(),
            Error::Conflict => Self::conflict(),
            Error::EmailTaken => {
                Self::already_exists("email", "an account with this e-mail address exists already")
            }
            Error::UsernameTaken => {
                Self::already_exists("username", "this username is taken: choose another one")
            }
            Error::LicenseTaken => Self::already_exists(
                "doctor.license_number",
                "a doctor with this license number is registered already",
            ),
            Error::Invalid(violations) => Self::invalid_fields(violations),
            Error::PageToken => Self::invalid_page_token(),
            Error::RegistrationClosed(role) => {
                let role = role_name(role);
                Self::permission_denied(
                    ErrorReason::RegistrationClosed,
                    format!("nobody can register with the role {role} here: ask an administrator"),
                )
            }
            Error::LastAdmin => Self::failed_precondition(
                ErrorReason::LastAdmin,
                "this is the last active administrator: make another one first",
            ),
            // One answer, so that nobody learns which of them it was.
            Error::WrongCredentials => Self::unauthenticated(
                ErrorReason::InvalidCredentials,
                "e-mail address, username or password is wrong, or the account is not active",
            ),
            Error::RefreshToken => Self::unauthenticated(
                ErrorReason::InvalidToken,
                "the refresh token is not valid any more: sign in again",
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
