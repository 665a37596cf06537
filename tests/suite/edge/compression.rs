//! Compression of requests and responses.

use std::io::{Read as _, Write as _};

use clinic::Config;
use clinic_proto::assignment::v1::ListAssignmentsRequest;
use clinic_proto::auth::v1::{
    GetJwksRequest, ListUsersRequest, LoginRequest, LoginResponse, RefreshRequest, RegisterRequest,
};
use clinic_proto::records::v1::{
    ListDoctorsRequest, ListPatientsRequest, ListPatientsResponse, Patient,
};
use clinic_stubs::assignment::v1::assignment_service_client::AssignmentServiceClient;
use clinic_stubs::auth::v1::auth_service_client::AuthServiceClient;
use clinic_stubs::auth::v1::token_service_client::TokenServiceClient;
use clinic_stubs::auth::v1::user_admin_service_client::UserAdminServiceClient;
use clinic_stubs::records::v1::doctor_service_client::DoctorServiceClient;
use clinic_stubs::records::v1::patient_service_client::PatientServiceClient;
use clinic_testkit::{Account, Backend, PASSWORD, Suite, email, patient, run, run_with};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http_body_util::{BodyExt as _, Full};
use prost::Message;
use tonic::Code;
use tonic::body::Body;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::{Service as _, ServiceExt as _};

use super::echo::v1::echo_service_client::EchoServiceClient;
use super::echo::v1::{EchoReply, EchoRequest};
use super::web::{Form, frame};
use super::{channel, signed_in, with_echo};

const LOGIN: &str = "/clinic.auth.v1.AuthService/Login";
const LIST: &str = "/clinic.records.v1.PatientService/ListPatients";

/// Compresses bytes with gzip.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Frames bytes as a message with these flags.
pub(super) fn framed(flags: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[flags][..], &length.to_be_bytes(), message].concat()
}

/// A response whose messages are not decoded.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    trailers: HeaderMap,
}

impl Raw {
    /// Returns the status from the trailers or, if they have none, from the headers.
    pub(super) fn status(&self) -> tonic::Status {
        let found = tonic::Status::from_header_map(&self.trailers);
        found.or_else(|| tonic::Status::from_header_map(&self.headers)).unwrap()
    }

    /// Returns the only message of a successful response, and whether it was compressed.
    fn message<M: Message + Default>(&self) -> (bool, M) {
        assert_eq!(self.status().code(), Code::Ok);
        read(&self.body)
    }
}

/// Decodes the first message. Returns also whether it was compressed.
fn read<M: Message + Default>(body: &[u8]) -> (bool, M) {
    let [flag, a, b, c, d, rest @ ..] = body else { panic!("{body:?}") };
    let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap();
    let mut message = rest[..length].to_vec();
    if *flag == 1 {
        message = Vec::new();
        GzDecoder::new(&rest[..length]).read_to_end(&mut message).unwrap();
    }
    (*flag == 1, M::decode(message.as_slice()).unwrap())
}

/// Makes a call with any bytes as its body.
pub(super) async fn raw(
    mut channel: Channel,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Raw {
    let mut request = http::Request::post(path).header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::new(Full::from(body))).unwrap();
    let response = channel.ready().await.unwrap().call(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    Raw { headers: head.headers, body: body.to_bytes().to_vec(), trailers }
}

fn login(account: &Account) -> LoginRequest {
    LoginRequest {
        email: account.user.email.clone(),
        password: PASSWORD.to_owned(),
        ..LoginRequest::default()
    }
}

/// Creates patients with long histories.
async fn fill(by: &Account) {
    for _ in 0..20 {
        let medical_history = "reports pain in the left knee after surgery. ".repeat(40);
        by.create_patient(Patient { medical_history, ..patient() }).await;
    }
}

fn compress_over(bytes: u32) -> impl FnOnce(&mut Config) {
    move |config| config.settings.responses.compress_over = bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_accepts_compressed_requests() {
    macro_rules! client {
        ($client:ident, $channel:expr) => {
            $client::new($channel).send_compressed(Gzip).accept_compressed(Gzip)
        };
    }
    run_with(Backend::Sqlite, compress_over(1), async |suite| {
        let channel = channel(suite).await;
        let (account, admin) = (suite.staff().await, suite.admin().await);
        let mut auth = client!(AuthServiceClient, channel.clone());
        let tokens = auth.login(login(&account)).await.unwrap().into_inner().tokens.unwrap();
        let token = tokens.access.as_str();
        let mut patients = client!(PatientServiceClient, channel.clone());
        patients.list_patients(signed_in(ListPatientsRequest::default(), token)).await.unwrap();
        let mut doctors = client!(DoctorServiceClient, channel.clone());
        doctors.list_doctors(signed_in(ListDoctorsRequest::default(), token)).await.unwrap();
        let mut assignments = client!(AssignmentServiceClient, channel.clone());
        let request = signed_in(ListAssignmentsRequest::default(), token);
        assignments.list_assignments(request).await.unwrap();
        let mut users = client!(UserAdminServiceClient, channel.clone());
        let request = signed_in(ListUsersRequest::default(), &admin.tokens.access);
        assert_eq!(users.list_users(request).await.unwrap().into_inner().users.len(), 2);
        let mut keys = client!(TokenServiceClient, channel.clone());
        assert!(!keys.get_jwks(GetJwksRequest {}).await.unwrap().into_inner().keys.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_accept_compressed_requests() {
    macro_rules! reflected {
        ($version:ident, $channel:expr) => {{
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            let request = ServerReflectionRequest {
                host: String::new(),
                message_request: Some(MessageRequest::ListServices(String::new())),
            };
            let mut client = ServerReflectionClient::new($channel).send_compressed(Gzip);
            let request = futures::stream::iter([request]);
            let mut responses = client.server_reflection_info(request).await.unwrap().into_inner();
            assert!(responses.message().await.unwrap().unwrap().message_response.is_some());
        }};
    }
    run(Backend::Sqlite, async |suite| {
        for address in [suite.gateway, suite.auth, suite.records, suite.assignment] {
            let url = format!("http://{address}");
            let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
            let mut health = HealthClient::new(channel.clone()).send_compressed(Gzip);
            health.check(HealthCheckRequest::default()).await.unwrap();
            reflected!(v1, channel.clone());
            reflected!(v1alpha, channel);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_web_clients_may_use_compression() {
    run_with(Backend::Sqlite, compress_over(1000), async |suite| {
        let account = suite.staff().await;
        fill(&account).await;
        let bearer = format!("Bearer {}", account.tokens.access);
        for form in Form::BOTH {
            let kind = form.content_type();
            let send = async |path, extra: &[(&str, &str)], message: Vec<u8>| {
                let own = [("content-type", kind), ("accept", kind), ("grpc-encoding", "gzip")];
                let headers = [&own, extra].concat();
                let body = form.body(framed(1, &gzip(&message)));
                super::http1::send(suite.gateway, "POST", path, &headers, &body).await
            };
            let response = send(LOGIN, &[], login(&account).encode_to_vec()).await;
            let outcome = super::web::read::<LoginResponse>(form, response);
            assert_eq!((outcome.code, outcome.messages.len()), (Code::Ok, 1), "{form:?}");
            let headers = [("authorization", &*bearer), ("grpc-accept-encoding", "gzip")];
            let response = send(LIST, &headers, Vec::new()).await;
            assert_eq!(response.header("grpc-encoding"), Some("gzip"));
            let (compressed, list) = read::<ListPatientsResponse>(&form.to_binary(&response.body));
            assert_eq!((compressed, list.patients.len()), (true, 20), "{form:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_responses_are_compressed_for_clients_that_accept_gzip() {
    run(Backend::Sqlite, async |suite| {
        let account = suite.staff().await;
        fill(&account).await;
        let bearer = format!("Bearer {}", account.tokens.access);
        let list = async |accepted: &[(&str, &str)], page_size| {
            let headers = [&[("authorization", &*bearer)], accepted].concat();
            let request = ListPatientsRequest { page_size, ..Default::default() };
            raw(channel(suite).await, LIST, &headers, frame(&request)).await
        };
        let plain = list(&[], 20).await;
        assert_eq!(plain.headers.get("grpc-encoding"), None);
        let (compressed, expected) = plain.message::<ListPatientsResponse>();
        assert!(!compressed && expected.patients.len() == 20);
        let accepted = [("grpc-accept-encoding", "identity,deflate,gzip")];
        let short = list(&accepted, 20).await;
        assert_eq!(short.headers["grpc-encoding"], "gzip");
        assert_eq!(short.message(), (true, expected));
        assert!(short.body.len() < plain.body.len() / 5, "{} bytes", short.body.len());
        // A short list is not compressed.
        assert!(!list(&accepted, 1).await.message::<ListPatientsResponse>().0);
        let other = [("grpc-accept-encoding", "identity,deflate")];
        assert!(!list(&other, 20).await.message::<ListPatientsResponse>().0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compression_threshold_of_zero_turns_compression_off() {
    run_with(Backend::Sqlite, compress_over(0), async |suite| {
        let account = suite.staff().await;
        fill(&account).await;
        let bearer = format!("Bearer {}", account.tokens.access);
        let headers = [("authorization", &*bearer), ("grpc-accept-encoding", "gzip")];
        let request = frame(&ListPatientsRequest::default());
        let response = raw(channel(suite).await, LIST, &headers, request).await;
        assert!(!response.message::<ListPatientsResponse>().0);
        assert_eq!(response.headers.get("grpc-encoding"), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_with_tokens_are_never_compressed() {
    run_with(Backend::Sqlite, compress_over(1), async |suite| {
        let account = suite.staff().await;
        let registration = RegisterRequest {
            email: email(),
            // Compresses well.
            name: "Robin ".repeat(20),
            password: PASSWORD.to_owned(),
            ..RegisterRequest::default()
        };
        let refresh = RefreshRequest { refresh: account.tokens.refresh.clone() };
        for (method, request) in [
            ("Register", frame(&registration)),
            ("Login", frame(&login(&account))),
            ("Refresh", frame(&refresh)),
        ] {
            let path = format!("/clinic.auth.v1.AuthService/{method}");
            let headers = [("grpc-accept-encoding", "gzip")];
            let response = raw(channel(suite).await, &path, &headers, request).await;
            assert_eq!(response.status().code(), Code::Ok, "{method}");
            assert_eq!(response.headers.get("grpc-encoding"), None, "{method}");
            assert_eq!(response.body.first(), Some(&0), "{method}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_responses_are_never_compressed() {
    run_with(Backend::Sqlite, compress_over(1), async |suite: &Suite| {
        let account = suite.staff().await;
        fill(&account).await;
        let bearer = format!("Bearer {}", account.tokens.access);
        let headers = [
            ("authorization", &*bearer),
            ("accept-encoding", "gzip"),
            ("grpc-accept-encoding", "gzip"),
        ];
        let response =
            super::http1::send(suite.gateway, "GET", "/api/patients/", &headers, b"").await;
        assert_eq!((response.status, response.header("grpc-encoding")), (200, None));
        let json: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(json["patients"].as_array().unwrap().len(), 20);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_messages_of_a_routed_service_pass_both_ways() {
    with_echo(async |suite, _| {
        let token = suite.staff().await.tokens.access;
        let client = EchoServiceClient::new(channel(suite).await);
        let mut client = client.send_compressed(Gzip).accept_compressed(Gzip);
        let request = EchoRequest { text: "echo ".repeat(5000), ..EchoRequest::default() };
        let reply = client.once(signed_in(request.clone(), &token)).await.unwrap().into_inner();
        assert_eq!(reply.texts, [request.text.as_str()]);
        assert_eq!(reply.metadata["grpc-encoding"], "gzip");

        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer), ("grpc-accept-encoding", "gzip")];
        let path = "/acme.echo.v1.EchoService/Once";
        let response = raw(channel(suite).await, path, &headers, frame(&request)).await;
        assert_eq!(response.headers["grpc-encoding"], "gzip");
        let (compressed, reply) = response.message::<EchoReply>();
        assert!(compressed && reply.texts == [request.text]);
    })
    .await;
}
