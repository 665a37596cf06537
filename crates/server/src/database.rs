//! Connects calls to the database: the origin of writes, and the conversion of errors.

use std::error::Error as _;

use clinic_net::{Context, Error};
use clinic_store::Origin;

/// Returns the origin of a call's writes.
pub fn origin(ctx: &Context) -> Origin {
    Origin { actor: ctx.principal().id(), method: ctx.method().clone(), at: ctx.now() }
}

/// Converts a database error to the error for the client.
pub fn database_error(error: clinic_store::Error) -> Error {
    match error {
        clinic_store::Error::Conflict => Error::conflict(),
        error @ clinic_store::Error::Busy => {
            Error::unavailable("the service is busy: try again soon", error)
        }
        clinic_store::Error::Unavailable(cause) => {
            Error::unavailable("the database is unavailable: try again soon", cause)
        }
        // A unique violation that no caller has mapped is a defect too.
        error @ (clinic_store::Error::Unique { .. } | clinic_store::Error::Internal(_)) => {
            Error::internal(error.source().map_or_else(|| error.to_string(), ToString::to_string))
        }
    }
}
