//! The server that runs a service.

use std::convert::Infallible;
use std::error::Error as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clinic_net::health::Health;
use clinic_net::process::{on_signals, ready};
use clinic_net::settings::Serving;
use clinic_net::{Shutdown, bind, drain};
use clinic_store::Db;
use futures::future::BoxFuture;
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tonic_health::pb::health_check_response::ServingStatus;
use tower::Service;

use crate::GuardLayer;
use crate::connections::serve;

/// Interval of readiness checks.
const READINESS_EVERY: Duration = Duration::from_secs(1);

/// A gRPC server that is ready to run.
pub struct Server {
    name: &'static str,
    routes: RoutesBuilder,
    services: Vec<&'static str>,
    guard: GuardLayer,
    grace: Duration,
    db: Option<Db>,
    background: Vec<BoxFuture<'static, ()>>,
}

impl Server {
    /// Creates a server behind a guard. On shutdown, running calls get `grace` to finish.
    pub fn new(name: &'static str, guard: GuardLayer, grace: Duration) -> Self {
        Self {
            name,
            routes: RoutesBuilder::default(),
            services: Vec::new(),
            guard,
            grace,
            db: None,
            background: Vec::new(),
        }
    }

    /// Returns the name of the process.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Adds a gRPC service.
    pub fn service<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        self.services.push(S::NAME);
        self.routes.add_service(service);
        self
    }

    /// Reports ready only while this database responds and accepts writes. Closes it on shutdown.
    pub fn database(mut self, db: Db) -> Self {
        self.db = Some(db);
        self
    }

    /// Adds background work, which is dropped when the server stops.
    pub fn background(mut self, work: impl Future<Output = ()> + Send + 'static) -> Self {
        self.background.push(Box::pin(work));
        self
    }

    /// Serves until `shutdown` begins, then lets running calls finish within the grace period.
    pub async fn run(mut self, listener: TcpListener, shutdown: impl Into<Shutdown>) -> Result<()> {
        let shutdown = shutdown.into();
        let health = Health::default();
        self.routes.add_service(health.server());
        add_reflection(&mut self.routes, &self.services)?;

        let mut tasks: JoinSet<()> = self.background.into_iter().collect();
        tasks.spawn(watch_readiness(health.clone(), self.services, self.db.clone()));
        let announced = shutdown.announced().clone();
        tasks.spawn(async move {
            announced.cancelled().await;
            health.end();
        });

        tracing::info!(name = self.name, address = %listener.local_addr()?, "serving");
        let service = self.guard.layer(self.routes.routes().prepare());
        let begun = shutdown.begun();
        drain(serve(listener, service, begun.clone()), begun, self.grace).await;
        tasks.shutdown().await;
        if let Some(db) = &self.db {
            // A hanging statement must not delay the exit.
            let _ = tokio::time::timeout(self.grace, db.close()).await;
        }
        tracing::info!(name = self.name, calls = self.guard.calls(), "stopped");
        Ok(())
    }
}

/// Opens a server, prints `<name> ready: http://ADDRESS`, and serves until SIGTERM or Ctrl-C. Both
/// signals also end the opening. Without this handler, PID 1 of a container would ignore them.
pub(crate) async fn serve_until_signal(
    opening: impl Future<Output = Result<Server>>,
    address: &str,
    serving: &Serving,
) -> Result<()> {
    // Before the ready line is printed, because a supervisor may stop the process right after it.
    let shutdown = on_signals(serving.shutdown_delay)?;
    let server = tokio::select! {
        server = opening => server?,
        () = shutdown.announced().cancelled() => return Ok(()),
    };
    let listener = bind(address).await?;
    ready(server.name(), "http", listener.local_addr()?);
    server.run(listener, shutdown).await
}

async fn watch_readiness(health: Health, services: Vec<&'static str>, db: Option<Db>) {
    let set = |status| {
        let names = services.iter().copied().chain([""]);
        health.set(names.map(|name| (name.to_owned(), status)).collect());
    };
    set(ServingStatus::Serving);
    let Some(db) = db else { return };
    let mut serving = true;
    loop {
        tokio::time::sleep(READINESS_EVERY).await;
        let checked = db.check().await;
        if checked.is_ok() == serving {
            continue;
        }
        serving = checked.is_ok();
        set(if serving { ServingStatus::Serving } else { ServingStatus::NotServing });
        match checked {
            Ok(()) => tracing::info!("the database accepts writes again"),
            Err(error) => {
                let cause = error.source().map(tracing::field::display);
                tracing::warn!(cause, "the database does not respond or accepts no writes");
            }
        }
    }
}

/// Adds the reflection services: v1, and v1alpha for older tools.
fn add_reflection(routes: &mut RoutesBuilder, services: &[&'static str]) -> Result<()> {
    let builder = || {
        let mut builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(clinic_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // Lets tools decode the details of errors.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
        for service in services.iter().chain(&INFRASTRUCTURE) {
            builder = builder.with_service_name(*service);
        }
        builder
    };
    let why = "the reflection service cannot be built";
    let (v1, v1alpha) = (builder().build_v1(), builder().build_v1alpha());
    let gzip = CompressionEncoding::Gzip;
    routes.add_service(v1.context(why)?.accept_compressed(gzip));
    routes.add_service(v1alpha.context(why)?.accept_compressed(gzip));
    Ok(())
}

const INFRASTRUCTURE: [&str; 2] = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_start_that_waits_hears_sigterm() {
        let opening = async {
            let kill = format!("kill -TERM {}", std::process::id());
            assert!(std::process::Command::new("sh").args(["-c", &kill]).status()?.success());
            std::future::pending().await
        };
        let serving = Serving { shutdown_delay: Duration::ZERO, shutdown_grace: Duration::ZERO };
        let served = serve_until_signal(opening, "127.0.0.1:0", &serving);
        let ended = tokio::time::timeout(Duration::from_secs(20), served).await;
        assert!(ended.expect("it ends").is_ok());
    }
}
