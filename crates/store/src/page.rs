//! Pages of lists: sizes, and tokens that say where the next page begins.
//!
//! A token belongs to the query that it came from: a hash over its content and the query's
//! fingerprint is part of it. That keeps mistakes apart, it is no signature: what a caller may see
//! is decided by the statement, whatever the token says.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

const DEFAULT_SIZE: i64 = 50;
const MAX_SIZE: i64 = 500;
const HASH: usize = 16;
/// Bytes that the items of a page may have: clients of gRPC take 4 MiB unless they are told
/// otherwise.
const MAX_BYTES: usize = 3 << 20;

/// How many rows a page has: the wish of the request, 50 without one, at most 500.
pub fn size(wish: i32) -> i64 {
    match i64::from(wish) {
        ..=0 => DEFAULT_SIZE,
        wish => wish.min(MAX_SIZE),
    }
}

/// The last row of a page, as far as it takes to find the next one.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Which part of the list, where a list is several index ranges, one after the other.
    pub branch: u8,
    /// The row's id.
    pub id: Uuid,
    /// The value that the rows are sorted by before the id; empty when it is the id alone.
    pub key: Vec<u8>,
}

/// Without the key, which may be somebody's name.
impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("branch", &self.branch)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The token is damaged, or belongs to another query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the page token is damaged or belongs to another query")]
pub struct InvalidPageToken;

/// Describes a query: its method, the filters and who asks. The page size is not part of it, so
/// that it may change between pages.
pub fn fingerprint(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    for part in parts {
        // With its length, so that ("ab", "c") is not ("a", "bc").
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}

/// The token for what comes after this row.
pub fn encode(cursor: &Cursor, fingerprint: &[u8]) -> String {
    let mut bytes = vec![cursor.branch];
    bytes.extend_from_slice(cursor.id.as_bytes());
    bytes.extend_from_slice(&cursor.key);
    let hash = hash(&bytes, fingerprint);
    bytes.extend_from_slice(&hash);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a token of the same query.
pub fn decode(token: &str, fingerprint: &[u8]) -> Result<Cursor, InvalidPageToken> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| InvalidPageToken)?;
    let (payload, sum) = bytes.split_last_chunk::<HASH>().ok_or(InvalidPageToken)?;
    if *sum != hash(payload, fingerprint) {
        return Err(InvalidPageToken);
    }
    let (branch, rest) = payload.split_first().ok_or(InvalidPageToken)?;
    let (id, key) = rest.split_first_chunk::<16>().ok_or(InvalidPageToken)?;
    Ok(Cursor { branch: *branch, id: Uuid::from_bytes(*id), key: key.to_vec() })
}

/// [`decode`] for a request's `page_token`, which is empty for the first page.
pub fn after(token: &str, fingerprint: &[u8]) -> Result<Option<Cursor>, InvalidPageToken> {
    if token.is_empty() { Ok(None) } else { decode(token, fingerprint).map(Some) }
}

/// From `size + 1` rows makes the page, and the cursor of its last row when more follow.
pub fn cut<T>(
    mut rows: Vec<T>,
    size: i64,
    cursor: impl FnOnce(&T) -> Cursor,
) -> (Vec<T>, Option<Cursor>) {
    let size = usize::try_from(size).unwrap_or_default();
    if rows.len() <= size {
        return (rows, None);
    }
    rows.truncate(size);
    let next = rows.last().map(cursor);
    (rows, next)
}

/// As much of a page as fits into an answer, at least one item; the others come on the next one.
pub fn fit<T>(
    mut items: Vec<T>,
    next: Option<Cursor>,
    bytes: impl Fn(&T) -> usize,
    cursor: impl FnOnce(&T) -> Cursor,
) -> (Vec<T>, Option<Cursor>) {
    let mut sum = 0;
    let fitting = items.iter().take_while(|item| {
        sum += bytes(item);
        sum <= MAX_BYTES
    });
    let fitting = fitting.count().max(1);
    if fitting >= items.len() {
        return (items, next);
    }
    items.truncate(fitting);
    let next = items.last().map(cursor);
    (items, next)
}

fn hash(payload: &[u8], fingerprint: &[u8]) -> [u8; HASH] {
    let mut context = Context::new(&SHA256);
    context.update(&fingerprint.len().to_be_bytes());
    context.update(fingerprint);
    context.update(payload);
    let digest = context.finish();
    let mut hash = [0; HASH];
    for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor { branch: 1, id: Uuid::from_u128(7), key: b"smith".to_vec() }
    }

    #[test]
    fn a_token_leads_back_to_its_row() {
        let token = encode(&cursor(), b"list");
        assert_eq!(decode(&token, b"list"), Ok(cursor()));
        assert_eq!(after("", b"list"), Ok(None));
    }

    #[test]
    fn a_token_of_another_query_is_refused() {
        let token = encode(&cursor(), b"list");
        assert_eq!(decode(&token, b"other"), Err(InvalidPageToken));
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
    }

    #[test]
    fn a_mangled_token_is_refused_whichever_character_changes() {
        let token = encode(&cursor(), b"list");
        for at in 0..token.len() {
            let mut mangled = token.clone().into_bytes();
            mangled[at] = if mangled[at] == b'A' { b'B' } else { b'A' };
            let mangled = String::from_utf8(mangled).unwrap();
            assert_eq!(decode(&mangled, b"list"), Err(InvalidPageToken), "at {at}");
        }
        for mangled in [&token[1..], "x", "!!", &format!("{token}A"), &"A".repeat(2000)] {
            assert_eq!(decode(mangled, b"list"), Err(InvalidPageToken));
        }
    }

    #[test]
    fn page_sizes_are_bounded() {
        assert_eq!([size(0), size(-1), size(7), size(500), size(501)], [50, 50, 7, 500, 500]);
    }

    #[test]
    fn one_row_more_than_the_page_tells_that_more_follow() {
        let to_cursor = |n: &u8| Cursor { branch: *n, id: Uuid::nil(), key: Vec::new() };
        assert_eq!(cut(vec![1, 2], 2, to_cursor), (vec![1, 2], None));
        assert_eq!(cut(vec![1, 2, 3], 2, to_cursor), (vec![1, 2], Some(to_cursor(&2))));
    }
    #[test]
    fn what_does_not_fit_into_an_answer_comes_on_the_next_page() {
        let to_cursor =
            |n: &usize| Cursor { branch: 0, id: Uuid::from_u128(*n as u128), key: vec![] };
        let fit = |items: &[usize]| {
            let end = Some(to_cursor(&0));
            let (items, next) = fit(items.to_vec(), end.clone(), |n| *n, to_cursor);
            (items, next != end)
        };
        assert_eq!(fit(&[]), (vec![], false));
        assert_eq!(fit(&[MAX_BYTES - 1, 1]), (vec![MAX_BYTES - 1, 1], false));
        assert_eq!(fit(&[MAX_BYTES - 1, 2, 1]), (vec![MAX_BYTES - 1], true));
        assert_eq!(fit(&[MAX_BYTES + 1, 1]), (vec![MAX_BYTES + 1], true));
    }
}
