use std::convert::Infallible;
use std::future::pending;

use clinic_identity::Principal;
use futures::StreamExt as _;
use futures::stream;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;
use crate::discard::DISCARDED_BYTES;
use crate::{batched, memory_quota::MemoryQuota};

const SERVER: Http2 = Http2 {
    max_streams: Some(8),
    max_head: 16 * 1024,
    stream_window: 256 * 1024,
    connection_window: 1024 * 1024,
};
const MIB: usize = 1024 * 1024;
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
/// Timeout for something that should happen at once.
const LATE: Duration = Duration::from_secs(20);

type Served = JoinHandle<Result<(), h2::Error>>;

/// Starts a server with that service. Returns the client's end of a connection, and the server.
fn serve<F, B>(service: impl FnMut(Request<Body>) -> F + Send + 'static) -> (DuplexStream, Served)
where
    F: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data = Bytes, Error = Status> + Send + Unpin + 'static,
{
    let (near, far) = duplex(64 * 1024);
    let (stream, outgoing) = batched(near);
    let served = tokio::spawn(async move {
        outgoing.of(pin!(SERVER.serve(stream, service, pending::<()>())), |_| None).await.unwrap()
    });
    (far, served)
}

async fn connect(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    window: u32,
) -> SendRequest<Bytes> {
    let mut builder = client::Builder::new();
    // The connection's window is larger than those of all streams, so it blocks none of them.
    builder.initial_window_size(window).initial_connection_window_size(32 * 1024 * 1024);
    builder.initial_max_send_streams(2000);
    let (calls, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    calls
}

async fn call(calls: &mut SendRequest<Bytes>) -> (ResponseFuture, SendStream<Bytes>) {
    let request = Request::post("http://clinic/call").body(()).unwrap();
    calls.clone().ready().await.unwrap().send_request(request, false).unwrap()
}

async fn text(mut body: RecvStream) -> Bytes {
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        text.extend_from_slice(&data);
    }
    text.into()
}

fn text_response(text: impl Into<Bytes>) -> Response<Body> {
    let full = Full::new(text.into()).map_err(|never: Infallible| match never {});
    Response::new(Body::new(full))
}

/// Starts a server that waits for a signal, then reads the body and responds with its length.
fn counting() -> (oneshot::Sender<()>, DuplexStream, Served) {
    let (told, tell) = oneshot::channel();
    let tell = tell.map(drop).shared();
    let (client, served) = serve(move |request: Request<Body>| {
        let tell = tell.clone();
        async move {
            tell.await;
            let body = request.into_body().collect().await.unwrap();
            text_response(body.to_bytes().len().to_string())
        }
    });
    (told, client, served)
}

#[tokio::test]
async fn small_frames_that_wait_unread_do_not_end_the_connection() {
    let (told, client, _served) = counting();
    let mut calls = connect(client, 65_535).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let (response, mut stream) = call(&mut calls).await;
        for _ in 0..10_000 {
            stream.send_data(Bytes::from_static(&[0, 0, 0, 0, 1, 7]), false).unwrap();
        }
        streams.push((response, stream));
    }
    told.send(()).unwrap();
    for (response, mut stream) in streams {
        stream.send_data(Bytes::new(), true).unwrap();
        assert_eq!(text(response.await.unwrap().into_body()).await, "60000");
    }
}

#[tokio::test]
async fn more_streams_than_advertised_are_refused_singly() {
    // More than h2's default limit against attacks.
    const CALLS: usize = 1500;
    let (told, client, _served) = counting();
    let mut calls = connect(client, 65_535).await;
    // Nothing limits the client until the server's settings arrive.
    let mut responses = Vec::new();
    for _ in 0..CALLS {
        let request = Request::post("http://clinic/call").body(()).unwrap();
        responses.push(calls.send_request(request, true).unwrap().0);
    }
    told.send(()).unwrap();
    let responses = futures::future::join_all(responses).await;
    let answered = responses.iter().filter(|response| response.is_ok()).count();
    let reasons = responses.iter().filter_map(|response| response.as_ref().err()?.reason());
    let refused = reasons.filter(|reason| *reason == Reason::REFUSED_STREAM).count();
    assert!(answered >= 8, "{answered}");
    assert_eq!(answered + refused, CALLS);
    // The connection remains usable.
    let (response, mut stream) = call(&mut calls).await;
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(text(response.await.unwrap().into_body()).await, "0");
}

async fn send(stream: &mut SendStream<Bytes>, len: usize) -> Result<(), Option<Reason>> {
    send_part(stream, len, false).await
}

async fn send_last(stream: &mut SendStream<Bytes>, len: usize) -> Result<(), Option<Reason>> {
    send_part(stream, len, true).await
}

/// Sends as much as the window allows, until everything is sent or the server stops the stream.
async fn send_part(
    stream: &mut SendStream<Bytes>,
    len: usize,
    is_last: bool,
) -> Result<(), Option<Reason>> {
    let mut left = Bytes::from(vec![0; len]);
    while !left.is_empty() {
        stream.reserve_capacity(left.len());
        match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(Ok(room)) => {
                let part = left.split_to(room.min(left.len()));
                stream.send_data(part, is_last && left.is_empty()).unwrap();
            }
            Some(Err(error)) => return Err(error.reason()),
            None => return Err(None),
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_was_answered_unread_can_still_be_sent() {
    let (client, _served) = serve(async |_| text_response("refused"));
    let mut calls = connect(client, 65_535).await;
    let (response, mut stream) = call(&mut calls).await;
    let response = response.await.unwrap();
    // More than the windows of the stream and of the connection.
    send_last(&mut stream, 2 * 1024 * 1024).await.unwrap();
    assert_eq!(text(response.into_body()).await, "refused");
    assert!(poll_fn(|cx| stream.poll_reset(cx)).now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_answer_waits_for_a_body_whose_end_was_announced() {
    let (client, _served) = serve(async |_| text_response("refused"));
    let mut calls = connect(client, 65_535).await;
    let len = 300_000;
    let request = Request::post("http://clinic/call").header("content-length", len).body(());
    let (mut response, mut stream) = calls.send_request(request.unwrap(), false).unwrap();
    send(&mut stream, 1000).await.unwrap();
    // The clock is paused: it advances when all tasks are idle.
    sleep(Duration::from_millis(50)).await;
    assert!((&mut response).now_or_never().is_none());
    send_last(&mut stream, len - 1000).await.unwrap();
    assert_eq!(text(response.await.unwrap().into_body()).await, "refused");
}

#[tokio::test]
async fn a_body_without_end_that_was_answered_unread_is_reset() {
    let (client, _served) = serve(async |_| text_response("refused"));
    let mut calls = connect(client, 65_535).await;
    let (response, mut stream) = call(&mut calls).await;
    assert_eq!(text(response.await.unwrap().into_body()).await, "refused");
    let sent = send(&mut stream, 2 * DISCARDED_BYTES).await;
    assert!(matches!(sent, Err(None | Some(Reason::NO_ERROR))), "{sent:?}");
    let (again, mut stream) = call(&mut calls).await;
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(text(again.await.unwrap().into_body()).await, "refused");
}

fn account() -> Account {
    MemoryQuota::leaked().of(&Principal::service("reader"), None)
}

fn soon() -> Bounds {
    let ends_at = Some(Instant::now() + Duration::from_millis(50));
    Bounds { ends_at, account: account(), behind: 0 }
}

/// Sends a message when dropped.
struct OnDrop(Option<oneshot::Sender<()>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.take().unwrap().send(()).ok();
    }
}

#[tokio::test]
async fn an_answer_that_nobody_reads_ends_with_its_time() {
    let (dropped, ended) = oneshot::channel();
    let mut dropped = Some(OnDrop(Some(dropped)));
    let (client, _served) = serve(move |_| {
        let dropped = dropped.take();
        let parts = stream::repeat_with(move || {
            let _dropped = &dropped;
            Ok(Frame::data(Bytes::from_static(&[0; 1024])))
        });
        let mut response = Response::new(StreamBody::new(parts));
        response.extensions_mut().insert(soon());
        async { response }
    });
    let mut calls = connect(client, 0).await;
    let (response, _stream) = call(&mut calls).await;
    let mut body = response.await.unwrap().into_body();
    tokio::time::timeout(LATE, ended).await.expect("the body is dropped").unwrap();
    let end = body.data().await.unwrap().unwrap_err();
    assert_eq!(end.reason(), Some(Reason::CANCEL));
}

#[tokio::test]
async fn an_answer_whose_time_is_over_says_so_where_its_end_is_in_trailers() {
    let (client, _served) = serve(async |_| {
        let mut trailers = HeaderMap::new();
        Status::deadline_exceeded("").add_header(&mut trailers).unwrap();
        let parts = [Frame::data(Bytes::from_static(b"part")), Frame::trailers(trailers)];
        let mut response = Response::new(StreamBody::new(stream::iter(parts).map(Ok)));
        response.headers_mut().insert("content-type", GRPC);
        response.extensions_mut().insert(soon());
        response
    });
    let mut calls = connect(client, 0).await;
    let (response, _stream) = call(&mut calls).await;
    let mut body = response.await.unwrap().into_body();
    let trailers = tokio::time::timeout(LATE, body.trailers()).await.expect("an end");
    assert_eq!(trailers.unwrap().unwrap()["grpc-status"], "4");
}

/// Returns how an unread response of type `kind` ends if its caller already holds `held` bytes.
async fn end_of_unread(
    kind: &'static str,
    account: Account,
    held: usize,
) -> Result<Option<HeaderMap>, h2::Error> {
    let _held = account.hold(held).ok().unwrap();
    let (client, _served) = serve(move |_| {
        let part = Frame::data(Bytes::from(vec![0; 2 * MIB]));
        let mut response = Response::new(StreamBody::new(stream::iter([Ok(part)])));
        response.headers_mut().insert("content-type", HeaderValue::from_static(kind));
        response.extensions_mut().insert(Bounds { ends_at: None, account, behind: 0 });
        async { response }
    });
    let mut calls = connect(client, 0).await;
    let (response, _stream) = call(&mut calls).await;
    let mut unread = response.await?.into_body();
    tokio::time::timeout(LATE, unread.trailers()).await.expect("an end")
}

#[tokio::test]
async fn the_answer_to_a_read_is_refused_when_its_caller_holds_too_much() {
    let trailers = end_of_unread("application/grpc", account(), 31 * MIB).await;
    assert_eq!(trailers.unwrap().unwrap()["grpc-status"], "8");
}

#[tokio::test]
async fn the_answer_to_a_write_is_reset_because_a_status_would_say_that_it_was_not_done() {
    let end = end_of_unread("application/grpc", account().of_write(), 63 * MIB).await;
    assert_eq!(end.unwrap_err().reason(), Some(Reason::CANCEL));
}

#[tokio::test]
async fn an_answer_of_grpc_web_is_reset_because_its_end_is_in_the_body() {
    let end = end_of_unread("application/grpc-web+proto", account(), 31 * MIB).await;
    assert_eq!(end.unwrap_err().reason(), Some(Reason::CANCEL));
}

/// The response fits into the client's windows, but not into its socket.
#[tokio::test(start_paused = true)]
async fn answers_for_a_full_socket_count_and_end_with_their_time() {
    const LEN: usize = 60 * 1024;
    let quota = MemoryQuota::leaked();
    let account = quota.of(&Principal::service("reader"), None);
    let ends_at = Some(Instant::now() + Duration::from_secs(5));
    let (client, _served) = serve(move |_| {
        let mut response = text_response(vec![0; LEN]);
        response.extensions_mut().insert(Bounds { ends_at, account, behind: 0 });
        async { response }
    });
    let (_unread, write) = tokio::io::split(client);
    let (silence, _open) = duplex(1);
    let mut calls = connect(tokio::io::join(silence, write), 1024 * 1024).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let (response, mut stream) = call(&mut calls).await;
        stream.send_data(Bytes::new(), true).unwrap();
        streams.push((response, stream));
    }
    sleep(Duration::from_secs(1)).await;
    // One is in the socket's buffer, and one or two are on their way to it.
    let held = quota.all();
    assert!(held >= 4 * LEN, "{held}");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(quota.all(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanished_is_noticed() {
    let (server, served) = serve(async |_| text_response(""));
    let (client, near) = duplex(64 * 1024);
    let (vanish, vanished) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let (mut near, mut server) = (near, server);
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut server) => {}
            _ = vanished => {}
        }
        // Nothing is forwarded any more, and nothing is closed.
        pending::<()>().await;
    });
    let mut calls = connect(client, 65_535).await;
    let (response, mut stream) = call(&mut calls).await;
    stream.send_data(Bytes::new(), true).unwrap();
    response.await.unwrap();
    // A client that answers pings stays connected, however long it makes no calls.
    sleep(SILENCE * 10).await;
    assert!(!served.is_finished());
    vanish.send(()).unwrap();
    assert!(tokio::time::timeout(SILENCE * 10, served).await.is_ok());
}

/// Encodes a frame. h2's client would not send a stream that it has already reset.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).unwrap();
    [&[0, 0, len, kind, flags, 0, 0, 0, stream], payload].concat()
}

#[tokio::test]
async fn no_work_is_done_for_a_stream_that_was_reset_at_once() {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const END_HEADERS: u8 = 4;
    let (begin, mut begun) = mpsc::unbounded_channel();
    let (mut client, _served) = serve(move |request: Request<Body>| {
        begin.send(request.uri().path().to_owned()).unwrap();
        async { text_response("") }
    });
    let said = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        // POST http / and POST http /index.html in HPACK's static table.
        frame(HEADERS, END_HEADERS, 1, &[0x83, 0x86, 0x84]),
        frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
        frame(HEADERS, END_HEADERS, 3, &[0x83, 0x86, 0x85]),
    ];
    client.write_all(&said.concat()).await.unwrap();
    assert_eq!(begun.recv().await.unwrap(), "/index.html");
}

#[tokio::test]
async fn a_call_that_the_client_gives_up_is_dropped() {
    let (dropped, ended) = oneshot::channel();
    let mut dropped = Some(OnDrop(Some(dropped)));
    let (begin, mut begun) = mpsc::unbounded_channel();
    let (client, _served) = serve(move |_| {
        let dropped = dropped.take();
        begin.send(()).unwrap();
        async move {
            let _dropped = dropped;
            pending::<Response<Body>>().await
        }
    });
    let mut calls = connect(client, 65_535).await;
    let (response, mut stream) = call(&mut calls).await;
    begun.recv().await.unwrap();
    stream.send_reset(Reason::CANCEL);
    tokio::time::timeout(LATE, ended).await.expect("the call is dropped").unwrap();
    drop(response);
}
