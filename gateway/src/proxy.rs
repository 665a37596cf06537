//! The heart of the gateway: one call, from the verified token to the upstream and back.
//! Knows services and methods by name, and nothing of their messages.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use clinic_identity::{
    Access, Authenticated, ClaimsSigner, Denied, Policy, Principal, Roles, Rule, TokenError,
};
use clinic_net::frames::{self, Expected};
use clinic_net::health::Health;
use clinic_net::holdings::{Account, Holdings};
use clinic_net::{Error, Upstream, asked_timeout, format_timeout, logged, reworded};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

use crate::config::Limits;
use crate::keyring::{Keyring, Refused};
use crate::routes::{Routes, TargetAccess};
use crate::{answer, metadata, reflection};

/// Bytes of a question about health or reflection, which are asked without a token.
pub(crate) const MAX_QUESTION: u16 = 4 * 1024;
/// Shorter timeouts have already passed: timers count in milliseconds.
const SHORTEST: Duration = Duration::from_millis(1);

/// What the HTTP side knows of a request; in its extensions.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) client_ip: Option<IpAddr>,
    pub(crate) request_id: HeaderValue,
    /// The number of the worker that serves it.
    pub(crate) worker: usize,
}

/// See the module. Clones share everything.
#[derive(Clone)]
pub(crate) struct Proxy(Arc<Inner>);

struct Inner {
    routes: Arc<Routes>,
    policy: Policy,
    keyring: Arc<Keyring>,
    signer: Arc<ClaimsSigner>,
    /// [`Authenticated::ANONYMOUS`], shared by all calls without a token.
    anonymous: Arc<Authenticated>,
    limits: Limits,
    holdings: Holdings,
    /// Health and reflection, which the gateway answers itself.
    own: tonic::service::Routes,
}

impl Proxy {
    pub(crate) fn new(
        routes: Arc<Routes>,
        policy: Policy,
        keyring: Arc<Keyring>,
        signer: Arc<ClaimsSigner>,
        limits: Limits,
        (health, reflection): (Health, reflection::Merged),
    ) -> Self {
        let mut own = tonic::service::Routes::builder();
        own.add_service(health.server());
        own.add_service(reflection.clone().v1()).add_service(reflection.v1alpha());
        Self(Arc::new(Inner {
            routes,
            policy,
            keyring,
            signer,
            anonymous: Authenticated::ANONYMOUS.into(),
            limits,
            holdings: Holdings::leaked(),
            own: own.routes().prepare(),
        }))
    }

    async fn forward(&self, mut request: Request<Body>) -> Result<Response<Body>, Error> {
        let path = request.uri().path();
        if path.starts_with("/grpc.") {
            return self.0.answer(request).await;
        }
        let origin = request.extensions().get::<Origin>();
        let origin = origin.ok_or_else(|| Error::internal("a request without its origin"))?;
        let call = self.admit(path, request.headers(), origin).await?;
        metadata::strip(request.headers_mut());
        // What came over HTTP/1.1 goes on over HTTP/2, as gRPC must.
        *request.version_mut() = Version::HTTP_2;
        call.send(request).await
    }

    /// Whether a gRPC method answers at that path. Of an operator's own service all may.
    pub(crate) fn has_method(&self, path: &str) -> bool {
        let target = service_name(path).and_then(|service| self.0.routes.get(service));
        match target.map(|target| &target.access) {
            Some(TargetAccess::Contract) => self.0.policy.rule(path).is_some(),
            Some(TargetAccess::Foreign { .. }) => true,
            None => path.starts_with("/grpc.") && service_name(path).is_some(),
        }
    }

    /// Finds the upstream, authenticates the caller, checks access and sets the deadline. `path` is
    /// the method's, as gRPC writes it.
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
            TargetAccess::Contract => *this.policy.rule(path).ok_or_else(Error::unknown_method)?,
            TargetAccess::Foreign { public, .. } => {
                let access = if public { Access::Public } else { Access::SignedIn };
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
        let account = this.holdings.of(&caller.principal, origin.client_ip);
        account.check()?;
        let claims = this.signer.forward(&caller, origin.client_ip);
        let left = this.time(headers, &target.access)?;
        if left.is_some_and(|left| left < SHORTEST) {
            return Err(Error::deadline_exceeded());
        }
        Ok(Call {
            upstream: &target.upstream,
            caller,
            claims: claims.map_err(Error::internal)?,
            request_id: origin.request_id.clone(),
            worker: origin.worker,
            timeout: left,
            deadline: left.and_then(|left| Instant::now().checked_add(left)),
            expected: Expected::new(headers, this.limits.message_bytes, !rule.takes_stream),
            account,
            is_read: rule.is_read,
            is_repeatable: rule.is_repeatable,
        })
    }
}

/// A call that may be made.
pub(crate) struct Call<'a> {
    upstream: &'a Upstream,
    caller: Arc<Authenticated>,
    claims: HeaderValue,
    request_id: HeaderValue,
    worker: usize,
    /// As it was at admission: a round number, which HPACK remembers. When it is up the call ends
    /// here, whatever the service thinks.
    timeout: Option<Duration>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) expected: Expected,
    pub(crate) account: Account,
    is_read: bool,
    is_repeatable: bool,
}

impl Call<'_> {
    /// The account that the answer counts for.
    pub(crate) fn answers_for(&self) -> Account {
        if self.is_read { self.account } else { self.account.of_write() }
    }

    /// Requires one of these roles.
    pub(crate) fn only(&self, roles: Roles) -> Result<(), Error> {
        check(Access::AnyOf(roles), &self.caller.principal)
    }

    /// Makes the call. The request's head must hold only what is for the service.
    pub(crate) async fn send(self, mut request: Request<Body>) -> Result<Response<Body>, Error> {
        metadata::check_size(request.headers())?;
        let account = self.answers_for();
        let timeout =
            self.timeout.and_then(|left| HeaderValue::from_str(&format_timeout(left)).ok());
        metadata::add(request.headers_mut(), self.claims, self.request_id, timeout);
        let (parts, body) = request.into_parts();
        let (body, fault) = frames::checked(body, self.expected, None);
        let request = Request::from_parts(parts, body);
        let answer = self.upstream.send(self.worker, self.is_repeatable, request);
        let answer = match self.deadline {
            // The clock first: a service keeps the same time, and many say CANCELLED when it is up.
            Some(deadline) => tokio::select! {
                biased;
                () = sleep_until(deadline) => return Err(Error::deadline_exceeded()),
                answer = answer => answer,
            },
            None => answer.await,
        };
        if let Some(error) = fault.error(self.expected.limit) {
            return Err(error);
        }
        Ok(answer::bounded(answer?, self.deadline, account))
    }
}

impl Inner {
    /// Answers health and reflection. They need no token, so a call's time limit holds, except for
    /// a watch without `grpc-timeout`.
    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Error> {
        let endless = request.uri().path() == "/grpc.health.v1.Health/Watch"
            && !request.headers().contains_key("grpc-timeout");
        let left = self.time(request.headers(), &TargetAccess::Contract)?;
        let deadline = Instant::now() + left.unwrap_or(self.limits.default_deadline);
        let client_ip = request.extensions().get::<Origin>().and_then(|origin| origin.client_ip);
        let account = self.holdings.of(&Principal::Anonymous, client_ip);
        let answer = timeout_at(deadline, self.own.clone().oneshot(request)).await;
        let answer = answer.map_err(|_| Error::deadline_exceeded())?;
        let answer = reworded(answer.unwrap_or_else(|never| match never {}), MAX_QUESTION.into());
        Ok(answer::bounded(answer, (!endless).then_some(deadline), account))
    }

    /// Authenticates a caller by its access token. On public methods an expired token, or one whose
    /// key is gone, counts as none: its client may be about to refresh it.
    async fn authenticate(
        &self,
        headers: &HeaderMap,
        access: Access,
    ) -> Result<Arc<Authenticated>, Error> {
        let Some(token) = metadata::bearer(headers)? else { return Ok(self.anonymous.clone()) };
        match self.keyring.verify(token).await {
            Err(Refused::Token(TokenError::Expired | TokenError::UnknownKey))
                if access == Access::Public =>
            {
                Ok(self.anonymous.clone())
            }
            verified => Ok(verified?),
        }
    }

    /// Returns a call's time. A routed service may have its own maximum; without one, clients get
    /// what they ask for, and no limit if they ask for none.
    fn time(&self, headers: &HeaderMap, access: &TargetAccess) -> Result<Option<Duration>, Error> {
        let asked = asked_timeout(headers)?;
        Ok(match access {
            TargetAccess::Contract => {
                let default = Some(self.limits.default_deadline);
                granted(asked, default, Some(self.limits.max_deadline))
            }
            TargetAccess::Foreign { max, .. } => granted(asked, *max, *max),
        })
    }
}

/// Returns the requested or default time, capped at `most`.
fn granted(
    asked: Option<Duration>,
    default: Option<Duration>,
    most: Option<Duration>,
) -> Option<Duration> {
    let time = asked.or(default)?;
    Some(most.map_or(time, |most| time.min(most)))
}

fn check(access: Access, principal: &Principal) -> Result<(), Error> {
    access.check(principal).map_err(|denied| match denied {
        Denied::Unauthenticated => Error::invalid_token(),
        Denied::RoleRequired => Error::role_required(),
    })
}

/// `/package.Service/Method` → `package.Service`.
fn service_name(path: &str) -> Option<&str> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    (!service.is_empty() && !method.is_empty() && !method.contains('/')).then_some(service)
}

impl Service<Request<Body>> for Proxy {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (proxy, began) = (self.clone(), std::time::Instant::now());
        Box::pin(async move {
            let answer = proxy.forward(request).await;
            let answer = answer.unwrap_or_else(|error| Status::from(error).into_http());
            Ok(logged(answer, began))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_gets_what_it_asks_for_up_to_the_most_and_otherwise_the_default() {
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
