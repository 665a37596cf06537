//! Listens on a port and accepts connections.

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
            "{address} is already in use: stop the other program, or choose another address with --listen"
        ),
        ErrorKind::PermissionDenied => anyhow!(
            "this user may not listen on {address}: choose a port above 1023 with --listen"
        ),
        _ => anyhow!("cannot listen on {address} ({error}): give --listen as HOST:PORT of this machine"),
    })
}

/// Accepts the next connection. Returns it with the peer's address.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Otherwise responses wait for ACKs of earlier ones. A closed peer shows later.
                stream.set_nodelay(true).ok();
                return (stream, peer);
            }
            Err(error) => {
                // Usually out of file descriptors: other connections must end first.
                tracing::warn!(%error, "a connection cannot be accepted");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
