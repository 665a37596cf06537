//! What of a request's headers goes on to a service.

use clinic_identity::{CLAIMS_HEADER, RESERVED_PREFIX};
use clinic_net::{Error, REQUEST_ID_HEADER};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Bytes of metadata that a client may send along with a call, apart from its token.
const MAX_METADATA: usize = 16 * 1024;

/// What belongs to the connection or to the edge, and ends here.
const DROPPED: [HeaderName; 16] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::CONNECTION,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::FORWARDED,
    header::ORIGIN,
    header::REFERER,
    header::CONTENT_LENGTH,
    HeaderName::from_static("keep-alive"),
    // Where a client says it comes from: the claims tell services what the gateway saw.
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
];

/// The access token of `authorization: Bearer …`.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        // None at all, or several: then it is not clear who calls.
        return match headers.contains_key(header::AUTHORIZATION) {
            true => Err(Error::invalid_token()),
            false => Ok(None),
        };
    };
    let text = value.to_str().map_err(|_| Error::invalid_token())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(Error::invalid_token)?;
    let usable = scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty();
    usable.then(|| Some(token.trim())).ok_or_else(Error::invalid_token)
}

/// Leaves what a service may see of what the client sent. Nothing with the suite's own prefix
/// survives: only the gateway may say who calls.
pub(crate) fn strip(headers: &mut HeaderMap) {
    for name in DROPPED {
        headers.remove(name);
    }
    let reserved: Vec<HeaderName> =
        headers.keys().filter(|name| is_reserved(name)).cloned().collect();
    for name in reserved {
        headers.remove(name);
    }
}

/// Whether a service takes so much. A head that is far too large would not only fail: HTTP/2 ends
/// the whole connection for it, and with that the calls of everybody.
pub(crate) fn check_size(headers: &HeaderMap) -> Result<(), Error> {
    let size: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    if size > MAX_METADATA {
        return Err(Error::metadata_too_large(MAX_METADATA));
    }
    Ok(())
}

fn is_reserved(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with(RESERVED_PREFIX)
        || name.starts_with("x-forwarded-")
        || name.starts_with("proxy-")
        || name.starts_with("sec-")
}

/// Adds what the gateway says of the call.
pub(crate) fn add(
    headers: &mut HeaderMap,
    mut claims: HeaderValue,
    mut request_id: HeaderValue,
    timeout: Option<HeaderValue>,
) {
    // HPACK remembers what is not sensitive. On the connections within the suite the claims are the
    // same for every call of a session, and half of a head's bytes: worth remembering. A request
    // id never comes again, and would only push them out.
    claims.set_sensitive(false);
    request_id.set_sensitive(true);
    headers.insert(HeaderName::from_static(CLAIMS_HEADER), claims);
    headers.insert(HeaderName::from_static(REQUEST_ID_HEADER), request_id);
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    match timeout {
        Some(timeout) => headers.insert(HeaderName::from_static("grpc-timeout"), timeout),
        None => headers.remove("grpc-timeout"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn nothing_of_the_clients_own_making_looks_like_the_gateways() {
        let mut sent = headers(&[
            ("x-clinic-claims", "forged"),
            ("x-clinic-anything", "forged"),
            ("authorization", "Bearer x"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
            ("cookie", "a=b"),
            ("x-trace", "kept"),
        ]);
        strip(&mut sent);
        assert_eq!(sent.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-trace"]);
    }

    #[test]
    fn one_bearer_token_or_none() {
        assert_eq!(bearer(&headers(&[])).unwrap(), None);
        assert_eq!(bearer(&headers(&[("authorization", "bearer abc")])).unwrap(), Some("abc"));
        for bad in ["abc", "Basic abc", "Bearer ", ""] {
            assert!(bearer(&headers(&[("authorization", bad)])).is_err(), "{bad}");
        }
        let twice = headers(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]);
        assert!(bearer(&twice).is_err());
    }

    #[test]
    fn metadata_is_bounded() {
        let long = "x".repeat(MAX_METADATA);
        assert!(check_size(&headers(&[("x-note", &long)])).is_err());
        assert!(check_size(&headers(&[("x-note", "short")])).is_ok());
    }
}
