//! The gateway accepts gRPC-Web, native gRPC and REST, and forwards calls with verified claims to
//! the services.
//!
//! It routes gRPC by service name and transcodes REST from `google.api.http`. It has no business
//! rules and no database. A request passes [`connections`] (limits, TLS) → [`http_service`]
//! (request id, CORS, security headers) → gRPC-Web translation, [`rest`], or [`static_pages`] →
//! [`proxy`] (access token, access rule, claims, deadline, upstream).

mod bounded_body;
mod config;
mod connect;
mod connections;
mod forwarded;
mod health;
mod http_service;
mod idle_timeout;
mod jwks_cache;
mod metadata;
mod proxy;
mod reflection;
mod responses;
mod rest;
mod routes;
mod static_pages;
mod welcome;
mod workers;

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::{Result, ensure};
use clinic_clock::Clock;
use clinic_identity::{AccessVerifier, Policy};
use clinic_net::health::Health;
use clinic_net::{Shutdown, settings};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use config::{Config, PublicSettings, Route};
use connections::{Certificates, Connections};
use jwks_cache::JwksCache;
use proxy::Proxy;
use routes::Routes;

/// Issuer of the claims that the gateway signs. Services trust its key to speak for users.
const ISSUER: &str = "gateway";

/// A configured gateway, ready to run.
pub struct Gateway {
    connections: Connections,
    jwks: Arc<JwksCache>,
    health: Health,
    routes: Arc<Routes>,
}

/// Checks the settings before anything is created.
pub fn check(settings: &PublicSettings) -> Result<()> {
    Certificates::open(settings)?;
    let mut routed = HashSet::new();
    for Route { service, .. } in &settings.routes {
        let first = routed.insert(service);
        ensure!(first, "{service} is routed twice: give each service one --route");
    }
    Ok(())
}

/// Checks the configuration and creates the gateway.
pub async fn open(config: &Config, clock: Clock) -> Result<Gateway> {
    check(&config.public)?;
    let signer = Arc::new(config.keys.signer(ISSUER, &clock)?);
    let policy = Policy::from_descriptors(clinic_proto::FILE_DESCRIPTOR_SET)?;
    let upstreams = config.upstreams();
    let auth = settings::upstream("auth", upstreams.get("auth").copied().unwrap_or_default())?;
    let routes = Arc::new(Routes::new(&policy, &upstreams, &config.public.routes)?);
    let jwks = Arc::new(JwksCache::new(
        auth,
        signer.clone(),
        AccessVerifier::for_issuer(&config.issuer, clock.clone()),
    ));
    let reflection = reflection::ReflectionService::new(routes.clone(), signer.clone())?;
    let health = Health::default();
    let proxy = Proxy::new(
        routes.clone(),
        policy,
        jwks.clone(),
        signer,
        config.public.clone(),
        (health.clone(), reflection),
    );
    let api_docs = config.public.api_docs;
    let pages = static_pages::Pages::new(proxy.clone(), jwks.clone(), health.clone(), api_docs);
    let http = http_service::HttpService::new(config, proxy, pages, clock)?;
    Ok(Gateway { connections: Connections::new(config, http)?, jwks, health, routes })
}

impl Gateway {
    /// Serves until `shutdown` begins, then lets running calls finish within the grace period.
    pub async fn run(self, listener: TcpListener, shutdown: impl Into<Shutdown>) -> Result<()> {
        let shutdown = shutdown.into();
        let (health, announced) = (self.health.clone(), shutdown.announced().clone());
        let end_health = async move {
            announced.cancelled().await;
            health.end();
        };
        let follow = health::follow(self.health, self.routes);
        // Separate tasks, so that a panic in one does not stop the others.
        let mut background = JoinSet::new();
        background.spawn(self.jwks.keep_fresh());
        background.spawn(follow);
        background.spawn(end_health);
        tracing::info!(name = "clinic-gateway", address = %listener.local_addr()?, "serving");
        self.connections.run(listener, shutdown.begun().clone()).await;
        tracing::info!(name = "clinic-gateway", "stopped");
        Ok(())
    }
}
