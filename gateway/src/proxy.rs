//! Authenticates, authorizes and forwards a call to its upstream. Knows the names of services and
//! methods, but not their messages.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use clinic_identity::{
    AllowedCallers, Authenticated, ClaimsSigner, Denied, Policy, Principal, Roles, Rule,
};
use clinic_net::health::Health;
use clinic_net::memory_quota::{Account, MemoryQuota};
use clinic_net::message_limit::{self, Expected};
use clinic_net::{Error, Upstream, format_timeout, logged, replace_tonic_error, requested_timeout};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

use crate::config::PublicSettings;
use crate::health::MAX_QUESTION;
use crate::jwks_cache::JwksCache;
use crate::routes::{Routes, TargetKind};
use crate::{bounded_body, metadata, reflection};

/// The services that the gateway answers itself.
const OWN_SERVICES: [&str; 2] = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];
/// Shorter timeouts count as expired, because timers have a resolution of one millisecond.
const SHORTEST: Duration = Duration::from_millis(1);

/// Request extension with what the HTTP layer found out.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) client_ip: Option<IpAddr>,
    pub(crate) request_id: HeaderValue,
    /// Number of the worker that serves the connection.
    pub(crate) worker: usize,
}

/// Forwards calls. Clones share everything.
#[derive(Clone)]
pub(crate) struct Proxy(Arc<Inner>);

struct Inner {
    routes: Arc<Routes>,
    policy: Policy,
    jwks: Arc<JwksCache>,
    signer: Arc<ClaimsSigner>,
    /// [`Authenticated::ANONYMOUS`], shared by all calls without a token.
    anonymous: Arc<Authenticated>,
    settings: PublicSettings,
    quota: MemoryQuota,
    /// Health and reflection, which the gateway answers itself.
    own: tonic::service::Routes,
}

impl Proxy {
    pub(crate) fn new(
        routes: Arc<Routes>,
        policy: Policy,
        jwks: Arc<JwksCache>,
        signer: Arc<ClaimsSigner>,
        settings: PublicSettings,
        (health, reflection): (Health, reflection::ReflectionService),
    ) -> Self {
        let mut own = tonic::service::Routes::builder();
        own.add_service(health.server()).add_service(reflection.server());
        Self(Arc::new(Inner {
            routes,
            policy,
            jwks,
            signer,
            anonymous: Authenticated::ANONYMOUS.into(),
            settings,
            quota: MemoryQuota::leaked(),
            own: own.routes().prepare(),
        }))
    }

    async fn forward(&self, mut request: Request<Body>) -> Result<Response<Body>, Error> {
        let path = request.uri().path();
        if path.starts_with("/grpc.") {
            return self.0.handle(request).await;
        }
        let origin = request.extensions().get::<Origin>();
        let origin = origin.ok_or_else(|| Error::internal("a request without its origin"))?;
        let call = self.admit(path, request.headers(), origin).await?;
        metadata::strip(request.headers_mut());
        // gRPC requires HTTP/2, also for a request that came over HTTP/1.1.
        *request.version_mut() = Version::HTTP_2;
        let expected =
            Expected::new(request.headers(), call.message_limit, !call.rule.takes_stream);
        let (parts, body) = request.into_parts();
        let (body, fault) = message_limit::limited(body, expected, None);
        let response = call.send(Request::from_parts(parts, body)).await;
        fault.error(expected.limit).map_or(response, Err)
    }

    /// Returns whether `path` may be that of a gRPC method. The methods of an operator's own
    /// service are not known, so every path is.
    pub(crate) fn has_method(&self, path: &str) -> bool {
        let target = service_name(path).and_then(|service| self.0.routes.get(service));
        match target.map(|target| &target.access) {
            Some(TargetKind::Contract) => self.0.policy.rule(path).is_some(),
            Some(TargetKind::Foreign { .. }) => true,
            None => path.starts_with("/grpc.") && service_name(path).is_some(),
        }
    }

    /// Finds the upstream, authenticates the caller, checks access and sets the deadline. `path` is
    /// `/package.Service/Method`.
    pub(crate) async fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        origin: &Origin,
    ) -> Result<Call<'_>, Error> {
        let this = &*self.0;
        let service = service_name(path).ok_or_else(Error::unknown_method)?;
        let target = this.routes.get(service).ok_or_else(Error::unknown_method)?;
        let rule = match target.access {
            TargetKind::Contract => *this.policy.rule(path).ok_or_else(Error::unknown_method)?,
            TargetKind::Foreign { public, .. } => {
                let access = if public { AllowedCallers::Public } else { AllowedCallers::SignedIn };
                Rule {
                    access,
                    takes_stream: true,
                    is_read: false,
                    is_repeatable: false,
                    compressible: false,
                }
            }
        };
        let caller = this.authenticate(headers, rule.access).await?;
        check(rule.access, &caller.principal)?;
        let account = this.quota.of(&caller.principal, origin.client_ip);
        account.check()?;
        let claims = this.signer.forward(&caller, origin.client_ip);
        let left = this.time(headers, &target.access)?;
        if left.is_some_and(|left| left < SHORTEST) {
            return Err(Error::deadline_exceeded());
        }
        Ok(Call {
            upstream: &target.upstream,
            caller,
            rule,
            claims: claims.map_err(Error::internal)?,
            origin: origin.clone(),
            timeout: left,
            deadline: left.and_then(|left| Instant::now().checked_add(left)),
            message_limit: this.settings.max_message_bytes,
            account,
        })
    }
}

/// An admitted call.
pub(crate) struct Call<'a> {
    upstream: &'a Upstream,
    caller: Arc<Authenticated>,
    rule: Rule,
    claims: HeaderValue,
    origin: Origin,
    /// The timeout at admission: often a round number, which HPACK can index. The gateway enforces
    /// the deadline itself.
    timeout: Option<Duration>,
    pub(crate) deadline: Option<Instant>,
    /// Maximum bytes of a message.
    pub(crate) message_limit: u32,
    pub(crate) account: Account,
}

impl Call<'_> {
    /// Returns the account that the response counts for.
    pub(crate) fn answers_for(&self) -> Account {
        if self.rule.is_read { self.account } else { self.account.of_write() }
    }

    /// Requires the caller to have one of these roles.
    pub(crate) fn only(&self, roles: Roles) -> Result<(), Error> {
        check(AllowedCallers::AnyOf(roles), &self.caller.principal)
    }

    /// Sends the call. The request must have only the headers that are for the service.
    pub(crate) async fn send(self, mut request: Request<Body>) -> Result<Response<Body>, Error> {
        metadata::check_size(request.headers())?;
        let account = self.answers_for();
        let timeout =
            self.timeout.and_then(|left| HeaderValue::from_str(&format_timeout(left)).ok());
        metadata::add(request.headers_mut(), self.claims, self.origin.request_id, timeout);
        let response = self.upstream.send(self.origin.worker, self.rule.is_repeatable, request);
        let response = match self.deadline {
            // The deadline first: a service has the same one, and many return CANCELLED when it
            // passes.
            Some(deadline) => tokio::select! {
                biased;
                () = sleep_until(deadline) => return Err(Error::deadline_exceeded()),
                response = response => response,
            },
            None => response.await,
        };
        Ok(bounded_body::bounded(response?, self.deadline, account))
    }
}

impl Inner {
    /// Answers health and reflection requests. They need no token, so the deadlines of calls apply,
    /// except to a health watch without `grpc-timeout`.
    async fn handle(&self, mut request: Request<Body>) -> Result<Response<Body>, Error> {
        if request.uri().path() == reflection::V1ALPHA {
            *request.uri_mut() = Uri::from_static(reflection::V1);
        }
        let service = service_name(request.uri().path());
        if !service.is_some_and(|service| OWN_SERVICES.contains(&service)) {
            return Err(Error::unknown_method());
        }
        let endless = request.uri().path() == "/grpc.health.v1.Health/Watch"
            && !request.headers().contains_key("grpc-timeout");
        let left = self.time(request.headers(), &TargetKind::Contract)?;
        let deadline = Instant::now() + left.unwrap_or(self.settings.default_deadline);
        let client_ip = request.extensions().get::<Origin>().and_then(|origin| origin.client_ip);
        let account = self.quota.of(&Principal::Anonymous, client_ip);
        let response = timeout_at(deadline, self.own.clone().oneshot(request)).await;
        let response = response.map_err(|_| Error::deadline_exceeded())?;
        let response = replace_tonic_error(
            response.unwrap_or_else(|never| match never {}),
            MAX_QUESTION.into(),
        );
        Ok(bounded_body::bounded(response, (!endless).then_some(deadline), account))
    }

    /// Authenticates a caller by the access token, if there is one.
    async fn authenticate(
        &self,
        headers: &HeaderMap,
        access: AllowedCallers,
    ) -> Result<Arc<Authenticated>, Error> {
        let Some(token) = metadata::bearer(headers)? else { return Ok(self.anonymous.clone()) };
        let caller = self.jwks.verify(token, access == AllowedCallers::Public).await?;
        Ok(caller.unwrap_or_else(|| self.anonymous.clone()))
    }

    /// Returns a call's timeout. A routed service may have its own maximum. Without one, calls get
    /// the timeout that they ask for, or none.
    fn time(&self, headers: &HeaderMap, access: &TargetKind) -> Result<Option<Duration>, Error> {
        let asked = requested_timeout(headers)?;
        let (default, most) = match access {
            TargetKind::Contract => {
                (Some(self.settings.default_deadline), Some(self.settings.max_deadline))
            }
            TargetKind::Foreign { max, .. } => (*max, *max),
        };
        Ok(granted(asked, default, most))
    }
}

/// Returns the requested or default timeout, capped at `most`.
fn granted(
    asked: Option<Duration>,
    default: Option<Duration>,
    most: Option<Duration>,
) -> Option<Duration> {
    let time = asked.or(default)?;
    Some(most.map_or(time, |most| time.min(most)))
}

fn check(access: AllowedCallers, principal: &Principal) -> Result<(), Error> {
    access.check(principal).map_err(|denied| match denied {
        Denied::Unauthenticated => Error::invalid_token(),
        Denied::RoleRequired => Error::role_required(),
    })
}

/// Returns the service in a path: `/package.Service/Method` → `package.Service`.
pub(crate) fn service_name(path: &str) -> Option<&str> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    (!service.is_empty() && !method.is_empty() && !method.contains('/')).then_some(service)
}

impl Service<Request<Body>> for Proxy {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (proxy, began) = (self.clone(), std::time::Instant::now());
        Box::pin(async move {
            let response = proxy.forward(request).await;
            let response = response.unwrap_or_else(|error| Status::from(error).into_http());
            Ok(logged(response, began))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_gets_the_requested_or_default_timeout_up_to_the_maximum() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (asked, default, most, time) in [
            (None, seconds(30), seconds(60), seconds(30)),
            (seconds(5), seconds(30), seconds(60), seconds(5)),
            (seconds(3600), seconds(30), seconds(60), seconds(60)),
            (None, seconds(30), seconds(10), seconds(10)),
            (seconds(3600), None, None, seconds(3600)),
            (None, None, None, None),
        ] {
            assert_eq!(granted(asked, default, most), time, "{asked:?} {default:?} {most:?}");
        }
    }
}
