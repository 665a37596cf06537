//! Health and readiness of the whole suite at the gateway.

use clinic_testkit::{Backend, run};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::echo::{Echo, SERVICE};
use super::gateway::Gateway;
use super::http1::send;
use crate::ports::{Port, records_at};

const AUTH: &str = "clinic.auth.v1.AuthService";
const PATIENTS: &str = "clinic.records.v1.PatientService";

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_reports_serving_only_if_every_service_serves() {
    run(Backend::Sqlite, async |suite| {
        let port = Port::reserve();
        let echo = Echo::start().await;
        let gateway = Gateway::start(suite, |config| {
            config.records_url = port.url();
            config.public.routes.push(echo.route(false));
        })
        .await;
        let mut health = HealthClient::new(gateway.channel().await);
        let mut ask = async |service| {
            health.check(of(service)).await.map(|response| response.into_inner().status())
        };
        assert_eq!(ask("").await.unwrap(), ServingStatus::NotServing);
        assert_eq!(ask(PATIENTS).await.unwrap(), ServingStatus::NotServing);
        assert_eq!(ask(AUTH).await.unwrap(), ServingStatus::Serving);
        assert_eq!(ask("no.such.Service").await.unwrap_err().code(), Code::NotFound);
        // A routed service need not support health checks.
        assert_eq!(ask(SERVICE).await.unwrap(), ServingStatus::Unknown);
        let page = async |path| {
            let response = send(gateway.address, "GET", path, &[], b"").await;
            (response.status, String::from_utf8(response.body).unwrap())
        };
        let ok = (200, "ok\n".to_owned());
        assert_eq!(page("/readyz").await.0, 503);
        assert_eq!(page("/livez").await, ok);

        let mut watcher = HealthClient::new(gateway.channel().await);
        let mut states = watcher.watch(of("")).await.unwrap().into_inner();
        let first = states.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::NotServing);
        let records = records_at(suite, &port).await;
        // The next message is the change.
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), states.message());
        let next = next.await.unwrap().unwrap().unwrap();
        assert_eq!(next.status(), ServingStatus::Serving);
        assert_eq!(ask("").await.unwrap(), ServingStatus::Serving);
        assert_eq!(page("/readyz").await, ok);
        records.cancel();
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), states.message());
        let next = next.await.unwrap().unwrap().unwrap();
        assert_eq!(next.status(), ServingStatus::NotServing);
    })
    .await;
}
