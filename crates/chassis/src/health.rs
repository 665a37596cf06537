//! Whether a server serves: answering that, and asking another one.

mod service;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

pub use service::{Health, States};

/// Succeeds when the server at the URL says, within five seconds, that it serves.
pub async fn check(url: &str) -> Result<()> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .with_context(|| format!("{url} is no URL: give it as http://HOST:PORT"))?
        .timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_secs(2));
    let channel = endpoint.connect().await.with_context(|| format!("{url} does not answer"))?;
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel).check(request).await;
    match answer.with_context(|| format!("{url} has no health service"))?.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        other => bail!("{url} is {}", other.as_str_name()),
    }
}
