//! The `grpc.health.v1` service.

use std::collections::HashMap;

use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::watch;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// Maximum bytes of a request. Small, because no token is required.
const MOST: usize = 4 * 1024;

/// The state of each gRPC service, and of the process under the empty name.
pub type States = HashMap<String, ServingStatus>;

/// See the module. Clones share everything.
#[derive(Clone, Default)]
pub struct Health(watch::Sender<Known>);

#[derive(Clone, Default, PartialEq)]
struct Known {
    /// None until known. Requests wait for it.
    states: Option<States>,
    /// Whether the server is stopping.
    ends: bool,
}

impl Known {
    /// Returns the state of a service. None if it is unknown.
    fn state(&self, service: &str) -> Option<ServingStatus> {
        let state = self.states.as_ref().and_then(|states| states.get(service)).copied();
        let is_known = state.is_some() || self.states.is_none();
        if self.ends && is_known { Some(ServingStatus::NotServing) } else { state }
    }

    fn is_known(&self) -> bool {
        self.states.is_some() || self.ends
    }
}

impl Health {
    /// Sets the state of every service.
    pub fn set(&self, states: States) {
        self.change(|known| known.states = Some(states));
    }

    /// Sets every service to not serving for good. Watches report this and then end.
    pub fn end(&self) {
        self.change(|known| known.ends = true);
    }

    /// Returns the state of a service, or None if it is unknown.
    pub async fn state(&self, service: &str) -> Option<ServingStatus> {
        let mut known = self.0.subscribe();
        known.wait_for(Known::is_known).await.ok()?.state(service)
    }

    /// Returns why the process does not serve, or None if it does.
    pub async fn trouble(&self) -> Option<String> {
        if self.state("").await == Some(ServingStatus::Serving) {
            return None;
        }
        let known = self.0.borrow();
        if known.ends {
            return Some("this process is stopping".to_owned());
        }
        let states = known.states.iter().flatten();
        let mut names: Vec<_> = states
            .filter(|(name, state)| !name.is_empty() && **state == ServingStatus::NotServing)
            .map(|(name, _)| name.as_str())
            .collect();
        names.sort_unstable();
        Some(format!("not serving: {}", names.join(", ")))
    }

    /// Returns the gRPC service.
    pub fn server(&self) -> HealthServer<Self> {
        HealthServer::new(self.clone())
            .max_decoding_message_size(MOST)
            .accept_compressed(CompressionEncoding::Gzip)
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        self.0.send_if_modified(|known| {
            let before = known.clone();
            change(known);
            *known != before
        });
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let state = self.state(&request.get_ref().service).await;
        let state = state.ok_or_else(|| Status::not_found("there is no such service here"))?;
        Ok(Response::new(HealthCheckResponse { status: state.into() }))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let state = move |known: &Known| {
            let unknown = ServingStatus::ServiceUnknown;
            known.is_known().then(|| (known.state(&service).unwrap_or(unknown), known.ends))
        };
        let begin = (self.0.subscribe(), state, None);
        let states = stream::unfold(begin, async |(mut known, state, last)| {
            // Nothing follows the end.
            if last.is_some_and(|(_, ends)| ends) {
                return None;
            }
            let now = state(&*known.wait_for(|known| state(known) != last).await.ok()?);
            let response = HealthCheckResponse { status: now?.0.into() };
            Some((Ok(response), (known, state, now)))
        });
        Ok(Response::new(states.boxed()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::health_server::Health as _;
    use super::*;

    #[tokio::test]
    async fn a_watch_hears_that_the_server_ends_and_then_ends_itself() {
        let health = Health::default();
        health.set(States::from([(String::new(), ServingStatus::Serving)]));
        let watch = health.watch(Request::new(HealthCheckRequest::default())).await.unwrap();
        let mut states = watch.into_inner().map(|state| state.unwrap().status());
        let mut next = async || {
            timeout(Duration::from_secs(20), states.next()).await.expect("nothing is said")
        };
        assert_eq!(next().await, Some(ServingStatus::Serving));
        health.end();
        // Ignored, because the server is stopping.
        health.set(States::from([(String::new(), ServingStatus::Serving)]));
        assert_eq!(next().await, Some(ServingStatus::NotServing));
        assert_eq!(next().await, None);
        assert_eq!(health.state("").await, Some(ServingStatus::NotServing));
        assert_eq!(health.state("no.such.Service").await, None);
    }
}
