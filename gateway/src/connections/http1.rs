//! Serves HTTP/1.1 with hyper, and handles what hyper does not: early responses, unread responses
//! and ambiguous heads. A header conflict applies to the whole connection: an earlier request that
//! was pipelined with the faulty one gets 400 too.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use clinic_net::http2::Bounds;
use clinic_net::memory_quota::Reservation;
use http::header::{self, HeaderValue};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;

use super::{MAX_HEAD, Serving, framing, unread_body};
use crate::idle_timeout::Sending;

/// Keep-alive timeout. Most proxies use one minute; with a longer timeout here the proxy closes the
/// connection, and never sends a request on one that the gateway is closing.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

static HTTP1: LazyLock<http1::Builder> = LazyLock::new(|| {
    let mut http = http1::Builder::new();
    let buffer = usize::try_from(MAX_HEAD).unwrap_or(usize::MAX).saturating_add(16 * 1024);
    http.timer(TokioTimer::new()).header_read_timeout(KEEP_ALIVE).max_buf_size(buffer);
    http
});

/// The request that is being answered.
#[derive(Default)]
struct Current {
    noted: Mutex<Noted>,
    /// Whether the client may still be sending when the connection is closed.
    unread: AtomicBool,
}

/// The response's bounds, and its bytes that count for the account.
#[derive(Default)]
struct Noted {
    bounds: Option<Bounds>,
    held: Option<Reservation>,
}

impl Serving<'_> {
    pub(super) async fn http1(self) -> Result<()> {
        let current = Arc::<Current>::default();
        let (stream, conflict) = framing::inspected(self.stream);
        let service = service_fn(|request| {
            let (current, conflict) = (current.clone(), conflict.clone());
            let (service, peer, running) =
                (self.service.clone(), self.peer, self.permit.activity.begin());
            async move {
                current.note(None);
                let malformed = malformed(&request, &conflict);
                let (request, leftover) = unread_body::track(request);
                let mut response = match malformed {
                    Some(why) => service.refuse(request.headers(), why),
                    None => service.handle(request, peer).await,
                };
                let is_clear = match leftover {
                    Some(leftover) => leftover.read().await,
                    None => true,
                };
                if !is_clear || malformed.is_some() {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                    current.unread.store(true, Ordering::Relaxed);
                }
                current.note(response.extensions_mut().remove());
                Ok::<Response<Sending>, Infallible>(response.map(|body| running.until_sent(body)))
            }
        });
        let connection = HTTP1.serve_connection(TokioIo::new(stream), service);
        let (mut connection, mut closing) = (pin!(connection), self.closing);
        let patience = |blocked: Option<Instant>| current.ends_at(blocked.is_some());
        let served = tokio::select! {
            biased;
            served = self.outgoing.of(connection.as_mut(), patience) => served,
            _ = &mut closing => {
                connection.as_mut().graceful_shutdown();
                self.outgoing.of(connection, patience).await
            }
        };
        if current.unread.load(Ordering::Relaxed) {
            self.outgoing.linger().await;
        }
        // None if the client was not reading when the response's deadline passed.
        served.transpose()?;
        Ok(())
    }
}

impl Current {
    fn note(&self, bounds: Option<Bounds>) {
        *self.lock() = Noted { bounds, held: None };
    }

    /// Returns the deadline of a blocked response, and counts its bytes while it is blocked. The
    /// deadline is now if the account would hold too many bytes.
    fn ends_at(&self, is_blocked: bool) -> Option<Instant> {
        let mut noted = self.lock();
        if !is_blocked {
            noted.held = None;
            return None;
        }
        let Bounds { ends_at, account, behind } = noted.bounds?;
        if noted.held.is_none() {
            match account.hold(behind) {
                Ok(held) => noted.held = Some(held),
                Err(_) => return Some(Instant::now()),
            }
        }
        ends_at
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns why a proxy in front may have read the request differently (RFC 9112, 3.2 and 6.1).
fn malformed(request: &Request<Incoming>, conflict: &AtomicBool) -> Option<&'static str> {
    if conflict.load(Ordering::Relaxed) {
        return Some(
            "This request has both content-length and transfer-encoding: send only one of them.\n",
        );
    }
    let hosts = request.headers().get_all(header::HOST).iter().count();
    let needed = request.version() == Version::HTTP_11;
    match hosts {
        0 if needed => Some("This request has no host header: send one.\n"),
        0 | 1 => None,
        _ => Some("This request has more than one host header: send only one.\n"),
    }
}

#[cfg(test)]
mod tests {
    use clinic_identity::Principal;
    use clinic_net::memory_quota::MemoryQuota;

    use super::*;

    #[test]
    fn a_response_counts_for_the_account_only_while_the_client_does_not_read() {
        let account = MemoryQuota::leaked().of(&Principal::Anonymous, None);
        let ends_at = Some(Instant::now());
        let current = Current::default();
        current.note(Some(Bounds { ends_at, account, behind: 30 * 1024 * 1024 }));
        assert_eq!(current.ends_at(true), ends_at);
        assert!(account.check().is_err());
        assert_eq!(current.ends_at(false), None);
        assert!(account.check().is_ok());
    }
}
