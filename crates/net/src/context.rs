//! The context of a call: its principal, request id and deadline. The guard creates it; handlers
//! receive it as an argument and use it for every further call.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clinic_identity::{Authenticated, CLAIMS_HEADER, Claims, ClaimsSigner, KeyError, Principal};
use http::HeaderValue;
use tokio::time::Instant;
use tonic::metadata::{AsciiMetadataValue, MetadataKey};
use tonic::{Request, Response, Status};

use crate::{Error, REQUEST_ID_HEADER, format_timeout};

/// See the module.
#[derive(Clone)]
pub struct Context {
    claims: Arc<Claims>,
    /// The claims as a signed token.
    token: HeaderValue,
    request_id: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    /// The RPC, as `/package.Service/Method`; empty for background work.
    method: Arc<str>,
    deadline: Option<Instant>,
    now: DateTime<Utc>,
}

/// Timeout for another service if the call has no deadline.
const WITHOUT_DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

impl Context {
    /// Creates a context with these claims. `token` is their signed form.
    pub fn new(claims: Arc<Claims>, token: HeaderValue, now: DateTime<Utc>) -> Self {
        let method = "".into();
        Self { claims, token, request_id: None, user_agent: None, method, deadline: None, now }
    }

    /// Adds the properties of a received call.
    #[must_use]
    pub fn of_call(
        self,
        method: Arc<str>,
        request_id: HeaderValue,
        user_agent: Option<HeaderValue>,
        deadline: Option<Instant>,
    ) -> Self {
        Self { method, request_id: Some(request_id), user_agent, deadline, ..self }
    }

    /// Creates a context for background work of the signer's own service.
    ///
    /// # Errors
    /// When the claims cannot be signed.
    pub fn background(signer: &ClaimsSigner) -> Result<Self, KeyError> {
        Ok(Self::new(signer.itself().clone(), signer.as_service()?, signer.clock().now()))
    }

    /// Creates a context for background work that needs no rights.
    ///
    /// # Errors
    /// When the claims cannot be signed.
    pub fn anonymous(signer: &ClaimsSigner) -> Result<Self, KeyError> {
        let claims = Claims { principal: Principal::Anonymous, client_ip: None };
        let token = signer.forward(&Authenticated::ANONYMOUS, None)?;
        Ok(Self::new(claims.into(), token, signer.clock().now()))
    }

    /// Returns the context with the signer's own service as principal, instead of the caller.
    ///
    /// # Errors
    /// When the claims cannot be signed.
    pub fn as_service(&self, signer: &ClaimsSigner) -> Result<Self, KeyError> {
        let (claims, token) = (signer.itself().clone(), signer.as_service()?);
        Ok(Self { claims, token, ..self.clone() })
    }

    /// Returns the id of the call in the logs.
    pub fn request_id(&self) -> Option<&HeaderValue> {
        self.request_id.as_ref()
    }

    /// Returns the time at which the call ends.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns the caller on whose behalf the call is made.
    pub fn principal(&self) -> &Principal {
        &self.claims.principal
    }

    /// Returns the client's address as seen by the gateway.
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.claims.client_ip
    }

    /// Returns the client's `user-agent`, if it is text.
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_ref().and_then(|agent| agent.to_str().ok())
    }

    /// Returns the time at which the call began. Everything that the call writes has this time.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Returns the RPC, as `/package.Service/Method`; empty for background work.
    pub fn method(&self) -> &Arc<str> {
        &self.method
    }

    /// Creates a request to another service with the call's claims, request id and remaining time.
    pub fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = format_timeout(left.unwrap_or(WITHOUT_DEADLINE));
        let headers = [
            (CLAIMS_HEADER, Some(self.token.as_bytes())),
            (REQUEST_ID_HEADER, self.request_id.as_ref().map(HeaderValue::as_bytes)),
            ("grpc-timeout", Some(timeout.as_bytes())),
        ];
        for (name, value) in headers {
            let value = value.and_then(|value| AsciiMetadataValue::try_from(value).ok());
            if let Some(value) = value {
                request.metadata_mut().insert(MetadataKey::from_static(name), value);
            }
        }
        request
    }

    /// Takes the context that the guard put into a request.
    ///
    /// # Errors
    /// If the request did not pass the guard.
    pub fn take<M>(request: Request<M>) -> Result<(Self, M), Status> {
        let (_, mut extensions, message) = request.into_parts();
        let ctx = extensions.remove().ok_or_else(Error::invalid_token)?;
        Ok((ctx, message))
    }

    /// Converts a handler's result for tonic.
    ///
    /// # Errors
    /// The handler's error.
    pub fn respond<A, E: Into<Error>>(&self, outcome: Result<A, E>) -> Result<Response<A>, Status> {
        outcome
            .map(Response::new)
            .map_err(|error| error.into().into_status(self.request_id.as_ref()))
    }
}
