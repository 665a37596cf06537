//! One process of a service: where it is, whether it is up, and the connections to it.

use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result, ensure};
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::body::Body;

use super::connection::{Connection, Failed};

pub(super) struct Replica {
    pub(super) url: Uri,
    pub(super) target: Arc<Target>,
    /// One for each number that a caller may have. Most are never made.
    connections: Vec<Connection>,
    pub(super) down: AtomicBool,
}

/// What a connection is made to.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// With the name that its certificate must have.
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
    scheme: Scheme,
    authority: Authority,
}

impl Replica {
    pub(super) fn new(url: Uri, address: SocketAddr) -> Result<Self> {
        let target = Arc::new(Target::new(&url, address)?);
        // Who is on no thread in particular, and a thread for each processor.
        let callers = 1 + std::thread::available_parallelism().map_or(1, NonZero::get);
        let connections = (0..callers).map(|_| Connection::default()).collect();
        Ok(Self { url, target, connections, down: AtomicBool::new(false) })
    }

    pub(super) async fn send(
        &self,
        caller: usize,
        request: Request<Body>,
    ) -> Result<Response<Body>, Failed> {
        let connection = self.connections.get(caller % self.connections.len());
        let connection =
            connection.ok_or_else(|| Failed::unreachable("no connection".to_owned()))?;
        connection.send(&self.target, request).await
    }
}

impl Target {
    pub(super) fn new(url: &Uri, address: SocketAddr) -> Result<Self> {
        let scheme = url.scheme().context("a URL without a scheme")?.clone();
        let authority = url.authority().context("a URL without a host")?.clone();
        let tls = match scheme == Scheme::HTTPS {
            true => Some((tls()?, server_name(authority.host())?)),
            false => None,
        };
        Ok(Self { address, tls, scheme, authority })
    }

    /// The URI of a call there, for the path that it has.
    pub(super) fn uri(&self, of: &Uri) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = of.path_and_query().cloned();
        Uri::from_parts(parts).unwrap_or_default()
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>> {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    ServerName::try_from(host).context("the host of an upstream is no name for TLS")
}

/// Trusts whom the system trusts.
fn tls() -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    ensure!(!roots.is_empty(), "the system trusts nobody: it has no root certificates");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
