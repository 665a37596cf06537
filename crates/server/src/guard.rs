//! Authenticates forwarded claims and enforces the method's access rule.
//!
//! A call without valid claims is UNAUTHENTICATED even if the method is public: only the gateway
//! and services with a trusted key may call a service. Health and reflection are exempt, because
//! they reveal no personal data.

use std::future::{poll_fn, ready};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{self, Poll};
use std::time::Duration;

use clinic_clock::Clock;
use clinic_identity::{CLAIMS_HEADER, Claims, ClaimsVerifier, Denied, Policy};
use clinic_net::http2::Bounds;
use clinic_net::memory_quota::{Account, MemoryQuota};
use clinic_net::message_limit::{self, Expected};
use clinic_net::{
    Context, Error, MAX_MESSAGE, REQUEST_ID_HEADER, logged, replace_tonic_error, requested_timeout,
};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tower::Service;
use tracing::Instrument as _;

use crate::compression;

/// A layer that adds the guard to a service.
#[derive(Clone)]
pub struct GuardLayer {
    guard: Arc<Inner>,
    compress_over: Option<usize>,
}

struct Inner {
    policy: Policy,
    verifier: ClaimsVerifier,
    clock: Clock,
    calls: AtomicU64,
    quota: MemoryQuota,
}

impl GuardLayer {
    /// Creates a guard that trusts the verifier's keys and applies the contract's rules.
    pub fn new(policy: Policy, verifier: ClaimsVerifier, clock: Clock) -> Self {
        let (calls, quota) = (AtomicU64::new(0), MemoryQuota::leaked());
        let guard = Arc::new(Inner { policy, verifier, clock, calls, quota });
        Self { guard, compress_over: None }
    }

    /// Compresses responses of more than `over` bytes if the contract allows it and the client
    /// accepts it. None turns compression off.
    pub fn compressing(mut self, over: Option<usize>) -> Self {
        self.compress_over = over;
        self
    }

    /// Returns the number of admitted calls.
    pub fn calls(&self) -> u64 {
        self.guard.calls.load(Ordering::Relaxed)
    }

    /// Returns the service behind the guard.
    pub(crate) fn layer<S>(&self, inner: S) -> Guard<S> {
        Guard { layer: self.clone(), inner }
    }
}

/// A service behind the guard.
#[derive(Clone)]
pub struct Guard<S> {
    layer: GuardLayer,
    inner: S,
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if is_infrastructure(request.uri().path()) {
            return Box::pin(self.inner.call(request));
        }
        let admitted = match self.layer.guard.admit(&request) {
            Ok(admitted) => admitted,
            Err(error) => return Box::pin(ready(Ok(Status::from(error).into_http()))),
        };
        let Admitted { ctx, expected, account, is_read, compressible } = admitted;
        let span = tracing::info_span!(
            "call",
            method = request.uri().path(),
            request_id = ctx.request_id().and_then(|id| id.to_str().ok()),
        );
        let (began, deadline) = (std::time::Instant::now(), ctx.deadline());
        let compress_over = self.layer.compress_over.filter(|_| compressible);
        request.extensions_mut().insert(ctx);
        let (head, body) = request.into_parts();
        let (body, fault) = message_limit::limited(body, expected, Some(account));
        let response = self.inner.call(Request::from_parts(head, body));
        let response = while_admitted(response, is_read.then_some(account));
        let response = async move {
            let response = match deadline {
                None => response.await?,
                Some(deadline) => timeout_at(deadline, response)
                    .await
                    .unwrap_or_else(|_| Ok(Status::from(Error::deadline_exceeded()).into_http()))?,
            };
            let response = match fault.error(expected.limit) {
                Some(error) => Status::from(error).into_http(),
                None => replace_tonic_error(response, MAX_MESSAGE),
            };
            let mut response = match compress_over {
                Some(over) => compression::compressed(response, over),
                None => response,
            };
            let account = if is_read { account } else { account.of_write() };
            response.extensions_mut().insert(Bounds { ends_at: deadline, account, behind: 0 });
            Ok(logged(response, began))
        };
        Box::pin(response.instrument(span))
    }
}

/// Cancels a waiting read when its caller holds too much. Reads that were admitted earlier may have
/// filled the account.
async fn while_admitted<E>(
    response: impl Future<Output = Result<Response<Body>, E>>,
    account: Option<Account>,
) -> Result<Response<Body>, E> {
    let mut response = pin!(response);
    poll_fn(|cx| match account.as_ref().map_or(Ok(()), Account::check) {
        Ok(()) => response.as_mut().poll(cx),
        Err(error) => Poll::Ready(Ok(Status::from(error).into_http())),
    })
    .await
}

/// An admitted call.
struct Admitted {
    ctx: Context,
    expected: Expected,
    account: Account,
    is_read: bool,
    compressible: bool,
}

impl Inner {
    fn admit(&self, request: &Request<Body>) -> Result<Admitted, Error> {
        let headers = request.headers();
        let token = headers.get(CLAIMS_HEADER).ok_or_else(Error::invalid_token)?.clone();
        let claims = self.verify(&token)?;
        let (method, rule) =
            self.policy.find(request.uri().path()).ok_or_else(Error::unknown_method)?;
        rule.access.check(&claims.principal).map_err(|denied| match denied {
            Denied::Unauthenticated => Error::invalid_token(),
            Denied::RoleRequired => Error::role_required(),
        })?;
        let account = self.quota.of(&claims.principal, claims.client_ip);
        account.check()?;
        let ctx = Context::new(claims, token, self.clock.now()).of_call(
            method.clone(),
            self.request_id(headers),
            user_agent(headers),
            deadline(headers)?,
        );
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(Admitted {
            ctx,
            expected: Expected::new(headers, MAX_MESSAGE, !rule.takes_stream),
            account,
            is_read: rule.is_read,
            compressible: rule.compressible && compression::is_accepted(headers),
        })
    }

    fn verify(&self, token: &HeaderValue) -> Result<Arc<Claims>, Error> {
        let token = token.to_str().map_err(|_| Error::invalid_token())?;
        self.verifier.verify(token).map_err(|error| {
            tracing::warn!(%error, "claims refused");
            Error::invalid_token()
        })
    }

    fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        headers.get(REQUEST_ID_HEADER).cloned().unwrap_or_else(|| {
            let id = self.clock.new_id().to_string();
            HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("-"))
        })
    }
}

/// Returns `user-agent`, or the `x-user-agent` of gRPC-Web in browsers, which cannot set the other.
fn user_agent(headers: &HeaderMap) -> Option<HeaderValue> {
    let text = |value: &&HeaderValue| value.to_str().is_ok();
    let agent = headers.get(http::header::USER_AGENT).filter(text);
    agent.or_else(|| headers.get("x-user-agent")).cloned()
}

/// Returns the deadline of the call. It is slightly earlier than the client's, so that the client
/// still receives the status. Nothing else ends a call at its deadline.
fn deadline(headers: &HeaderMap) -> Result<Option<Instant>, Error> {
    let Some(left) = requested_timeout(headers)? else { return Ok(None) };
    let early = left.saturating_sub(Duration::from_millis(3)).max(left / 2);
    Ok(Instant::now().checked_add(early))
}

fn is_infrastructure(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.") || path.starts_with("/grpc.reflection.v1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_without_a_readable_user_agent_is_known_by_its_x_user_agent() {
        let agent = |user_agent: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert("x-user-agent", HeaderValue::from_static("grpc-web-javascript/0.1"));
            if !user_agent.is_empty() {
                headers.insert("user-agent", HeaderValue::from_bytes(user_agent).unwrap());
            }
            user_agent_of(&headers)
        };
        assert_eq!(agent(b"billing/2.1 tonic/0.14.9"), "billing/2.1 tonic/0.14.9");
        assert_eq!(agent(b""), "grpc-web-javascript/0.1");
        assert_eq!(agent(b"caf\xe9/1"), "grpc-web-javascript/0.1");
    }

    fn user_agent_of(headers: &HeaderMap) -> String {
        user_agent(headers).unwrap().to_str().unwrap().to_owned()
    }
}
