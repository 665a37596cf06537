//! What is at `/`: which server this is, and where to go from here. A page for browsers, the same as
//! text for everything else.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use tonic::body::Body;

use crate::plain::{HTML, TEXT, respond};

/// No scripts, and nothing of any other host; the styles are in the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// See the module.
pub(crate) struct Welcome {
    page: Bytes,
    text: Bytes,
}

impl Welcome {
    /// `api_docs`: whether there are documents of the REST API to link to.
    pub(crate) fn new(api_docs: bool) -> Self {
        let with = |template: &str, links: &str| {
            Bytes::from(template.replace("{api_docs}\n", if api_docs { links } else { "" }))
        };
        Self {
            page: with(include_str!("page.html"), include_str!("api_docs.html")),
            text: with(include_str!("page.txt"), include_str!("api_docs.txt")),
        }
    }

    pub(crate) fn answer(&self, asked: &HeaderMap) -> Response<Body> {
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

/// Whether the client asks for HTML by name, as browsers do; `*/*` is everything else.
fn takes_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = accepted.flat_map(|value| value.split(','));
    ranges.any(|range| {
        range.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
    })
}
