//! Registration with a patient or doctor record: either both are created, or neither.

use clinic_auth::Config;
use clinic_identity::{Authenticated, CLAIMS_HEADER, ClaimsSigner};
use clinic_proto::access::v1::Role;
use clinic_proto::auth::v1::RegisterRequest;
use clinic_proto::auth::v1::register_request::Profile;
use clinic_proto::records::v1::{
    Doctor, GetDoctorRequest, GetPatientRequest, ListDoctorsRequest, Patient,
};
use clinic_testkit::{Clients, PASSWORD, Suite, doctor, failure, on_both, patient};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::{login, registration, taken_field};
use crate::ports::Port;

fn with_profile(profile: Profile) -> RegisterRequest {
    let role = match &profile {
        Profile::Patient(_) => Role::Patient,
        Profile::Doctor(_) => Role::Doctor,
    };
    RegisterRequest { role: role.into(), profile: Some(profile), ..registration() }
}

/// Starts another auth service on the suite's database, which calls records at this port. The
/// clients call it directly, with the claims of an anonymous caller.
async fn auth_with_records_at(suite: &Suite, records: &Port) -> (Clients, CancellationToken) {
    let config = Config {
        common: suite.replica_settings("auth"),
        records_url: records.url(),
        settings: clinic_auth::Settings {
            issuer: "clinic".into(),
            access_ttl: Duration::from_secs(900),
            refresh_ttl: Duration::from_secs(3600),
            registration_roles: vec![Role::Staff, Role::Doctor, Role::Patient],
        },
    };
    let server = clinic_auth::open(&config, suite.clock.clone()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(server.run(listener, shutdown.clone()));
    let gateway = ClaimsSigner::open(&suite.keys(), "gateway", suite.clock.clone()).unwrap();
    let claims = gateway.forward(&Authenticated::ANONYMOUS, None).unwrap();
    let clients = Clients::new(|_| address, &[(CLAIMS_HEADER, claims.to_str().unwrap())]);
    (clients, shutdown)
}

on_both! {
    async fn registering_as_a_patient_or_doctor_creates_a_record(suite: &Suite) {
        let account = suite.patient().await;
        let request = GetPatientRequest { id: "me".into(), ..Default::default() };
        let record = account.clients.patients.clone().get_patient(request).await.unwrap().into_inner();
        assert_eq!(record.user_id, account.user.id);
        assert_eq!(record.medical_history, patient().medical_history);

        // The account decides about `user_id`, and about nothing else.
        let other = account.user.id;
        let given = Patient { user_id: other.clone(), email: String::new(), ..patient() };
        let request = with_profile(Profile::Patient(given));
        let response = suite.anonymous().auth.register(request).await.unwrap().into_inner();
        let mut patients = suite.with_token(&response.tokens.unwrap().access).patients;
        let me = GetPatientRequest { id: "me".into(), ..Default::default() };
        let record = patients.get_patient(me).await.unwrap().into_inner();
        assert!(record.user_id == response.user.unwrap().id && record.user_id != other);
        assert_eq!(record.email, "");

        let account = suite.unverified_doctor().await;
        let request = GetDoctorRequest { id: "me".into() };
        let record = account.clients.doctors.clone().get_doctor(request).await.unwrap().into_inner();
        assert_eq!(record.user_id, account.user.id);
        assert!(!record.verified);
    }

    async fn registering_a_patient_without_details_uses_name_and_email(suite: &Suite) {
        let request = RegisterRequest {
            role: Role::Patient.into(),
            name: "Anna Maria Weiss".into(),
            ..registration()
        };
        let response = suite.anonymous().auth.register(request.clone()).await.unwrap().into_inner();
        let mut patients = suite.with_token(&response.tokens.unwrap().access).patients;
        let me = GetPatientRequest { id: "me".into(), ..Default::default() };
        let record = patients.get_patient(me).await.unwrap().into_inner();
        assert_eq!((record.first_name.as_str(), record.last_name.as_str()), ("Anna Maria", "Weiss"));
        assert_eq!(record.email, request.email);
    }

    async fn a_taken_license_number_is_reported_and_creates_no_account(suite: &Suite) {
        let first = doctor();
        let mut auth = suite.anonymous().auth;
        auth.register(with_profile(Profile::Doctor(first.clone()))).await.unwrap();
        let second = with_profile(Profile::Doctor(Doctor { ..first }));
        assert_eq!(taken_field(auth.register(second.clone()).await), "doctor.license_number");

        assert!(login(suite, &second.email, PASSWORD).await.is_err());
        let again = RegisterRequest { profile: Some(Profile::Doctor(doctor())), ..second };
        auth.register(again.clone()).await.unwrap();
        login(suite, &again.email, PASSWORD).await.unwrap();
    }

    async fn a_taken_email_or_username_creates_no_record(suite: &Suite) {
        let username = "taken-name".to_owned();
        let request = RegisterRequest { username, ..with_profile(Profile::Doctor(doctor())) };
        let mut auth = suite.anonymous().auth;
        let first = RegisterRequest { username: request.username.clone(), ..registration_of(&request) };
        auth.register(first).await.unwrap();
        assert_eq!(taken_field(auth.register(request.clone()).await), "email");
        let request = RegisterRequest { email: clinic_testkit::email(), ..request };
        assert_eq!(taken_field(auth.register(request.clone()).await), "username");
        // The license number is still free.
        let again = RegisterRequest { username: String::new(), ..request };
        auth.register(again).await.unwrap();
    }

    async fn registering_a_profile_while_records_is_down_creates_nothing(suite: &Suite) {
        let port = Port::reserve();
        let (clients, shutdown) = auth_with_records_at(suite, &port).await;
        let mut auth = clients.auth.clone();
        for request in [with_profile(Profile::Patient(patient())), with_profile(Profile::Doctor(doctor()))] {
            let refused = failure(auth.register(request.clone()).await);
            assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "UNAVAILABLE"));
            assert!(login(suite, &request.email, PASSWORD).await.is_err());
        }
        // An account without a record does not need records.
        auth.register(registration()).await.unwrap();

        let request = with_profile(Profile::Doctor(doctor()));
        assert_eq!(failure(auth.register(request.clone()).await).code, Code::Unavailable);
        // The same request succeeds once records is up.
        let records = crate::ports::records_at(suite, &port).await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while let Err(status) = auth.register(request.clone()).await {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            assert!(tokio::time::Instant::now() < deadline, "records is still unavailable");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let account = login(suite, &request.email, PASSWORD).await.unwrap();
        let me = GetDoctorRequest { id: "me".into() };
        account.clients.doctors.clone().get_doctor(me).await.unwrap();
        records.cancel();
        shutdown.cancel();
    }

    async fn a_registration_succeeds_on_retry_after_records_response_was_lost(suite: &Suite) {
        let port = Port::reserve();
        let lossy = tokio::spawn(discard_responses(port.listen(), suite.records));
        let (clients, shutdown) = auth_with_records_at(suite, &port).await;
        let mut auth = clients.auth.clone();
        let given = doctor();
        let request = with_profile(Profile::Doctor(given.clone()));
        let mut hasty = tonic::Request::new(request.clone());
        hasty.set_timeout(Duration::from_secs(2));
        // The client's own timeout may come first.
        let late = auth.register(hasty).await.unwrap_err().code();
        assert!(matches!(late, Code::DeadlineExceeded | Code::Cancelled), "{late:?}");
        let mut doctors = suite.admin().await.clients.doctors;
        let everyone = ListDoctorsRequest { show_deleted: true, ..Default::default() };
        let made = doctors.list_doctors(everyone.clone()).await.unwrap().into_inner().doctors;
        assert_eq!(made.len(), 1, "records created the profile");

        lossy.abort();
        let _ = lossy.await;
        let records = crate::ports::records_at(suite, &port).await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while let Err(status) = auth.register(request.clone()).await {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            assert!(tokio::time::Instant::now() < deadline, "records is still unavailable");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let account = login(suite, &request.email, PASSWORD).await.unwrap();
        let all = doctors.list_doctors(everyone).await.unwrap().into_inner().doctors;
        let left: Vec<_> = all.iter().filter(|doctor| doctor.deleted_at.is_none()).collect();
        assert_eq!(left.len(), 1);
        assert_eq!((&left[0].user_id, &left[0].license_number), (&account.user.id, &given.license_number));
        records.cancel();
        shutdown.cancel();
    }
}

/// Forwards requests to `service` and discards its responses. Connections close when it ends.
async fn discard_responses(listener: TcpListener, service: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(async move {
            let (mut from, _to) = client.into_split();
            let (mut responses, mut requests) =
                TcpStream::connect(service).await.unwrap().into_split();
            let mut nowhere = tokio::io::sink();
            let _ = tokio::join!(
                tokio::io::copy(&mut from, &mut requests),
                tokio::io::copy(&mut responses, &mut nowhere),
            );
        });
    }
}

/// Returns a registration with the same email and no record.
fn registration_of(request: &RegisterRequest) -> RegisterRequest {
    RegisterRequest { email: request.email.clone(), ..registration() }
}
