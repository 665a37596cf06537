//! The door of every service: whoever comes in is known and may call what he calls.
//!
//! A call without claims that verify is UNAUTHENTICATED, also where the method is public: only the
//! gateway and services with a trusted key reach a service at all. Health and reflection are
//! outside, since they say nothing about anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use clinic_clock::Clock;
use clinic_identity::{CLAIMS_HEADER, Caller, ClaimsVerifier, Denied, Policy};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::call::CURRENT;
use crate::unreadable::MAX_MESSAGE;
use crate::{Call, Error, REQUEST_ID_HEADER, compression, logged, parse_timeout, reworded};

/// What the guard knows.
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
}

impl GuardLayer {
    /// A guard that believes the keys of the verifier and applies the contract's rules.
    pub fn new(policy: Policy, verifier: ClaimsVerifier, clock: Clock) -> Self {
        let guard = Arc::new(Inner { policy, verifier, clock, calls: AtomicU64::new(0) });
        Self { guard, compress_over: None }
    }

    /// Compresses answers of more than `over` bytes, where the contract allows it and the client
    /// accepts it; none without a size.
    pub fn compressing(mut self, over: Option<usize>) -> Self {
        self.compress_over = over;
        self
    }

    /// How many calls were let in.
    pub fn calls(&self) -> u64 {
        self.guard.calls.load(Ordering::Relaxed)
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { guard: self.guard.clone(), compress_over: self.compress_over, inner }
    }
}

/// A service behind the guard.
#[derive(Clone)]
pub struct Guard<S> {
    guard: Arc<Inner>,
    compress_over: Option<usize>,
    inner: S,
}

impl<S, B> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if is_infrastructure(request.uri().path()) {
            return Box::pin(self.inner.call(request));
        }
        let call = match self.guard.admit(&mut request) {
            Ok(call) => call,
            Err(error) => {
                let response = Status::from(error).into_http();
                return Box::pin(std::future::ready(Ok(response)));
            }
        };
        let span = tracing::info_span!(
            "call",
            method = request.uri().path(),
            request_id = call.request_id.to_str().unwrap_or_default(),
        );
        let (began, deadline) = (std::time::Instant::now(), call.deadline);
        let compress_over = self
            .compress_over
            .filter(|_| self.guard.may_compress(request.headers(), request.uri()));
        let answer = CURRENT.scope(call, self.inner.call(request));
        let answer = async move {
            let answer = match deadline {
                None => answer.await?,
                Some(deadline) => timeout_at(deadline, answer)
                    .await
                    .unwrap_or_else(|_| Ok(Status::from(Error::deadline_exceeded()).into_http()))?,
            };
            let answer = reworded(answer, MAX_MESSAGE);
            let answer = match compress_over {
                Some(over) => compression::compressed(answer, over),
                None => answer,
            };
            Ok(logged(answer, began))
        };
        Box::pin(answer.instrument(span))
    }
}

impl Inner {
    fn admit<B>(&self, request: &mut Request<B>) -> Result<Call, Error> {
        let headers = request.headers();
        let claims = headers.get(CLAIMS_HEADER).ok_or_else(Error::invalid_token)?.clone();
        let caller = self.verify(&claims)?;
        let rule = self.policy.rule(request.uri().path()).ok_or_else(Error::unknown_method)?;
        rule.check(&caller).map_err(|denied| match denied {
            Denied::Unauthenticated => Error::invalid_token(),
            Denied::RoleRequired => Error::role_required(),
        })?;
        let call =
            Call { claims, request_id: self.request_id(headers), deadline: deadline(headers) };
        request.extensions_mut().insert(caller);
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(call)
    }

    fn may_compress(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        compression::is_accepted(headers) && self.policy.is_compressible(uri.path())
    }

    fn verify(&self, claims: &HeaderValue) -> Result<Arc<Caller>, Error> {
        let token = claims.to_str().map_err(|_| Error::invalid_token())?;
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

/// A little before the client gives up, so that the answer still says what happened. Nothing else
/// ends a call whose time is over.
fn deadline(headers: &HeaderMap) -> Option<Instant> {
    let left = parse_timeout(headers.get("grpc-timeout")?.to_str().ok()?)?;
    let early = left.saturating_sub(Duration::from_millis(3)).max(left / 2);
    Instant::now().checked_add(early)
}

fn is_infrastructure(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.") || path.starts_with("/grpc.reflection.v1")
}
