//! One replica of a service: its condition, and the connections to it.

use std::error::Error as _;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Result;
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::Service;

use super::connection::Connection;
use super::failure::{Failed, FailureKind};
use super::replayable::ReplayableRequest;
use super::target::Target;
use crate::lock;

/// Timeout of a health check. A replica that exceeds it and sends nothing else counts as vanished.
const PATIENCE: Duration = Duration::from_secs(1);
/// Consecutive failures after which a replica gets no calls for a while. The same number as Envoy's
/// `consecutive_5xx`.
const MOST_FAILURES: u32 = 5;
/// How long it gets no calls, at first and at most. Doubles each time.
const FIRST_REST: Duration = Duration::from_secs(2);
const LONGEST_REST: Duration = Duration::from_secs(30);
/// Time after a rest from which the next one starts at [`FIRST_REST`] again.
const FORGET_AFTER: Duration = Duration::from_secs(60);

pub(super) struct Replica {
    pub(super) url: Uri,
    pub(super) target: Arc<Target>,
    /// One for each caller number. Most are never opened.
    connections: Vec<Connection>,
    /// For health checks. Reopened after each check that fails, so that a check tests the replica
    /// and not an old connection.
    aside: Arc<Connection>,
    condition: Mutex<Condition>,
    /// Consecutive calls that the replica answered with UNAVAILABLE or broke off.
    failures: AtomicU32,
    rest: Mutex<Rest>,
    /// Requests a check at once.
    pub(super) doubted: Arc<Notify>,
}

/// The condition of a replica, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    /// It was not checked yet.
    New,
    /// It reports that it serves.
    Serving,
    /// It has no usable health service.
    Unknown,
    /// Its calls fail.
    Failing,
    /// It reports that it does not serve.
    NotServing,
    /// It sends nothing.
    Silent,
    /// It accepts no connection.
    Refused,
}

impl Condition {
    /// Returns whether calls should go to it.
    pub(super) fn is_well(self) -> bool {
        self <= Self::Unknown
    }
}

impl Replica {
    pub(super) fn new(url: Uri, address: SocketAddr) -> Result<Self> {
        let target = Arc::new(Target::new(&url, address)?);
        // One connection per worker, plus one for callers outside the workers.
        let callers = 1 + std::thread::available_parallelism().map_or(1, NonZero::get);
        Ok(Self {
            url,
            target,
            connections: (0..callers).map(|_| Connection::default()).collect(),
            aside: Arc::default(),
            condition: Mutex::new(Condition::New),
            failures: AtomicU32::new(0),
            rest: Mutex::default(),
            doubted: Arc::default(),
        })
    }

    pub(super) fn is(&self, url: &Uri, address: SocketAddr) -> bool {
        self.url == *url && self.address() == address
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.target.address
    }

    pub(super) fn condition(&self) -> Condition {
        *lock(&self.condition)
    }

    /// Sets the condition. Returns the previous one.
    pub(super) fn set(&self, condition: Condition) -> Condition {
        std::mem::replace(&mut *lock(&self.condition), condition)
    }

    /// Makes one attempt over the caller's connection.
    pub(super) async fn send(
        &self,
        caller: usize,
        kept: &mut ReplayableRequest,
        is_repeatable: bool,
    ) -> Result<Response<Body>, Failed> {
        let connection = self.connections.get(caller % self.connections.len());
        connection.unwrap_or(&self.aside).send(&self.target, kept, is_repeatable).await
    }

    /// Notes the outcome of a call. Returns whether that reached [`MOST_FAILURES`].
    pub(super) fn note(&self, is_failure: bool) -> bool {
        if !is_failure {
            // Most calls only read it, because callers on other threads share the cache line.
            if self.failures.load(Ordering::Relaxed) != 0 {
                self.failures.store(0, Ordering::Relaxed);
            }
            return false;
        }
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 < MOST_FAILURES {
            return false;
        }
        self.failures.store(0, Ordering::Relaxed);
        lock(&self.rest).begin(Instant::now());
        true
    }

    /// Checks its health. Returns its condition, which also depends on its recent calls.
    pub(super) async fn check(&self, service: &str) -> Condition {
        match self.ask(service).await {
            found if found.is_well() && lock(&self.rest).is_under_way(Instant::now()) => {
                Condition::Failing
            }
            found => found,
        }
    }

    async fn ask(&self, service: &str) -> Condition {
        let was_silent = self.condition() == Condition::Silent;
        self.was_heard();
        let begun = Instant::now();
        let asked = timeout(PATIENCE, async {
            let asked = self.health(service).await;
            // The connection was old, which says nothing about the replica: try a new one.
            if matches!(asked, Err(FailureKind::Lost | FailureKind::NotTaken)) {
                return self.health(service).await;
            }
            asked
        });
        match asked.await {
            Ok(Ok(condition)) => return condition,
            Ok(Err(FailureKind::NoAnswer)) | Err(_) => {}
            // It responds, but not as a health service.
            Ok(Err(FailureKind::Reset)) => return Condition::Unknown,
            Ok(Err(FailureKind::NotTaken | FailureKind::Aborted)) => return self.condition(),
            Ok(Err(FailureKind::Refused | FailureKind::Lost)) => return Condition::Refused,
        }
        self.aside.close();
        // A network error may come at once: wait for the whole time.
        sleep_until(begun + PATIENCE).await;
        if self.was_heard() {
            // It is only slow.
            return self.condition();
        }
        if was_silent {
            let machine = timeout(PATIENCE, TcpStream::connect(self.address())).await;
            if !matches!(machine, Ok(Ok(_))) {
                // Its machine accepts no connection: calls must not wait for it.
                self.connections.iter().for_each(Connection::close);
            }
        }
        Condition::Silent
    }

    async fn health(&self, service: &str) -> Result<Condition, FailureKind> {
        self.aside.open(&self.target).await.map_err(|failed| failed.how)?;
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut client = HealthClient::new(HealthChannel(self.aside.clone(), self.target.clone()));
        let status = match client.check(request).await {
            Ok(response) if response.get_ref().status() == ServingStatus::Serving => {
                return Ok(Condition::Serving);
            }
            Ok(_) => return Ok(Condition::NotServing),
            Err(status) => status,
        };
        if let Some(failed) = status.source().and_then(|source| source.downcast_ref::<Failed>()) {
            return Err(failed.how);
        }
        Ok(match status.code() {
            // An operator's own service may have no health service, or one that requires
            // authentication.
            Code::Unimplemented
            | Code::NotFound
            | Code::Unauthenticated
            | Code::PermissionDenied => Condition::Unknown,
            _ => Condition::NotServing,
        })
    }

    /// Returns whether its connections received anything since the last call.
    fn was_heard(&self) -> bool {
        self.connections.iter().filter(|connection| connection.was_heard()).count() > 0
    }
}

/// The time for which a replica that failed gets no calls.
#[derive(Default)]
struct Rest {
    until: Option<Instant>,
    length: Duration,
}

impl Rest {
    fn begin(&mut self, now: Instant) {
        if self.is_under_way(now) {
            return;
        }
        let was_lately = self.until.is_some_and(|until| now < until + FORGET_AFTER);
        self.length = if was_lately { LONGEST_REST.min(self.length * 2) } else { FIRST_REST };
        self.until = Some(now + self.length);
    }

    fn is_under_way(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

/// Asks one server for the health of the whole process.
pub(super) async fn health(target: Target) -> Result<ServingStatus, Status> {
    let aside = HealthChannel(Arc::default(), Arc::new(target));
    let response = HealthClient::new(aside).check(HealthCheckRequest::default()).await?;
    Ok(response.get_ref().status())
}

/// Client transport over one connection.
#[derive(Clone)]
struct HealthChannel(Arc<Connection>, Arc<Target>);

impl Service<Request<Body>> for HealthChannel {
    type Response = Response<Body>;
    type Error = Failed;
    type Future = BoxFuture<'static, Result<Response<Body>, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self(connection, target) = self.clone();
        Box::pin(async move {
            connection.send(&target, &mut ReplayableRequest::new(request)?, true).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_longer_when_it_is_needed_again_and_not_by_one_burst() {
        let (mut rest, began) = (Rest::default(), Instant::now());
        for _ in 0..50 {
            rest.begin(began);
        }
        assert!(rest.is_under_way(began + FIRST_REST / 2));
        assert!(!rest.is_under_way(began + FIRST_REST));
        rest.begin(began + FIRST_REST);
        assert!(rest.is_under_way(began + FIRST_REST * 2));
        assert!(!rest.is_under_way(began + FIRST_REST * 3));
        let later = began + FORGET_AFTER * 2;
        rest.begin(later);
        assert!(!rest.is_under_way(later + FIRST_REST));
    }
}
