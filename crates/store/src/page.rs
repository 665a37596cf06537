//! Pages of lists: their sizes, and tokens for the next page.
//!
//! Tokens appear in URLs, and proxies log URLs. A token contains the position of the next page,
//! which can be a person's name, so tokens are encrypted (AES-256-GCM-SIV). The key is in the
//! service's database, next to the names: all processes of the service share it, and it survives
//! restarts. A token is valid only for the query that it came from, whose fingerprint is
//! authenticated with it. The statement, not the token, decides what a caller may see.
//!
//! Each service with lists has this table in its migrations:
//! ```sql
//! CREATE TABLE page_keys (
//!     id bigint PRIMARY KEY,
//!     key bytea NOT NULL
//! );
//! ```

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::db::Db;
use crate::error::{Cause, Error};
use crate::query::Query;

const DEFAULT_SIZE: i64 = 50;
const MAX_SIZE: i64 = 500;
/// Maximum size of a page's items in bytes: gRPC clients accept 4 MiB by default.
pub const MAX_BYTES: usize = 3 << 20;

/// Returns the number of rows on a page: the requested one, at most 500; 50 if none is requested.
pub fn size(requested: i32) -> i64 {
    match i64::from(requested) {
        ..=0 => DEFAULT_SIZE,
        requested => requested.min(MAX_SIZE),
    }
}

/// The position of a page's last row, from which the next page continues.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The index range, if a list consists of several that follow one another.
    pub branch: u8,
    pub id: Uuid,
    /// The value that rows are sorted by before the id; empty if they are sorted by id alone.
    pub key: Vec<u8>,
}

/// Omits the key, which may be a person's name.
impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("branch", &self.branch)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the page token is damaged or belongs to another query")]
pub struct InvalidPageToken;

/// Returns a hash that identifies a query by its method, its filters and its caller. The page size
/// is not part of it, because it may change between pages.
pub fn fingerprint(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    for part in parts {
        // The length distinguishes ("ab", "c") from ("a", "bc").
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}

/// Encrypts and decrypts the page tokens of a service. Clones share the key.
#[derive(Clone)]
pub struct Tokens(Arc<RandomizedNonceKey>);

impl Tokens {
    /// Reads the key from the database. The first start creates it.
    pub async fn open(db: &Db) -> Result<Self, Error> {
        let find = || Query::new("SELECT key FROM page_keys WHERE id = 1");
        let mut found: Option<(Vec<u8>,)> = db.fetch_optional(find()).await?;
        if found.is_none() {
            // If several processes start at once, the first one wins.
            let insert = Query::new(
                "INSERT INTO page_keys (id, key) VALUES (1, $1) ON CONFLICT (id) DO NOTHING",
            );
            db.untracked().execute(insert.bind(clinic_random::bytes::<32>().to_vec())).await?;
            found = db.fetch_optional(find()).await?;
        }
        let (key,) = found.ok_or_else(|| Error::Internal(Cause::new("the page key is missing")))?;
        Self::new(&key)
    }

    fn new(key: &[u8]) -> Result<Self, Error> {
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, key);
        let key = key.map_err(|_| Error::Internal(Cause::new("the page key cannot be used")))?;
        Ok(Self(Arc::new(key)))
    }

    /// Returns the token for the page after this cursor; empty if there is none.
    pub fn token(&self, next: Option<&Cursor>, fingerprint: &[u8]) -> Result<String, Error> {
        let Some(Cursor { branch, id, key }) = next else { return Ok(String::new()) };
        let mut sealed = [&[*branch], id.as_bytes().as_slice(), key].concat();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(fingerprint), &mut sealed);
        let nonce = nonce.map_err(|_| Error::Internal(Cause::new("encrypting a token failed")))?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), &sealed].concat()))
    }

    /// Returns the cursor of a request's `page_token`, which is empty for the first page.
    pub fn after(
        &self,
        token: &str,
        fingerprint: &[u8],
    ) -> Result<Option<Cursor>, InvalidPageToken> {
        if token.is_empty() { Ok(None) } else { self.read(token, fingerprint).map(Some) }
    }

    fn read(&self, token: &str, fingerprint: &[u8]) -> Result<Cursor, InvalidPageToken> {
        let mut bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| InvalidPageToken)?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>().ok_or(InvalidPageToken)?;
        let opened = self.0.open_in_place(Nonce::from(&*nonce), Aad::from(fingerprint), sealed);
        let opened: &[u8] = opened.map_err(|_| InvalidPageToken)?;
        let (branch, rest) = opened.split_first().ok_or(InvalidPageToken)?;
        let (id, key) = rest.split_first_chunk::<16>().ok_or(InvalidPageToken)?;
        Ok(Cursor { branch: *branch, id: Uuid::from_bytes(*id), key: key.to_vec() })
    }
}

/// Turns up to `size + 1` rows into a page. Returns the cursor of its last row if more rows follow.
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

/// Returns the items that fit into one response, at least one. The others move to the next page.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor { branch: 1, id: Uuid::from_u128(7), key: b"smith".to_vec() }
    }

    fn tokens() -> Tokens {
        Tokens::new(&[7; 32]).unwrap()
    }

    fn token() -> String {
        tokens().token(Some(&cursor()), b"list").unwrap()
    }

    #[test]
    fn a_token_decodes_to_its_cursor() {
        assert_eq!(tokens().after(&token(), b"list"), Ok(Some(cursor())));
        assert_eq!(tokens().after("", b"list"), Ok(None));
        assert_eq!(tokens().token(None, b"list").unwrap(), "");
    }

    #[test]
    fn a_token_does_not_reveal_its_cursor() {
        let bytes = URL_SAFE_NO_PAD.decode(token()).unwrap();
        let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(!holds(b"smi") && !holds(b"ith") && !holds(&cursor().id.as_bytes()[..8]));
        assert_ne!(token(), token());
    }

    #[test]
    fn a_token_of_another_query_or_key_is_refused() {
        assert_eq!(tokens().after(&token(), b"other"), Err(InvalidPageToken));
        let others = Tokens::new(&[8; 32]).unwrap();
        assert_eq!(others.after(&token(), b"list"), Err(InvalidPageToken));
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
    }

    #[test]
    fn a_token_with_any_changed_character_is_refused() {
        let (tokens, token) = (tokens(), token());
        let refused = |token: &str| tokens.after(token, b"list") == Err(InvalidPageToken);
        for at in 0..token.len() {
            let mut mangled = token.clone().into_bytes();
            mangled[at] = if mangled[at] == b'A' { b'B' } else { b'A' };
            assert!(refused(&String::from_utf8(mangled).unwrap()), "at {at}");
        }
        for mangled in [&token[1..], "x", "!!", &format!("{token}A"), &"A".repeat(2000)] {
            assert!(refused(mangled));
        }
    }

    #[test]
    fn page_sizes_are_bounded() {
        assert_eq!([size(0), size(-1), size(7), size(500), size(501)], [50, 50, 7, 500, 500]);
    }

    #[test]
    fn a_page_has_a_cursor_if_more_rows_follow() {
        let to_cursor = |n: &u8| Cursor { branch: *n, id: Uuid::nil(), key: Vec::new() };
        assert_eq!(cut(vec![1, 2], 2, to_cursor), (vec![1, 2], None));
        assert_eq!(cut(vec![1, 2, 3], 2, to_cursor), (vec![1, 2], Some(to_cursor(&2))));
    }

    #[test]
    fn items_beyond_the_byte_limit_move_to_the_next_page() {
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
