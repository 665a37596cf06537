//! Bounds the memory that clients can make the suite hold by reading no responses.

use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clinic_proto::auth::v1::RegisterRequest;
use clinic_proto::records::v1::{
    CreatePatientRequest, ListPatientsRequest, Patient, UpdatePatientRequest,
};
use clinic_testkit::patient;
use futures::future::join_all;
use tokio::net::TcpStream;

use crate::operator::{ADMIN, Operator, Running};

/// Maximum memory of the whole suite, including what the clients make it hold.
const MOST_MIB: u64 = 300;
const CONNECTIONS: usize = 10;
/// Deadline of the calls.
const DEADLINE: Duration = Duration::from_secs(10);

fn most_memory_mib(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    most.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() / 1024
}

/// Makes `streams` calls on one connection without reading the responses. Returns when all of them
/// have ended.
async fn call_and_read_nothing(
    running: &Running,
    access: &str,
    streams: usize,
    rpc: &str,
    message: &impl prost::Message,
) {
    let stream = TcpStream::connect(running.address).await.unwrap();
    let mut client = h2::client::Builder::new();
    client.initial_window_size(0).initial_max_send_streams(streams);
    let (calls, connection) = client.handshake::<_, Bytes>(stream).await.unwrap();
    tokio::spawn(connection);
    let message = message.encode_to_vec();
    let len = u32::try_from(message.len()).unwrap().to_be_bytes();
    let mut ends = Vec::new();
    for _ in 0..streams {
        let request = http::Request::post(format!("http://clinic/{rpc}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {access}"))
            .body(())
            .unwrap();
        let mut calls = calls.clone().ready().await.unwrap();
        let (response, mut body) = calls.send_request(request, false).unwrap();
        body.send_data([&[0][..], &len, &message].concat().into(), true).unwrap();
        ends.push(async move {
            // Trailers or a reset; without a window no message arrives.
            if let Ok(response) = response.await {
                let _ = response.into_body().trailers().await;
            }
        });
    }
    join_all(ends).await;
}

/// Makes the calls on all connections while another account makes its own calls. Asserts that the
/// other account is served, that all calls end at their deadline, and that memory stays bounded.
async fn attack(
    running: &Running,
    access: &str,
    streams: usize,
    rpc: &str,
    message: &impl prost::Message,
) {
    let honest = RegisterRequest {
        email: "honest@example.com".into(),
        name: "Honest".into(),
        password: clinic_testkit::PASSWORD.into(),
        ..Default::default()
    };
    let honest = running
        .anonymous()
        .auth
        .register(honest)
        .await
        .unwrap()
        .into_inner()
        .tokens
        .unwrap()
        .access;
    let mut own = running.clients(&honest).patients;
    let began = Instant::now();
    let all =
        (0..CONNECTIONS).map(|_| call_and_read_nothing(running, access, streams, rpc, message));
    let mut all = pin!(tokio::time::timeout(2 * DEADLINE, join_all(all)));
    let ended = loop {
        tokio::select! {
            ended = all.as_mut() => break ended,
            response = own.list_patients(ListPatientsRequest::default()) => {
                response.unwrap();
            }
        }
    };
    assert!(ended.is_ok(), "the calls do not end at their deadline");
    assert!(began.elapsed() >= DEADLINE, "no response waited to be read");
    let most = most_memory_mib(running);
    assert!(most < MOST_MIB, "{most} MiB");
}

fn up(operator: &Operator) -> Running {
    operator.up(&["--default-deadline", &format!("{}s", DEADLINE.as_secs())])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_that_nobody_reads_stay_within_bounds_and_end_with_the_time_of_the_calls() {
    let operator = Operator::with_sqlite();
    let running = up(&operator);
    let access = running.access(ADMIN, running.admin_password()).await;
    let patients = running.clients(&access).patients;
    let made = (0..500).map(|_| {
        let mut patients = patients.clone();
        let patient = Patient { medical_history: "x".repeat(8_000), ..patient() };
        async move {
            let request = CreatePatientRequest { patient: Some(patient), ..Default::default() };
            patients.create_patient(request).await.unwrap();
        }
    });
    join_all(made).await;
    let list = ListPatientsRequest { page_size: 500, ..Default::default() };
    attack(&running, &access, 150, "clinic.records.v1.PatientService/ListPatients", &list).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_writes_that_nobody_reads_stay_within_bounds_too() {
    let operator = Operator::with_sqlite();
    let running = up(&operator);
    let access = running.access(ADMIN, running.admin_password()).await;
    // The longest allowed text, in bytes.
    let patient = Patient { medical_history: "\u{1f9d1}".repeat(20_000), ..patient() };
    let first_name = patient.first_name.clone();
    let create = CreatePatientRequest { patient: Some(patient), ..Default::default() };
    let made = running.clients(&access).patients.create_patient(create).await.unwrap();
    let id = made.into_inner().id;
    // Changes nothing.
    let update = UpdatePatientRequest {
        id,
        patient: Some(Patient { first_name, ..Default::default() }),
        update_mask: None,
    };
    attack(&running, &access, 256, "clinic.records.v1.PatientService/UpdatePatient", &update).await;
}
