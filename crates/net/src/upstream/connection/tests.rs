//! Tests with replicas that misbehave in the way that a test needs.

use std::time::Instant;

use futures::StreamExt as _;
use h2::RecvStream;
use h2::server::{self, SendResponse};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::Status;

use super::*;

/// A call as a replica receives it, and the handle for its response.
type Call = (Request<RecvStream>, SendResponse<Bytes>);

async fn listen() -> (TcpListener, Arc<Target>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}").parse().unwrap();
    (listener, Arc::new(Target::new(&url, address).unwrap()))
}

async fn accept(listener: &TcpListener) -> server::Connection<TcpStream, Bytes> {
    server::handshake(stream(listener).await).await.unwrap()
}

async fn stream(listener: &TcpListener) -> TcpStream {
    let stream = listener.accept().await.unwrap().0;
    stream.set_nodelay(true).unwrap();
    stream
}

/// Drives a connection and returns its calls.
fn calls<S>(mut connection: server::Connection<S, Bytes>) -> mpsc::UnboundedReceiver<Call>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (to, calls) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(call)) = connection.accept().await {
            to.send(call).ok();
        }
    });
    calls
}

/// Sends a call that is not repeatable.
async fn send(
    connection: &Connection,
    target: &Arc<Target>,
    request: Request<Body>,
) -> Result<Response<Body>, Failed> {
    connection.send(target, &mut ReplayableRequest::new(request)?, false).await
}

fn request(body: Body) -> Request<Body> {
    Request::post("/some.Service/Method").body(body).unwrap()
}

fn message(bytes: Bytes) -> Body {
    Body::new(Full::new(bytes))
}

fn ok() -> Response<()> {
    Response::new(())
}

async fn read(response: Response<Body>) -> Result<Bytes, Status> {
    response.into_body().collect().await.map(http_body_util::Collected::to_bytes)
}

async fn read_all(body: &mut RecvStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        all.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    all
}

/// Returns an endless body, and the sender of its frames.
fn sent_by() -> (mpsc::UnboundedSender<Bytes>, Body) {
    let (sender, mut frames) = mpsc::unbounded_channel();
    let frames = futures::stream::poll_fn(move |cx| {
        frames.poll_recv(cx).map(|data| data.map(|data| Ok::<_, Status>(Frame::data(data))))
    });
    (sender, Body::new(StreamBody::new(frames)))
}

#[tokio::test]
async fn calls_share_a_connection_which_is_made_again_when_it_broke() {
    let (listener, target) = listen().await;
    let connection = Connection::default();
    let replica = async {
        for _ in 0..2 {
            let mut accepted = accept(&listener).await;
            for _ in 0..2 {
                let (_, mut response) = accepted.accept().await.unwrap().unwrap();
                let mut body = response.send_response(ok(), false).unwrap();
                body.send_data(Bytes::from_static(b"answer"), true).unwrap();
            }
            accepted.graceful_shutdown();
            while accepted.accept().await.is_some() {}
        }
    };
    let caller = async {
        for _ in 0..2 {
            let both = [(); 2].map(|()| send(&connection, &target, request(message("x".into()))));
            for response in futures::future::join_all(both).await {
                assert_eq!(read(response.unwrap()).await.unwrap(), "answer");
            }
            // Wait until the GOAWAY has arrived.
            let began = Instant::now();
            while connection.open(&target).now_or_never().is_some() {
                assert!(began.elapsed() < Duration::from_secs(10), "the GOAWAY did not arrive");
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::select! {
        (_, ()) = futures::future::join(replica, caller) => {}
        () = sleep(Duration::from_secs(20)) => panic!("no end"),
    }
}

#[tokio::test]
async fn an_answer_in_progress_is_completed_after_a_goodbye() {
    let (listener, target) = listen().await;
    let connection = Connection::default();
    let (head, (mut accepted, mut body)) =
        tokio::join!(send(&connection, &target, request(Body::empty())), async {
            let mut accepted = accept(&listener).await;
            let (_, mut response) = accepted.accept().await.unwrap().unwrap();
            let body = response.send_response(ok(), false).unwrap();
            // Waiting for another call sends what was written so far.
            assert!(timeout(Duration::from_millis(100), accepted.accept()).await.is_err());
            (accepted, body)
        });
    accepted.graceful_shutdown();
    let driven = tokio::spawn(async move { while accepted.accept().await.is_some() {} });
    let rest = tokio::spawn(read(head.unwrap()));
    // New calls use another connection.
    let again = tokio::spawn({
        let target = target.clone();
        async move {
            loop {
                let call = send(&connection, &target, request(Body::empty()));
                if let Ok(Ok(response)) = timeout(Duration::from_millis(100), call).await {
                    return response.status();
                }
            }
        }
    });
    let mut others = calls(accept(&listener).await);
    tokio::spawn(async move {
        while let Some((_, mut response)) = others.recv().await {
            response.send_response(ok(), true).ok();
        }
    });
    assert_eq!(again.await.unwrap(), 200);
    body.send_data(Bytes::from_static(b"the rest"), true).unwrap();
    assert_eq!(rest.await.unwrap().unwrap(), "the rest");
    driven.await.unwrap();
}

#[tokio::test]
async fn a_failure_says_whether_the_call_may_have_been_taken() {
    let (listener, target) = listen().await;
    let connection = Connection::default();
    for (reason, how) in [
        (Some(Reason::REFUSED_STREAM), FailureKind::NotTaken),
        (Some(Reason::INTERNAL_ERROR), FailureKind::Reset),
        (None, FailureKind::Lost),
    ] {
        let call = send(&connection, &target, request(Body::empty()));
        let replica = async {
            let mut accepted = accept(&listener).await;
            let (_, mut response) = accepted.accept().await.unwrap().unwrap();
            match reason {
                Some(reason) => response.send_reset(reason),
                None => return,
            }
            // Wait until the client closes the connection, so that the next round opens a new one.
            accepted.graceful_shutdown();
            while accepted.accept().await.is_some() {}
        };
        let (failed, ()) = tokio::join!(call, replica);
        assert_eq!(failed.err().unwrap().how, how, "{reason:?}");
    }
    drop(listener);
    let failed = send(&connection, &target, request(Body::empty())).await.err().unwrap();
    assert_eq!(failed.how, FailureKind::Refused);
}

#[tokio::test]
async fn a_body_larger_than_the_window_passes_as_it_is_read() {
    const PARTS: usize = 40;
    let (listener, target) = listen().await;
    let connection = Connection::default();
    let (parts, body) = sent_by();
    let part = |at: usize| vec![u8::try_from(at).unwrap(); 50_000];
    let replica = async {
        let mut small = server::Builder::new();
        small.initial_window_size(10_000).initial_connection_window_size(70_000);
        let mut accepted = calls(small.handshake(stream(&listener).await).await.unwrap());
        let (request, mut response) = accepted.recv().await.unwrap();
        // The answer begins before the request ends.
        let mut body = response.send_response(ok(), false).unwrap();
        let sent = read_all(&mut request.into_body()).await;
        body.send_data(sent.len().to_string().into(), true).unwrap();
        sent
    };
    let caller = async {
        let response = send(&connection, &target, request(body)).await.unwrap();
        for at in 0..PARTS {
            parts.send(part(at).into()).unwrap();
            // Empty parts are allowed.
            parts.send(Bytes::new()).unwrap();
        }
        drop(parts);
        read(response).await.unwrap()
    };
    let (sent, response) = tokio::join!(replica, caller);
    assert!(sent == (0..PARTS).flat_map(part).collect::<Vec<_>>(), "in order and whole");
    assert_eq!(response, (PARTS * 50_000).to_string());
}

#[tokio::test]
async fn an_answer_that_says_all_needs_no_more_of_the_request() {
    let (listener, target) = listen().await;
    let connection = Connection::default();
    let (_endless, body) = sent_by();
    let (begun, has_begun) = oneshot::channel();
    let replica = async {
        let mut accepted = calls(accept(&listener).await);
        let (request, mut response) = accepted.recv().await.unwrap();
        let mut body = response.send_response(ok(), false).unwrap();
        body.send_data(Bytes::from_static(b"enough"), true).unwrap();
        // A reset before the rest was sent would discard it.
        has_begun.await.unwrap();
        response.send_reset(Reason::NO_ERROR);
        (request, accepted)
    };
    let caller = async {
        let response = send(&connection, &target, request(body)).await.unwrap();
        begun.send(()).unwrap();
        // Long enough for the reset to arrive before the response is read.
        sleep(Duration::from_millis(100)).await;
        read(response).await
    };
    let (kept, response) = tokio::join!(replica, caller);
    assert_eq!(response.unwrap(), "enough");
    drop(kept);
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_the_call_at_the_replica() {
    let (listener, target) = listen().await;
    let connection = Connection::default();
    let (_endless, body) = sent_by();
    let (response, (mut body, mut answering, _calls)) =
        tokio::join!(send(&connection, &target, request(body)), async {
            let mut calls = calls(accept(&listener).await);
            let (request, mut response) = calls.recv().await.unwrap();
            let answering = response.send_response(ok(), false).unwrap();
            (request.into_body(), answering, calls)
        });
    drop(response);
    let reason = std::future::poll_fn(|cx| answering.poll_reset(cx)).await.unwrap();
    assert_eq!(reason, Reason::CANCEL);
    assert!(body.data().await.unwrap().is_err(), "the request ends too");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_whole_one_for_the_replica() {
    let (listener, target) = listen().await;
    let connection = Connection::default();
    let frames = vec![Ok(Frame::data(Bytes::from_static(b"half"))), Err(Status::cancelled("gone"))];
    // The second one has not arrived when the call begins.
    let late = futures::stream::iter(frames).then(|frame| async {
        tokio::task::yield_now().await;
        frame
    });
    let call = send(&connection, &target, request(Body::new(StreamBody::new(Box::pin(late)))));
    let replica = async {
        let mut calls = calls(accept(&listener).await);
        let mut body = calls.recv().await.unwrap().0.into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "half");
        assert_eq!(body.data().await.unwrap().unwrap_err().reason(), Some(Reason::CANCEL));
    };
    let (failed, ()) = tokio::join!(call, replica);
    assert_eq!(failed.err().unwrap().how, FailureKind::Aborted);
}

/// Time is paused here: it advances when all tasks are idle.
mod silent {
    use super::*;

    /// Returns a connection after the handshake, and the replica's end.
    async fn connected() -> (Open, server::Connection<DuplexStream, Bytes>) {
        let (here, there) = tokio::io::duplex(1 << 20);
        let (open, accepted) = tokio::join!(speak(here), server::handshake(there));
        (open.unwrap(), accepted.unwrap())
    }

    /// Returns one whose replica received a call and then receives nothing more, not even a ping.
    async fn asked() -> (
        Open,
        impl Future<Output = Result<(), h2::Error>>,
        (server::Connection<DuplexStream, Bytes>, Call),
    ) {
        let (open, mut replica) = connected().await;
        // `Connection::send` also holds it until the call ends.
        let heard = open.heard.upgrade();
        let (response, _) = open.calls.clone().send_request(request(()), true).unwrap();
        let call = replica.accept().await.unwrap().unwrap();
        let response = async move {
            let response = response.await.map(drop);
            drop(heard);
            response
        };
        (open, response, (replica, call))
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_owes_an_answer_and_vanished_is_noticed() {
        let (open, response, _vanished) = asked().await;
        let began = tokio::time::Instant::now();
        assert!(response.await.is_err());
        assert!(began.elapsed() <= SILENCE + PONG_PATIENCE, "{:?}", began.elapsed());
        assert!(!open.holds());
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_vanished_after_its_goodbye_is_noticed() {
        let (open, response, (mut vanished, _call)) = asked().await;
        vanished.graceful_shutdown();
        assert!(timeout(Duration::from_secs(1), vanished.accept()).await.is_err());
        assert!(!open.holds());
        drop(open);
        assert!(timeout(SILENCE * 3, response).await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_replica_is_waited_for() {
        let (open, accepted) = connected().await;
        let heard = open.heard.upgrade();
        let (response, _) = open.calls.clone().send_request(request(()), true).unwrap();
        let (_, mut responder) = calls(accepted).recv().await.unwrap();
        sleep(SILENCE * 10).await;
        responder.send_response(ok(), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
        drop(heard);
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_without_calls_may_be_silent() {
        let (open, _silent) = connected().await;
        sleep(SILENCE * 10).await;
        assert!(open.holds());
    }

    fn request<B>(body: B) -> Request<B> {
        Request::post("http://replica/some.Service/Method").body(body).unwrap()
    }
}

#[tokio::test]
async fn over_tls_only_a_certificate_for_the_name_is_accepted() {
    let (listener, plain) = listen().await;
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["records".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key);
    config.as_mut().unwrap().alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    tokio::spawn(async move {
        loop {
            let stream = stream(&listener).await;
            // A client that does not trust the certificate closes the connection.
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let mut calls = calls(server::handshake(stream).await.unwrap());
            tokio::spawn(async move {
                while let Some((request, mut response)) = calls.recv().await {
                    let sent = read_all(&mut request.into_body()).await;
                    let mut body = response.send_response(ok(), false).unwrap();
                    body.send_data(sent.into(), true).unwrap();
                }
            });
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let url = "http://records".parse().unwrap();
    let named = |name: &'static str| {
        let mut target = Target::new(&url, plain.address).unwrap();
        target.tls = Some((connector.clone(), ServerName::try_from(name).unwrap()));
        Arc::new(target)
    };
    let (right, other) = (named("records"), named("assignment"));
    let connection = Connection::default();
    for size in [1, 100_000] {
        let sent = Bytes::from(vec![7; size]);
        let response = send(&connection, &right, request(message(sent.clone()))).await.unwrap();
        assert!(read(response).await.unwrap() == sent);
    }
    let failed = send(&Connection::default(), &other, request(Body::empty())).await.err().unwrap();
    assert!(
        failed.how == FailureKind::Refused && failed.cause.contains("certificate"),
        "{failed:?}"
    );
}
