//! A load generator for calls that differ: each caller has a connection, and its next call depends
//! on the previous response.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{CONNECTIONS, Outcome};
use crate::call::PATIENCE;

/// Runs 32 callers, each with one call at a time, for `time`. `connect` creates a caller from its
/// number. A failed call ends the run.
pub(crate) async fn run<C, O, F>(
    time: Duration,
    connect: impl Fn(u32) -> O,
    call: impl Fn(C) -> F + Send + Sync + 'static,
) -> Result<Outcome>
where
    C: Send + 'static,
    O: Future<Output = Result<C>>,
    F: Future<Output = Result<C>> + Send,
{
    let mut connected = Vec::new();
    for number in 0..CONNECTIONS {
        connected.push(connect(number).await?);
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
                let answered = timeout(PATIENCE, call(caller)).await;
                caller = answered.context("a call timed out")??;
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
