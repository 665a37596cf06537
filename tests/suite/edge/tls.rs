//! TLS at the gateway.

use clinic_proto::auth::v1::LoginRequest;
use clinic_stubs::auth::v1::auth_service_client::AuthServiceClient;
use clinic_testkit::{Backend, PASSWORD, run_with};
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};

fn login() -> LoginRequest {
    LoginRequest {
        email: "nobody@example.com".into(),
        password: PASSWORD.into(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_a_certificate_serves_only_tls() {
    let names = vec!["localhost".to_owned()];
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(names).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert_file, key_file) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    std::fs::write(&cert_file, cert.pem()).unwrap();
    std::fs::write(&key_file, signing_key.serialize_pem()).unwrap();
    let configure = |config: &mut clinic::Config| {
        config.settings.gateway.tls_cert = Some(cert_file);
        config.settings.gateway.tls_key = Some(key_file);
    };
    run_with(Backend::Sqlite, configure, async |suite| {
        let url = format!("https://localhost:{}", suite.gateway.port());
        let trusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(cert.pem()));
        let endpoint = Channel::from_shared(url.clone()).unwrap();
        let channel = endpoint.tls_config(trusting).unwrap().connect().await.unwrap();
        let refused = AuthServiceClient::new(channel).login(login()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        let hsts = refused.metadata().get("strict-transport-security").unwrap();
        assert!(hsts.to_str().unwrap().starts_with("max-age="));

        // Clients that do not trust the certificate and clients without TLS cannot connect.
        let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert;
        let distrusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(other.pem()));
        let endpoint = Channel::from_shared(url).unwrap().tls_config(distrusting).unwrap();
        assert!(endpoint.connect().await.is_err());
        assert!(suite.anonymous().auth.login(login()).await.is_err());
    })
    .await;
}
