//! A test service that the gateway routes to. It counts the calls that reach it.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clinic_gateway::Route;
use futures::stream::{self, Stream, StreamExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use self::v1::echo_service_server::{EchoService, EchoServiceServer};
use self::v1::{EchoReply, EchoRequest};

#[allow(
    clippy::all,
    clippy::unwrap_used,
    unreachable_pub,
    unused_qualifications,
    reason = "generated"
)]
pub(crate) mod v1 {
    tonic::include_proto!("acme.echo.v1");
}

pub(crate) const SERVICE: &str = "acme.echo.v1.EchoService";
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/acme.echo.v1.bin"));

/// The version of reflection that the service supports.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reflection {
    V1,
    V1Alpha,
}

/// A running service.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    handler: Handler,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Handler {
    calls: Arc<AtomicUsize>,
    /// One permit for each hanging call that has begun, and in `dropped` that was cancelled.
    begun: Arc<Semaphore>,
    dropped: Arc<Semaphore>,
}

impl Echo {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, Reflection::V1)
    }

    pub(crate) fn serve(listener: TcpListener, version: Reflection) -> Self {
        let address = listener.local_addr().unwrap();
        let handler = Handler {
            calls: Arc::default(),
            begun: Arc::new(Semaphore::new(0)),
            dropped: Arc::new(Semaphore::new(0)),
        };
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
        };
        let (v1, v1alpha) = match version {
            Reflection::V1 => (Some(reflection().build_v1().unwrap()), None),
            Reflection::V1Alpha => (None, Some(reflection().build_v1alpha().unwrap())),
        };
        let echo = EchoServiceServer::new(handler.clone());
        let echo = echo.accept_compressed(Gzip).send_compressed(Gzip);
        let server = tonic::transport::Server::builder()
            .http2_max_header_list_size(32 * 1024)
            .add_service(echo)
            .add_optional_service(v1)
            .add_optional_service(v1alpha)
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
        let server = tokio::spawn(async move { server.await.unwrap() });
        Self { address, handler, server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the route to the service.
    pub(crate) fn route(&self, public: bool) -> Route {
        Route { service: SERVICE.to_owned(), url: self.url(), public, max: None }
    }

    /// Returns the number of calls that reached the service.
    pub(crate) fn calls(&self) -> usize {
        self.handler.calls.load(Ordering::SeqCst)
    }

    /// Waits until a hanging call has begun.
    pub(crate) async fn begun(&self) {
        wait(&self.handler.begun).await;
    }

    /// Waits until a hanging call is cancelled.
    pub(crate) async fn dropped(&self) {
        wait(&self.handler.dropped).await;
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn wait(semaphore: &Semaphore) {
    let permit = tokio::time::timeout(Duration::from_secs(20), semaphore.acquire());
    permit.await.expect("a hanging call must begin or be cancelled").unwrap().forget();
}

/// Adds a permit when dropped.
struct OnDrop(Arc<Semaphore>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

impl Handler {
    fn call(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns a future that never completes. A drop before the first poll also counts as
    /// cancelled.
    fn hang(&self) -> impl Future<Output = Result<EchoReply, Status>> + Send + use<> {
        let (begun, dropped) = (self.begun.clone(), OnDrop(self.dropped.clone()));
        async move {
            let _dropped = dropped;
            begun.add_permits(1);
            std::future::pending().await
        }
    }
}

fn text_of(metadata: &MetadataMap) -> HashMap<String, String> {
    let mut map: HashMap<String, String> = HashMap::new();
    for entry in metadata.iter() {
        let (key, value) = match entry {
            KeyAndValueRef::Ascii(key, value) => {
                (key.as_str(), value.to_str().unwrap_or("?").to_owned())
            }
            KeyAndValueRef::Binary(key, value) => (key.as_str(), format!("{value:?}")),
        };
        map.entry(key.to_owned())
            .and_modify(|before| *before = format!("{before},{value}"))
            .or_insert(value);
    }
    map
}

type Replies = Pin<Box<dyn Stream<Item = Result<EchoReply, Status>> + Send>>;

#[tonic::async_trait]
impl EchoService for Handler {
    async fn once(&self, request: Request<EchoRequest>) -> Result<Response<EchoReply>, Status> {
        self.call();
        let metadata = text_of(request.metadata());
        let EchoRequest { text, hang, .. } = request.into_inner();
        if hang {
            self.hang().await?;
        }
        if text == "fail" {
            return Err(Status::data_loss("requested by the test"));
        }
        Ok(Response::new(EchoReply { texts: vec![text], metadata }))
    }

    async fn collect(
        &self,
        request: Request<Streaming<EchoRequest>>,
    ) -> Result<Response<EchoReply>, Status> {
        self.call();
        if request.metadata().contains_key("x-refuse") {
            return Err(Status::permission_denied("requested by the test"));
        }
        let metadata = text_of(request.metadata());
        let (mut requests, mut texts) = (request.into_inner(), Vec::new());
        while let Some(request) = requests.message().await? {
            texts.push(request.text);
        }
        Ok(Response::new(EchoReply { texts, metadata }))
    }

    type RepeatStream = Replies;

    async fn repeat(&self, request: Request<EchoRequest>) -> Result<Response<Replies>, Status> {
        self.call();
        let metadata = text_of(request.metadata());
        let EchoRequest { text, times, hang } = request.into_inner();
        let reply = EchoReply { texts: vec![text], metadata };
        let replies = stream::iter(vec![Ok(reply); usize::try_from(times).unwrap()]);
        if hang {
            return Ok(Response::new(replies.chain(stream::once(self.hang())).boxed()));
        }
        Ok(Response::new(replies.boxed()))
    }

    type ConverseStream = Replies;

    async fn converse(
        &self,
        request: Request<Streaming<EchoRequest>>,
    ) -> Result<Response<Replies>, Status> {
        self.call();
        let metadata = text_of(request.metadata());
        let replies = request.into_inner().map(move |request| {
            Ok(EchoReply { texts: vec![request?.text], metadata: metadata.clone() })
        });
        Ok(Response::new(replies.boxed()))
    }
}
