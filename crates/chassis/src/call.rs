//! The call that is being answered: who called, until when, and under which id. The guard sets it
//! for the task that answers; whatever runs there can ask for it.

use std::sync::Arc;
use std::time::Duration;

use clinic_identity::{CLAIMS_HEADER, Caller};
use http::HeaderValue;
use tokio::time::Instant;
use tonic::Request;
use tonic::metadata::{AsciiMetadataValue, MetadataKey};

use crate::{Error, REQUEST_ID_HEADER, format_timeout};

tokio::task_local! {
    pub(crate) static CURRENT: Call;
}

/// The call that is being answered.
#[derive(Clone)]
pub struct Call {
    pub(crate) claims: HeaderValue,
    pub(crate) request_id: HeaderValue,
    pub(crate) deadline: Option<Instant>,
}

impl Call {
    /// The id under which this call is found in the logs, where there is a call.
    pub fn request_id() -> Option<String> {
        CURRENT.try_with(|call| call.request_id.to_str().map(str::to_owned).ok()).ok().flatten()
    }

    /// A request to another service on the caller's behalf: the same claims and id, and the time
    /// that is left.
    pub fn outbound<M>(message: M) -> Request<M> {
        let claims = CURRENT.try_with(|call| call.claims.clone()).ok();
        Self::request(message, claims)
    }

    /// A request to another service as this service itself.
    pub fn outbound_as<M>(claims: HeaderValue, message: M) -> Request<M> {
        Self::request(message, Some(claims))
    }

    fn request<M>(message: M, claims: Option<HeaderValue>) -> Request<M> {
        let mut request = Request::new(message);
        let (id, deadline) = CURRENT
            .try_with(|call| (Some(call.request_id.clone()), call.deadline))
            .unwrap_or_default();
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = format_timeout(left.unwrap_or(WITHOUT_DEADLINE));
        let headers = [
            (CLAIMS_HEADER, claims),
            (REQUEST_ID_HEADER, id),
            ("grpc-timeout", HeaderValue::from_str(&timeout).ok()),
        ];
        for (name, value) in headers {
            let value = value.and_then(|v| AsciiMetadataValue::try_from(v.as_bytes()).ok());
            if let Some(value) = value {
                request.metadata_mut().insert(MetadataKey::from_static(name), value);
            }
        }
        request
    }
}

/// How long another service may take when nobody said how long the call may.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(30);

/// Who calls. The guard put it there; a request that did not pass the guard is refused.
pub fn caller<M>(request: &Request<M>) -> Result<Arc<Caller>, Error> {
    request.extensions().get::<Arc<Caller>>().cloned().ok_or_else(Error::invalid_token)
}

/// Who calls, and what is asked.
pub fn receive<M>(request: Request<M>) -> Result<(Arc<Caller>, M), Error> {
    let caller = caller(&request)?;
    Ok((caller, request.into_inner()))
}
