//! Connections: how many, how slow, and with TLS or without.

mod certificates;
mod heads;
mod http1;
mod leftover;
mod places;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clinic_net::http2::{BLOCKED, Http2};
use clinic_net::{Gathered, Outgoing, accept, drain, gathered};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use self::certificates::Certificates;
use self::places::{Place, Places};
use crate::Config;
use crate::http::{Edge, Peer};
use crate::workers::{Seat, Workers};

/// How long a client may take to shake hands, and until its first request's head is here.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// Idle time after which a connection is closed.
const IDLE: Duration = Duration::from_secs(5 * 60);
/// Time for the client to close an idle connection after the gateway's goodbye.
const GOODBYE: Duration = Duration::from_secs(3);
/// The same when another client needs the place.
const QUICK_GOODBYE: Duration = Duration::from_millis(200);
/// Larger than any real token, so that an oversized one still gets an answer about the token.
const MAX_HEAD: u32 = 128 * 1024;
const HTTP2: Http2 = Http2 {
    max_streams: Some(256),
    max_head: MAX_HEAD,
    stream_window: 128 * 1024,
    // What all streams may send: one that is not read must not hold up the others.
    connection_window: 256 * 128 * 1024,
};
/// The preface of an HTTP/2 connection (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) struct Connections {
    edge: Arc<Edge>,
    certificates: Option<Certificates>,
    workers: Workers,
    places: Arc<Places>,
    grace: Duration,
}

impl Connections {
    pub(crate) fn new(config: &Config, edge: Edge) -> Result<Self> {
        Ok(Self {
            edge: Arc::new(edge),
            certificates: Certificates::open(&config.edge)?,
            workers: Workers::start()?,
            places: Places::new(&config.edge),
            grace: config.serving.shutdown_grace,
        })
    }

    pub(crate) async fn run(self, listener: TcpListener, shutdown: CancellationToken) {
        let this = Arc::new(self);
        let follow = this.certificates.clone().map(Certificates::follow);
        let _following = follow.map(|follow| AbortOnDropHandle::new(tokio::spawn(follow)));
        let mut open = JoinSet::new();
        'open: loop {
            // Keep a connection that was accepted and waits for a place.
            let mut next = pin!(this.next(&listener));
            let (stream, place) = loop {
                tokio::select! {
                    next = next.as_mut() => break next,
                    Some(_) = open.join_next() => {}
                    () = shutdown.cancelled() => break 'open,
                }
            };
            let Some(place) = place else { continue };
            let Some((seat, runtime)) = this.workers.seat() else { break };
            let (serving, shutdown) = (this.clone(), shutdown.clone());
            let serve = async move {
                if let Err(error) = serving.serve(stream, &place, &seat, shutdown).await {
                    tracing::debug!(error = format!("{error:#}"), "a connection ended");
                }
                drop((place, seat));
            };
            open.spawn_on(serve, runtime);
        }
        drop(listener);
        // What is left after the grace ends with `open`.
        drain(async { while open.join_next().await.is_some() {} }, &shutdown, this.grace).await;
    }

    /// Returns the next connection, and a place for it if its address may have another one.
    async fn next(&self, listener: &TcpListener) -> (TcpStream, Option<Place>) {
        let (stream, peer) = accept(listener).await;
        (stream, self.places.take(peer.ip()).await)
    }

    async fn serve(
        &self,
        stream: TcpStream,
        place: &Place,
        seat: &Seat,
        shutdown: CancellationToken,
    ) -> Result<()> {
        // From the runtime that accepted it to this one.
        let stream = TcpStream::from_std(stream.into_std()?)?;
        let peer = Peer { address: stream.peer_addr()?.ip(), worker: seat.number };
        match self.certificates.as_ref().map(Certificates::acceptor) {
            Some(acceptor) => {
                let stream = tokio::select! {
                    stream = timeout(HEAD_PATIENCE, acceptor.accept(stream)) => stream??,
                    () = place.leave.cancelled() => return Ok(()),
                    () = shutdown.cancelled() => return Ok(()),
                };
                self.speak(stream, peer, place, shutdown).await
            }
            None => self.speak(stream, peer, place, shutdown).await,
        }
    }

    async fn speak<S>(
        &self,
        stream: S,
        peer: Peer,
        place: &Place,
        shutdown: CancellationToken,
    ) -> Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = &place.activity;
        let (mut stream, outgoing) = gathered(stream);
        let begins = tokio::select! {
            begins = timeout(HEAD_PATIENCE, stream.begins_with(PREFACE)) => begins,
            () = place.leave.cancelled() => return Ok(()),
            () = shutdown.cancelled() => return Ok(()),
        };
        let (tell, told) = oneshot::channel();
        let end = async {
            let gives_way = tokio::select! {
                () = activity.ceased(HEAD_PATIENCE, IDLE) => false,
                () = place.leave.cancelled() => true,
                () = shutdown.cancelled() => false,
            };
            // Fails if the connection has ended.
            tell.send(()).ok();
            match gives_way {
                // It was idle and its place is taken, so new requests do not keep it open.
                true => sleep(QUICK_GOODBYE).await,
                // Calls may go on as long as they need, but a client need not agree to the end.
                false => activity.ceased(GOODBYE, GOODBYE).await,
            }
        };
        // Polled only when it is woken itself: each of its parts takes a lock.
        let mut end = FuturesUnordered::from_iter([end]);
        let serving = Serving { edge: &self.edge, stream, outgoing, peer, place, closing: told };
        let serve = async { if begins?? { serving.http2().await } else { serving.http1().await } };
        tokio::select! {
            biased;
            outcome = serve => outcome,
            _ = end.next() => Ok(()),
        }
    }
}

/// A connection that is served.
struct Serving<'a, S> {
    edge: &'a Arc<Edge>,
    stream: Gathered<S>,
    outgoing: Outgoing<S>,
    peer: Peer,
    place: &'a Place,
    /// Ready when the connection takes no further requests.
    closing: oneshot::Receiver<()>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Serving<'_, S> {
    async fn http2(self) -> Result<()> {
        let (edge, peer, activity) = (self.edge, self.peer, &self.place.activity);
        let answer = |request| {
            let (edge, running) = (edge.clone(), activity.begin());
            async move { edge.answer(request, peer).await.map(|body| running.until_sent(body)) }
        };
        let serve = HTTP2.serve(self.stream, answer, self.closing.map(drop));
        let served =
            self.outgoing.of(pin!(serve), |blocked| blocked.map(|since| since + BLOCKED)).await;
        match served {
            // As in a service: the goodbye must not be lost to a request that comes meanwhile.
            Some(Ok(())) => self.outgoing.linger().await,
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
        Ok(())
    }
}
