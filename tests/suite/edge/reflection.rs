//! Server reflection, as tools like grpcurl use it, in both versions of the protocol.

use clinic_testkit::{Backend, Suite, run, run_with};
use futures::stream;
use http::uri::PathAndQuery;
use prost::Message as _;
use prost_types::FileDescriptorProto;
use tokio::net::TcpListener;
use tonic::Code;
use tonic::client::Grpc;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use super::channel;
use super::echo::{Echo, Reflection, SERVICE};

const PATIENTS: &str = "clinic.records.v1.PatientService";

/// Defines reflection calls in one version of the protocol. Both versions use the same names.
macro_rules! reflection_calls {
    ($version:ident) => {
        mod $version {
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            use super::*;

            async fn ask(suite: &Suite, question: MessageRequest) -> MessageResponse {
                let request = ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(question),
                };
                let mut client = ServerReflectionClient::new(channel(suite).await);
                let once = stream::iter([request]);
                let mut responses = client.server_reflection_info(once).await.unwrap().into_inner();
                responses.message().await.unwrap().unwrap().message_response.unwrap()
            }

            pub(super) async fn services(suite: &Suite) -> Vec<String> {
                match ask(suite, MessageRequest::ListServices(String::new())).await {
                    MessageResponse::ListServicesResponse(list) => {
                        list.service.into_iter().map(|service| service.name).collect()
                    }
                    other => panic!("{other:?}"),
                }
            }

            /// Returns the files that define a symbol, or the error code.
            pub(super) async fn files(suite: &Suite, symbol: &str) -> Result<Vec<Vec<u8>>, i32> {
                match ask(suite, MessageRequest::FileContainingSymbol(symbol.to_owned())).await {
                    MessageResponse::FileDescriptorResponse(found) => {
                        Ok(found.file_descriptor_proto)
                    }
                    MessageResponse::ErrorResponse(error) => Err(error.error_code),
                    other => panic!("{other:?}"),
                }
            }

            pub(super) async fn file_named(suite: &Suite, name: &str) -> Vec<Vec<u8>> {
                match ask(suite, MessageRequest::FileByFilename(name.to_owned())).await {
                    MessageResponse::FileDescriptorResponse(found) => found.file_descriptor_proto,
                    other => panic!("{other:?}"),
                }
            }
        }
    };
}

reflection_calls!(v1);
reflection_calls!(v1alpha);

fn names(files: &[Vec<u8>]) -> Vec<String> {
    let name =
        |file: &Vec<u8>| FileDescriptorProto::decode(file.as_slice()).unwrap().name().to_owned();
    files.iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_and_describes_own_and_routed_services() {
    for version in [Reflection::V1, Reflection::V1Alpha] {
        // The routed service supports only one version; clients need not know which.
        let echo = Echo::serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), version);
        let route = echo.route(false);
        let configure = |config: &mut clinic::Config| config.settings.gateway.routes.push(route);
        run_with(Backend::Sqlite, configure, async |suite| {
            for listed in [v1::services(suite).await, v1alpha::services(suite).await] {
                for service in [
                    PATIENTS,
                    "clinic.records.v1.DoctorService",
                    "clinic.auth.v1.AuthService",
                    "clinic.auth.v1.UserAdminService",
                    "clinic.auth.v1.TokenService",
                    "clinic.assignment.v1.AssignmentService",
                    SERVICE,
                    "grpc.health.v1.Health",
                    "grpc.reflection.v1.ServerReflection",
                ] {
                    assert!(listed.iter().any(|one| one == service), "{service} in {listed:?}");
                }
                let mut once = listed.clone();
                once.sort();
                once.dedup();
                assert_eq!(once.len(), listed.len(), "a service is listed twice");
            }
            for (symbol, file) in [
                (PATIENTS, "clinic/records/v1/patient.proto"),
                ("clinic.records.v1.PatientService.GetPatient", "clinic/records/v1/patient.proto"),
                ("clinic.access.v1.Role", "clinic/access/v1/access.proto"),
                ("grpc.health.v1.Health", "health.proto"),
                (SERVICE, "acme/echo/v1/echo.proto"),
                ("acme.echo.v1.EchoRequest", "acme/echo/v1/echo.proto"),
            ] {
                for found in [v1::files(suite, symbol).await, v1alpha::files(suite, symbol).await] {
                    let found = names(&found.unwrap());
                    assert!(found.iter().any(|name| name.ends_with(file)), "{symbol}: {found:?}");
                }
            }
            for file in ["acme/echo/v1/echo.proto", "buf/validate/validate.proto"] {
                assert_eq!(names(&v1::file_named(suite, file).await), [file]);
                assert_eq!(names(&v1alpha::file_named(suite, file).await), [file]);
            }
            let dots = ".".repeat(2000);
            for nothing in ["acme.echo.v1.Nothing", "", &dots, &dots[..512]] {
                let found = v1::files(suite, nothing).await;
                assert_eq!(found, Err(Code::NotFound.into()), "{} bytes", nothing.len());
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_works_while_a_routed_service_is_down() {
    let port = crate::ports::Port::reserve();
    let route =
        clinic_gateway::Route { service: SERVICE.into(), url: port.url(), public: true, max: None };
    let configure = |config: &mut clinic::Config| config.settings.gateway.routes.push(route);
    run_with(Backend::Sqlite, configure, async |suite| {
        assert!(v1::services(suite).await.iter().any(|one| one == PATIENTS));
        assert!(v1::files(suite, PATIENTS).await.is_ok());
        assert_eq!(v1::files(suite, SERVICE).await, Err(Code::NotFound.into()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymous_health_and_reflection_requests_are_limited_in_size() {
    run(Backend::Sqlite, async |suite| {
        let long = "x".repeat(3 * 1024 * 1024);
        let request = HealthCheckRequest { service: long.clone() };
        let mut health = HealthClient::new(channel(suite).await);
        let refused = health.check(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        let refused = health.watch(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        let asked = MessageRequest::FileContainingSymbol(long);
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
        let mut reflection = ServerReflectionClient::new(channel(suite).await);
        let responses = reflection.server_reflection_info(stream::iter([request])).await;
        let refused = responses.unwrap().into_inner().message().await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_methods_of_grpc_packages_are_reported_as_unknown() {
    run(Backend::Sqlite, async |suite| {
        for path in [
            "/grpc.channelz.v1.Channelz/GetServer",
            "/grpc.reflection.v1alpha.ServerReflection/Nothing",
        ] {
            let mut client = Grpc::new(channel(suite).await);
            client.ready().await.unwrap();
            let request = tonic::Request::new(HealthCheckRequest::default());
            let codec = ProstCodec::<HealthCheckRequest, HealthCheckRequest>::default();
            let path = PathAndQuery::from_static(path);
            let refused = client.unary(request, path, codec).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unimplemented);
            assert_eq!(refused.message(), "there is no such service or method");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_calls_time_out() {
    let short = |config: &mut clinic::Config| {
        config.settings.gateway.default_deadline = std::time::Duration::from_millis(300);
    };
    run_with(Backend::Sqlite, short, async |suite| {
        let mut reflection = ServerReflectionClient::new(channel(suite).await);
        let silent = stream::pending::<ServerReflectionRequest>();
        let mut responses = reflection.server_reflection_info(silent).await.unwrap().into_inner();
        let ended = tokio::time::timeout(std::time::Duration::from_secs(20), responses.message());
        let status = ended.await.expect("the stream ends").unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
    })
    .await;
}
