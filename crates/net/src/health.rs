//! Whether a server serves: answering that, and asking another one.

mod service;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::timeout;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::{settings, upstream};
pub use service::{Health, States};

const PATIENCE: Duration = Duration::from_secs(5);

/// Succeeds when the server at the URL says, within five seconds, that it serves.
pub async fn check(url: &str) -> Result<()> {
    let urls = settings::urls("the server", url)?;
    let [url] = &*urls else { bail!("one URL is needed, and not {}", urls.len()) };
    let asked = timeout(PATIENCE, upstream::health(url)).await;
    let asked = asked.with_context(|| format!("{url} does not answer"))?;
    match asked.with_context(|| {
        format!("{url} does not answer (https:// is for one with a certificate)")
    })? {
        ServingStatus::Serving => Ok(()),
        other => bail!("{url} is {}", other.as_str_name()),
    }
}
