//! How much memory clients can make the suite hold that ask for much and read nothing.

use std::time::{Duration, Instant};

use bytes::Bytes;
use clinic_proto::records::v1::{CreatePatientRequest, ListPatientsRequest};
use clinic_testkit::patient;
use futures::future::join_all;
use prost::Message as _;
use tokio::net::TcpStream;

use crate::operator::{ADMIN, Operator, Running};

/// What the whole suite may take, with all that the clients hold.
const MOST_MIB: u64 = 300;
const CONNECTIONS: usize = 10;
const STREAMS: usize = 150;
/// The time of the calls.
const DEADLINE: Duration = Duration::from_secs(10);

fn most_memory_mib(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    most.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() / 1024
}

/// Lists all patients on so many streams of one connection, and reads nothing of the answers. Returns
/// when all of them have ended.
async fn list_and_read_nothing(running: &Running, access: &str) {
    let stream = TcpStream::connect(running.address).await.unwrap();
    let mut client = h2::client::Builder::new();
    client.initial_window_size(0).initial_max_send_streams(STREAMS);
    let (calls, connection) = client.handshake::<_, Bytes>(stream).await.unwrap();
    tokio::spawn(connection);
    let mut ends = Vec::new();
    for _ in 0..STREAMS {
        let request =
            http::Request::post("http://clinic/clinic.records.v1.PatientService/ListPatients")
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .header("authorization", format!("Bearer {access}"))
                .body(())
                .unwrap();
        let mut calls = calls.clone().ready().await.unwrap();
        let (answer, mut body) = calls.send_request(request, false).unwrap();
        let list = ListPatientsRequest { page_size: 500, ..Default::default() }.encode_to_vec();
        let len = u32::try_from(list.len()).unwrap().to_be_bytes();
        body.send_data([&[0][..], &len, &list].concat().into(), true).unwrap();
        ends.push(async move {
            // Trailers, or a reset: without a window there is no message.
            if let Ok(answer) = answer.await {
                let _ = answer.into_body().trailers().await;
            }
        });
    }
    join_all(ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_stay_within_bounds_and_end_with_the_time_of_the_calls() {
    let operator = Operator::with_sqlite();
    let deadline = format!("{}s", DEADLINE.as_secs());
    let running = operator.up(&["--default-deadline", &deadline]);
    let access = running.access(ADMIN, running.admin_password()).await;
    let patients = running.clients(&access).patients;
    let made = (0..500).map(|_| {
        let mut patients = patients.clone();
        let medical_history = "x".repeat(8_000);
        let patient = clinic_proto::records::v1::Patient { medical_history, ..patient() };
        async move {
            let request = CreatePatientRequest { patient: Some(patient), ..Default::default() };
            patients.create_patient(request).await.unwrap();
        }
    });
    join_all(made).await;
    let began = Instant::now();
    let all = join_all((0..CONNECTIONS).map(|_| list_and_read_nothing(&running, &access)));
    let ended = tokio::time::timeout(6 * DEADLINE, all).await;
    assert!(ended.is_ok(), "the calls do not end");
    assert!(began.elapsed() >= DEADLINE, "nothing waited to be read");
    let most = most_memory_mib(&running);
    assert!(most < MOST_MIB, "{most} MiB");
}
