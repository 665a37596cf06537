//! Another gateway in front of the suite, with settings that [`Suite`] does not have.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use clinic_gateway::Config;
use clinic_testkit::Suite;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;

#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    config: Config,
}

/// A gateway that runs until it is dropped.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    shutdown: DropGuard,
    server: JoinHandle<()>,
}

impl Gateway {
    /// Starts a gateway in front of the suite's services; `configure` can change its settings.
    pub(crate) async fn start(suite: &Suite, configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Defaults::parse_from(["gateway"]).config;
        config.auth_url = format!("http://{}", suite.auth);
        config.records_url = format!("http://{}", suite.records);
        config.assignment_url = format!("http://{}", suite.assignment);
        let named = ["auth", "records", "assignment"];
        let others = suite.services.iter().filter(|(name, _)| !named.contains(name));
        config.upstreams =
            others.map(|(name, at)| ((*name).to_owned(), format!("http://{at}"))).collect();
        config.keys.keys_dir = suite.keys().path().to_owned();
        configure(&mut config);
        let gateway = clinic_gateway::open(&config, suite.clock.clone()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let server = tokio::spawn(async move { gateway.run(listener, token).await.unwrap() });
        Self { address, shutdown: shutdown.drop_guard(), server }
    }

    /// Shuts the gateway down and waits until it has stopped.
    pub(crate) async fn stop(self) {
        drop(self.shutdown);
        let ended = tokio::time::timeout(Duration::from_secs(30), self.server);
        ended.await.expect("the gateway must stop").unwrap();
    }

    pub(crate) async fn channel(&self) -> Channel {
        self.try_channel().await.unwrap()
    }

    pub(crate) async fn try_channel(&self) -> Result<Channel, tonic::transport::Error> {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await
    }
}
