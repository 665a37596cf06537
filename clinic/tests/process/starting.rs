//! First and later starts.

use std::time::Duration;

use clinic_proto::records::v1::{CreatePatientRequest, GetPatientRequest};
use clinic_testdb::on_both;
use clinic_testkit::patient;

use crate::operator::{ADMIN, Operator, mode};

on_both! {
    async fn the_first_start_prints_a_password_once_and_the_second_has_its_data(operator: &Operator) {
        let first = operator.up(&[]);
        assert_eq!(first.said.len(), 2, "{:?}", first.said);
        let password = first.admin_password().to_owned();
        assert!(password.len() >= 20, "{password}");
        let mut patients = first.clients(&first.access(ADMIN, &password).await).patients;
        let request = CreatePatientRequest { patient: Some(patient()), ..Default::default() };
        let made = patients.create_patient(request).await.unwrap().into_inner();
        let ended = first.terminate(Duration::from_secs(20));
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(ended.stdout, "", "more output after the start");

        let second = operator.up(&[]);
        assert_eq!(second.said, Vec::<String>::new());
        let mut patients = second.clients(&second.access(ADMIN, &password).await).patients;
        let request = GetPatientRequest { id: made.id.clone(), ..Default::default() };
        assert_eq!(patients.get_patient(request).await.unwrap().into_inner(), made);
        let ended = second.terminate(Duration::from_secs(20));
        assert!(ended.status.success(), "{ended:?}");
        assert!(!ended.stderr.contains(&password));
    }
}

on_both! {
    async fn a_start_that_fails_makes_no_password_that_nobody_is_told(operator: &Operator) {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        // A port in use fails first, a bad key last.
        let no_key = operator.path("data/keys/trusted/acme.json");
        std::fs::create_dir_all(no_key.parent().unwrap()).unwrap();
        std::fs::write(&no_key, "no key").unwrap();
        for listen in [address.as_str(), "127.0.0.1:0"] {
            let refused = operator.run(&["up", "--listen", listen]);
            assert_eq!(refused.status.code(), Some(1), "{refused:?}");
            assert_eq!(refused.stdout, "", "{refused:?}");
        }
        std::fs::remove_file(&no_key).unwrap();
        let running = operator.up(&[]);
        running.access(ADMIN, running.admin_password()).await;
        running.kill();
    }
}

mod what_it_makes_is_for_its_own_user_only {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        let operator = Operator::with_sqlite();
        let running = operator.up(&[]);
        running.access(ADMIN, running.admin_password()).await;
        let (mut folders, mut files) = (vec![operator.path("data")], 0);
        while let Some(folder) = folders.pop() {
            assert_eq!(mode(&folder), 0o700, "{}", folder.display());
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    assert_eq!(mode(&path), 0o600, "{}", path.display());
                    files += 1;
                }
            }
        }
        assert!(files >= 3 + 1 + 4 + 4, "three databases, and the keys");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_may_be_chosen_and_health_is_asked_on_it() {
    let operator = Operator::with_sqlite();
    let running = operator.up(&[]);
    assert_eq!(running.scheme, "http");
    let url = format!("http://{}", running.address);
    let asked = operator.run(&["health", "--url", &url]);
    assert!(asked.status.success(), "{asked:?}");
    assert_eq!(asked.stdout, "serving\n");
    running.kill();
    let asked = operator.run(&["health", "--url", &url]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(asked.stderr.contains("does not answer"), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_certificate_it_says_so_and_may_be_ended_at_once() {
    let operator = Operator::with_sqlite();
    let names = vec!["localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(operator.path("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(operator.path("tls.key"), made.signing_key.serialize_pem()).unwrap();
    let running = operator.up(&["--tls-cert", "tls.crt", "--tls-key", "tls.key"]);
    assert_eq!(running.scheme, "https");
    let ended = running.terminate(Duration::from_secs(20));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_first_starts_at_once_over_one_server_make_one_administrator() {
    let first = Operator::with_postgres();
    let operators = [first.beside(), first.beside(), first.beside()];
    let started: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> =
            operators.iter().map(|operator| scope.spawn(|| operator.up(&[]))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let told: Vec<_> = started.iter().filter(|running| !running.said.is_empty()).collect();
    let [told] = &*told else { panic!("{} were told a password", told.len()) };
    told.access(ADMIN, told.admin_password()).await;
    for running in started {
        running.terminate(Duration::from_secs(20));
    }
    first.drop_databases().await;
}
