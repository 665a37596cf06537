//! A channel to a service of any number of processes behind one name.
//!
//! The name is resolved again and again, so replicas come and go (`--scale records=3`). Calls go
//! round the replicas that are up. One that cannot be reached is left out until it accepts
//! connections again; when none is up a call fails at once instead of waiting.

mod connection;
mod replica;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::parse_timeout;
use connection::{CONNECT_TIMEOUT, Failed};
use replica::Replica;

/// Bytes that a replica may send of one answer before somebody reads it.
pub const STREAM_WINDOW: u32 = 128 * 1024;
const RESOLVE_EVERY: Duration = Duration::from_secs(2);
/// How soon a replica that is down is tried again, at first and at last.
const PROBE_FIRST: Duration = Duration::from_millis(100);
const PROBE_LAST: Duration = Duration::from_secs(1);

/// See the module. Clones share everything.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    _resolver: DropGuard,
}

struct Shared {
    name: &'static str,
    urls: Vec<Uri>,
    replicas: RwLock<Arc<[Arc<Replica>]>>,
    next: AtomicUsize,
    ended: CancellationToken,
}

impl Upstream {
    /// Creates a channel to the replicas at these URLs. Resolving begins at once, in the
    /// background.
    pub fn new(name: &'static str, urls: Vec<Uri>) -> Result<Self> {
        ensure!(!urls.is_empty(), "no URL of {name} is given");
        let ended = CancellationToken::new();
        let shared = Arc::new(Shared {
            name,
            urls,
            replicas: RwLock::new(Arc::new([])),
            next: AtomicUsize::new(0),
            ended: ended.clone(),
        });
        // Addresses need no resolver, and calls right after start-up find them here.
        let known = shared.urls.iter().filter_map(literal).collect();
        shared.update(known)?;
        tokio::spawn(ended.clone().run_until_cancelled_owned(resolve(shared.clone())));
        Ok(Self(Arc::new(Inner { shared, _resolver: ended.drop_guard() })))
    }

    /// Sends a request to a replica that is up. Callers on one thread pass the same number, and
    /// share a connection. The caller sets the timeout.
    ///
    /// A failure on the way is a status without details: [`crate::Error`] turns it into an answer,
    /// and logs it.
    pub async fn send(
        &self,
        caller: usize,
        request: Request<Body>,
    ) -> Result<Response<Body>, Status> {
        let shared = &self.0.shared;
        let Some(replica) = shared.pick() else {
            return Err(shared.unavailable("no replica is up"));
        };
        let answer = replica.send(caller, request).await;
        answer.map_err(|failed| shared.failed(&replica, &failed))
    }

    /// The name that it was made with.
    pub fn name(&self) -> &'static str {
        self.0.shared.name
    }
}

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
        Box::pin(async move {
            let answer = upstream.send(0, request);
            match left {
                Some(left) => timeout(left, answer).await.unwrap_or_else(|_| {
                    Err(Status::deadline_exceeded("the time of the call is over"))
                }),
                None => answer.await,
            }
        })
    }
}

impl Shared {
    fn replicas(&self) -> Arc<[Arc<Replica>]> {
        self.replicas.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn pick(&self) -> Option<Arc<Replica>> {
        // Avoids contended cache lines.
        let replicas = self.replicas.read().unwrap_or_else(PoisonError::into_inner);
        let start = match replicas.len() {
            0 | 1 => 0,
            _ => self.next.fetch_add(1, Ordering::Relaxed),
        };
        (0..replicas.len())
            .filter_map(|i| replicas.get(start.wrapping_add(i) % replicas.len()))
            .find(|replica| !replica.down.load(Ordering::Relaxed))
            .cloned()
    }

    fn unavailable(&self, cause: impl std::fmt::Display) -> Status {
        Status::unavailable(format!("{}: {cause}", self.name))
    }

    fn failed(&self, replica: &Arc<Replica>, failed: &Failed) -> Status {
        if failed.lost && !replica.down.swap(true, Ordering::Relaxed) {
            let address = replica.target.address;
            tracing::warn!(name = self.name, %address, "replica is down");
            let probe = probe(self.name, Arc::downgrade(replica));
            tokio::spawn(self.ended.clone().run_until_cancelled_owned(probe));
        }
        self.unavailable(&failed.cause)
    }

    /// Keeps the replicas that are still named, with their connections, and adds the new ones.
    fn update(&self, named: Vec<(Uri, SocketAddr)>) -> Result<()> {
        let old = self.replicas();
        let is_named =
            |r: &Arc<Replica>| named.iter().any(|(u, a)| *u == r.url && *a == r.target.address);
        let mut new: Vec<_> = old.iter().filter(|r| is_named(r)).cloned().collect();
        let kept = new.len();
        for (url, address) in named {
            if !new.iter().any(|r| r.url == url && r.target.address == address) {
                new.push(Arc::new(Replica::new(url, address)?));
            }
        }
        if new.len() != kept || kept != old.len() {
            *self.replicas.write().unwrap_or_else(PoisonError::into_inner) = new.into();
        }
        Ok(())
    }
}

/// The address, where the URL names one instead of a host.
fn literal(url: &Uri) -> Option<(Uri, SocketAddr)> {
    let host = url.host()?.trim_start_matches('[').trim_end_matches(']');
    Some((url.clone(), SocketAddr::new(host.parse().ok()?, port(url))))
}

fn port(url: &Uri) -> u16 {
    url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 })
}

async fn resolve(shared: Arc<Shared>) {
    if shared.urls.iter().all(|url| literal(url).is_some()) {
        return;
    }
    loop {
        let mut named: Vec<_> = shared.urls.iter().filter_map(literal).collect();
        let mut complete = true;
        for url in shared.urls.iter().filter(|url| literal(url).is_none()) {
            match lookup_host((url.host().unwrap_or_default(), port(url))).await {
                Ok(addresses) => named.extend(addresses.map(|address| (url.clone(), address))),
                Err(error) => {
                    complete = false;
                    tracing::debug!(name = shared.name, %error, "the name cannot be resolved");
                }
            }
        }
        // A resolver that fails says nothing about the replicas that are known.
        if complete && let Err(error) = shared.update(named) {
            tracing::warn!(name = shared.name, %error, "a replica cannot be used");
        }
        sleep(RESOLVE_EVERY).await;
    }
}

/// Tries until it accepts connections again, or is not named any more.
async fn probe(name: &'static str, replica: Weak<Replica>) {
    let mut pause = PROBE_FIRST;
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(PROBE_LAST);
        let Some(address) = replica.upgrade().map(|replica| replica.target.address) else { return };
        let answers = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let (Ok(Ok(_)), Some(replica)) = (answers, replica.upgrade()) else { continue };
        replica.down.store(false, Ordering::Relaxed);
        tracing::info!(name, %address, "replica is up again");
        return;
    }
}
