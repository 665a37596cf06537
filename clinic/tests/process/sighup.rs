//! SIGHUP reloads the certificate and the log filter.

use std::fs;
use std::time::{Duration, Instant};

use clinic_proto::auth::v1::GetJwksRequest;
use clinic_stubs::auth::v1::token_service_client::TokenServiceClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};

use crate::operator::{Operator, Running, run_to_end};

/// Writes a new certificate and its key. Returns the certificate.
fn renew(operator: &Operator) -> String {
    let names = vec!["localhost".to_owned()];
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(names).unwrap();
    fs::write(operator.path("tls.key"), signing_key.serialize_pem()).unwrap();
    fs::write(operator.path("tls.crt"), cert.pem()).unwrap();
    cert.pem()
}

/// Returns whether a client that trusts only `cert` can call the gateway.
async fn shows(running: &Running, cert: &str) -> bool {
    let trusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(cert));
    let url = format!("https://localhost:{}", running.address.port());
    let endpoint = Channel::from_shared(url).unwrap().tls_config(trusting).unwrap();
    let Ok(channel) = endpoint.connect().await else { return false };
    TokenServiceClient::new(channel).get_jwks(GetJwksRequest {}).await.is_ok()
}

async fn wait_until_shown(running: &Running, cert: &str) {
    let began = Instant::now();
    while !shows(running, cert).await {
        assert!(began.elapsed() < Duration::from_secs(30), "the certificate is not reloaded");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_used_after_sighup_and_without_a_signal() {
    let operator = Operator::with_sqlite();
    let first = renew(&operator);
    let running = operator.up(&["--tls-cert", "tls.crt", "--tls-key", "tls.key"]);
    assert!(shows(&running, &first).await);
    let second = renew(&operator);
    assert!(!shows(&running, &second).await);
    running.signal("HUP");
    wait_until_shown(&running, &second).await;
    // A certificate that does not match the key is not loaded.
    fs::write(operator.path("tls.crt"), &first).unwrap();
    running.signal("HUP");
    running.wait_until_logged("cannot use the new certificate").await;
    assert!(shows(&running, &second).await);
    // Changed files are also loaded without a signal.
    let third = renew(&operator);
    wait_until_shown(&running, &third).await;

    // A health check on this machine does not verify the certificate.
    let port = running.address.port();
    let asked = operator.run(&["health", "--url", &format!("https://127.0.0.1:{port}")]);
    assert_eq!((asked.status.code(), &*asked.stdout), (Some(0), "serving\n"), "{asked:?}");
    let mut ask = operator.command(&["health"]);
    let asked = run_to_end(ask.env("CLINIC_LISTEN", format!("0.0.0.0:{port}")), "");
    assert_eq!(asked.status.code(), Some(0), "{asked:?}");
    let asked = operator.run(&["health", "--url", &format!("http://127.0.0.1:{port}")]);
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");

    let ended = running.terminate(Duration::from_secs(30));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reloads_the_log_filter_and_ignores_an_invalid_one() {
    let operator = Operator::with_sqlite();
    fs::write(operator.path(".env"), "CLINIC_LOG=info\n").unwrap();
    let running = operator.up(&[]);
    let call = async || {
        running.anonymous().tokens.get_jwks(GetJwksRequest {}).await.unwrap();
    };
    call().await;
    for (file, says) in [
        ("CLINIC_LOG=info,clinic::calls=debug\n", "the log filter was reloaded"),
        ("CLINIC_LOG=loud\n", "the log filter was not changed"),
    ] {
        fs::write(operator.path(".env"), file).unwrap();
        running.signal("HUP");
        running.wait_until_logged(says).await;
    }
    call().await;
    let ended = running.terminate(Duration::from_secs(30));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let calls = ended.stderr.lines().filter(|line| line.contains("\"clinic::calls\"")).count();
    assert!(calls > 0, "{ended:?}");
}
