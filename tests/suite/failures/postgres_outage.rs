//! A database outage: calls that need the database are UNAVAILABLE, and no service is ready. Both
//! end by themselves once the database is back.

use std::time::{Duration, Instant};

use clinic_proto::assignment::v1::ListAssignmentsRequest;
use clinic_proto::auth::v1::{GetJwksRequest, GetUserRequest, RefreshRequest};
use clinic_proto::records::v1::{
    CreatePatientRequest, GetPatientRequest, ListPatientsRequest, Patient,
};
use clinic_testkit::{Account, Backend, PASSWORD, Suite, patient};
use futures::future::join_all;
use tonic::{Code, Status};

use super::cluster::Cluster;

/// Timeout of each wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes several kinds of calls to the services at once. Returns the results by name.
async fn calls(suite: &Suite, account: &Account) -> Vec<(&'static str, Result<(), Status>)> {
    let clients = &account.clients;
    let (mut auth, mut other) = (clients.auth.clone(), suite.anonymous().auth);
    let mut anonymous = other.clone();
    let (mut patients, mut writer) = (clients.patients.clone(), clients.patients.clone());
    let mut assignments = clients.assignments.clone();
    let login = clinic_proto::auth::v1::LoginRequest {
        email: account.user.email.clone(),
        password: PASSWORD.into(),
        ..Default::default()
    };
    let refresh = RefreshRequest { refresh: "A".repeat(43) };
    let create = CreatePatientRequest { patient: Some(patient()), ..Default::default() };
    let (user, login, refresh, list, create, assignments) = tokio::join!(
        auth.get_user(GetUserRequest { id: "me".into() }),
        other.login(login),
        anonymous.refresh(refresh),
        patients.list_patients(ListPatientsRequest::default()),
        writer.create_patient(create),
        assignments.list_assignments(ListAssignmentsRequest::default()),
    );
    let refresh = match refresh {
        // The token does not exist. The service had to read the database to know that.
        Err(status) if status.code() == Code::Unauthenticated => Ok(()),
        response => response.map(drop),
    };
    vec![
        ("get user", user.map(drop)),
        ("login", login.map(drop)),
        ("refresh", refresh),
        ("list patients", list.map(drop)),
        ("create patient", create.map(drop)),
        ("list assignments", assignments.map(drop)),
    ]
}

async fn assert_all_unavailable(suite: &Suite, account: &Account) {
    let began = Instant::now();
    for (name, response) in calls(suite, account).await {
        let refused = clinic_testkit::failure(response.map(tonic::Response::new));
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::Unavailable, "UNAVAILABLE"),
            "{name}"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    // Methods that need no database still work.
    suite.anonymous().tokens.get_jwks(GetJwksRequest {}).await.unwrap();
}

/// Returns whether the gateway and each service report that they serve.
async fn is_ready(suite: &Suite) -> Vec<bool> {
    let servers = [suite.gateway, suite.auth, suite.records, suite.assignment];
    let asked = servers
        .map(async |server| clinic_net::health::check(&format!("http://{server}")).await.is_ok());
    join_all(asked).await
}

async fn wait_until_ready(suite: &Suite, ready: bool) {
    let began = Instant::now();
    while is_ready(suite).await != [ready; 4] {
        assert!(began.elapsed() < PATIENCE, "readiness does not become {ready}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn wait_until_available(suite: &Suite, account: &Account) {
    let began = Instant::now();
    loop {
        let responses = calls(suite, account).await;
        for (name, response) in &responses {
            let code = response.as_ref().err().map_or(Code::Ok, Status::code);
            assert!([Code::Ok, Code::Unavailable].contains(&code), "{name}: {response:?}");
        }
        if responses.iter().all(|(_, response)| response.is_ok()) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "calls still fail: {responses:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn assert_kept(account: &Account, known: &Patient) {
    let request = GetPatientRequest { id: known.id.clone(), ..Default::default() };
    let read = account.clients.patients.clone().get_patient(request).await.unwrap().into_inner();
    assert_eq!(read, *known);
}

mod calls_are_unavailable_during_a_database_outage_and_recover {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        let cluster = Cluster::start();
        let url = cluster.url();
        let configure = |config: &mut clinic::Config| config.databases.database_url = Some(url);
        let suite = Suite::start(Backend::Postgres, configure).await;
        let account = suite.staff().await;
        let known = account.create_patient(patient()).await;
        wait_until_ready(&suite, true).await;
        // Fills the connection pools. All these connections are dead afterwards.
        join_all((0..8).map(|_| calls(&suite, &account))).await;

        for mode in ["fast", "immediate"] {
            cluster.down(mode);
            assert_all_unavailable(&suite, &account).await;
            wait_until_ready(&suite, false).await;
            assert_all_unavailable(&suite, &account).await;
            cluster.up();
            wait_until_available(&suite, &account).await;
            wait_until_ready(&suite, true).await;
            // The pools hand out none of the dead connections.
            for responses in join_all((0..8).map(|_| calls(&suite, &account))).await {
                assert!(responses.iter().all(|(_, response)| response.is_ok()), "{responses:?}");
            }
            assert_kept(&account, &known).await;
        }
        suite.stop().await;
    }
}
