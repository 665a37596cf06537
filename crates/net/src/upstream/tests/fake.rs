//! Fake replicas that misbehave in the way that a test needs.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Response, Uri};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tonic_health::pb::HealthCheckResponse;
use tonic_health::pb::health_check_response::ServingStatus;

use super::url;

/// What a replica does with a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Does {
    Answers,
    /// Sends half of the response, then closes the connection.
    Breaks,
    /// Closes the connection.
    HangsUp,
    /// Refuses the stream.
    Refuses,
    /// Sends a GOAWAY and accepts no call.
    GoesAway,
    SaysUnavailable,
    SaysNothing,
}

/// A fake replica.
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

struct Shared {
    does: Mutex<(Does, ServingStatus)>,
    calls: AtomicUsize,
    bodies: Mutex<Vec<Vec<u8>>>,
}

impl Fake {
    pub(super) async fn start(does: Does) -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").await.unwrap(), does)
    }

    fn listen(listener: TcpListener, does: Does) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            does: Mutex::new((does, ServingStatus::Serving)),
            calls: AtomicUsize::new(0),
            bodies: Mutex::default(),
        });
        let serving = shared.clone();
        let serving = AbortOnDropHandle::new(tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(serving.clone().connection(stream));
            }
        }));
        Self { address, shared, _serving: serving }
    }

    pub(super) fn url(&self) -> Uri {
        url(self.address)
    }

    pub(super) fn does(&self, does: Does) {
        locked(&self.shared.does).0 = does;
    }

    pub(super) fn says(&self, health: ServingStatus) {
        locked(&self.shared.does).1 = health;
    }

    /// Returns the number of calls since the last time.
    pub(super) fn calls(&self) -> usize {
        self.shared.calls.swap(0, Ordering::Relaxed)
    }

    /// Returns the bodies of the calls that were read, complete or not, since the last time.
    pub(super) fn bodies(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *locked(&self.shared.bodies))
    }
}

impl Shared {
    async fn connection(self: Arc<Self>, stream: TcpStream) {
        if locked(&self.does).0 == Does::GoesAway {
            return self.goodbye(stream).await;
        }
        let Ok(mut connection) = server::handshake(stream).await else { return };
        while let Some(Ok((request, mut response))) = connection.accept().await {
            let (does, health) = *locked(&self.does);
            let is_check = request.uri().path() == "/grpc.health.v1.Health/Check";
            if is_check && does != Does::SaysNothing {
                let health = HealthCheckResponse { status: health.into() }.encode_to_vec();
                answer_with(&mut response, &[&[0, 0, 0, 0, 2], &*health].concat());
                continue;
            }
            if !is_check {
                self.calls.fetch_add(1, Ordering::Relaxed);
            }
            match does {
                Does::Answers => {
                    let this = self.clone();
                    tokio::spawn(async move {
                        let body = read(request.into_body()).await;
                        answer_with(&mut response, &body);
                        locked(&this.bodies).push(body);
                    });
                }
                Does::Breaks => {
                    let mut body = response.send_response(Response::new(()), false).unwrap();
                    body.send_data(Bytes::from_static(b"half"), false).unwrap();
                    // Wait until that is sent.
                    let next = connection.accept();
                    let _ = timeout(Duration::from_millis(50), next).await;
                    return;
                }
                Does::HangsUp => return,
                Does::Refuses => response.send_reset(Reason::REFUSED_STREAM),
                Does::GoesAway => unreachable!("it takes no call"),
                Does::SaysUnavailable => {
                    let head = Response::builder().header("grpc-status", "14").body(()).unwrap();
                    response.send_response(head, true).unwrap();
                }
                Does::SaysNothing => {
                    tokio::spawn(async move {
                        std::future::pending::<()>().await;
                        drop(response);
                    });
                }
            }
        }
    }
}

impl Shared {
    /// Sends a GOAWAY that excludes every call. h2's server cannot do this.
    async fn goodbye(&self, mut stream: TcpStream) {
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        stream.write_all(&settings).await.unwrap();
        let mut read = Vec::new();
        // The DATA frame of the call's message.
        let message = [0, 0, 1, 0, 1, 0, 0, 0, 1, b'x'];
        let is_call = |read: &[u8]| read.windows(message.len()).any(|part| part == message);
        while stream.read_buf(&mut read).await.is_ok_and(|len| len > 0) && !is_call(&read) {}
        if is_call(&read) {
            self.calls.fetch_add(1, Ordering::Relaxed);
        }
        let goodbye = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        stream.write_all(&goodbye).await.ok();
        while stream.read_buf(&mut read).await.is_ok_and(|len| len > 0) {}
    }
}

fn answer_with(response: &mut SendResponse<Bytes>, body: &[u8]) {
    let Ok(mut stream) = response.send_response(Response::new(()), false) else { return };
    stream.send_data(Bytes::copy_from_slice(body), false).ok();
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    stream.send_trailers(trailers).ok();
}

async fn read(mut body: RecvStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        all.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).ok();
    }
    all
}

/// A proxy to a replica. After [`Machine::vanish`] nothing responds, neither on open connections
/// nor to new ones.
pub(super) struct Machine {
    pub(super) address: SocketAddr,
    listener: std::net::TcpListener,
    open: Arc<Mutex<Vec<std::net::TcpStream>>>,
    forwarding: tokio::task::JoinHandle<()>,
}

impl Machine {
    pub(super) async fn start(to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap().into_std().unwrap();
        let accepting = TcpListener::from_std(listener.try_clone().unwrap()).unwrap();
        let open = Arc::<Mutex<Vec<_>>>::default();
        let kept = open.clone();
        let forwarding = tokio::spawn(async move {
            let mut forwards = tokio::task::JoinSet::new();
            while let Ok((near, _)) = accepting.accept().await {
                // Keep the socket open after forwarding ends.
                let near = near.into_std().unwrap();
                locked(&kept).push(near.try_clone().unwrap());
                let mut near = TcpStream::from_std(near).unwrap();
                let mut far = TcpStream::connect(to).await.unwrap();
                forwards.spawn(async move {
                    tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
                });
            }
        });
        Self { address: listener.local_addr().unwrap(), listener, open, forwarding }
    }

    pub(super) fn vanish(self) {
        self.forwarding.abort();
        // When the accept queue is full, the system ignores further connections.
        let patience = Duration::from_millis(50);
        let queue: Vec<_> =
            (0..4).map(|_| std::net::TcpStream::connect_timeout(&self.address, patience)).collect();
        std::mem::forget((self.listener, self.open, queue));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
