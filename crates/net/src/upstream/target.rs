//! The destination of connections to a replica.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use http::Uri;
use http::uri::{Authority, Scheme};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::unverified;

/// Destination of a connection.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// The connector, and the name that the certificate must have.
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
    scheme: Scheme,
    authority: Authority,
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

    /// Creates a target on this machine. Its certificate is not verified, because it is issued for
    /// the name under which other machines reach the server.
    pub(super) fn local(url: &Uri, address: SocketAddr) -> Result<Self> {
        let mut plain = url.clone().into_parts();
        plain.scheme = Some(Scheme::HTTP);
        let mut target = Self::new(&Uri::from_parts(plain)?, address)?;
        if url.scheme() == Some(&Scheme::HTTPS) {
            target.tls = Some((unverified::tls()?, server_name(target.authority.host())?));
            target.scheme = Scheme::HTTPS;
        }
        Ok(target)
    }

    /// Returns the URI of a call with that path.
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
    ServerName::try_from(host).context("the host of an upstream is not a valid TLS server name")
}

/// Returns a connector that trusts the system's root certificates.
fn tls() -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    ensure!(!roots.is_empty(), "the system has no root certificates");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
