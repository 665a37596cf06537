//! The gateway's TLS certificate. Reloaded on SIGHUP and when its files change.

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

use crate::config::PublicSettings;

/// How often the files are checked for changes.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The current certificate. Clones share it.
#[derive(Clone)]
pub(crate) struct Certificates(Arc<Inner>);

struct Inner {
    cert: PathBuf,
    key: PathBuf,
    /// State of the files when they were first read.
    first: Stamps,
    current: RwLock<TlsAcceptor>,
}

/// Modification time and size of the two files. Symbolic links are followed.
type Stamps = [Option<(SystemTime, u64)>; 2];

impl Certificates {
    /// Reads the certificate and its key. Returns None if none is configured.
    pub(crate) fn open(settings: &PublicSettings) -> Result<Option<Self>> {
        let (Some(cert), Some(key)) = (&settings.tls_cert, &settings.tls_key) else {
            return Ok(None);
        };
        // Taken before the files are read, so that no change is missed.
        let first = [cert, key].map(|path| stamp(path));
        let current = RwLock::new(read(cert, key)?);
        Ok(Some(Self(Arc::new(Inner { cert: cert.clone(), key: key.clone(), first, current }))))
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reloads the files when they change and on SIGHUP. Open connections keep the old certificate.
    /// New connections use it too while the new files are unusable.
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
                    tracing::info!("certificate reloaded");
                }
                // One of the two files may not have been replaced yet.
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "cannot use the new certificate: keeping the old one");
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
        .with_context(|| format!("cannot read the certificate {} as PEM", cert.display()))?;
    if chain.is_empty() {
        bail!("{} contains no certificate", cert.display());
    }
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read the private key {} as PEM", key.display()))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the certificate and the private key do not match")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
