//! CORS of the REST API.

use clinic_testkit::{Backend, Suite, run_with};
use serde_json::json;

use super::{Rest, patient};
use crate::edge::http1::{self, Response};

const APP: &str = "https://app.example";

async fn preflight(suite: &Suite, method: &str) -> Response {
    let headers = [
        ("origin", APP),
        ("access-control-request-method", method),
        ("access-control-request-headers", "authorization,content-type,if-match,idempotency-key"),
    ];
    http1::send(suite.gateway, "OPTIONS", "/api/patients/x/", &headers, b"").await
}

#[tokio::test(flavor = "multi_thread")]
async fn cors_allows_the_methods_and_headers_of_the_rest_api() {
    let configure =
        |config: &mut clinic::Config| config.settings.gateway.cors_origin = vec![APP.into()];
    run_with(Backend::Sqlite, configure, async |suite| {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let allowed = preflight(suite, method).await;
            assert_eq!(allowed.status, 200);
            assert_eq!(allowed.header("access-control-allow-origin"), Some(APP));
            let list = |name| allowed.header(name).unwrap().split(',').collect::<Vec<_>>();
            assert!(list("access-control-allow-methods").contains(&method), "{allowed:?}");
            let headers = list("access-control-allow-headers");
            for header in ["authorization", "content-type", "if-match", "idempotency-key"] {
                assert!(headers.contains(&header), "{allowed:?}");
            }
        }
        let staff = Rest::of(suite, &suite.staff().await);
        let origin = [("origin", APP)];
        let made = staff.json("POST", "/api/patients/", &origin, &patient()).await.ok();
        let refused = staff.json("POST", "/api/patients/", &origin, &json!({})).await;
        for response in [made, refused] {
            assert_eq!(response.header("access-control-allow-origin"), Some(APP));
            let read = response.header("access-control-expose-headers").unwrap();
            for header in ["etag", "link", "location", "retry-after", "x-request-id"] {
                assert!(read.split(',').any(|one| one == header), "{read}");
            }
        }
    })
    .await;
}
