//! Services that stop and start again, and services with several replicas.

use std::time::{Duration, Instant};

use clinic_proto::auth::v1::GetUserRequest;
use clinic_proto::records::v1::ListPatientsRequest;
use clinic_testkit::{Account, Backend, Clients, Suite, failure, run};
use tokio::net::TcpListener;
use tonic::{Code, Status};

use super::echo::v1::EchoRequest;
use super::echo::v1::echo_service_client::EchoServiceClient;
use super::echo::{Echo, Reflection, SERVICE};
use super::gateway::Gateway;
use super::signed_in;
use crate::ports::{Port, records_at};

fn clients(gateway: &Gateway, account: &Account) -> Clients {
    let bearer = format!("Bearer {}", account.tokens.access);
    Clients::new(|_| gateway.address, &[("authorization", &bearer)])
}

async fn list(clients: &Clients) -> Result<(), Status> {
    clients.patients.clone().list_patients(ListPatientsRequest::default()).await.map(drop)
}

/// Waits until a call succeeds. Asserts that failures before that are UNAVAILABLE.
async fn wait_until_available(clients: &Clients) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(status) = list(clients).await {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(Instant::now() < deadline, "the service stays unavailable");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn wait_until_unavailable(clients: &Clients) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while list(clients).await.is_ok() {
        assert!(Instant::now() < deadline, "the service stays available");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn assert_unavailable_at_once(clients: &Clients) {
    let began = Instant::now();
    let refused =
        failure(clients.patients.clone().list_patients(ListPatientsRequest::default()).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "UNAVAILABLE"));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_to_a_stopped_service_fail_at_once_until_it_is_back() {
    run(Backend::Sqlite, async |suite| {
        let account = suite.staff().await;
        let port = Port::reserve();
        let gateway = Gateway::start(suite, |config| config.records_url = port.url()).await;
        let clients = clients(&gateway, &account);
        for _ in 0..3 {
            assert_unavailable_at_once(&clients).await;
        }
        // Other services are not affected.
        clients.auth.clone().get_user(GetUserRequest { id: "me".into() }).await.unwrap();

        for _ in 0..2 {
            let records = records_at(suite, &port).await;
            wait_until_available(&clients).await;
            for _ in 0..20 {
                list(&clients).await.unwrap();
            }
            records.cancel();
            wait_until_unavailable(&clients).await;
            assert_unavailable_at_once(&clients).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_succeed_while_one_of_two_replicas_of_records_is_down() {
    run(Backend::Sqlite, async |suite| {
        let account = suite.staff().await;
        let (one, two) = (Port::reserve(), Port::reserve());
        let both = format!("{},{}", one.url(), two.url());
        let gateway = Gateway::start(suite, |config| config.records_url = both).await;
        let clients = clients(&gateway, &account);
        assert_unavailable_at_once(&clients).await;

        let first = records_at(suite, &one).await;
        wait_until_steady(&clients).await;
        let second = records_at(suite, &two).await;
        wait_until_steady(&clients).await;
        // Calls now reach the second, so the gateway has found it.
        first.cancel();
        wait_until_steady(&clients).await;
        let third = records_at(suite, &one).await;
        wait_until_steady(&clients).await;
        second.cancel();
        wait_until_steady(&clients).await;
        third.cancel();
        wait_until_unavailable(&clients).await;
    })
    .await;
}

/// Waits until ten calls in a row succeed. A call that meets a stopping replica may fail.
async fn wait_until_steady(clients: &Clients) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut succeeded = 0;
    while succeeded < 10 {
        assert!(Instant::now() < deadline, "calls keep failing");
        match list(clients).await {
            Ok(()) => succeeded += 1,
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                succeeded = 0;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replicas_of_a_service_share_the_calls_equally() {
    run(Backend::Sqlite, async |suite: &Suite| {
        let access = suite.staff().await.tokens.access;
        let start =
            async || Echo::serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), Reflection::V1);
        let (one, two) = (start().await, start().await);
        let url = format!("{},{}", one.url(), two.url());
        let route =
            clinic_gateway::Route { service: SERVICE.into(), url, public: false, max: None };
        let gateway = Gateway::start(suite, |config| config.public.routes.push(route)).await;
        let mut client = EchoServiceClient::new(gateway.channel().await);
        for _ in 0..20 {
            client.once(signed_in(EchoRequest::default(), &access)).await.unwrap();
        }
        assert_eq!((one.calls(), two.calls()), (10, 10));
    })
    .await;
}
