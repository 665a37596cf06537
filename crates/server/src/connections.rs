//! Accepts the connections of a service and serves them with [`clinic_net::http2`].

use std::convert::Infallible;
use std::pin::pin;

use clinic_net::http2::{BLOCKED, Http2};
use clinic_net::{accept, batched};
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

const HTTP2: Http2 = Http2 {
    // Unlimited: a gateway sends the calls of all its clients over a few connections.
    max_streams: None,
    // Fits the metadata that the gateway forwards, and the claims.
    max_head: 32 * 1024,
    stream_window: 256 * 1024,
    connection_window: 16 * 1024 * 1024,
};

/// Serves until `shutdown`, then finishes the running calls.
pub(crate) async fn serve<S>(listener: TcpListener, service: S, shutdown: CancellationToken)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
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
        // A child token, because each poll of a connection locks the token that it awaits.
        let (service, closing) = (service.clone(), shutdown.child_token());
        open.spawn(async move {
            let (stream, outgoing) = batched(stream);
            let response = move |request| {
                let service = service.clone();
                async move { service.oneshot(request).await.unwrap_or_else(|never| match never {}) }
            };
            let serve = pin!(HTTP2.serve(stream, response, closing.cancelled()));
            match outgoing.of(serve, |blocked| blocked.map(|since| since + BLOCKED)).await {
                // Closing while the client still sends a call would reset the connection and lose
                // the GOAWAY, and the client could not know that the call was not processed.
                Some(Ok(())) => outgoing.linger().await,
                Some(Err(error)) => tracing::debug!(%error, "a connection ended"),
                // Calls that still run end with the connection.
                None => {}
            }
        });
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}
