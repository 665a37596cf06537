//! A load-balanced channel to the replicas of a service.
//!
//! Names are resolved repeatedly, so replicas can come and go (`--scale records=3`). Every replica
//! has a health check every second. Calls go round-robin to the healthy replicas, or if there are
//! none, to those that accept connections. Without any, a call fails at once instead of waiting.
//!
//! If an attempt never reached a replica, the call goes to the next one, whatever the method. A
//! read whose connection broke is retried once, a write never.

mod connection;
mod failure;
mod replayable;
mod replica;
mod replicas;
mod response_body;
mod target;
#[cfg(test)]
mod tests;
mod unverified;

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use anyhow::{Context as _, Result, anyhow, bail};
use clinic_identity::Policy;
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tower::Service;

use crate::parse_timeout;
use failure::{Failed, FailureKind};
use replayable::ReplayableRequest;
use replicas::Replicas;
use target::Target;

/// Bytes that a replica may send of one response before they are read.
pub const STREAM_WINDOW: u32 = 128 * 1024;
/// Maximum attempts of one call.
const MOST_ATTEMPTS: usize = 5;

/// See the module. Clones share everything.
#[derive(Clone)]
pub struct Upstream(Arc<Replicas>);

impl Upstream {
    /// Creates a channel to the replicas at these URLs. `health_of` is the gRPC service whose
    /// health counts; empty for the health of the whole process.
    pub fn new(name: &str, health_of: &str, urls: Vec<Uri>) -> Result<Self> {
        // Initialize it here, so that the first call does not.
        LazyLock::force(&REPEATABLE);
        Ok(Self(Replicas::new(name.to_owned(), health_of.into(), urls)?))
    }

    /// Sends a call to a replica. Callers on one thread pass the same number and share a
    /// connection. The caller sets the timeout. `is_repeatable` means that the call changes nothing
    /// and that its response is not a stream.
    ///
    /// A transport failure is a status without details, which [`crate::Error`] converts and logs.
    pub async fn send(
        &self,
        caller: usize,
        is_repeatable: bool,
        request: Request<Body>,
    ) -> Result<Response<Body>, Status> {
        let replicas = &self.0;
        let mut kept =
            ReplayableRequest::new(request).map_err(|failed| self.unavailable(&failed))?;
        let (mut tried, mut is_lost) = (Vec::new(), false);
        let mut last = Failed::new(FailureKind::Refused, &"no replica is available");
        while tried.len() < MOST_ATTEMPTS
            && let Some(replica) = replicas.pick(&tried)
        {
            last = match replica.send(caller, &mut kept, is_repeatable).await {
                Ok(response) => {
                    kept.discard_copy();
                    replicas.answered(&replica, response.headers());
                    return Ok(response);
                }
                Err(failed) => failed,
            };
            replicas.failed(&replica, last.how);
            let may_repeat = match last.how {
                FailureKind::Refused | FailureKind::NoAnswer | FailureKind::NotTaken => true,
                FailureKind::Lost => is_repeatable && !std::mem::replace(&mut is_lost, true),
                FailureKind::Reset | FailureKind::Aborted => false,
            };
            if !may_repeat || !kept.is_kept() {
                break;
            }
            tried.push(replica);
        }
        Err(self.unavailable(&last))
    }

    /// Returns the name from [`Upstream::new`].
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns a watch on the health of the best replica. None until it is known.
    pub fn health(&self) -> watch::Receiver<Option<ServingStatus>> {
        self.0.health()
    }

    fn unavailable(&self, failed: &Failed) -> Status {
        Status::unavailable(format!("{}: {failed}", self.0.name))
    }
}

/// Asks the server at that URL for its health. Does not verify a certificate on this machine.
pub(crate) async fn health(url: &Uri) -> Result<ServingStatus> {
    let addresses = lookup_host((replicas::host(url), replicas::port(url))).await;
    let mut failed = anyhow!("its name resolves to no address");
    for address in addresses.context("its name cannot be resolved")? {
        let target = match address.ip().is_loopback() {
            true => Target::local(url, address),
            false => Target::new(url, address),
        };
        match replica::health(target?).await {
            Ok(status) => return Ok(status),
            Err(status) if status.code() == Code::Unimplemented => {
                bail!("it has no health service")
            }
            Err(status) => failed = anyhow!("{}", status.message()),
        }
    }
    Err(failed)
}

/// For generated clients.
impl Service<Request<Body>> for Upstream {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let upstream = self.clone();
        // The timeout that a generated client sets.
        let asked = request.headers().get("grpc-timeout");
        let left = asked.and_then(|left| parse_timeout(left.to_str().ok()?));
        let is_repeatable = REPEATABLE.contains(request.uri().path());
        Box::pin(async move {
            let response = upstream.send(0, is_repeatable, request);
            match left {
                Some(left) => timeout(left, response).await.unwrap_or_else(|_| {
                    Err(Status::deadline_exceeded("the deadline of the call has passed"))
                }),
                None => response.await,
            }
        })
    }
}

/// Paths of the suite's methods that may be retried.
static REPEATABLE: LazyLock<HashSet<String>> = LazyLock::new(|| {
    // A process whose contract cannot be read does not start.
    let policy = Policy::from_descriptors(clinic_proto::FILE_DESCRIPTOR_SET);
    let Ok(policy) = policy else { return HashSet::new() };
    let repeatable = policy.methods().filter(|(_, rule)| rule.is_repeatable);
    repeatable.map(|(path, _)| path.to_owned()).collect()
});
