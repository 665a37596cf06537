//! The OpenAPI document and the pages that show it.

use clinic_testkit::{Backend, run, run_with};
use serde_json::Value;

use super::http1::send;

const PAGES: [(&str, &str); 2] =
    [("/swagger/", "swagger-ui-bundle.js"), ("/redoc/", "redoc.standalone.js")];

#[tokio::test(flavor = "multi_thread")]
async fn the_openapi_document_is_served_with_an_etag() {
    run(Backend::Sqlite, async |suite| {
        let response = send(suite.gateway, "GET", "/openapi.json", &[], b"").await;
        assert_eq!(
            (response.status, response.header("content-type")),
            (200, Some("application/json"))
        );
        let document: Value = serde_json::from_slice(&response.body).unwrap();
        assert!(document["paths"]["/api/auth/login/"]["post"].is_object());

        let etag = response.header("etag").unwrap();
        let known = [("if-none-match", etag)];
        let again = send(suite.gateway, "GET", "/openapi.json", &known, b"").await;
        assert_eq!((again.status, again.body.len()), (304, 0));
        let other = [("if-none-match", "\"0\"")];
        assert_eq!(send(suite.gateway, "GET", "/openapi.json", &other, b"").await.status, 200);

        let head = send(suite.gateway, "HEAD", "/openapi.json", &[], b"").await;
        let length = response.body.len().to_string();
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), Some(length.as_str()));
    })
    .await;
}

/// Returns the scripts and style sheets that a page loads.
fn loaded_files(page: &str) -> Vec<&str> {
    let values = page.split("src=\"").chain(page.split("href=\""));
    let values = values.filter_map(|rest| rest.split_once('"')).map(|(value, _)| value);
    values.filter(|value| value.ends_with(".js") || value.ends_with(".css")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn api_doc_pages_load_only_files_of_the_gateway() {
    run(Backend::Sqlite, async |suite| {
        for (path, library) in PAGES {
            let bare = send(suite.gateway, "GET", path.trim_end_matches('/'), &[], b"").await;
            assert_eq!(bare.status, 308);
            assert_eq!(bare.header("location"), Some(path.trim_start_matches('/')));

            let page = send(suite.gateway, "GET", path, &[], b"").await;
            assert_eq!(page.status, 200);
            let policy = page.header("content-security-policy").unwrap();
            assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"));
            let html = String::from_utf8(page.body.clone()).unwrap();
            assert!(!html.contains("http"), "{path} refers to another host");
            let files = loaded_files(&html);
            assert!(files.contains(&library) && files.contains(&"start.js"), "{files:?}");
            for file in files {
                let response = send(suite.gateway, "GET", &format!("{path}{file}"), &[], b"").await;
                assert_eq!(response.status, 200, "{path}{file}");
                let kind = if file.ends_with(".js") { "text/javascript" } else { "text/css" };
                assert!(response.header("content-type").unwrap().starts_with(kind), "{file}");
            }
        }
        let none = send(suite.gateway, "GET", "/swagger/none.js", &[], b"").await;
        assert_eq!(none.status, 404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_docs_can_be_turned_off() {
    let configure = |config: &mut clinic::Config| config.settings.gateway.api_docs = false;
    run_with(Backend::Sqlite, configure, async |suite| {
        for path in ["/openapi.json", "/swagger", "/swagger/", "/redoc/", "/redoc/start.js"] {
            assert_eq!(send(suite.gateway, "GET", path, &[], b"").await.status, 404, "{path}");
        }
    })
    .await;
}
