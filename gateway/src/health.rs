//! `grpc.health.v1` for the whole suite: the gateway serves when every service of it does.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use clinic_chassis::Upstream;
use futures::future::join_all;
use futures::stream::{self, Stream, StreamExt as _};
use tokio::time::{sleep, timeout};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::routes::Routes;

const PATIENCE: Duration = Duration::from_secs(2);
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// See the module. Clones share everything.
#[derive(Clone)]
pub(crate) struct Merged(Arc<Routes>);

impl Merged {
    pub(crate) fn new(routes: Arc<Routes>) -> Self {
        Self(routes)
    }

    pub(crate) fn server(self) -> HealthServer<Self> {
        HealthServer::new(self)
    }

    /// Whether every service of the suite serves.
    pub(crate) async fn all_serve(&self) -> bool {
        let all = self.0.own().iter().map(|upstream| ask(upstream, String::new()));
        join_all(all).await.into_iter().all(|status| status == ServingStatus::Serving)
    }

    /// The state of one service, or of the suite (the empty name); none for an unknown service.
    async fn status(&self, service: &str) -> Option<ServingStatus> {
        if service.is_empty() {
            return Some(match self.all_serve().await {
                true => ServingStatus::Serving,
                false => ServingStatus::NotServing,
            });
        }
        let target = self.0.get(service)?;
        Some(ask(&target.upstream, service.to_owned()).await)
    }
}

async fn ask(upstream: &Upstream, service: String) -> ServingStatus {
    let mut client = HealthClient::new(upstream.clone());
    match timeout(PATIENCE, client.check(HealthCheckRequest { service })).await {
        Ok(Ok(answer)) => answer.into_inner().status(),
        Ok(Err(_)) | Err(_) => ServingStatus::NotServing,
    }
}

#[tonic::async_trait]
impl Health for Merged {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let status = self.status(&request.get_ref().service).await;
        let status = status.ok_or_else(|| Status::not_found("there is no such service here"))?;
        Ok(Response::new(answer(status)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (health, service) = (self.clone(), request.into_inner().service);
        let states = stream::unfold(None, move |last| {
            let (health, service) = (health.clone(), service.clone());
            async move {
                loop {
                    let status =
                        health.status(&service).await.unwrap_or(ServingStatus::ServiceUnknown);
                    if last != Some(status) {
                        return Some((Ok(answer(status)), Some(status)));
                    }
                    sleep(WATCH_EVERY).await;
                }
            }
        });
        Ok(Response::new(states.boxed()))
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
