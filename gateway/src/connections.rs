//! Accepts connections, with or without TLS, and limits their number and idle time.

mod certificates;
mod framing;
mod http1;
mod limits;
mod unread_body;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clinic_net::http2::{BLOCKED, Http2};
use clinic_net::{BatchedStream, Flusher, accept, batched, drain};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use self::certificates::Certificates;
use self::limits::{ConnectionLimits, ConnectionPermit};
use crate::Config;
use crate::http_service::{HttpService, Peer};
use crate::workers::{Lease, Workers};

/// Time limit for the TLS handshake, and for the head of the first request.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// Idle time after which a connection is closed.
const IDLE: Duration = Duration::from_secs(5 * 60);
/// Time for the client to close an idle connection after the gateway announced its end.
const GOODBYE: Duration = Duration::from_secs(3);
/// The same, if a new connection needs the place.
const QUICK_GOODBYE: Duration = Duration::from_millis(200);
/// Larger than any real token, so that an oversized token still gets an error about the token.
const MAX_HEAD: u32 = 128 * 1024;
const HTTP2: Http2 = Http2 {
    max_streams: Some(256),
    max_head: MAX_HEAD,
    stream_window: 128 * 1024,
    // The sum of all stream windows: a stream that is not read must not block the others.
    connection_window: 256 * 128 * 1024,
};
/// The preface of an HTTP/2 connection (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) struct Connections {
    service: Arc<HttpService>,
    certificates: Option<Arc<Certificates>>,
    workers: Workers,
    places: Arc<ConnectionLimits>,
    grace: Duration,
}

impl Connections {
    pub(crate) fn new(config: &Config, service: HttpService) -> Result<Self> {
        Ok(Self {
            service: Arc::new(service),
            certificates: Certificates::open(&config.public)?.map(Arc::new),
            workers: Workers::start()?,
            places: ConnectionLimits::new(&config.public),
            grace: config.serving.shutdown_grace,
        })
    }

    pub(crate) async fn run(self, listener: TcpListener, shutdown: CancellationToken) {
        let this = Arc::new(self);
        let follow = this.certificates.clone().map(Certificates::follow);
        let _following = follow.map(|follow| AbortOnDropHandle::new(tokio::spawn(follow)));
        let mut open = JoinSet::new();
        'open: loop {
            // Outside the inner loop, to keep a connection that was accepted and waits for a place.
            let mut next = pin!(this.next(&listener));
            let (stream, permit) = loop {
                tokio::select! {
                    next = next.as_mut() => break next,
                    Some(_) = open.join_next() => {}
                    () = shutdown.cancelled() => break 'open,
                }
            };
            let Some(permit) = permit else { continue };
            let Some((lease, runtime)) = this.workers.lease() else { break };
            let (serving, shutdown) = (this.clone(), shutdown.clone());
            let serve = async move {
                if let Err(error) = serving.serve(stream, &permit, &lease, shutdown).await {
                    tracing::debug!(error = format!("{error:#}"), "a connection ended");
                }
                drop((permit, lease));
            };
            open.spawn_on(serve, runtime);
        }
        drop(listener);
        // Dropping `open` aborts the connections that are left after the grace period.
        drain(async { while open.join_next().await.is_some() {} }, &shutdown, this.grace).await;
    }

    /// Accepts the next connection. Returns a place for it if its address is below its limit.
    async fn next(&self, listener: &TcpListener) -> (TcpStream, Option<ConnectionPermit>) {
        let (stream, peer) = accept(listener).await;
        (stream, self.places.take(peer.ip()).await)
    }

    async fn serve(
        &self,
        stream: TcpStream,
        permit: &ConnectionPermit,
        lease: &Lease,
        shutdown: CancellationToken,
    ) -> Result<()> {
        // Moves the stream from the runtime that accepted it to this one.
        let stream = TcpStream::from_std(stream.into_std()?)?;
        let peer = Peer { address: stream.peer_addr()?.ip(), worker: lease.number };
        let activity = &permit.activity;
        let opening = async {
            let stream = match self.certificates.as_ref().map(|current| current.acceptor()) {
                Some(acceptor) => {
                    Either::Left(timeout(HEAD_PATIENCE, acceptor.accept(stream)).await??)
                }
                None => Either::Right(stream),
            };
            let (mut stream, outgoing) = batched(stream);
            let is_http2 = timeout(HEAD_PATIENCE, stream.begins_with(PREFACE)).await??;
            anyhow::Ok((stream, outgoing, is_http2))
        };
        let (stream, outgoing, is_http2) = tokio::select! {
            opened = opening => opened?,
            () = permit.evicted.cancelled() => return Ok(()),
            () = shutdown.cancelled() => return Ok(()),
        };
        let (tell, told) = oneshot::channel();
        let end = async {
            let gives_way = tokio::select! {
                () = activity.ceased(HEAD_PATIENCE, IDLE) => false,
                () = permit.evicted.cancelled() => true,
                () = shutdown.cancelled() => false,
            };
            // Fails if the connection has ended.
            tell.send(()).ok();
            match gives_way {
                // Its place is already taken, so new requests do not keep it open.
                true => sleep(QUICK_GOODBYE).await,
                // Running calls may finish. The wait is bounded, because a client may ignore the
                // announcement.
                false => activity.ceased(GOODBYE, GOODBYE).await,
            }
        };
        // Polled only when its own waker fires: each of its parts takes a lock.
        let mut end = FuturesUnordered::from_iter([end]);
        let serving =
            Serving { service: &self.service, stream, outgoing, peer, permit, closing: told };
        let serve = async { if is_http2 { serving.http2().await } else { serving.http1().await } };
        tokio::select! {
            biased;
            outcome = serve => outcome,
            _ = end.next() => Ok(()),
        }
    }
}

/// A connection, with TLS or without.
type Stream = Either<TlsStream<TcpStream>, TcpStream>;

/// A connection that is being served.
struct Serving<'a> {
    service: &'a Arc<HttpService>,
    stream: BatchedStream<Stream>,
    outgoing: Flusher<Stream>,
    peer: Peer,
    permit: &'a ConnectionPermit,
    /// Ready when the connection must take no further requests.
    closing: oneshot::Receiver<()>,
}

impl Serving<'_> {
    async fn http2(self) -> Result<()> {
        let (service, peer, activity) = (self.service, self.peer, &self.permit.activity);
        let response = |request| {
            let (service, running) = (service.clone(), activity.begin());
            async move { service.handle(request, peer).await.map(|body| running.until_sent(body)) }
        };
        let serve = HTTP2.serve(self.stream, response, self.closing.map(drop));
        let served =
            self.outgoing.of(pin!(serve), |blocked| blocked.map(|since| since + BLOCKED)).await;
        // None if the client has not read for too long: then there is no use in lingering.
        if served.transpose()?.is_some() {
            // A request that arrives now must not reset the connection and lose the GOAWAY.
            self.outgoing.linger().await;
        }
        Ok(())
    }
}
