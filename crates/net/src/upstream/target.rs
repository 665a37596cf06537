//! The destination of connections to a replica.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use http::Uri;
use http::uri::{Authority, Scheme};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::replicas::host;
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
        Self::with_tls(url, address, tls)
    }

    /// Creates a target on this machine. Its certificate is not verified, because it is issued for
    /// the name under which other machines reach the server.
    pub(super) fn local(url: &Uri, address: SocketAddr) -> Result<Self> {
        Self::with_tls(url, address, unverified::tls)
    }

    fn with_tls(url: &Uri, address: SocketAddr, tls: fn() -> Result<ClientConfig>) -> Result<Self> {
        let scheme = url.scheme().context("a URL without a scheme")?.clone();
        let authority = url.authority().context("a URL without a host")?.clone();
        let mut target = Self { address, tls: None, scheme, authority };
        if target.scheme == Scheme::HTTPS {
            let mut config = tls()?;
            config.alpn_protocols = vec![b"h2".to_vec()];
            let name = ServerName::try_from(host(url).to_owned())
                .context("the host of an upstream is not a valid TLS server name")?;
            target.tls = Some((Arc::new(config).into(), name));
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

/// Returns the configuration that trusts the system's root certificates.
fn tls() -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    ensure!(!roots.is_empty(), "the system has no root certificates");
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}
