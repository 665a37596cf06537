//! Protocols, limits and protections of the gateway. None of them depends on the database, so these
//! tests run on SQLite only.

mod browsers;
mod cancellation;
mod claims;
mod compression;
mod connect;
mod connections;
mod deadlines;
mod decode_errors;
mod documents;
mod echo;
mod forgery;
mod framing;
pub(crate) mod gateway;
mod health;
pub(crate) mod http1;
mod limits;
mod metadata;
mod options;
mod reflection;
mod restarts;
mod routes;
mod stalled;
mod tls;
mod tokens;
mod upstreams;
mod web;
mod welcome;

use clinic::Config;
use clinic_testkit::{Backend, Suite, run_with};
use tonic::transport::Channel;

use self::echo::Echo;
use self::echo::v1::echo_service_client::EchoServiceClient;

/// Runs a test on a suite with a route to the echo service, which signed-in callers may call.
async fn with_echo(test: impl AsyncFnOnce(&Suite, &Echo)) {
    let echo = Echo::start().await;
    let route = echo.route(false);
    let configure = |config: &mut Config| config.settings.gateway.routes.push(route);
    run_with(Backend::Sqlite, configure, async |suite| test(suite, &echo).await).await;
}

async fn channel(suite: &Suite) -> Channel {
    Channel::from_shared(format!("http://{}", suite.gateway)).unwrap().connect().await.unwrap()
}

/// Returns a client that calls the echo service through the gateway.
async fn echo_client(suite: &Suite) -> EchoServiceClient<Channel> {
    EchoServiceClient::new(channel(suite).await)
}

/// Returns a request with an access token.
fn signed_in<M>(message: M, token: &str) -> tonic::Request<M> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}
