//! The allowed methods of a path, in responses to OPTIONS and to wrong methods. Tests of the REST
//! paths are in `rest/refusals.rs`.

use clinic_testkit::Backend;
use clinic_testkit::run;

use super::http1::send;
use super::with_echo;

const PAGE: &str = "GET, HEAD, OPTIONS";
const CALL: &str = "OPTIONS, POST";

#[tokio::test(flavor = "multi_thread")]
async fn options_and_405_list_the_methods_of_a_path() {
    with_echo(async |suite, _| {
        for (path, allow, wrong) in [
            ("/", PAGE, "POST"),
            ("/livez", PAGE, "PUT"),
            ("/readyz", PAGE, "POST"),
            ("/.well-known/jwks.json", PAGE, "DELETE"),
            ("/openapi.json", PAGE, "POST"),
            ("/swagger", PAGE, "POST"),
            ("/swagger/", PAGE, "PATCH"),
            ("/redoc/start.js", PAGE, "POST"),
            ("/clinic.auth.v1.AuthService/Login", CALL, "GET"),
            ("/clinic.records.v1.PatientService/GetPatient", CALL, "DELETE"),
            ("/acme.echo.v1.EchoService/Once", CALL, "HEAD"),
            ("/grpc.health.v1.Health/Check", CALL, "GET"),
            ("*", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT", "GET"),
        ] {
            // Not a preflight, even with an origin: `access-control-request-method` is missing.
            for headers in [&[][..], &[("origin", "https://app.example")]] {
                let options = send(suite.gateway, "OPTIONS", path, headers, b"").await;
                assert_eq!((options.status, options.header("allow")), (204, Some(allow)), "{path}");
                assert_eq!(options.header("x-content-type-options"), Some("nosniff"));
            }
            let refused = send(suite.gateway, wrong, path, &[], b"").await;
            assert_eq!((refused.status, refused.header("allow")), (405, Some(allow)), "{path}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_on_an_unknown_path_gets_404() {
    run(Backend::Sqlite, async |suite| {
        for path in
            ["/nothing", "/swagger/nothing", "/clinic.auth.v1.AuthService/Nothing", "/a/b/c"]
        {
            for method in ["OPTIONS", "PUT"] {
                let response = send(suite.gateway, method, path, &[], b"").await;
                assert_eq!(
                    (response.status, response.header("allow")),
                    (404, None),
                    "{method} {path}"
                );
            }
        }
    })
    .await;
}
