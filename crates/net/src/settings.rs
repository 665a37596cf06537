//! Settings of every process: flags, environment variables, or lines of `.env`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use clinic_clock::Clock;
use clinic_identity::{ClaimsSigner, KeyDir};
use http::Uri;

use crate::Upstream;

/// The environment variables of all programs. A test compares them with the settings.
pub const VARIABLES: [&str; 32] = [
    "CLINIC_ACCESS_TTL",
    "CLINIC_API_DOCS",
    "CLINIC_ASSIGNMENT_URL",
    "CLINIC_AUTH_URL",
    "CLINIC_BEHIND_PROXY",
    "CLINIC_COMPRESS_OVER",
    "CLINIC_CORS_ORIGIN",
    "CLINIC_DATABASE_CONNECTIONS",
    "CLINIC_DATABASE_PREFIX",
    "CLINIC_DATA_DIR",
    "CLINIC_DEFAULT_DEADLINE",
    "CLINIC_DOCTOR_PATIENT_VIEW",
    "CLINIC_HEALTH_URL",
    "CLINIC_ISSUER",
    "CLINIC_KEYS_DIR",
    "CLINIC_LISTEN",
    "CLINIC_LOG",
    "CLINIC_MAX_CONNECTIONS",
    "CLINIC_MAX_CONNECTIONS_PER_ADDRESS",
    "CLINIC_MAX_DEADLINE",
    "CLINIC_MAX_MESSAGE_BYTES",
    "CLINIC_RECORDS_URL",
    "CLINIC_REFRESH_TTL",
    "CLINIC_REGISTRATION_ROLES",
    "CLINIC_ROUTES",
    "CLINIC_SHUTDOWN_DELAY",
    "CLINIC_SHUTDOWN_GRACE",
    "CLINIC_TLS_CERT",
    "CLINIC_TLS_KEY",
    "CLINIC_TRUSTED_PROXIES",
    "CLINIC_UNCOUNTED_NETWORKS",
    "CLINIC_UPSTREAMS",
];

/// Returns the variables that begin with `CLINIC_` and are not settings, most likely misspelled.
pub fn unknown_variables() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    // Kubernetes sets variables for each of its services, such as CLINIC_AUTH_SERVICE_HOST and
    // CLINIC_AUTH_PORT_50051_TCP. The tests and docker-compose.yml have variables, too.
    let others = ["CLINIC_TEST_", "_SERVICE_HOST", "_SERVICE_PORT", "_PORT", "CLINIC_TAG"];
    let is_unknown = |name: &String| {
        name.starts_with("CLINIC_")
            && !VARIABLES.contains(&name.as_str())
            && !others.iter().any(|other| name.contains(other))
    };
    names.filter(is_unknown).collect()
}

/// Default log filter.
pub const DEFAULT_LOG: &str = "info";

/// Settings of every process.
#[derive(Args, Clone, Debug)]
pub struct Process {
    /// Log filter: a level, or `info,clinic::calls=debug`, which adds a line for every call
    #[arg(long, env = "CLINIC_LOG", default_value = DEFAULT_LOG, global = true)]
    pub log: String,
}

/// Settings of every server.
#[derive(Args, Clone, Debug)]
pub struct Serving {
    /// Time for which the server keeps serving after SIGTERM, such as 2s. It is not ready during
    /// this time, so clients and load balancers switch to other replicas. Ctrl-C skips it
    #[arg(long, env = "CLINIC_SHUTDOWN_DELAY", default_value = "2s", value_parser = duration)]
    pub shutdown_delay: Duration,
    /// Time for running calls to finish after that, such as 10s; then they are cut off
    #[arg(long, env = "CLINIC_SHUTDOWN_GRACE", default_value = "10s", value_parser = duration)]
    pub shutdown_grace: Duration,
}

/// Location of the keys.
#[derive(Args, Clone, Debug)]
pub struct Keys {
    /// The keys directory, created by `clinic keys init`
    #[arg(long, env = "CLINIC_KEYS_DIR", default_value = "./data/keys")]
    pub keys_dir: PathBuf,
}

impl Keys {
    /// Returns the keys directory.
    pub fn open(&self) -> KeyDir {
        KeyDir::new(&self.keys_dir)
    }

    /// Returns a signer of claims for the issuer of that name.
    pub fn signer(&self, name: &str, clock: &Clock) -> Result<ClaimsSigner> {
        Ok(ClaimsSigner::open(&self.open(), name, clock.clone())?)
    }
}

/// Returns a channel to the service at these [`urls`].
pub fn upstream(name: &str, urls: &str) -> Result<Upstream> {
    Upstream::new(name, "", self::urls(name, urls)?)
}

/// Parses the URLs of a service: `http://records:50052`, or several separated by commas.
pub fn urls(name: &str, urls: &str) -> Result<Vec<Uri>> {
    let is_usable = |uri: &Uri| {
        uri.host().is_some()
            && matches!(uri.scheme_str(), Some("http" | "https"))
            && matches!(uri.path(), "" | "/")
    };
    let parse = |url: &str| {
        let uri = url.trim().parse().ok().filter(is_usable);
        uri.with_context(|| {
            format!("the URL of {name}, {url:?}, is not of the form http://HOST:PORT")
        })
    };
    urls.split(',').map(parse).collect()
}

/// Ten years. Clocks cannot add much longer durations.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Parses a duration: `500ms`, `30s`, `15m`, `12h` or `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text).ok();
    parsed
        .filter(|duration| *duration <= MAX_DURATION)
        .ok_or_else(|| format!("{text:?} is not of the form 500ms, 30s, 15m, 12h or 7d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(duration("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for text in ["", "15", "m", "-1s", "1x", "3651d", "99999999999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn an_upstream_needs_http_urls() {
        assert!(upstream("records", "http://127.0.0.1:1,http://localhost:2").is_ok());
        for urls in ["", "records:50052", "ftp://x", "http://", "http://x/path", "http://a:1,"] {
            assert!(upstream("records", urls).is_err(), "{urls}");
        }
    }
}
