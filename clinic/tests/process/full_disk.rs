//! A full disk, simulated by a small tmpfs in a mount namespace. Needs root, or a system that lets
//! users create namespaces.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clinic_proto::records::v1::CreatePatientRequest;
use clinic_testkit::{Clients, patient};
use tonic::Code;

use crate::operator::{ADMIN, Operator, Running};

const SCRIPT: &str = "mkdir data && chmod 700 data && \
    exec unshare --map-root-user --mount sh -ec \
    'mount -t tmpfs -o size=4m,mode=0700 tmpfs data && exec \"$0\" up --listen 127.0.0.1:0' \"$0\"";

async fn create(clients: &Clients, bytes: usize) -> Result<(), Code> {
    let mut patient = patient();
    patient.medical_history = "x".repeat(bytes);
    let request = CreatePatientRequest {
        patient: Some(patient),
        // Makes the write a transaction of several statements.
        request_id: clinic_clock::Clock::system().new_id().to_string(),
    };
    let made = clients.patients.clone().create_patient(request).await;
    made.map(drop).map_err(|status| status.code())
}

async fn wait_until_ready(running: &Running, status: u16) {
    let began = Instant::now();
    while running.get("/readyz") != status {
        assert!(began.elapsed() < Duration::from_secs(30), "readiness does not change");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_turns_readiness_off_and_is_over_when_there_is_space_again() {
    let operator = Operator::with_sqlite();
    let program = operator.command(&[]).get_program().to_owned();
    let mut command = operator.shell(SCRIPT);
    let running = Running::start(command.env("CLINIC_SHUTDOWN_DELAY", "0s").arg(program));
    let clients = running.clients(&running.access(ADMIN, running.admin_password()).await);
    assert_eq!(create(&clients, 10).await, Ok(()));
    // The file system in the program's mount namespace.
    let folder = fs::canonicalize(operator.path("data")).unwrap();
    let root = PathBuf::from(format!("/proc/{}/root", running.pid()));
    let filler = root.join(folder.strip_prefix("/").unwrap()).join("filler");
    fs::write(&filler, vec![0; 16 << 20]).unwrap_err();
    let mut refused = 0;
    for _ in 0..10 {
        match create(&clients, 9_000).await {
            // The database files had free pages left.
            Ok(()) => {}
            Err(code) => {
                assert_eq!(code, Code::Unavailable);
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "the disk is not full");
    wait_until_ready(&running, 503).await;
    fs::remove_file(&filler).unwrap();
    for _ in 0..3 {
        assert_eq!(create(&clients, 9_000).await, Ok(()));
    }
    wait_until_ready(&running, 200).await;
    let ended = running.terminate(Duration::from_secs(30));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}
