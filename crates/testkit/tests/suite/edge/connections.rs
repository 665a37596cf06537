//! Connections on which nothing happens, and the end of all of them.

use std::net::SocketAddr;
use std::time::Duration;

use clinic_testkit::{Backend, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::gateway::Gateway;
use super::http1::send;

/// What an HTTP/2 client says first: that it is one, and its settings.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Says that, and waits until the other side closes.
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
async fn one_that_asks_nothing_is_not_held() {
    run(Backend::Sqlite, async |suite| {
        let gateway = suite.gateway;
        let said = [&b""[..], b"P", b"POST / HT", HELLO];
        futures::future::join_all(said.map(|said| closed_after(gateway, said))).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_place_gets_the_next_one() {
    run(Backend::Sqlite, async |suite| {
        let gateway = Gateway::start(suite, |config| config.edge.max_connections = 1).await;
        let mut first = TcpStream::connect(gateway.address).await.unwrap();
        first.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut bytes = [0; 12];
        first.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"HTTP/1.1 200");
        let second = send(gateway.address, "GET", "/livez", &[], b"");
        let close = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(first);
        };
        let (second, ()) = tokio::join!(second, close);
        assert_eq!(second.status, 200);
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
