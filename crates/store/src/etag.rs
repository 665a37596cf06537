//! Etags: a row's version as opaque text. A table with etags has a column `version bigint`, which
//! every change raises.

use crate::Query;

/// Returns the etag of a version.
pub fn etag(version: i64) -> String {
    format!("v{version:x}")
}

/// Whether the etag is that of this version. An empty etag matches every version.
pub fn is_current(text: &str, version: i64) -> bool {
    text.is_empty() || text == etag(version)
}

/// Appends the condition that the row has this etag. An empty etag matches every row; one that was
/// never issued matches none.
pub fn push_current(query: &mut Query, text: &str) {
    match text {
        "" => query.push("TRUE"),
        text => query.push("version = ").push_bind(version(text).unwrap_or(-1)),
    };
}

fn version(text: &str) -> Option<i64> {
    let version = i64::from_str_radix(text.strip_prefix('v')?, 16).ok()?;
    // Each version has only one text: `v+1` and `v01` are invalid.
    (etag(version) == text).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_issued_etag_has_a_version() {
        assert_eq!(version(&etag(300)), Some(300));
        for text in ["", "v", "12c", "v+12c", "v012c", "V12C", "v12C", "v12c ", "v-1x"] {
            assert_eq!(version(text), None, "{text}");
        }
        assert!(is_current("", 300) && is_current("v12c", 300) && !is_current("v12d", 300));
    }
}
