//! Rewords tonic's refusals of calls that it cannot read. Tonic (0.14) gives no details, and says
//! INTERNAL where the client is at fault.

use clinic_proto::access::v1::ErrorReason;
use http::Response;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::{Error, status};

/// Bytes that a message may have in a service, as it is or once it is inflated: tonic's default.
pub const MAX_MESSAGE: u32 = 4 * 1024 * 1024;

/// Rewords the answer if it is a refusal of tonic's, from a server that reads messages of up to
/// `limit` bytes. The suite's own errors have details, tonic's have none.
pub fn reworded(answer: Response<Body>, limit: u32) -> Response<Body> {
    match answer.extensions().get::<Status>() {
        Some(status) if status.details().is_empty() => reworded_status(status, limit).into_http(),
        _ => answer,
    }
}

/// The same for a status.
pub fn reworded_status(status: &Status, limit: u32) -> Status {
    match status.code() {
        // A damaged frame or message, a flag without an encoding, no message at all.
        Code::Internal => Error::malformed_call().into(),
        // Before and after it is inflated.
        Code::OutOfRange | Code::ResourceExhausted => Error::message_too_large(limit).into(),
        Code::Unimplemented => {
            let mut reworded = status::status(
                Code::Unimplemented,
                ErrorReason::UnknownEncoding,
                "the message is compressed in a way that is not known here: use gzip or none",
            );
            // `grpc-accept-encoding`, which lists what is known.
            *reworded.metadata_mut() = status.metadata().clone();
            reworded
        }
        _ => status.clone(),
    }
}
