//! Calls to several replicas.

mod fake;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::net::TcpSocket;

use self::fake::{Does, Fake, Machine};
use super::*;

fn url(address: SocketAddr) -> Uri {
    format!("http://{address}").parse().unwrap()
}

/// Returns the URL of an address where nothing listens. The address stays reserved.
fn nobody() -> Uri {
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = url(held.local_addr().unwrap());
    std::mem::forget(held);
    url
}

fn upstream(urls: Vec<Uri>) -> Upstream {
    Upstream::new("records", "", urls).unwrap()
}

async fn call(upstream: &Upstream, is_read: bool, body: Body) -> Result<Bytes, Status> {
    let request = Request::post("/some.Service/Method").body(body).unwrap();
    let response = upstream.send(1, is_read, request).await?;
    Ok(response.into_body().collect().await?.to_bytes())
}

async fn write(upstream: &Upstream) -> Result<Bytes, Status> {
    call(upstream, false, message(b"x")).await
}

async fn get(upstream: &Upstream) -> Result<Bytes, Status> {
    call(upstream, true, message(b"x")).await
}

fn message(bytes: &'static [u8]) -> Body {
    Body::new(Full::new(Bytes::from_static(bytes)))
}

/// Returns a body that arrives in two parts, the second after a while.
fn in_parts(first: Vec<u8>, second: Vec<u8>) -> Body {
    let parts = futures::stream::unfold(vec![second, first], |mut left| async {
        let part = left.pop()?;
        if left.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some((Ok::<_, Status>(http_body::Frame::data(part.into())), left))
    });
    Body::new(StreamBody::new(Box::pin(parts)))
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn wait_until_served(upstream: &Upstream) {
    wait_until_health(upstream, ServingStatus::Serving).await;
}

async fn wait_until_health(upstream: &Upstream, status: ServingStatus) {
    let mut health = upstream.health();
    let is_it = health.wait_for(|health| *health == Some(status));
    timeout(Duration::from_secs(20), is_it).await.expect("its health stays").unwrap();
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_does_not_keep_calls_from_the_others() {
    let fake = Fake::start(Does::Answers).await;
    let localhost = format!("http://localhost:{}", fake.address.port()).parse().unwrap();
    let unknown = "http://no-such-host.invalid:1".parse().unwrap();
    let upstream = upstream(vec![unknown, localhost]);
    wait_until_served(&upstream).await;
    for _ in 0..10 {
        assert_eq!(write(&upstream).await.unwrap(), "x");
    }
}

#[tokio::test]
async fn a_name_with_two_families_of_which_one_is_dead_fails_no_call() {
    let fake = Fake::start(Does::Answers).await;
    let url: Uri = format!("http://localhost:{}", fake.address.port()).parse().unwrap();
    let upstream = upstream(vec![url.clone()]);
    let both = ["[::1]", "127.0.0.1"]
        .map(|host| format!("{host}:{}", fake.address.port()).parse().unwrap());
    let replicas = &upstream.0;
    replicas.resolved(&url, Ok(both.to_vec()));
    replicas.update();
    // A call or a check detects the address where nothing listens.
    for _ in 0..20 {
        assert_eq!(write(&upstream).await.unwrap(), "x");
    }
    wait_until_served(&upstream).await;
    assert_eq!(replicas.in_use(), [fake.address]);
}

#[tokio::test]
async fn what_is_known_of_a_name_stays_while_it_cannot_be_resolved() {
    let fake = Fake::start(Does::Answers).await;
    let url: Uri = "http://no-such-host.invalid:1".parse().unwrap();
    let upstream = upstream(vec![url.clone()]);
    let replicas = &upstream.0;
    replicas.resolved(&url, Ok(vec![fake.address]));
    for found in [Err(std::io::Error::other("no answer")), Ok(Vec::new())] {
        replicas.resolved(&url, found);
        replicas.update();
        assert_eq!(write(&upstream).await.unwrap(), "x");
    }
}

#[tokio::test]
async fn a_call_that_was_not_taken_goes_to_the_next_replica_whatever_it_is() {
    for does in [Does::Refuses, Does::GoesAway] {
        let (bad, good) = (Fake::start(does).await, Fake::start(Does::Answers).await);
        let upstream = upstream(vec![bad.url(), good.url()]);
        assert_eq!(write(&upstream).await.unwrap(), "x", "{does:?}");
        assert_eq!((bad.calls(), good.calls()), (1, 1), "{does:?}");
    }
}

#[tokio::test]
async fn a_replica_that_refuses_connections_fails_no_call() {
    let good = Fake::start(Does::Answers).await;
    let upstream = upstream(vec![nobody(), good.url()]);
    for _ in 0..20 {
        assert_eq!(write(&upstream).await.unwrap(), "x");
    }
}

#[tokio::test]
async fn a_read_whose_connection_broke_is_repeated_once_and_a_write_never() {
    for does in [Does::HangsUp, Does::Breaks] {
        let (bad, good) = (Fake::start(does).await, Fake::start(Does::Answers).await);
        let both = upstream(vec![bad.url(), good.url()]);
        for _ in 0..20 {
            assert_eq!(get(&both).await.unwrap(), "x", "{does:?}");
        }
        assert!(bad.calls() > 0);
        let alone = upstream(vec![bad.url()]);
        assert_eq!(get(&alone).await.unwrap_err().code(), Code::Unavailable);
        assert_eq!(bad.calls(), 2, "{does:?}");
        assert!(write(&alone).await.is_err());
        assert_eq!(bad.calls(), 1, "{does:?}");
    }
}

#[tokio::test]
async fn a_body_is_sent_again_as_it_was_unless_it_is_large() {
    let most = replayable::MOST_KEPT;
    let sizes = [(10, 10), (0, 10), (most - 1, 1), (most + 1, 1)];
    for (first, second) in sizes {
        let (bad, good) = (Fake::start(Does::Refuses).await, Fake::start(Does::Answers).await);
        let upstream = upstream(vec![bad.url(), good.url()]);
        let sent = [vec![1; first], vec![2; second]].concat();
        let is_kept = sent.len() <= replayable::MOST_KEPT;
        for _ in 0..2 {
            let body = in_parts(vec![1; first], vec![2; second]);
            let response = call(&upstream, false, body).await;
            match response {
                Ok(response) => assert!(response == sent),
                Err(status) => assert!(!is_kept, "{status:?}"),
            }
        }
        let times = if is_kept { 2 } else { 1 };
        assert_eq!((bad.calls(), good.bodies().len()), (times, times), "{first} and {second}");
    }
}

#[tokio::test]
async fn a_replica_that_does_not_serve_gets_no_calls_unless_none_does() {
    let fakes = [Fake::start(Does::Answers).await, Fake::start(Does::Answers).await];
    let upstream = upstream(fakes.iter().map(Fake::url).collect());
    let replicas = &upstream.0;
    wait_until_served(&upstream).await;
    fakes[0].says(ServingStatus::NotServing);
    until("it still gets calls", async || replicas.in_use() == [fakes[1].address]).await;
    for fake in &fakes {
        fake.calls();
    }
    for _ in 0..10 {
        write(&upstream).await.unwrap();
    }
    assert_eq!((fakes[0].calls(), fakes[1].calls()), (0, 10));
    assert_eq!(*upstream.health().borrow(), Some(ServingStatus::Serving));
    fakes[1].says(ServingStatus::NotServing);
    wait_until_health(&upstream, ServingStatus::NotServing).await;
    for _ in 0..10 {
        write(&upstream).await.unwrap();
    }
    assert_eq!((fakes[0].calls(), fakes[1].calls()), (5, 5), "reads may still work");
    fakes[0].says(ServingStatus::Serving);
    until("it gets no calls again", async || replicas.in_use() == [fakes[0].address]).await;
}

#[tokio::test]
async fn a_replica_that_lies_about_its_health_is_known_by_its_answers() {
    let (bad, good) = (Fake::start(Does::SaysUnavailable).await, Fake::start(Does::Answers).await);
    let upstream = upstream(vec![bad.url(), good.url()]);
    wait_until_served(&upstream).await;
    for _ in 0..20 {
        write(&upstream).await.ok();
    }
    assert_eq!((bad.calls(), good.calls()), (5, 15));
    bad.does(Does::Answers);
    until("it gets no calls again", async || {
        write(&upstream).await.unwrap();
        bad.calls() > 0
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_does_not_serve_is_not_taken_for_one_that_fails() {
    let fakes = [Fake::start(Does::SaysUnavailable).await, Fake::start(Does::HangsUp).await];
    let upstream = upstream(fakes.iter().map(Fake::url).collect());
    for fake in &fakes {
        fake.says(ServingStatus::NotServing);
    }
    wait_until_health(&upstream, ServingStatus::NotServing).await;
    let health = upstream.health();
    for _ in 0..50 {
        write(&upstream).await.ok();
    }
    assert_eq!(*upstream.health().borrow(), Some(ServingStatus::NotServing));
    assert!(!health.has_changed().unwrap());
}

#[tokio::test]
async fn a_replica_that_breaks_its_calls_off_gets_none_for_a_while() {
    let (bad, good) = (Fake::start(Does::HangsUp).await, Fake::start(Does::Answers).await);
    let upstream = upstream(vec![bad.url(), good.url()]);
    wait_until_served(&upstream).await;
    for _ in 0..20 {
        write(&upstream).await.ok();
    }
    assert_eq!((bad.calls(), good.calls()), (5, 15));
}

#[tokio::test]
async fn the_share_of_a_replica_that_is_down_is_spread() {
    let fakes = [Fake::start(Does::Answers).await, Fake::start(Does::Answers).await];
    let urls = vec![nobody(), fakes[0].url(), fakes[1].url()];
    let upstream = upstream(urls);
    for _ in 0..101 {
        write(&upstream).await.unwrap();
    }
    let calls = [fakes[0].calls(), fakes[1].calls()];
    assert!(calls[0].abs_diff(calls[1]) <= 2, "{calls:?}");
}

#[tokio::test]
async fn a_replica_that_says_nothing_gets_no_calls_within_seconds() {
    let (bad, good) = (Fake::start(Does::Answers).await, Fake::start(Does::Answers).await);
    let upstream = upstream(vec![bad.url(), good.url()]);
    wait_until_served(&upstream).await;
    bad.does(Does::SaysNothing);
    let began = Instant::now();
    until("it gets calls", async || upstream.0.in_use() == [good.address]).await;
    // An interval and a check, plus a margin for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    bad.does(Does::Answers);
    until("it gets no calls again", async || upstream.0.in_use().len() == 2).await;
}

#[tokio::test]
async fn calls_that_a_vanished_machine_has_do_not_wait_for_it() {
    let (bad, good) = (Fake::start(Does::SaysNothing).await, Fake::start(Does::Answers).await);
    let machine = Machine::start(bad.address).await;
    let upstream = upstream(vec![url(machine.address), good.url()]);
    let (read, written) = {
        let (one, two) = (upstream.clone(), upstream.clone());
        (
            tokio::spawn(async move { get(&one).await }),
            tokio::spawn(async move { write(&two).await }),
        )
    };
    // The second of two calls goes to the other replica.
    until("it gets a call", async || bad.calls() > 0).await;
    drop(upstream);
    let began = Instant::now();
    machine.vanish();
    for call in [read, written] {
        assert_eq!(call.await.unwrap().unwrap(), "x");
    }
    // Pings would have noticed after 15 s.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
