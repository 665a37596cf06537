//! A channel to a service of any number of processes behind one name.
//!
//! The name is resolved again and again, so replicas come and go (`--scale records=3`). Calls go
//! round the replicas that are up. One that cannot be reached is left out until it accepts
//! connections again; when none is up a call fails at once instead of waiting.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status, TimeoutExpired};
use tower::Service;

const RESOLVE_EVERY: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How soon a replica that is down is tried again, at first and at last.
const PROBE_FIRST: Duration = Duration::from_millis(100);
const PROBE_LAST: Duration = Duration::from_secs(1);

/// What a replica may send of one answer before somebody reads it.
const STREAM_WINDOW: u32 = 128 * 1024;
/// The same of all answers: so much that thousands of answers that nobody reads do not hold up the
/// others.
const CONNECTION_WINDOW: u32 = 8192 * STREAM_WINDOW;
/// Larger than the head of any answer of the suite.
const MAX_HEAD: u32 = 64 * 1024;

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

struct Replica {
    url: Uri,
    address: SocketAddr,
    channel: Channel,
    down: AtomicBool,
}

impl Upstream {
    /// A channel to whatever answers at these URLs; resolving begins at once, in the background.
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

    /// Sends a request to a replica that is up.
    ///
    /// What fails on the way is a status without details: it becomes an answer, and a line in the
    /// log, as [`crate::Error`].
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let shared = &self.0.shared;
        let Some(replica) = shared.pick() else {
            return Err(shared.unavailable("no replica is up"));
        };
        let mut channel = replica.channel.clone();
        let answer = async {
            std::future::poll_fn(|cx| channel.poll_ready(cx)).await?;
            channel.call(request).await
        };
        answer.await.map_err(|error| shared.failed(&replica, error))
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
        Box::pin(async move { upstream.send(request).await })
    }
}

impl Shared {
    fn replicas(&self) -> Arc<[Arc<Replica>]> {
        self.replicas.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn pick(&self) -> Option<Arc<Replica>> {
        let replicas = self.replicas();
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        (0..replicas.len())
            .filter_map(|i| replicas.get(start.wrapping_add(i) % replicas.len()))
            .find(|replica| !replica.down.load(Ordering::Relaxed))
            .cloned()
    }

    fn unavailable(&self, cause: impl std::fmt::Display) -> Status {
        Status::unavailable(format!("{}: {cause}", self.name))
    }

    fn failed(&self, replica: &Arc<Replica>, error: tonic::transport::Error) -> Status {
        let (cause, timed_out) = (describe(&error), timed_out(&error));
        let status = Status::from_error(Box::new(error));
        // A stream that was reset says nothing about the replica; a connection that cannot be
        // made, or broke, does.
        let lost = matches!(status.code(), Code::Unavailable | Code::Unknown);
        if lost && !replica.down.swap(true, Ordering::Relaxed) {
            tracing::warn!(name = self.name, address = %replica.address, "replica is down");
            let probe = probe(self.name, Arc::downgrade(replica));
            tokio::spawn(self.ended.clone().run_until_cancelled_owned(probe));
        }
        // A request that a closing connection gave back is CANCELLED for tonic too, but no deadline.
        match timed_out {
            true => Status::deadline_exceeded("the time of the call is over"),
            false => self.unavailable(cause),
        }
    }

    /// Keeps the replicas that are still named, with their connections, and adds the new ones.
    fn update(&self, named: Vec<(Uri, SocketAddr)>) -> Result<()> {
        let old = self.replicas();
        let is_named = |r: &Arc<Replica>| named.iter().any(|(u, a)| *u == r.url && *a == r.address);
        let mut new: Vec<_> = old.iter().filter(|r| is_named(r)).cloned().collect();
        let kept = new.len();
        for (url, address) in named {
            if !new.iter().any(|r| r.url == url && r.address == address) {
                new.push(Arc::new(Replica::new(url, address)?));
            }
        }
        if new.len() != kept || kept != old.len() {
            *self.replicas.write().unwrap_or_else(PoisonError::into_inner) = new.into();
        }
        Ok(())
    }
}

impl Replica {
    fn new(url: Uri, address: SocketAddr) -> Result<Self> {
        let https = url.scheme_str() == Some("https");
        let scheme = if https { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?
            .origin(url.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            // Not the adaptive window, which is the same for one answer and for all of them.
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_max_header_list_size(MAX_HEAD)
            // A peer that vanished without a word is noticed, also while calls wait for it.
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(5));
        if https {
            let host = url.host().unwrap_or_default().to_owned();
            endpoint = endpoint
                .tls_config(ClientTlsConfig::new().with_native_roots().domain_name(host))
                .context("TLS to an upstream cannot be set up")?;
        }
        let channel = endpoint.connect_lazy();
        Ok(Self { url, address, channel, down: AtomicBool::new(false) })
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
        let Some(address) = replica.upgrade().map(|replica| replica.address) else { return };
        let answers = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let (Ok(Ok(_)), Some(replica)) = (answers, replica.upgrade()) else { continue };
        replica.down.store(false, Ordering::Relaxed);
        tracing::info!(name, %address, "replica is up again");
        return;
    }
}

/// Whether it was the channel's own clock, which keeps the `grpc-timeout` of the request.
fn timed_out(error: &tonic::transport::Error) -> bool {
    let mut causes =
        std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.any(|cause| cause.is::<TimeoutExpired>())
}

fn describe(error: &tonic::transport::Error) -> String {
    let (mut text, mut source) = (error.to_string(), std::error::Error::source(error));
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
