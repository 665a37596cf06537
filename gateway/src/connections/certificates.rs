//! The gateway's TLS certificate. Reloaded on SIGHUP and when its files change.

use std::path::PathBuf;
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

/// The current certificate.
pub(crate) struct Certificates {
    /// The files of the certificate chain and of the key.
    files: [PathBuf; 2],
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
        let files = [cert.clone(), key.clone()];
        // Taken before the files are read, so that no change is missed.
        let first = stamps(&files);
        let current = RwLock::new(read(&files)?);
        Ok(Some(Self { files, first, current }))
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reloads the files when they change and on SIGHUP. Open connections keep the old certificate.
    /// New connections use it too while the new files are unusable.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut seen = self.first;
        loop {
            let told = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            let told = timeout(LOOK_EVERY, told).await.is_ok();
            let found = stamps(&self.files);
            if !told && found == seen {
                continue;
            }
            match read(&self.files) {
                Ok(new) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
                    seen = found;
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
}

fn stamps(files: &[PathBuf; 2]) -> Stamps {
    files.each_ref().map(|path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.modified().ok()?, file.len()))
    })
}

fn read([cert, key]: &[PathBuf; 2]) -> Result<TlsAcceptor> {
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
