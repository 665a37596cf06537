//! The page at `/`, for people who open the address of a gateway in a browser.

use clinic_testkit::{Backend, run, run_with};

use super::http1::{Response, send};

/// The `accept` header of Firefox.
const BROWSER: (&str, &str) =
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");

fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

/// Returns the values of `href`, without the empty icon.
fn links(page: &str) -> Vec<&str> {
    let after = page.split("href=\"").skip(1);
    after.filter_map(|rest| rest.split('"').next()).filter(|link| *link != "data:,").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_a_page_whose_links_all_work() {
    run(Backend::Sqlite, async |suite| {
        let response = send(suite.gateway, "GET", "/", &[BROWSER], b"").await;
        let kind = response.header("content-type");
        assert_eq!((response.status, kind), (200, Some("text/html; charset=utf-8")));
        let policy = response.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("script-src"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(response.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert!(response.header("vary").unwrap().contains("accept"));
        let page = text(&response);
        assert!(page.contains("<html lang=\"en\">") && page.contains("<title>Clinic"), "{page}");
        for absent in ["<script", "http:", "https:", "{api_docs}"] {
            assert!(!page.contains(absent), "{absent}");
        }
        assert!(page.contains("createGrpcWebTransport") && page.contains("<code>docs</code>"));
        let links = links(&page);
        for link in ["swagger/", "redoc/", "openapi.json", "readyz", ".well-known/jwks.json"] {
            assert!(links.contains(&link), "{link}");
        }
        for link in links {
            let found = send(suite.gateway, "GET", &format!("/{link}"), &[BROWSER], b"").await;
            assert_eq!(found.status, 200, "{link}");
        }
        let head = send(suite.gateway, "HEAD", "/", &[BROWSER], b"").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), Some(page.len().to_string().as_str()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_clients_get_the_welcome_page_as_plain_text() {
    run(Backend::Sqlite, async |suite| {
        for headers in [&[][..], &[("accept", "*/*")], &[("accept", "application/json")]] {
            let response = send(suite.gateway, "GET", "/", headers, b"").await;
            let kind = response.header("content-type");
            assert_eq!((response.status, kind), (200, Some("text/plain; charset=utf-8")));
            let text = text(&response);
            for path in ["/api/", "/swagger/", "/redoc/", "/openapi.json", "/readyz", "docs"] {
                assert!(text.contains(path), "{text}");
            }
            assert!(!text.contains('<') && !text.contains('{'), "{text}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_api_docs_the_welcome_page_does_not_link_to_them() {
    let configure = |config: &mut clinic::Config| config.settings.gateway.api_docs = false;
    run_with(Backend::Sqlite, configure, async |suite| {
        for headers in [&[][..], &[BROWSER]] {
            let response = send(suite.gateway, "GET", "/", headers, b"").await;
            let body = text(&response);
            for absent in ["swagger", "redoc", "openapi", "api_docs"] {
                assert!(!body.contains(absent), "{body}");
            }
            assert!(body.contains("readyz") && body.contains("/api/"), "{body}");
        }
        let page = text(&send(suite.gateway, "GET", "/", &[BROWSER], b"").await);
        for link in links(&page) {
            let found = send(suite.gateway, "GET", &format!("/{link}"), &[], b"").await;
            assert_eq!(found.status, 200, "{link}");
        }
    })
    .await;
}
