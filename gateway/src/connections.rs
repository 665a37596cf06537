//! Connections: how many, how slow, and with TLS or without.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clinic_chassis::drain;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::http::Edge;

/// How long a client may take until its first request's head is here.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// Larger than any token that could be meant seriously, so that the answer to a monstrous one is
/// still about the token.
const MAX_HEAD: usize = 128 * 1024;
/// Calls at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 1024;

pub(crate) struct Connections {
    edge: Edge,
    http: auto::Builder<TokioExecutor>,
    tls: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
    grace: Duration,
}

impl Connections {
    pub(crate) fn new(config: &Config, edge: Edge) -> Result<Self> {
        let tls = match (&config.edge.tls_cert, &config.edge.tls_key) {
            (Some(cert), Some(key)) => Some(acceptor(cert, key)?),
            _ => None,
        };
        let places = usize::try_from(config.edge.max_connections)?;
        Ok(Self {
            edge,
            http: protocol(),
            tls,
            places: Arc::new(Semaphore::new(places)),
            grace: config.serving.shutdown_grace,
        })
    }

    pub(crate) async fn run(self, listener: TcpListener, shutdown: CancellationToken) {
        let graceful = GracefulShutdown::new();
        let this = Arc::new(self);
        loop {
            // Who finds no place waits in the system's queue.
            let Ok(place) = this.places.clone().acquire_owned().await else { break };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, usually: others must end first.
                    tracing::warn!(%error, "a connection cannot be accepted");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (this, watcher) = (this.clone(), graceful.watcher());
            tokio::spawn(async move {
                if let Err(error) = this.serve(stream, peer.ip(), watcher).await {
                    tracing::debug!(error = format!("{error:#}"), "a connection ended");
                }
                drop(place);
            });
        }
        drop(listener);
        drain(graceful.shutdown(), &shutdown, this.grace).await;
    }

    async fn serve(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        watcher: hyper_util::server::graceful::Watcher,
    ) -> Result<()> {
        stream.set_nodelay(true)?;
        match &self.tls {
            Some(tls) => {
                let stream = timeout(HEAD_PATIENCE, tls.accept(stream)).await??;
                self.speak(stream, peer, watcher).await
            }
            None => {
                timeout(HEAD_PATIENCE, stream.readable()).await??;
                self.speak(stream, peer, watcher).await
            }
        }
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: IpAddr,
        watcher: hyper_util::server::graceful::Watcher,
    ) -> Result<()> {
        let edge = self.edge.clone();
        let service = service_fn(move |request| edge.clone().answer(request, peer));
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        watcher.watch(connection.into_owned()).await.map_err(|error| anyhow::anyhow!(error))
    }
}

fn protocol() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
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

fn acceptor(cert: &std::path::Path, key: &std::path::Path) -> Result<TlsAcceptor> {
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
    Ok(TlsAcceptor::from(Arc::new(config)))
}
