//! Filters the request headers that are forwarded to a service, and adds the gateway's own.

use clinic_identity::{CLAIMS_HEADER, RESERVED_PREFIX};
use clinic_net::{Error, REQUEST_ID_HEADER};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Maximum bytes of metadata that a client may send with a call, not counting its token.
const MAX_METADATA: usize = 16 * 1024;

/// Headers that are for the connection or for the gateway, and are not forwarded.
const DROPPED: [HeaderName; 14] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::FORWARDED,
    header::ORIGIN,
    header::REFERER,
    header::CONTENT_LENGTH,
    HeaderName::from_static("keep-alive"),
    // Addresses claimed by the client. Services get the real address in the claims.
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
];

/// Returns the access token of `authorization: Bearer …`, if there is one.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // Several headers are an error, because the caller is ambiguous.
    if values.next().is_some() {
        return Err(Error::invalid_token());
    }
    let text = value.to_str().map_err(|_| Error::invalid_token())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(Error::invalid_token)?;
    let usable = scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty();
    usable.then(|| Some(token.trim())).ok_or_else(Error::invalid_token)
}

/// Removes the headers that a service must not receive from a client. This includes all with the
/// suite's prefix: only the gateway may identify the caller.
pub(crate) fn strip(headers: &mut HeaderMap) {
    for name in DROPPED {
        headers.remove(name);
    }
    let prefixes = [RESERVED_PREFIX, "x-forwarded-", "proxy-", "sec-"];
    let is_reserved =
        |name: &&HeaderName| prefixes.iter().any(|prefix| name.as_str().starts_with(prefix));
    let reserved: Vec<HeaderName> = headers.keys().filter(is_reserved).cloned().collect();
    for name in reserved {
        headers.remove(name);
    }
}

/// Refuses metadata that is larger than a service accepts. HTTP/2 closes the whole connection, with
/// the calls of all clients, on a head that is far too large.
pub(crate) fn check_size(headers: &HeaderMap) -> Result<(), Error> {
    let size: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    if size > MAX_METADATA {
        return Err(Error::metadata_too_large(MAX_METADATA));
    }
    Ok(())
}

/// Adds the gateway's headers.
pub(crate) fn add(
    headers: &mut HeaderMap,
    mut claims: HeaderValue,
    mut request_id: HeaderValue,
    timeout: Option<HeaderValue>,
) {
    // HPACK keeps values that are not sensitive in its table. Claims are the same for every call of
    // a session, and half of a head's bytes. Request ids are unique and would only evict them.
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
    fn headers_reserved_for_the_gateway_are_removed() {
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
    fn only_a_single_bearer_token_is_accepted() {
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
