//! Opening a port, with an error that says what to do.

use std::io::ErrorKind;

use anyhow::{Result, anyhow};
use tokio::net::TcpListener;

/// Listens on `HOST:PORT`; port 0 picks a free one.
pub async fn bind(address: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "{address} is taken by another program: stop that, or choose another address with --listen"
        ),
        ErrorKind::PermissionDenied => anyhow!(
            "{address} may not be opened by this user: choose a port above 1023 with --listen"
        ),
        _ => anyhow!("{address} cannot be opened ({error}): give --listen as HOST:PORT of this machine"),
    })
}
