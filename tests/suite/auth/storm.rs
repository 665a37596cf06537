//! More concurrent sign-ins than auth can serve: one address must not lock out others.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clinic_proto::auth::v1::LoginRequest;
use clinic_stubs::auth::v1::auth_service_client::AuthServiceClient;
use clinic_testkit::{Account, Backend, PASSWORD, run};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::edge::http1::send;

/// Concurrent calls per connection.
const STREAMS: usize = 100;

/// Connects a client from this address.
async fn client_at(gateway: SocketAddr, address: [u8; 4]) -> AuthServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{gateway}")).unwrap();
    let endpoint = endpoint.local_address(Some(IpAddr::from(address)));
    AuthServiceClient::new(endpoint.connect().await.unwrap())
}

fn guess(account: &Account, number: usize) -> LoginRequest {
    // Half of the guesses name an existing account.
    let unknown = format!("nobody{number}@example.com");
    let email = if number.is_multiple_of(2) { account.user.email.clone() } else { unknown };
    LoginRequest { email, password: "wrong-password-7".into(), ..LoginRequest::default() }
}

/// Concurrent sign-ins with wrong passwords from 127.0.0.1, repeated until `end`.
struct Storm {
    ended: Arc<AtomicBool>,
    calls: JoinSet<Vec<Status>>,
}

impl Storm {
    async fn begin(gateway: SocketAddr, at_once: usize, account: &Account) -> Self {
        let (ended, mut calls) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for first in (0..at_once).step_by(STREAMS) {
            let client = client_at(gateway, [127, 0, 0, 1]).await;
            for number in first..at_once.min(first + STREAMS) {
                let (ended, mut client) = (ended.clone(), client.clone());
                let request = guess(account, number);
                calls.spawn(async move {
                    let mut refusals = Vec::new();
                    while !ended.load(Ordering::Relaxed) {
                        refusals.push(client.login(request.clone()).await.unwrap_err());
                    }
                    refusals
                });
            }
        }
        Self { ended, calls }
    }

    /// Returns every refusal.
    async fn end(self) -> Vec<Status> {
        self.ended.store(true, Ordering::Relaxed);
        self.calls.join_all().await.concat()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_sign_ins_from_one_address_does_not_lock_out_others() {
    run(Backend::Sqlite, async |suite| {
        let account = suite.staff().await;
        let mut honest = client_at(suite.gateway, [127, 0, 0, 2]).await;
        // More calls than auth runs and queues in total.
        let cores = std::thread::available_parallelism().unwrap().get();
        let storm = Storm::begin(suite.gateway, cores * 512 + 100, &account).await;

        // Clients at the address of the storm are refused, also over REST.
        let login = guess(&account, 1);
        let body = serde_json::json!({ "email": login.email, "password": login.password });
        let mut refused = None;
        while refused.is_none() {
            let headers = [("content-type", "application/json")];
            let body = body.to_string().into_bytes();
            let path = "/api/auth/login/";
            let response = send(suite.gateway, "POST", path, &headers, &body).await;
            refused = Some(response).filter(|response| response.status != 401);
        }
        let refused = refused.unwrap();
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));

        for _ in 0..3 {
            let request = LoginRequest {
                email: account.user.email.clone(),
                password: PASSWORD.into(),
                ..LoginRequest::default()
            };
            honest.login(request).await.unwrap();
        }
        let refusals = storm.end().await;
        let (tried, refused): (Vec<_>, Vec<_>) =
            refusals.into_iter().partition(|status| status.code() == Code::Unauthenticated);
        assert!(refused.len() > tried.len(), "{} and {}", refused.len(), tried.len());
        for status in refused {
            assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
            let details = status.get_error_details();
            let info = details.error_info().unwrap_or_else(|| panic!("{status:?}"));
            assert_eq!(info.reason, "TOO_MANY_CALLS");
            assert!(details.retry_info().unwrap().retry_delay.is_some());
        }
    })
    .await;
}
