//! Load of our own, for calls of which no two are alike: each caller has a connection, and what it
//! sends depends on what it got before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::{CONNECTIONS, Outcome};

/// Runs 32 callers one call after the other for that time. `caller` makes one from its number and
/// its connection; the calls of one that fails end the run.
pub(crate) async fn run<C, F>(
    address: std::net::SocketAddr,
    time: Duration,
    caller: impl Fn(u32, Channel) -> C,
    call: impl Fn(C) -> F + Send + Sync + 'static,
) -> Result<Outcome>
where
    C: Send + 'static,
    F: Future<Output = Result<C>> + Send,
{
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
    let mut connected = Vec::new();
    for number in 0..CONNECTIONS {
        connected.push(caller(number, endpoint.connect().await.context("cannot connect")?));
    }
    let call = Arc::new(call);
    let mut callers = JoinSet::new();
    let began = Instant::now();
    for mut caller in connected {
        let call = call.clone();
        callers.spawn(async move {
            let mut micros = Vec::new();
            while began.elapsed() < time {
                let sent = Instant::now();
                caller = call(caller).await?;
                micros.push(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
            anyhow::Ok(micros)
        });
    }
    let mut micros = Vec::new();
    while let Some(done) = callers.join_next().await {
        micros.extend(done??);
    }
    Ok(Outcome::of(began.elapsed(), micros))
}
