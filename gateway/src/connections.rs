//! Connections: how many, how slow, and with TLS or without.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use clinic_chassis::{accept, drain, gathered};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

use crate::activity::Activity;
use crate::http::Edge;
use crate::workers::{Place, Workers};
use crate::{Config, config};

/// How long a client may take to shake hands, and until its first request's head is here.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long an HTTP/1.1 connection is kept for a next request: longer than the minute of most
/// proxies, so that it is they who close it, and no request meets a closing connection.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long nothing may go on on a connection.
const IDLE: Duration = Duration::from_secs(5 * 60);
/// How long a client may take to agree that a connection ends, when nothing goes on on it.
const GOODBYE: Duration = Duration::from_secs(3);
/// Larger than any token that could be meant seriously, so that the answer to a monstrous one is
/// still about the token.
const MAX_HEAD: usize = 128 * 1024;
/// Calls at once on one HTTP/2 connection; further ones wait at the client.
const MAX_STREAMS: u32 = 256;

pub(crate) struct Connections {
    edge: Arc<Edge>,
    http: auto::Builder<TokioExecutor>,
    tls: Option<TlsAcceptor>,
    workers: Workers,
    places: Arc<Semaphore>,
    grace: Duration,
}

impl Connections {
    pub(crate) fn new(config: &Config, edge: Edge) -> Result<Self> {
        let places = usize::try_from(config.edge.max_connections)?;
        Ok(Self {
            edge: Arc::new(edge),
            http: protocol(),
            tls: tls(&config.edge)?,
            workers: Workers::start()?,
            places: Arc::new(Semaphore::new(places)),
            grace: config.serving.shutdown_grace,
        })
    }

    pub(crate) async fn run(self, listener: TcpListener, shutdown: CancellationToken) {
        let this = Arc::new(self);
        let mut open = JoinSet::new();
        loop {
            // Who finds no place waits in the system's queue.
            let (place, (stream, peer)) = tokio::select! {
                next = next(&this.places, &listener) => next,
                Some(_) = open.join_next() => continue,
                () = shutdown.cancelled() => break,
            };
            let Some((worker, runtime)) = this.workers.place() else { break };
            let (serving, shutdown) = (this.clone(), shutdown.clone());
            let serve = async move {
                if let Err(error) = serving.serve(stream, peer.ip(), &worker, shutdown).await {
                    tracing::debug!(error = format!("{error:#}"), "a connection ended");
                }
                drop((place, worker));
            };
            open.spawn_on(serve, runtime);
        }
        drop(listener);
        // What is left after the grace ends with `open`.
        drain(async { while open.join_next().await.is_some() {} }, &shutdown, this.grace).await;
    }

    async fn serve(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        worker: &Place,
        shutdown: CancellationToken,
    ) -> Result<()> {
        // From the runtime that accepted it to this one.
        let stream = TcpStream::from_std(stream.into_std()?)?;
        match &self.tls {
            Some(tls) => {
                let stream = timeout(HEAD_PATIENCE, tls.accept(stream)).await??;
                self.speak(stream, peer, worker, shutdown).await
            }
            None => self.speak(stream, peer, worker, shutdown).await,
        }
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: IpAddr,
        &Place { number, .. }: &Place,
        shutdown: CancellationToken,
    ) -> Result<()> {
        let (edge, activity) = (self.edge.clone(), Activity::default());
        let service = service_fn(|request| {
            let (edge, running) = (edge.clone(), activity.begin());
            async move {
                let answer = edge.answer(request, peer, number).await?;
                Ok::<_, Infallible>(answer.map(|body| running.until_sent(body)))
            }
        });
        let (stream, outgoing) = gathered(stream);
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            biased;
            outcome = outgoing.of(connection.as_mut()) => return outcome.map_err(|error| anyhow!(error)),
            () = activity.ceased(HEAD_PATIENCE, IDLE) => {}
            () = shutdown.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        // Calls may go on as long as they need, but a client need not agree to the end.
        tokio::select! {
            outcome = outgoing.of(connection) => outcome.map_err(|error| anyhow!(error)),
            () = activity.ceased(GOODBYE, GOODBYE) => Ok(()),
        }
    }
}

/// The next connection, and a place for it.
async fn next(
    places: &Arc<Semaphore>,
    listener: &TcpListener,
) -> (OwnedSemaphorePermit, (TcpStream, SocketAddr)) {
    match places.clone().acquire_owned().await {
        Ok(place) => (place, accept(listener).await),
        // Nobody closes it.
        Err(_) => std::future::pending().await,
    }
}

fn protocol() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(KEEP_ALIVE)
        .max_buf_size(MAX_HEAD + 16 * 1024);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .adaptive_window(true)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    http
}

/// What the certificate and its key give, when there are any.
pub(crate) fn tls(edge: &config::Edge) -> Result<Option<TlsAcceptor>> {
    let (Some(cert), Some(key)) = (&edge.tls_cert, &edge.tls_key) else { return Ok(None) };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .with_context(|| format!("the certificate {} cannot be read as PEM", cert.display()))?;
    if chain.is_empty() {
        bail!("{} holds no certificate", cert.display());
    }
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("the private key {} cannot be read as PEM", key.display()))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the certificate and the private key do not go together")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
