//! The gateway's settings.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use clap::{ArgAction, Args, value_parser};
use clinic_identity::LONGEST_CALL;
use clinic_net::settings::{self, duration};
use http::Uri;
use ipnet::IpNet;

/// See `clinic-gateway --help`.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// URL of auth, as http://HOST:PORT; several replicas separated by commas
    #[arg(long, env = "CLINIC_AUTH_URL", default_value = "http://127.0.0.1:50051")]
    pub auth_url: String,
    /// URL of records, as http://HOST:PORT; several replicas separated by commas
    #[arg(long, env = "CLINIC_RECORDS_URL", default_value = "http://127.0.0.1:50052")]
    pub records_url: String,
    /// URL of assignment, as http://HOST:PORT; several replicas separated by commas
    #[arg(long, env = "CLINIC_ASSIGNMENT_URL", default_value = "http://127.0.0.1:50053")]
    pub assignment_url: String,
    /// URL of another service of the suite, as NAME=URL. Receives calls to the package
    /// clinic.NAME.v1. Repeatable (in the environment: separated by spaces)
    #[arg(long = "upstream", env = "CLINIC_UPSTREAMS", value_delimiter = ' ')]
    #[arg(value_name = "NAME=URL", value_parser = upstream)]
    pub upstreams: Vec<(String, String)>,
    /// Expected issuer (`iss`) of access tokens, such as https://clinic.example; must equal auth's
    /// `--issuer`
    #[arg(long, env = "CLINIC_ISSUER", default_value = clinic_identity::DEFAULT_ISSUER)]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub issuer: String,
    #[command(flatten)]
    pub keys: settings::Keys,
    #[command(flatten)]
    pub serving: settings::Serving,
    #[command(flatten)]
    pub public: PublicSettings,
}

impl Config {
    /// Returns the URLs of the suite's services by name.
    pub(crate) fn upstreams(&self) -> BTreeMap<&str, &str> {
        let own = [
            ("auth", &self.auth_url),
            ("records", &self.records_url),
            ("assignment", &self.assignment_url),
        ];
        let more = self.upstreams.iter().map(|(name, url)| (name.as_str(), url));
        own.into_iter().chain(more).map(|(name, url)| (name, url.as_str())).collect()
    }
}

fn upstream(text: &str) -> Result<(String, String), String> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    };
    match text.split_once('=') {
        Some((name, url)) if is_name(name) => Ok((name.to_owned(), url.to_owned())),
        _ => Err("must be of the form NAME=URL, such as billing=http://127.0.0.1:50054".to_owned()),
    }
}

/// Settings of the public side.
#[derive(Args, Clone, Debug)]
pub struct PublicSettings {
    /// Allow a web origin (CORS), such as https://app.example. Repeatable, or separated by commas
    #[arg(long, env = "CLINIC_CORS_ORIGIN", value_delimiter = ',')]
    #[arg(value_name = "ORIGIN", value_parser = origin)]
    pub cors_origin: Vec<String>,
    /// Maximum size of a message, in bytes
    #[arg(long, env = "CLINIC_MAX_MESSAGE_BYTES", default_value_t = 4 * 1024 * 1024)]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    pub max_message_bytes: u32,
    /// Deadline of calls without `grpc-timeout`, such as 30s or 500ms
    #[arg(long, env = "CLINIC_DEFAULT_DEADLINE", default_value = "30s", value_parser = call_time)]
    pub default_deadline: Duration,
    /// Maximum deadline of a call, such as 60s. Caps `grpc-timeout`
    #[arg(long, env = "CLINIC_MAX_DEADLINE", default_value = "60s", value_parser = call_time)]
    pub max_deadline: Duration,
    /// Maximum number of open client connections
    #[arg(long, env = "CLINIC_MAX_CONNECTIONS", default_value_t = 10_000)]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    pub max_connections: u32,
    /// Maximum number of connections from one address (IPv6: one /64). Defaults to a quarter of
    /// --max-connections. At the limit, a new connection replaces idle ones of that address
    #[arg(long, env = "CLINIC_MAX_CONNECTIONS_PER_ADDRESS")]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    pub max_connections_per_address: Option<u32>,
    /// Networks without the limit per address, such as 10.0.0.0/8, separated by commas. Trusted
    /// proxies have none either
    #[arg(long, env = "CLINIC_UNCOUNTED_NETWORKS", value_delimiter = ',')]
    #[arg(value_name = "NETWORK", value_parser = network)]
    pub uncounted_networks: Vec<IpNet>,
    /// Networks of trusted proxies, such as 10.0.0.0/8, separated by commas. The client's address
    /// is read from the X-Forwarded-For header that they add
    #[arg(long, env = "CLINIC_TRUSTED_PROXIES", value_delimiter = ',')]
    #[arg(value_name = "NETWORK", value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
    /// Trust every direct peer as a proxy that terminates TLS and appends the client's address to
    /// X-Forwarded-For
    // Boolish, because people also write 1, yes and on in the environment.
    #[arg(long, env = "CLINIC_BEHIND_PROXY", value_parser = BoolishValueParser::new())]
    pub behind_proxy: bool,
    /// Serve the documentation of the REST API: /openapi.json, Swagger UI at /swagger/ and ReDoc at
    /// /redoc/
    #[arg(long, env = "CLINIC_API_DOCS", default_value_t = true)]
    #[arg(action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub api_docs: bool,
    /// File with the TLS certificate chain (PEM)
    #[arg(long, env = "CLINIC_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// File with the TLS private key (PEM)
    #[arg(long, env = "CLINIC_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Route a gRPC service, as SERVICE=URL. Calls need an access token unless `;public` is
    /// appended. `;max=5m` caps the deadline, which is otherwise the client's choice. Repeatable
    /// (in the environment: separated by spaces)
    #[arg(long = "route", env = "CLINIC_ROUTES", value_delimiter = ' ', value_name = "ROUTE")]
    pub routes: Vec<Route>,
}

impl PublicSettings {
    /// Returns the URL scheme for clients: `https` with a certificate, otherwise `http`.
    pub fn scheme(&self) -> &'static str {
        if self.tls_cert.is_some() { "https" } else { "http" }
    }
}

/// Checks that an origin is written as browsers send it, because the two are compared as text.
fn origin(text: &str) -> Result<String, String> {
    let uri: Option<Uri> = text.parse().ok();
    let written = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
    match written {
        Some((scheme @ ("http" | "https"), authority))
            if text == format!("{scheme}://{authority}").to_lowercase() =>
        {
            Ok(text.to_owned())
        }
        _ => Err("must be a scheme and a host in lower case, such as https://app.example or \
                  http://localhost:5173"
            .to_owned()),
    }
}

/// Parses a network, or a single address.
fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    (text.parse().or_else(|_| address()))
        .map_err(|_| "must be a network such as 10.0.0.0/8 or fd00::/8, or an address".to_owned())
}

fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be more than 0".to_owned()),
        time => Ok(time),
    }
}

fn call_time(text: &str) -> Result<Duration, String> {
    match some_time(text)? {
        // The forwarded claims expire after this time.
        time if time > LONGEST_CALL => Err(format!("must be at most {LONGEST_CALL:?}")),
        time => Ok(time),
    }
}

/// An operator's own service: `SERVICE=URL[;public][;max=DURATION]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Full name, such as `acme.billing.v1.BillingService`.
    pub service: String,
    pub url: String,
    /// Whether callers without a token may call it.
    pub public: bool,
    /// Maximum deadline of a call, also of one without `grpc-timeout`.
    pub max: Option<Duration>,
}

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let explain = || {
            format!(
                "{text:?} is not of the form package.v1.Service=http://HOST:PORT, optionally \
                 followed by ;public or ;max=5m"
            )
        };
        let (service, rest) = text.split_once('=').ok_or_else(explain)?;
        let mut parts = rest.split(';');
        let url = parts.next().unwrap_or_default();
        let (mut public, mut max) = (false, None);
        for part in parts {
            match part.split_once('=') {
                None if part == "public" && !public => public = true,
                Some(("max", time)) if max.is_none() => max = Some(some_time(time)?),
                _ => return Err(explain()),
            }
        }
        let named = |c: char| c.is_ascii_alphanumeric() || "._".contains(c);
        if service.is_empty() || url.is_empty() || !service.chars().all(named) {
            return Err(explain());
        }
        settings::urls("a routed service", url).map_err(|error| error.to_string())?;
        for taken in ["clinic.", "grpc."] {
            if service.starts_with(taken) {
                return Err(format!("{service} is reserved: a route cannot replace it"));
            }
        }
        Ok(Self { service: service.to_owned(), url: url.to_owned(), public, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_as_browsers_send_them_are_accepted() {
        for text in ["https://app.example", "http://localhost:5173", "http://[::1]:3000"] {
            assert_eq!(origin(text).as_deref(), Ok(text));
        }
        let bad = ["", "*", "null", "app.example", "https://app.example/", "https://app.example/x"];
        for text in
            bad.into_iter().chain(["https://App.example", "ftp://x", "https://", "https://x?"])
        {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_deadline_is_positive_and_at_most_the_lifetime_of_the_claims() {
        for (text, time) in [("1ms", 1), ("30s", 30_000), ("1m", 60_000)] {
            assert_eq!(call_time(text), Ok(Duration::from_millis(time)));
        }
        for bad in ["0s", "61s", "2m", "soon"] {
            assert!(call_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_route_names_a_service_and_a_url() {
        let route: Route = "acme.v1.Billing=http://localhost:1;public".parse().unwrap();
        assert_eq!((route.service.as_str(), route.public), ("acme.v1.Billing", true));
        assert!(!"acme.v1.Billing=http://localhost:1".parse::<Route>().unwrap().public);
        let route: Route = "acme.v1.Billing=http://localhost:1;max=5m;public".parse().unwrap();
        assert_eq!((route.max, route.public), (Some(Duration::from_secs(300)), true));
        let bad = [
            "",
            "a",
            "a=http://x;max=0s",
            "a=http://x;max=soon",
            "a=http://x;public;public",
            "=http://x",
            "a=",
            "a=http://x;open",
            "a=127.0.0.1:1",
            "a b=http://x",
            "clinic.auth.v1.AuthService=http://x",
            "grpc.health.v1.Health=http://x",
        ];
        for text in bad {
            assert!(text.parse::<Route>().is_err(), "{text}");
        }
    }
}
