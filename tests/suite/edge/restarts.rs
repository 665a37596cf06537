//! Restarts of one replica at a time, with two replicas of each service and continuous calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use clinic_net::Shutdown;
use clinic_proto::assignment::v1::ListPatientDoctorsRequest;
use clinic_proto::auth::v1::GetUserRequest;
use clinic_proto::records::v1::{CreatePatientRequest, GetPatientRequest};
use clinic_server::Server;
use clinic_testkit::{Backend, Clients, Suite, patient, run};
use secrecy::ExposeSecret as _;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

use super::gateway::Gateway;
use crate::ports::Port;

/// Delay between not-serving and shutdown: longer than the interval of health checks.
const DELAY: Duration = Duration::from_millis(1500);
/// Time until a restarted replica is found: a few health checks.
const FOUND: Duration = Duration::from_millis(2500);
const CLIENTS: usize = 12;

#[derive(Parser)]
struct Defaults<C: clap::Args> {
    #[command(flatten)]
    config: C,
}

#[derive(Clone, Copy)]
enum Service {
    Auth,
    Records,
    Assignment,
}

/// Two replicas of each service, which share the suite's databases.
struct Replicas<'a> {
    suite: &'a Suite,
    ports: [[Port; 2]; 3],
}

struct Replica {
    shutdown: Shutdown,
    running: JoinHandle<()>,
}

impl Replicas<'_> {
    const ALL: [Service; 3] = [Service::Auth, Service::Records, Service::Assignment];

    fn urls(&self, service: Service) -> String {
        let [one, two] = &self.ports[service as usize];
        format!("{},{}", one.url(), two.url())
    }

    async fn start(&self, service: Service, replica: usize) -> Replica {
        let name = ["auth", "records", "assignment"][service as usize];
        let database = self.suite.databases.url(name);
        let (keys, records) = (self.suite.keys(), self.urls(Service::Records));
        let mut arguments = vec![name, "--database-url", database.expose_secret()];
        arguments.extend(["--keys-dir", keys.path().to_str().unwrap()]);
        if !matches!(service, Service::Records) {
            arguments.extend(["--records-url", &records]);
        }
        let clock = self.suite.clock.clone();
        let server: Server = match service {
            Service::Auth => {
                let settings = Defaults::<clinic_auth::Config>::parse_from(arguments);
                clinic_auth::open(&settings.config, clock).await.unwrap()
            }
            Service::Records => {
                let settings = Defaults::<clinic_records::Config>::parse_from(arguments);
                clinic_records::open(&settings.config, clock).await.unwrap()
            }
            Service::Assignment => {
                let settings = Defaults::<clinic_assignment::Config>::parse_from(arguments);
                clinic_assignment::open(&settings.config, clock).await.unwrap()
            }
        };
        let listener = self.ports[service as usize][replica].listen();
        let shutdown = Shutdown::default();
        let signal = shutdown.clone();
        let running = tokio::spawn(async move { server.run(listener, signal).await.unwrap() });
        Replica { shutdown, running }
    }
}

/// How a replica is stopped.
#[derive(Clone, Copy)]
enum End {
    /// As by SIGTERM.
    Orderly,
    /// As by SIGKILL: its connections close with calls in flight.
    Abrupt,
}

/// Restarts every replica in turn while clients make calls. Returns the number of calls, and the
/// statuses of failed reads and failed writes.
async fn restart_all(suite: &Suite, end: End) -> (usize, Vec<Status>, Vec<Status>) {
    let ports = std::array::from_fn(|_| std::array::from_fn(|_| Port::reserve()));
    let replicas = Replicas { suite, ports };
    let mut running = Vec::new();
    for service in Replicas::ALL {
        for replica in 0..2 {
            running.push((service, replica, replicas.start(service, replica).await));
        }
    }
    let gateway = Gateway::start(suite, |config| {
        config.auth_url = replicas.urls(Service::Auth);
        config.records_url = replicas.urls(Service::Records);
        config.assignment_url = replicas.urls(Service::Assignment);
    })
    .await;
    let bearer = format!("Bearer {}", suite.staff().await.tokens.access);
    let (done, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let own = Clients::new(|_| gateway.address, &[("authorization", &bearer)]);
        clients.spawn(call_until(done.clone(), calls.clone(), own));
    }
    for (service, replica, old) in running {
        match end {
            End::Orderly => old.shutdown.begin_after(DELAY).await,
            End::Abrupt => old.running.abort(),
        }
        timeout(Duration::from_secs(30), old.running).await.expect("the replica must stop").ok();
        replicas.start(service, replica).await;
        // Lets the others find it again: one replica must always be reachable.
        sleep(FOUND).await;
    }
    done.store(true, Ordering::Relaxed);
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for (failed_reads, failed_writes) in clients.join_all().await {
        reads.extend(failed_reads);
        writes.extend(failed_writes);
    }
    (calls.load(Ordering::Relaxed), reads, writes)
}

async fn call_until(
    done: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    mut clients: Clients,
) -> (Vec<Status>, Vec<Status>) {
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    let request = || CreatePatientRequest { patient: Some(patient()), ..Default::default() };
    let made = clients.patients.create_patient(request()).await.unwrap().into_inner();
    while !done.load(Ordering::Relaxed) {
        let request = GetPatientRequest { id: made.id.clone(), ..Default::default() };
        reads.extend(clients.patients.get_patient(request).await.err());
        let request = GetUserRequest { id: "me".into() };
        reads.extend(clients.auth.get_user(request).await.err());
        let request =
            ListPatientDoctorsRequest { patient_id: made.id.clone(), ..Default::default() };
        reads.extend(clients.assignments.list_patient_doctors(request).await.err());
        let request = CreatePatientRequest { patient: Some(patient()), ..Default::default() };
        writes.extend(clients.patients.create_patient(request).await.err());
        calls.fetch_add(4, Ordering::Relaxed);
        sleep(Duration::from_millis(20)).await;
    }
    (reads, writes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_every_service_fails_no_call() {
    run(Backend::Sqlite, async |suite| {
        let (calls, reads, writes) = restart_all(suite, End::Orderly).await;
        assert!(calls > 500, "{calls}");
        assert!(reads.is_empty() && writes.is_empty(), "{reads:?} {writes:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_a_replica_of_every_service_fails_no_read() {
    run(Backend::Sqlite, async |suite| {
        let (calls, reads, writes) = restart_all(suite, End::Abrupt).await;
        assert!(calls > 500, "{calls}");
        assert!(reads.is_empty(), "{reads:?}");
        // UNAVAILABLE leaves open whether the write was carried out.
        assert!(writes.iter().all(|status| status.code() == Code::Unavailable), "{writes:?}");
    })
    .await;
}
