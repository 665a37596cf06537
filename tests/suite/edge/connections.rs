//! Idle connections, limits of connections, and how a gateway closes them.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use clinic_testkit::{Backend, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::echo::v1::EchoRequest;
use super::echo::v1::echo_service_client::EchoServiceClient;
use super::gateway::Gateway;
use super::with_echo;

/// What an HTTP/2 client sends first: the preface and its settings.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Sends the bytes, and waits until the server closes.
async fn closed_after(server: SocketAddr, said: &[u8]) {
    let mut connection = TcpStream::connect(server).await.unwrap();
    connection.write_all(said).await.unwrap();
    let closed = async {
        let mut bytes = [0; 1024];
        while !matches!(connection.read(&mut bytes).await, Ok(0) | Err(_)) {}
    };
    let closed = tokio::time::timeout(Duration::from_secs(60), closed).await;
    assert!(closed.is_ok(), "it is held after {said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_request_is_closed() {
    run(Backend::Sqlite, async |suite| {
        let gateway = suite.gateway;
        let said = [&b""[..], b"P", b"POST / HT", HELLO];
        futures::future::join_all(said.map(|said| closed_after(gateway, said))).await;
    })
    .await;
}

/// How soon another client must have a connection that works. A second is the goal; other tests may keep
/// the machine busy. Without room it would be more than a minute.
const SOON: Duration = Duration::from_secs(10);
/// Longer than the gateway takes to see that an answer was sent: the connection is idle from then on.
const APART: Duration = Duration::from_millis(200);

/// A connection from that address.
async fn from(address: [u8; 4], server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((address, 0).into())?;
    socket.connect(server).await
}

/// A connection that made a request, and stays. None when it is closed instead.
async fn used(address: [u8; 4], server: SocketAddr) -> Option<TcpStream> {
    let connection = async {
        let mut connection = from(address, server).await.ok()?;
        ask(&mut connection).await.ok()?;
        Some(connection)
    };
    tokio::time::timeout(Duration::from_secs(60), connection).await.expect("an answer, or an end")
}

async fn ask(connection: &mut TcpStream) -> std::io::Result<()> {
    connection.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok\n") {
        if connection.read_buf(&mut answer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

async fn is_open(connection: &TcpStream) -> bool {
    let mut rest = [0; 4096];
    loop {
        match connection.try_read(&mut rest) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

const FIRST: [u8; 4] = [127, 0, 0, 1];
const OTHER: [u8; 4] = [127, 0, 0, 2];

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_that_was_idle_longest_gives_way() {
    run(Backend::Sqlite, async |suite| {
        let gateway = Gateway::start(suite, |config| {
            config.edge.max_connections = 3;
            config.edge.max_connections_per_address = Some(3);
        })
        .await;
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(used(FIRST, gateway.address).await.unwrap());
            tokio::time::sleep(APART).await;
        }
        // The first one works again, so the second is idle longest.
        ask(&mut held[0]).await.unwrap();
        tokio::time::sleep(APART).await;
        tokio::time::timeout(SOON, used(OTHER, gateway.address)).await.unwrap().unwrap();
        let mut rest = Vec::new();
        tokio::time::timeout(SOON, held[1].read_to_end(&mut rest)).await.unwrap().unwrap();
        assert!(is_open(&held[0]).await && is_open(&held[2]).await);
        gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_whose_connections_all_work_keeps_nobody_else_out() {
    with_echo(async |suite, echo| {
        let route = echo.route(true);
        let gateway = Gateway::start(suite, |config| {
            // A quarter of them may be of one address.
            config.edge.max_connections = 16;
            config.edge.routes.push(route);
        })
        .await;
        let mut working = Vec::new();
        for _ in 0..24 {
            let Ok(channel) = gateway.try_channel().await else { continue };
            let hang = EchoRequest { hang: true, times: 1, ..EchoRequest::default() };
            if let Ok(replies) = EchoServiceClient::new(channel).repeat(hang).await {
                working.push(replies);
            }
        }
        assert_eq!(working.len(), 4);
        let other = tokio::time::timeout(SOON, used(OTHER, gateway.address)).await;
        assert!(other.expect("a connection").is_some());
        drop(working);
        gateway.stop().await;
    })
    .await;
}

/// A call of `/livez` over HTTP/2, in bytes: a HEADERS frame that ends its stream.
fn livez(stream: u32) -> Vec<u8> {
    // GET, http, and the path and the authority as text (RFC 7541, appendix A).
    let head = b"\x82\x86\x04\x06/livez\x01\x01x";
    let len = u32::try_from(head.len()).unwrap().to_be_bytes();
    [&len[1..], &[1, 5], &stream.to_be_bytes(), head].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_requests_do_not_keep_a_connection_that_must_give_way() {
    run(Backend::Sqlite, async |suite| {
        let gateway = Gateway::start(suite, |config| config.edge.max_connections = 1).await;
        let mut first = from(FIRST, gateway.address).await.unwrap();
        first.write_all(HELLO).await.unwrap();
        first.write_all(&livez(1)).await.unwrap();
        let mut bytes = [0; 4096];
        assert!(first.read(&mut bytes).await.unwrap() > 0);
        tokio::time::sleep(Duration::from_millis(200)).await;
        used(OTHER, gateway.address).await.unwrap();
        // It does not answer the gateway's goodbye, and calls again and again.
        let stays = async {
            for stream in (3..).step_by(2) {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let asked = first.write_all(&livez(stream)).await;
                if asked.is_err() || matches!(first.try_read(&mut bytes), Ok(0)) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), stays).await.expect("it is closed");
        gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_whose_connections_all_work_gets_no_further_one() {
    with_echo(async |suite, echo| {
        let route = echo.route(true);
        let gateway = Gateway::start(suite, |config| {
            config.edge.max_connections_per_address = Some(2);
            config.edge.routes.push(route);
        })
        .await;
        let mut working = Vec::new();
        for _ in 0..2 {
            let mut client = EchoServiceClient::new(gateway.channel().await);
            let hang = EchoRequest { hang: true, times: 1, ..EchoRequest::default() };
            working.push(client.repeat(hang).await.unwrap());
            echo.begun().await;
        }
        let refused = tokio::time::timeout(SOON, used(FIRST, gateway.address)).await;
        assert!(refused.expect("it is closed").is_none());
        assert!(used(OTHER, gateway.address).await.is_some());
        drop(working);
        gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_that_are_not_counted_and_proxies_may_hold_all_places() {
    run(Backend::Sqlite, async |suite| {
        let network = || vec!["127.0.0.1/32".parse().unwrap()];
        for which in 0..3 {
            let gateway = Gateway::start(suite, |config| {
                config.edge.max_connections = 8;
                match which {
                    0 => config.edge.uncounted_networks = network(),
                    1 => config.edge.trusted_proxies = network(),
                    _ => config.edge.behind_proxy = true,
                }
            })
            .await;
            let mut held = Vec::new();
            for _ in 0..8 {
                held.push(used(FIRST, gateway.address).await.unwrap());
            }
            for connection in &held {
                assert!(is_open(connection).await, "{which}");
            }
            gateway.stop().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_finds_no_place_waits_for_one() {
    with_echo(async |suite, echo| {
        let route = echo.route(true);
        let gateway = Gateway::start(suite, |config| {
            config.edge.max_connections = 1;
            config.edge.routes.push(route);
        })
        .await;
        let mut client = EchoServiceClient::new(gateway.channel().await);
        let hang = EchoRequest { hang: true, times: 1, ..EchoRequest::default() };
        let working = client.repeat(hang).await.unwrap();
        echo.begun().await;
        let mut second = pin!(used(OTHER, gateway.address));
        tokio::select! {
            _ = second.as_mut() => panic!("it was served without a place"),
            () = tokio::time::sleep(Duration::from_millis(300)) => {}
        }
        drop((working, client));
        assert!(second.await.is_some());
        gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_a_place_left_stops_when_it_is_told() {
    run(Backend::Sqlite, async |suite| {
        let gateway = Gateway::start(suite, |config| {
            config.edge.max_connections = 2;
            // Longer than a stop that is in order ever takes.
            config.serving.shutdown_grace = Duration::from_secs(300);
        })
        .await;
        let mut held = Vec::new();
        for said in [&b"P"[..], HELLO] {
            let mut connection = TcpStream::connect(gateway.address).await.unwrap();
            connection.write_all(said).await.unwrap();
            held.push(connection);
        }
        gateway.stop().await;
    })
    .await;
}
