//! Detects HTTP/2 peers that vanished without closing the connection.

use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{sleep, timeout};

/// Returns when the peer sends no data for `every` and then does not answer a ping within
/// `patience`. `is_well` skips the ping if it returns true.
pub(crate) async fn silence(
    pings: Option<PingPong>,
    every: Duration,
    patience: Duration,
    mut is_well: impl FnMut() -> bool,
) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        sleep(every).await;
        if is_well() {
            continue;
        }
        let response = timeout(patience, pings.ping(Ping::opaque())).await;
        if !matches!(response, Ok(Ok(_))) {
            return;
        }
    }
}
