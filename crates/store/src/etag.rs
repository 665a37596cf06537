//! Etags: a row's version, as an opaque text. A table that has them has a column
//! `version bigint` that every change raises.

use crate::Query;

/// The etag of a version.
pub fn etag(version: i64) -> String {
    format!("v{version:x}")
}

/// Whether a row of this version still is as it was when the etag was read. An empty etag is no
/// condition.
pub fn is_current(text: &str, version: i64) -> bool {
    text.is_empty() || text == etag(version)
}

/// Appends the condition that the row still is as it was when the etag was read. An empty etag is no
/// condition; one that was never given out holds for no row.
pub fn push_current(query: &mut Query, text: &str) {
    match text {
        "" => query.push("TRUE"),
        text => query.push("version = ").push_bind(version(text).unwrap_or(-1)),
    };
}

fn version(text: &str) -> Option<i64> {
    let version = i64::from_str_radix(text.strip_prefix('v')?, 16).ok()?;
    // One text for each version: not `v+1`, not `v01`.
    (etag(version) == text).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_etag_as_it_was_given_out_is_a_version() {
        assert_eq!(version(&etag(300)), Some(300));
        for text in ["", "v", "12c", "v+12c", "v012c", "V12C", "v12C", "v12c ", "v-1x"] {
            assert_eq!(version(text), None, "{text}");
        }
        assert!(is_current("", 300) && is_current("v12c", 300) && !is_current("v12d", 300));
    }
}
