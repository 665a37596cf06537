//! Framing of requests: unusual but valid frames, ambiguous headers, and bodies that are refused
//! before they are read.

use bytes::Bytes;
use clinic_proto::auth::v1::GetJwksResponse;
use clinic_testkit::{Backend, run};
use futures::future::join_all;
use futures::stream;
use h2::client::SendRequest;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::echo::v1::EchoRequest;
use super::http1::{parse, send};
use super::{echo_client, signed_in, with_echo};

const JWKS: &str = "/clinic.auth.v1.TokenService/GetJwks";
const REFUSED: &str = "/clinic.records.v1.PatientService/ListPatients";
const EMPTY_MESSAGE: &[u8] = b"\0\0\0\0\0";

async fn connect(server: std::net::SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(server).await.unwrap();
    let mut client = h2::client::Builder::new();
    // The client is h2 too, and must not reject so many small responses.
    client.data_frame_budget(1 << 24);
    let (calls, connection) = client.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    calls
}

/// Makes a call with the message and its end in separate frames, as proxies and Node send them.
async fn call_in_pieces(calls: SendRequest<Bytes>) -> GetJwksResponse {
    let request = http::Request::post(format!("http://clinic{JWKS}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let mut calls = calls.ready().await.unwrap();
    let (response, mut body) = calls.send_request(request, false).unwrap();
    for byte in EMPTY_MESSAGE {
        body.send_data(Bytes::copy_from_slice(&[*byte]), false).unwrap();
    }
    tokio::task::yield_now().await;
    body.send_data(Bytes::new(), true).unwrap();
    let mut response = response.await.unwrap().into_body();
    let mut bytes = Vec::new();
    while let Some(data) = response.data().await {
        bytes.extend_from_slice(&data.unwrap());
    }
    assert_eq!(response.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    GetJwksResponse::decode(&bytes[5..]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_small_frames_succeed_with_all_streams_of_a_connection() {
    run(Backend::Sqlite, async |suite| {
        let calls = connect(suite.gateway).await;
        for _ in 0..5 {
            let responses = join_all((0..256).map(|_| call_in_pieces(calls.clone()))).await;
            assert!(responses.iter().all(|response| !response.keys.is_empty()));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_ten_thousand_tiny_messages_is_forwarded() {
    with_echo(async |suite, _| {
        let access = suite.staff().await.tokens.access;
        let mut client = echo_client(suite).await;
        let message = EchoRequest { text: "x".to_owned(), ..EchoRequest::default() };
        let many = || stream::iter(std::iter::repeat_n(message.clone(), 10_000));
        // Two on one connection: frames of one wait while the other is read.
        let mut other = client.clone();
        let (one, two) = tokio::join!(
            client.collect(signed_in(many(), &access)),
            other.collect(signed_in(many(), &access)),
        );
        for reply in [one, two] {
            assert_eq!(reply.unwrap().into_inner().texts.len(), 10_000);
        }
    })
    .await;
}

/// Sends bytes and returns the response, once the server closes the connection.
async fn exchange(server: std::net::SocketAddr, bytes: &[u8]) -> super::http1::Response {
    let mut connection = TcpStream::connect(server).await.unwrap();
    connection.write_all(bytes).await.unwrap();
    let mut response = Vec::new();
    connection.read_to_end(&mut response).await.unwrap();
    parse(&response)
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_http1_headers_are_refused() {
    run(Backend::Sqlite, async |suite| {
        for head in [
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n",
            "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n",
            "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5, 5\r\n",
            "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5x\r\n",
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n",
            "GET /livez HTTP/1.1\r\nhost: x\r\nhost: y\r\n",
            "GET /livez HTTP/1.1\r\nhost: x\r\nhost: x\r\n",
            "GET /livez HTTP/1.0\r\nhost: x\r\nhost: y\r\n",
            "GET /livez HTTP/1.1\r\n",
        ] {
            let refused = exchange(suite.gateway, format!("{head}\r\n0\r\n\r\n").as_bytes()).await;
            assert_eq!(refused.status, 400, "{head}");
        }
        let old = exchange(suite.gateway, b"GET /livez HTTP/1.0\r\n\r\n").await;
        assert_eq!(old.status, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn native_grpc_over_http1_gets_an_error_that_names_http2() {
    run(Backend::Sqlite, async |suite| {
        let kind = ("content-type", "application/grpc");
        let refused = send(suite.gateway, "POST", REFUSED, &[kind], b"").await;
        assert_eq!(refused.status, 400);
        let text = String::from_utf8(refused.body).unwrap();
        assert!(text.starts_with("Native gRPC needs HTTP/2."), "{text}");
    })
    .await;
}

/// Requests that are refused before their body is read: path, content type, and status.
const REFUSALS: [(&str, &str, u16); 5] = [
    ("/api/patients/", "application/json", 401),
    ("/api/nothing/", "application/json", 404),
    ("/nothing", "text/plain", 404),
    ("/api/auth/login/", "text/plain", 415),
    (REFUSED, "application/grpc-web+proto", 200),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_stays_open_after_a_request_refused_before_its_body() {
    run(Backend::Sqlite, async |suite| {
        let mut connection = TcpStream::connect(suite.gateway).await.unwrap();
        for size in [20_000, 300_000] {
            for (path, kind, status) in REFUSALS {
                let kind = format!("content-type: {kind}\r\n");
                post(&mut connection, path, &kind, &vec![b'x'; size]).await;
                let response = read_one(&mut connection).await;
                assert_eq!(response.status, status, "{path}");
                assert_eq!(response.header("connection"), None);
            }
        }
    })
    .await;
}

/// Sends a POST on an open connection.
async fn post(connection: &mut TcpStream, path: &str, headers: &str, body: &[u8]) {
    let len = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {len}\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(body).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_stays_open_after_a_body_over_the_limit_of_its_path() {
    run(Backend::Sqlite, async |suite| {
        let mut connection = TcpStream::connect(suite.gateway).await.unwrap();
        for _ in 0..2 {
            let kind = "content-type: application/json\r\n";
            post(&mut connection, "/api/auth/login/", kind, &vec![b' '; 600 * 1024]).await;
            assert_eq!(read_one(&mut connection).await.status, 413);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_sent_before_the_body_is_read_arrives_without_a_reset() {
    with_echo(async |suite, _| {
        let access = suite.staff().await.tokens.access;
        let headers = format!(
            "content-type: application/grpc-web+proto\r\nauthorization: Bearer {access}\r\n\
             x-refuse: 1\r\n"
        );
        let text = "x".repeat(3_000_000);
        let body = super::web::Form::Binary.encode(&EchoRequest { text, ..Default::default() });
        let mut connection = TcpStream::connect(suite.gateway).await.unwrap();
        for _ in 0..20 {
            post(&mut connection, "/acme.echo.v1.EchoService/Collect", &headers, &body).await;
            let response = read_one(&mut connection).await;
            assert_eq!(response.status, 200);
            if response.header("connection") == Some("close") {
                let rest = connection.read_to_end(&mut Vec::new()).await;
                assert!(rest.is_ok(), "the connection was reset: {rest:?}");
                connection = TcpStream::connect(suite.gateway).await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_a_very_large_body_arrives_with_connection_close() {
    run(Backend::Sqlite, async |suite| {
        let body = vec![b'x'; 20 * 1024 * 1024];
        let mut connection = TcpStream::connect(suite.gateway).await.unwrap();
        let head = format!(
            "POST /api/patients/ HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let (mut read, mut write) = connection.split();
        let mut response = vec![0; 64 * 1024];
        // Many clients read the response only after they have sent much of the body.
        write.write_all(&body[..1024 * 1024]).await.unwrap();
        let len = read.read(&mut response).await.unwrap();
        let response = parse(&response[..len]);
        assert_eq!((response.status, response.header("connection")), (401, Some("close")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_a_response_arrives_although_the_body_was_not_read() {
    run(Backend::Sqlite, async |suite| {
        let calls = connect(suite.gateway).await;
        for (path, kind, status) in REFUSALS {
            let request = http::Request::post(format!("http://clinic{path}"))
                .header("content-type", kind)
                .body(())
                .unwrap();
            let mut calls = calls.clone().ready().await.unwrap();
            let (response, mut body) = calls.send_request(request, false).unwrap();
            // h2 sends the body as flow control permits.
            body.send_data(vec![b'x'; 300_000].into(), true).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), status, "{path}");
            let mut read = response.into_body();
            while let Some(data) = read.data().await {
                data.unwrap();
            }
        }
    })
    .await;
}

/// Reads one response and keeps the connection open.
async fn read_one(connection: &mut TcpStream) -> super::http1::Response {
    let mut bytes = Vec::new();
    loop {
        assert!(connection.read_buf(&mut bytes).await.unwrap() > 0, "the connection has ended");
        let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let response = parse(&bytes);
        let whole = match response.header("content-length") {
            Some(len) => bytes.len() == head + 4 + len.parse::<usize>().unwrap(),
            None => bytes.ends_with(b"0\r\n\r\n"),
        };
        if whole {
            return response;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_expect_continue_is_refused_before_its_body() {
    run(Backend::Sqlite, async |suite| {
        let headers = [("content-type", "application/json"), ("expect", "100-continue")];
        let refused = send(suite.gateway, "POST", "/api/patients/", &headers, b"").await;
        assert_eq!(refused.status, 401);
    })
    .await;
}
