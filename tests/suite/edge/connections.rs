//! Idle connections, connection limits, and how the gateway closes connections.

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

/// The first bytes of an HTTP/2 client: the preface and a SETTINGS frame.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Sends bytes and waits until the server closes the connection.
async fn closed_after(server: SocketAddr, sent: &[u8]) {
    let mut connection = TcpStream::connect(server).await.unwrap();
    connection.write_all(sent).await.unwrap();
    let closed = async {
        let mut bytes = [0; 1024];
        while !matches!(connection.read(&mut bytes).await, Ok(0) | Err(_)) {}
    };
    let closed = tokio::time::timeout(Duration::from_secs(60), closed).await;
    assert!(closed.is_ok(), "the connection stays open after {sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_request_is_closed() {
    run(Backend::Sqlite, async |suite| {
        let gateway = suite.gateway;
        let sent = [&b""[..], b"P", b"POST / HT", HELLO];
        futures::future::join_all(sent.map(|sent| closed_after(gateway, sent))).await;
    })
    .await;
}

/// Deadline for another client to get a working connection. The goal is a second, but other tests
/// may keep the machine busy. If no connection were closed, it would take more than a minute.
const SOON: Duration = Duration::from_secs(10);
/// Longer than the gateway takes to see that a response was sent and that the connection is idle.
const APART: Duration = Duration::from_millis(200);

/// Connects from this address.
async fn connect_from(address: [u8; 4], server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((address, 0).into())?;
    socket.connect(server).await
}

/// Makes a request on a new connection and keeps it. Returns `None` if the server closes it.
async fn used(address: [u8; 4], server: SocketAddr) -> Option<TcpStream> {
    let connection = async {
        let mut connection = connect_from(address, server).await.ok()?;
        get_livez(&mut connection).await.ok()?;
        Some(connection)
    };
    tokio::time::timeout(Duration::from_secs(60), connection).await.expect("a response or a close")
}

async fn get_livez(connection: &mut TcpStream) -> std::io::Result<()> {
    connection.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await?;
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\nok\n") {
        if connection.read_buf(&mut response).await? == 0 {
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
async fn at_the_limit_the_longest_idle_connection_is_closed() {
    run(Backend::Sqlite, async |suite| {
        let gateway = Gateway::start(suite, |config| {
            config.public.max_connections = 3;
            config.public.max_connections_per_address = Some(3);
        })
        .await;
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(used(FIRST, gateway.address).await.unwrap());
            tokio::time::sleep(APART).await;
        }
        // The first is active again, so the second is idle longest.
        get_livez(&mut held[0]).await.unwrap();
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
async fn one_address_with_active_connections_does_not_lock_out_others() {
    with_echo(async |suite, echo| {
        let route = echo.route(true);
        let gateway = Gateway::start(suite, |config| {
            // One address may have a quarter of them.
            config.public.max_connections = 16;
            config.public.routes.push(route);
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

/// Returns an HTTP/2 HEADERS frame that requests `/livez` and ends its stream.
fn livez(stream: u32) -> Vec<u8> {
    // GET, http, and the path and the authority as text (RFC 7541, appendix A).
    let head = b"\x82\x86\x04\x06/livez\x01\x01x";
    let len = u32::try_from(head.len()).unwrap().to_be_bytes();
    [&len[1..], &[1, 5], &stream.to_be_bytes(), head].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_must_close_is_closed_despite_new_requests() {
    run(Backend::Sqlite, async |suite| {
        let gateway = Gateway::start(suite, |config| config.public.max_connections = 1).await;
        let mut first = connect_from(FIRST, gateway.address).await.unwrap();
        first.write_all(HELLO).await.unwrap();
        first.write_all(&livez(1)).await.unwrap();
        let mut bytes = [0; 4096];
        assert!(first.read(&mut bytes).await.unwrap() > 0);
        tokio::time::sleep(Duration::from_millis(200)).await;
        used(OTHER, gateway.address).await.unwrap();
        // The client ignores GOAWAY and sends one request after another.
        let stays = async {
            for stream in (3..).step_by(2) {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let asked = first.write_all(&livez(stream)).await;
                if asked.is_err() || matches!(first.try_read(&mut bytes), Ok(0)) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), stays).await.expect("it must be closed");
        gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_with_its_limit_of_active_connections_gets_no_more() {
    with_echo(async |suite, echo| {
        let route = echo.route(true);
        let gateway = Gateway::start(suite, |config| {
            config.public.max_connections_per_address = Some(2);
            config.public.routes.push(route);
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
        assert!(refused.expect("it must be closed").is_none());
        assert!(used(OTHER, gateway.address).await.is_some());
        drop(working);
        gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uncounted_networks_and_proxies_may_use_all_connections() {
    run(Backend::Sqlite, async |suite| {
        let network = || vec!["127.0.0.1/32".parse().unwrap()];
        for which in 0..3 {
            let gateway = Gateway::start(suite, |config| {
                config.public.max_connections = 8;
                match which {
                    0 => config.public.uncounted_networks = network(),
                    1 => config.public.trusted_proxies = network(),
                    _ => config.public.behind_proxy = true,
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
async fn at_the_limit_a_new_connection_waits() {
    with_echo(async |suite, echo| {
        let route = echo.route(true);
        let gateway = Gateway::start(suite, |config| {
            config.public.max_connections = 1;
            config.public.routes.push(route);
        })
        .await;
        let mut client = EchoServiceClient::new(gateway.channel().await);
        let hang = EchoRequest { hang: true, times: 1, ..EchoRequest::default() };
        let working = client.repeat(hang).await.unwrap();
        echo.begun().await;
        let mut second = pin!(used(OTHER, gateway.address));
        tokio::select! {
            _ = second.as_mut() => panic!("it was served above the limit"),
            () = tokio::time::sleep(Duration::from_millis(300)) => {}
        }
        drop((working, client));
        assert!(second.await.is_some());
        gateway.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_at_its_connection_limit_shuts_down() {
    run(Backend::Sqlite, async |suite| {
        let gateway = Gateway::start(suite, |config| {
            config.public.max_connections = 2;
            // Longer than a clean shutdown ever takes.
            config.serving.shutdown_grace = Duration::from_secs(300);
        })
        .await;
        let mut held = Vec::new();
        for sent in [&b"P"[..], HELLO] {
            let mut connection = TcpStream::connect(gateway.address).await.unwrap();
            connection.write_all(sent).await.unwrap();
            held.push(connection);
        }
        gateway.stop().await;
    })
    .await;
}
