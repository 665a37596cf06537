//! Replaces tonic's errors for calls that it cannot read. Tonic's (0.14) have no details, and are
//! INTERNAL even if the client is at fault.

use clinic_proto::access::v1::ErrorReason;
use http::Response;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::{Error, status};

/// Maximum bytes of a message in a service, before and after decompression: tonic's default.
pub const MAX_MESSAGE: u32 = 4 * 1024 * 1024;

/// Replaces the response if it is one of tonic's errors. `limit` is the server's maximum message
/// size in bytes. The suite's own errors have details, tonic's have none.
pub fn replace_tonic_error(response: Response<Body>, limit: u32) -> Response<Body> {
    match response.extensions().get::<Status>() {
        Some(status) if status.details().is_empty() => reworded_status(status, limit).into_http(),
        _ => response,
    }
}

/// Replaces a status like [`replace_tonic_error`].
pub fn reworded_status(status: &Status, limit: u32) -> Status {
    match status.code() {
        // A damaged frame or message, a compression flag without an encoding, or no message.
        Code::Internal => Error::malformed_call().into(),
        // Too large before or after decompression.
        Code::OutOfRange | Code::ResourceExhausted => Error::message_too_large(limit).into(),
        Code::Unimplemented => {
            let mut reworded = status::status(
                Code::Unimplemented,
                ErrorReason::UnknownEncoding,
                "the compression of the message is not supported: use gzip or none",
            );
            // `grpc-accept-encoding`, which lists the supported encodings.
            *reworded.metadata_mut() = status.metadata().clone();
            reworded
        }
        _ => status.clone(),
    }
}
