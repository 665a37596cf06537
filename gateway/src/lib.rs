//! The edge: gRPC-Web, native gRPC and REST from outside, verified claims to the services within.
//!
//! Routes gRPC by service name and transcodes REST from `google.api.http`; knows no business rule
//! and has no database. From outside in: [`connections`]
//! (limits, TLS) → [`http`] (request id, CORS, security headers) → gRPC-Web translation, [`rest`], or
//! [`plain`] HTTP → [`proxy`] (access token, access rule, claims, deadline, upstream).

mod activity;
mod answer;
mod config;
mod connect;
mod connections;
mod forwarded;
mod health;
mod http;
mod keyring;
mod metadata;
mod plain;
mod proxy;
mod reflection;
mod rest;
mod routes;
mod welcome;
mod workers;

use std::sync::Arc;

use anyhow::Result;
use clinic_clock::Clock;
use clinic_identity::{AccessVerifier, Policy};
use clinic_net::health::Health;
use clinic_net::{Shutdown, settings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use config::{Config, Edge, Route};
use connections::Connections;
use keyring::Keyring;
use proxy::Proxy;
use routes::Routes;

/// The name under which the gateway signs claims; its key is trusted to speak for users.
const ISSUER: &str = "gateway";

/// A gateway that is put together and can be run.
pub struct Gateway {
    connections: Connections,
    keyring: Arc<Keyring>,
    health: Health,
    routes: Arc<Routes>,
}

/// Puts the gateway together.
pub async fn open(config: &Config, clock: Clock) -> Result<Gateway> {
    config.edge.check()?;
    let auth = settings::upstream("auth", &config.auth_url)?;
    let records = settings::upstream("records", &config.records_url)?;
    let assignment = settings::upstream("assignment", &config.assignment_url)?;
    let signer = Arc::new(config.keys.signer(ISSUER, &clock)?);
    let policy = Policy::from_descriptors(clinic_proto::FILE_DESCRIPTOR_SET)?;
    let routes = Arc::new(Routes::new(&[auth.clone(), records, assignment], &config.edge.routes)?);
    let keyring = Arc::new(Keyring::new(
        auth,
        signer.clone(),
        AccessVerifier::for_issuer(&config.issuer, clock.clone()),
    ));
    let reflection = reflection::Merged::new(routes.clone(), signer.clone())?;
    let health = Health::default();
    let proxy = Proxy::new(
        routes.clone(),
        policy,
        keyring.clone(),
        signer,
        config.limits(),
        (health.clone(), reflection),
    );
    let api_docs = config.edge.api_docs;
    let plain = plain::Pages::new(proxy.clone(), keyring.clone(), health.clone(), api_docs);
    let http = http::Edge::new(config, &proxy, plain, clock)?;
    Ok(Gateway { connections: Connections::new(config, http)?, keyring, health, routes })
}

impl Gateway {
    /// Serves until `shutdown` begins, then lets running calls finish within the grace.
    pub async fn run(self, listener: TcpListener, shutdown: impl Into<Shutdown>) -> Result<()> {
        let shutdown = shutdown.into();
        let ended = CancellationToken::new();
        let _ended = ended.clone().drop_guard();
        let (health, announced) = (self.health.clone(), shutdown.announced().clone());
        let follow = health::follow(self.health, self.routes);
        tokio::spawn(ended.clone().run_until_cancelled_owned(self.keyring.keep_fresh()));
        tokio::spawn(ended.clone().run_until_cancelled_owned(follow));
        tokio::spawn(ended.run_until_cancelled_owned(async move {
            announced.cancelled().await;
            health.end();
        }));
        tracing::info!(name = "clinic-gateway", address = %listener.local_addr()?, "serving");
        self.connections.run(listener, shutdown.begun().clone()).await;
        tracing::info!(name = "clinic-gateway", "stopped");
        Ok(())
    }
}
