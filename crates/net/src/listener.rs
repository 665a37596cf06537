//! Opening a port, with an error that says what to do, and taking connections from it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

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

/// The next connection, and who is at its other end.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Without it answers wait for the acknowledgement of others; who is gone shows later.
                stream.set_nodelay(true).ok();
                return (stream, peer);
            }
            Err(error) => {
                // Out of file descriptors, usually: others must end first.
                tracing::warn!(%error, "a connection cannot be accepted");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
