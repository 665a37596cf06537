//! The gateway's certificate, which is read again when its files change and at SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Edge;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// See the module. Clones share everything.
#[derive(Clone)]
pub(crate) struct Certificates(Arc<Inner>);

struct Inner {
    cert: PathBuf,
    key: PathBuf,
    /// Of the files when they were read first.
    first: Stamps,
    current: RwLock<TlsAcceptor>,
}

/// What changes when a file does, also when it is a link to another one.
type Stamps = [Option<(SystemTime, u64)>; 2];

impl Certificates {
    /// Reads the certificate and its key, when there are any.
    pub(crate) fn open(edge: &Edge) -> Result<Option<Self>> {
        let (Some(cert), Some(key)) = (&edge.tls_cert, &edge.tls_key) else { return Ok(None) };
        // Before they are read, so that no change is missed.
        let first = [cert, key].map(|path| stamp(path));
        let current = RwLock::new(read(cert, key)?);
        Ok(Some(Self(Arc::new(Inner { cert: cert.clone(), key: key.clone(), first, current }))))
    }

    /// Returns what accepts a connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again when they have changed, and at SIGHUP. Connections that are open keep
    /// the old certificate, and so do new ones while the new files cannot be used.
    pub(crate) async fn follow(self) {
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut seen = self.0.first;
        loop {
            let told = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            let told = timeout(LOOK_EVERY, told).await.is_ok();
            let stamps = self.stamps();
            if !told && stamps == seen {
                continue;
            }
            match read(&self.0.cert, &self.0.key) {
                Ok(new) => {
                    *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = new;
                    seen = stamps;
                    tracing::info!("the certificate was read again");
                }
                // Perhaps one of the files is still to come.
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "the new certificate cannot be used: the old one stays");
                }
            }
        }
    }

    fn stamps(&self) -> Stamps {
        [&self.0.cert, &self.0.key].map(|path| stamp(path))
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
}

fn read(cert: &Path, key: &Path) -> Result<TlsAcceptor> {
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
