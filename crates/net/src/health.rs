//! Health checks: the service that answers them, and a client.

mod service;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::timeout;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::{settings, upstream};
pub use service::{Health, States};

const PATIENCE: Duration = Duration::from_secs(5);

/// Succeeds if the server at the URL reports within five seconds that it is serving.
pub async fn check(url: &str) -> Result<()> {
    let urls = settings::urls("the server", url)?;
    let [url] = &*urls else { bail!("expected one URL, got {}", urls.len()) };
    let asked = timeout(PATIENCE, upstream::health(url)).await;
    let asked = asked.with_context(|| format!("{url} does not answer"))?;
    match asked.with_context(|| {
        format!("{url} does not answer (use https:// if the server has a certificate)")
    })? {
        ServingStatus::Serving => Ok(()),
        other => bail!("{url} is {}", other.as_str_name()),
    }
}
