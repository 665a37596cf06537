//! The start page at `/`, which names the server and links to its APIs. Browsers get HTML, other
//! clients plain text.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use tonic::body::Body;

use crate::responses::{HTML, TEXT, respond};

/// Allows no scripts and nothing from other hosts; the styles are inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The start page.
pub(crate) struct Welcome {
    page: Bytes,
    text: Bytes,
}

impl Welcome {
    /// Creates the page, with links to the documentation of the REST API if `api_docs`.
    pub(crate) fn new(api_docs: bool) -> Self {
        let with = |template: &str, links: &str| {
            Bytes::from(template.replace("{api_docs}\n", if api_docs { links } else { "" }))
        };
        Self {
            page: with(include_str!("page.html"), include_str!("api_docs.html")),
            text: with(include_str!("page.txt"), include_str!("api_docs.txt")),
        }
    }

    pub(crate) fn handle(&self, asked: &HeaderMap) -> Response<Body> {
        let (kind, body) = match takes_html(asked) {
            true => (HTML, &self.page),
            false => (TEXT, &self.text),
        };
        let mut response = respond(StatusCode::OK, kind, body.clone());
        let headers = response.headers_mut();
        let mut put = |name, value| headers.insert(name, HeaderValue::from_static(value));
        put(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
        put(header::REFERRER_POLICY, "no-referrer");
        put(header::VARY, "accept");
        response
    }
}

/// Returns whether the client accepts `text/html` by name, as browsers do. `*/*` does not count.
fn takes_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = accepted.flat_map(|value| value.split(','));
    ranges.any(|range| {
        range.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
    })
}
