//! `grpc.health.v1` for the whole suite: the gateway serves when every service of it does.
//!
//! The services are polled in the background, so that health checks of the gateway, which need no
//! token, cost the services nothing.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use clinic_chassis::Upstream;
use futures::future::join_all;
use futures::stream::{self, Stream, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::proxy::MAX_QUESTION;
use crate::routes::{Routes, TargetAccess};

const PATIENCE: Duration = Duration::from_secs(2);
/// Polling interval while every service serves.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Polling interval otherwise. It delays callers that wait for the suite to start.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// See the module. Clones share everything.
#[derive(Clone)]
pub(crate) struct Merged {
    routes: Arc<Routes>,
    /// None until all were asked for the first time.
    known: watch::Sender<Option<States>>,
}

/// The state of each service, and of the suite under the empty name.
type States = HashMap<String, ServingStatus>;

impl Merged {
    pub(crate) fn new(routes: Arc<Routes>) -> Self {
        Self { routes, known: watch::Sender::default() }
    }

    pub(crate) fn server(self) -> HealthServer<Self> {
        HealthServer::new(self)
            .max_decoding_message_size(MAX_QUESTION.into())
            .accept_compressed(CompressionEncoding::Gzip)
    }

    /// Whether every service of the suite serves.
    pub(crate) async fn all_serve(&self) -> bool {
        self.state("").await == Some(ServingStatus::Serving)
    }

    /// The state of one service, or of the suite (the empty name); none for an unknown service.
    async fn state(&self, service: &str) -> Option<ServingStatus> {
        let mut known = self.known.subscribe();
        let known = known.wait_for(Option::is_some).await.ok()?;
        known.as_ref()?.get(service).copied()
    }

    /// Asks the services again and again.
    pub(crate) async fn keep_fresh(self) {
        loop {
            let states = Some(self.ask_all().await);
            self.known.send_if_modified(|known| {
                let changed = *known != states;
                *known = states;
                changed
            });
            sleep(if self.all_serve().await { ASK_EVERY } else { ASK_AGAIN }).await;
        }
    }

    async fn ask_all(&self) -> States {
        let asked = self.routes.iter().map(async |(name, target)| {
            let state = ask(&target.upstream, name).await;
            (name.to_owned(), state, matches!(target.access, TargetAccess::Contract))
        });
        let answers = join_all(asked).await;
        let suite = answers.iter().all(|(_, state, own)| !own || *state == ServingStatus::Serving);
        let suite = if suite { ServingStatus::Serving } else { ServingStatus::NotServing };
        let states = answers.into_iter().map(|(name, state, _)| (name, state));
        states.chain([(String::new(), suite)]).collect()
    }
}

async fn ask(upstream: &Upstream, service: &str) -> ServingStatus {
    let mut client = HealthClient::new(upstream.clone());
    let request = HealthCheckRequest { service: service.to_owned() };
    match timeout(PATIENCE, client.check(request)).await {
        Ok(Ok(answer)) => answer.into_inner().status(),
        // It answers, but has no health service: an operator's own service need not have one.
        Ok(Err(status)) if matches!(status.code(), Code::Unimplemented | Code::NotFound) => {
            ServingStatus::Unknown
        }
        Ok(Err(_)) | Err(_) => ServingStatus::NotServing,
    }
}

#[tonic::async_trait]
impl Health for Merged {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let state = self.state(&request.get_ref().service).await;
        let state = state.ok_or_else(|| Status::not_found("there is no such service here"))?;
        Ok(Response::new(answer(state)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let known = self.known.subscribe();
        let state = move |known: &Option<States>| {
            let unknown = ServingStatus::ServiceUnknown;
            known.as_ref().map(|known| known.get(&service).copied().unwrap_or(unknown))
        };
        let states = stream::unfold((known, state, None), async |(mut known, state, last)| {
            let now = state(&*known.wait_for(|known| state(known) != last).await.ok()?);
            Some((Ok(answer(now?)), (known, state, now)))
        });
        Ok(Response::new(states.boxed()))
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
