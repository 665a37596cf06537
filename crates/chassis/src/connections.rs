//! The connections of a service. Tonic's server would do, but for writing each answer in several
//! pieces: see [`gathered`].

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::Service;

use crate::{accept, gathered};

/// The metadata that the gateway lets through, and the claims.
const MAX_HEAD: u32 = 32 * 1024;

/// Serves until `shutdown`, and then until the last call is answered.
pub(crate) async fn serve<S>(listener: TcpListener, service: S, shutdown: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let mut open = JoinSet::new();
    loop {
        let stream = tokio::select! {
            (stream, _) = accept(&listener) => stream,
            Some(_) = open.join_next() => continue,
            () = shutdown.cancelled() => break,
        };
        let connection = speak(stream, service.clone(), shutdown.clone());
        open.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

async fn speak<S>(stream: TcpStream, service: S, shutdown: CancellationToken) -> hyper::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let (stream, outgoing) = gathered(stream);
    let service = TowerToHyperService::new(service);
    let mut connection = pin!(protocol().serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        biased;
        outcome = outgoing.of(connection.as_mut()) => return outcome,
        () = shutdown.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    outgoing.of(connection).await
}

fn protocol() -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD)
        // A gateway sends the calls of all its clients over a few connections.
        .max_concurrent_streams(None)
        // A peer that vanished without a word is noticed.
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    http
}
