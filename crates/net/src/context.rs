//! The context of a call: who it is made for, under which id, and until when. The guard makes it;
//! handlers get it as an argument and make every further call with it.

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
    /// The RPC, as `/package.Service/Method`; empty for work that no caller asked for.
    method: Arc<str>,
    deadline: Option<Instant>,
    now: DateTime<Utc>,
}

/// How long another service may take when the call has no deadline.
const WITHOUT_DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

impl Context {
    /// A call with these claims, which `token` proves.
    pub fn new(claims: Arc<Claims>, token: HeaderValue, now: DateTime<Utc>) -> Self {
        let method = "".into();
        Self { claims, token, request_id: None, user_agent: None, method, deadline: None, now }
    }

    /// The same for a call that was received.
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

    /// Work that no caller asked for, as the signer's own service.
    ///
    /// # Errors
    /// When the claims cannot be signed.
    pub fn background(signer: &ClaimsSigner) -> Result<Self, KeyError> {
        Ok(Self::new(signer.itself().clone(), signer.as_service()?, signer.clock().now()))
    }

    /// Work that no caller asked for and that needs no rights.
    ///
    /// # Errors
    /// When the claims cannot be signed.
    pub fn anonymous(signer: &ClaimsSigner) -> Result<Self, KeyError> {
        let claims = Claims { principal: Principal::Anonymous, client_ip: None };
        let token = signer.forward(&Authenticated::ANONYMOUS, None)?;
        Ok(Self::new(claims.into(), token, signer.clock().now()))
    }

    /// The same call, made by the signer's own service and not for its caller.
    ///
    /// # Errors
    /// When the claims cannot be signed.
    pub fn as_service(&self, signer: &ClaimsSigner) -> Result<Self, KeyError> {
        let (claims, token) = (signer.itself().clone(), signer.as_service()?);
        Ok(Self { claims, token, ..self.clone() })
    }

    /// Identifies the call in the logs.
    pub fn request_id(&self) -> Option<&HeaderValue> {
        self.request_id.as_ref()
    }

    /// When the call ends.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Who the call is made for.
    pub fn principal(&self) -> &Principal {
        &self.claims.principal
    }

    /// The client's address, as the gateway saw it.
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.claims.client_ip
    }

    /// What the client calls itself, if it is text.
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_ref().and_then(|agent| agent.to_str().ok())
    }

    /// When the call began. One time for all that the call writes.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// The RPC, as `/package.Service/Method`; empty for work that no caller asked for.
    pub fn method(&self) -> &Arc<str> {
        &self.method
    }

    /// A request to another service: with the same claims and request id, and the time that is left.
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

    /// Takes the context from a request, where the guard put it.
    ///
    /// # Errors
    /// When the request did not pass the guard.
    pub fn take<M>(request: Request<M>) -> Result<(Self, M), Status> {
        let (_, mut extensions, message) = request.into_parts();
        let ctx = extensions.remove().ok_or_else(Error::invalid_token)?;
        Ok((ctx, message))
    }

    /// A handler's outcome as tonic returns it.
    ///
    /// # Errors
    /// The handler's.
    pub fn respond<A, E: Into<Error>>(&self, outcome: Result<A, E>) -> Result<Response<A>, Status> {
        outcome
            .map(Response::new)
            .map_err(|error| error.into().into_status(self.request_id.as_ref()))
    }
}
