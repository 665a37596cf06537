//! The REST API over HTTP/2, with many concurrent requests on one connection.

use clinic_testkit::{Backend, Suite, run};
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tonic::body::Body;
use tonic::transport::Channel;
use tower::{Service as _, ServiceExt as _};

use super::patient;

const LIMIT: usize = 512 * 1024;

async fn channel(suite: &Suite) -> Channel {
    Channel::from_shared(format!("http://{}", suite.gateway)).unwrap().connect().await.unwrap()
}

async fn send(
    mut channel: Channel,
    method: Method,
    path: &str,
    access: Option<&str>,
    body: impl Into<Vec<u8>>,
) -> (u16, HeaderMap, Value) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(access) = access {
        request = request.header("authorization", format!("Bearer {access}"));
    }
    let request = request.header("content-type", "application/json");
    let body = Body::new(http_body_util::Full::from(body.into()));
    let request = request.body(body).unwrap();
    let response = channel.ready().await.unwrap().call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let json = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    (parts.status.as_u16(), parts.headers, json)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_api_works_over_http2() {
    run(Backend::Sqlite, async |suite| {
        let access = suite.staff().await.tokens.access;
        let channel = channel(suite).await;
        let send = |method: Method, path: &str, body: String| {
            let (channel, path, access) = (channel.clone(), path.to_owned(), access.clone());
            async move { send(channel, method, &path, Some(&access), body).await }
        };
        let sent = patient().to_string();
        let (status, headers, made) = send(Method::POST, "/api/patients/", sent.clone()).await;
        assert_eq!((status, &made["medical_history"]), (201, &patient()["medical_history"]));
        let path = headers["location"].to_str().unwrap().to_owned();
        let (status, headers, read) = send(Method::GET, &path, String::new()).await;
        assert_eq!((status, &read), (200, &made));
        assert_eq!(
            headers["etag"].to_str().unwrap(),
            format!("\"{}\"", made["etag"].as_str().unwrap())
        );
        let (status, headers, nothing) = send(Method::HEAD, &path, String::new()).await;
        assert_eq!((status, nothing), (200, Value::Null));
        assert_eq!(headers["content-length"].to_str().unwrap(), made.to_string().len().to_string());
        let change = json!({ "gender": "O" }).to_string();
        assert_eq!(send(Method::PATCH, &path, change).await.2["gender"], "O");
        assert_eq!(send(Method::PUT, &path, sent).await.2["gender"], "F");
        let (status, _, nothing) = send(Method::DELETE, &path, String::new()).await;
        assert_eq!((status, nothing), (204, Value::Null));
        assert_eq!(send(Method::GET, &path, String::new()).await.0, 404);
        assert_eq!(send(Method::POST, "/api/patients/", "{".into()).await.0, 400);
        let (status, headers, _) = send(Method::DELETE, "/api/patients/", String::new()).await;
        assert_eq!(
            (status, &headers["allow"]),
            (405, &"GET, HEAD, OPTIONS, POST".parse().unwrap())
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_http2_requests_get_their_own_responses() {
    run(Backend::Sqlite, async |suite| {
        let (one, other) = (suite.staff().await, suite.staff().await);
        let channel = channel(suite).await;
        let calls = (0..60).map(|number| {
            let (channel, name) = (channel.clone(), format!("Name{number}"));
            let access = [&one, &other][number % 2].tokens.access.clone();
            let mut body = patient();
            body["first_name"] = name.clone().into();
            async move {
                let made =
                    send(channel, Method::POST, "/api/patients/", Some(&access), body.to_string());
                let (status, _, made) = made.await;
                assert_eq!((status, &made["first_name"]), (201, &name.into()));
                made["owner_id"].as_str().unwrap().to_owned()
            }
        });
        let owners = futures::future::join_all(calls).await;
        for (number, owner) in owners.iter().enumerate() {
            assert_eq!(*owner, [&one, &other][number % 2].user.id);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_does_not_affect_other_requests() {
    run(Backend::Sqlite, async |suite| {
        let access = suite.staff().await.tokens.access;
        let channel = channel(suite).await;
        for bytes in [LIMIT + 1, 20 * LIMIT] {
            let (channel, body) = (channel.clone(), vec![b' '; bytes]);
            let refused = send(channel, Method::POST, "/api/patients/", Some(&access), body).await;
            assert_eq!((refused.0, &refused.2["code"]), (413, &json!(8)));
        }
        let nobody =
            send(channel.clone(), Method::POST, "/api/patients/", None, vec![b' '; LIMIT + 1]);
        assert_eq!(nobody.await.0, 401);
        assert_eq!(send(channel, Method::GET, "/api/patients/", Some(&access), "").await.0, 200);
    })
    .await;
}
