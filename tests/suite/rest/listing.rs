//! Lists: pages, filters, and HEAD.

use clinic_testkit::{Backend, run};
use serde_json::json;

use super::{Rest, both, patient};

/// Returns the target of `<target>; rel="next"`.
fn next(link: Option<&str>) -> Option<String> {
    let link = link?;
    let target = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
    Some(target.unwrap_or_else(|| panic!("{link}")).to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn link_headers_lead_through_all_pages() {
    run(Backend::Sqlite, async |suite| {
        let staff = Rest::of(suite, &suite.staff().await);
        let mut made = Vec::new();
        for _ in 0..7 {
            made.push(staff.post("/api/patients/", &patient()).await.ok().id().to_owned());
        }
        for path in both("/api/patients") {
            for query in [
                "page_size=3",
                "page_size=3&query=Love%20",
                "query=love&page_size=3&view=PATIENT_VIEW_BASIC",
            ] {
                let mut target = Some(format!("{path}?{query}"));
                let (mut seen, mut pages) = (Vec::new(), 0);
                while let Some(page) = target {
                    let reply = staff.get(&page).await.ok();
                    let list = reply.json["patients"].as_array().unwrap();
                    seen.extend(list.iter().map(|one| one["id"].as_str().unwrap().to_owned()));
                    target = next(reply.header("link"));
                    assert_eq!(target.is_some(), reply.json.get("next_page_token").is_some());
                    assert!(
                        target.as_deref().is_none_or(|next| next.starts_with(&format!("{path}?")))
                    );
                    pages += 1;
                }
                assert_eq!((pages, &seen), (3, &made), "{query}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn total_size_is_a_number_and_only_present_on_request() {
    run(Backend::Sqlite, async |suite| {
        let staff = Rest::of(suite, &suite.staff().await);
        staff.post("/api/patients/", &patient()).await.ok();
        for yes in ["true", "True", "1"] {
            let path = format!("/api/patients/?include_total_size={yes}");
            assert_eq!(staff.get(&path).await.ok().json["total_size"], json!(1));
        }
        for no in ["", "?include_total_size=false", "?include_total_size=0", "?include_total_size="]
        {
            let reply = staff.get(&format!("/api/patients/{no}")).await.ok();
            assert_eq!(reply.json.get("total_size"), None, "{no}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_query_parameters_are_reported() {
    run(Backend::Sqlite, async |suite| {
        let staff = Rest::of(suite, &suite.staff().await);
        for (query, field) in [
            ("page_size=ten", "page_size"),
            ("page_size=1.5", "page_size"),
            ("page_size=99999999999999999999", "page_size"),
            ("page_size=2147483648", "page_size"),
            ("page_size=501", "page_size"),
            ("page_size=-1", "page_size"),
            ("page_size=1&page_size=1", "page_size"),
            ("include_total_size=yes", "include_total_size"),
            ("view=FULL", "view"),
            ("view=9", "view"),
            ("pageSize=1", "pageSize"),
            ("nothing", "nothing"),
            ("request_id=1", "request_id"),
            ("%FF=1", "\u{fffd}"),
            ("a%00b=1", "a\u{fffd}b"),
            ("query=%0A", "query"),
            ("query=%FF%FE", "query"),
            ("page_token=%C3", "page_token"),
        ] {
            let refused = staff.get(&format!("/api/patients/?{query}")).await;
            assert_eq!(refused.invalid_fields(), [field], "{query}");
        }
        let refused = staff.get("/api/patients/?page_token=abc").await;
        assert_eq!(refused.error(), (400, "INVALID_PAGE_TOKEN"));
        let long = format!("/api/patients/?{}=1", "n".repeat(10_000));
        assert_eq!(staff.get(&long).await.invalid_fields(), ["n".repeat(64)]);
        let many: Vec<_> = (0..500).map(|n| format!("n{n}=1")).collect();
        let refused = staff.get(&format!("/api/patients/?{}", many.join("&"))).await;
        assert_eq!(refused.invalid_fields().len(), 64);
        // Fields of the body are not accepted in the query.
        for query in ["first_name=Ada", "patient.first_name=Ada", "patient=x"] {
            let refused = staff.post(&format!("/api/patients/?{query}"), &patient()).await;
            assert_eq!(refused.invalid_fields(), [query.split('=').next().unwrap()]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_get_without_the_body() {
    run(Backend::Sqlite, async |suite| {
        let staff = Rest::of(suite, &suite.staff().await);
        let made = staff.post("/api/patients/", &patient()).await.ok();
        for path in [
            made.header("location").unwrap(),
            "/api/patients/?page_size=1",
            "/api/patients/0190f3c6-0000-7000-8000-00000000000a/",
            "/api/patients/x/",
            "/api/users/",
        ] {
            let (get, head) = (staff.get(path).await, staff.send("HEAD", path, &[], b"").await);
            assert_eq!(head.status, get.status, "{path}");
            for header in ["content-type", "content-length", "etag", "link"] {
                assert_eq!(head.header(header), get.header(header), "{path}: {header}");
            }
        }
        let refused = Rest::anonymous(suite).send("HEAD", "/api/patients/", &[], b"").await;
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
        assert_eq!(staff.send("HEAD", "/api/auth/login/", &[], b"").await.status, 405);
    })
    .await;
}
