//! Serves the documentation of the REST API: the OpenAPI document, Swagger UI and ReDoc. All files
//! are in the binary, and the pages load nothing from other hosts.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use tonic::body::Body;

use super::JSON;
use crate::responses::{HTML, PAGE, TEXT, other_method, respond};

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Allows only scripts from the same origin. The libraries write inline styles, and ReDoc creates
/// its search worker from a blob.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src blob:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// Includes a file of the pages' libraries in [`FILES`].
macro_rules! web {
    ($page:literal, $library:literal, $file:literal, $kind:expr) => {
        (
            concat!("/", $page, "/", $file),
            $kind,
            include_bytes!(concat!("../../../third_party/web/", $library, "/", $file)),
        )
    };
}

/// Path of the OpenAPI document.
const DOCUMENT: &str = "/openapi.json";

/// Files with their paths and media types.
const FILES: [(&str, &str, &[u8]); 14] = [
    ("/swagger/", HTML, include_bytes!("pages/swagger.html")),
    ("/swagger/start.js", SCRIPT, include_bytes!("pages/swagger.js")),
    web!("swagger", "swagger-ui", "swagger-ui-bundle.js", SCRIPT),
    web!("swagger", "swagger-ui", "swagger-ui.css", STYLE),
    web!("swagger", "swagger-ui", "favicon-32x32.png", "image/png"),
    ("/redoc/", HTML, include_bytes!("pages/redoc.html")),
    ("/redoc/start.js", SCRIPT, include_bytes!("pages/redoc.js")),
    web!("redoc", "redoc", "redoc.standalone.js", SCRIPT),
    // The licenses are served with the libraries.
    web!("swagger", "swagger-ui", "LICENSE", TEXT),
    web!("swagger", "swagger-ui", "NOTICE", TEXT),
    web!("swagger", "swagger-ui", "swagger-ui-bundle.js.LICENSE.txt", TEXT),
    web!("redoc", "redoc", "LICENSE", TEXT),
    web!("redoc", "redoc", "redoc.standalone.js.LICENSE.txt", TEXT),
    web!("redoc", "redoc", "d87bcbdbea8f8f5aa26f.worker.js.LICENSE.txt", TEXT),
];

/// The documentation. Clones share everything.
#[derive(Clone, Default)]
pub(crate) struct Documents(Arc<OnceLock<Vec<File>>>);

struct File {
    path: &'static str,
    kind: &'static str,
    bytes: Bytes,
    etag: String,
}

impl Documents {
    /// Answers requests for the documentation. Returns None for other paths.
    pub(crate) fn handle(&self, request: &Request<Body>) -> Option<Response<Body>> {
        let path = request.uri().path();
        // Relative, to work behind a proxy that adds a prefix.
        let folder = match path {
            "/swagger" => Some("swagger/"),
            "/redoc" => Some("redoc/"),
            _ => None,
        };
        if folder.is_none() && path != DOCUMENT && !FILES.iter().any(|(file, ..)| *file == path) {
            return None;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Some(other_method(request.method(), PAGE));
        }
        // The relative URLs of the pages need the slash.
        if let Some(folder) = folder {
            let mut response = Response::new(Body::default());
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(folder));
            return Some(response);
        }
        // Created at the first request: most processes get none.
        let file = self.0.get_or_init(files).iter().find(|file| file.path == path)?;
        Some(file.handle(request.headers()))
    }
}

fn files() -> Vec<File> {
    let document = clinic_rest::openapi::document(clinic_proto::DOCUMENTED_FILE_DESCRIPTOR_SET);
    let document = document.inspect_err(|error| tracing::error!(%error, "no {DOCUMENT}")).ok();
    let document = document.map(|document| File::new(DOCUMENT, JSON, document.to_string().into()));
    let files =
        FILES.iter().map(|(path, kind, bytes)| File::new(path, kind, Bytes::from_static(bytes)));
    files.chain(document).collect()
}

impl File {
    fn new(path: &'static str, kind: &'static str, bytes: Bytes) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Self { path, kind, bytes, etag: format!("\"{:x}\"", hasher.finish()) }
    }

    /// Returns the file, or 304 if the client has this version. Browsers revalidate at each use, to
    /// never mix the files of two versions.
    fn handle(&self, asked: &HeaderMap) -> Response<Body> {
        let known = asked.get_all(header::IF_NONE_MATCH).iter();
        let mut known = known.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
        let mut response = match known.any(|etag| etag.trim().trim_start_matches("W/") == self.etag)
        {
            true => respond(StatusCode::NOT_MODIFIED, self.kind, Bytes::new()),
            false => respond(StatusCode::OK, self.kind, self.bytes.clone()),
        };
        let headers = response.headers_mut();
        if let Ok(etag) = HeaderValue::try_from(&self.etag) {
            headers.insert(header::ETAG, etag);
        }
        let mut put = |name, value| headers.insert(name, HeaderValue::from_static(value));
        put(header::CACHE_CONTROL, "no-cache");
        put(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
        put(header::REFERRER_POLICY, "no-referrer");
        response
    }
}
