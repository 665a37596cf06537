//! SQL statements with their values, independent of the database that runs them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use foldhash::fast::RandomState;
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;
use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, Database, Postgres, SqlSafeStr as _, SqlStr, Sqlite};
use uuid::Uuid;

use crate::error::{Cause, Error};

/// One SQL statement, or a part of one, with its values.
///
/// The text consists of `&'static str` pieces only, so a value can never become SQL. There is no
/// `Debug`, because the values are private data.
#[derive(Clone)]
#[must_use = "a query does nothing until it is given to a database"]
pub struct Query {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) args: Vec<Arg>,
}

/// Texts by their pieces. Most are used repeatedly. An UPDATE has one text for each set of changed
/// columns; the rare ones may be evicted.
static TEXTS: LazyLock<Cache<Box<[Piece]>, SqlStr, UnitWeighter, RandomState>> =
    LazyLock::new(|| {
        Cache::with(1000, 1000, UnitWeighter, RandomState::default(), Default::default())
    });

/// A piece of a statement's text.
#[derive(Clone, Copy)]
pub(crate) enum Piece {
    /// SQL text. Its `$n` stands for the value `base + n`; [`Query::append`] increases `base`.
    Text { text: &'static str, base: u16 },
    /// The placeholder of a value, numbered from 1.
    Value(u16),
}

impl From<&'static str> for Query {
    fn from(sql: &'static str) -> Self {
        Self::new(sql)
    }
}

/// Compares texts by address and length, which is fast. Equal texts at two addresses only get two
/// entries in the cache.
impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::Text { text, base }, Self::Text { text: other_text, base: other_base }) => {
                std::ptr::eq(text, other_text) && base == other_base
            }
            (Self::Value(number), Self::Value(other)) => number == other,
            _ => false,
        }
    }
}

impl Eq for Piece {}

impl Hash for Piece {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        match *self {
            Self::Text { text, base } => {
                text.as_ptr().addr().hash(hasher);
                base.hash(hasher);
            }
            Self::Value(number) => number.hash(hasher),
        }
    }
}

impl Query {
    /// Creates a statement with placeholders `$1`, `$2` … for the values of [`Query::bind`].
    pub fn new(sql: &'static str) -> Self {
        let pieces = vec![Piece::Text { text: sql, base: 0 }];
        Self { pieces, args: Vec::new() }
    }

    /// Creates an empty query.
    pub fn empty() -> Self {
        Self { pieces: Vec::new(), args: Vec::new() }
    }

    /// Creates an empty query with the capacity for a whole statement.
    pub(crate) fn with_statement_capacity() -> Self {
        Self { pieces: Vec::with_capacity(96), args: Vec::with_capacity(24) }
    }

    /// Adds the value of the next placeholder.
    pub fn bind(mut self, value: impl Into<Arg>) -> Self {
        self.args.push(value.into());
        self
    }

    /// Appends to the text.
    pub fn push(&mut self, sql: &'static str) -> &mut Self {
        self.pieces.push(Piece::Text { text: sql, base: 0 });
        self
    }

    /// Appends the next placeholder to the text, and adds its value.
    pub fn push_bind(&mut self, value: impl Into<Arg>) -> &mut Self {
        self.args.push(value.into());
        self.push_placeholder_of(self.count())
    }

    /// Appends the placeholder of a value that was added, by its number.
    pub(crate) fn push_placeholder_of(&mut self, number: u16) -> &mut Self {
        self.pieces.push(Piece::Value(number));
        self
    }

    /// Appends another query with its values.
    pub fn append(&mut self, other: &Self) -> &mut Self {
        let before = self.count();
        self.pieces.extend(other.pieces.iter().map(|piece| match *piece {
            Piece::Text { text, base } => Piece::Text { text, base: base.saturating_add(before) },
            Piece::Value(number) => Piece::Value(number.saturating_add(before)),
        }));
        self.args.extend_from_slice(&other.args);
        self
    }

    /// Appends `(v, v, …)` for `IN`. Repeats the last value up to a power of two: the statement
    /// caches then hold ten texts for up to 500 values instead of one per length. Without values,
    /// appends `(NULL)`, which matches nothing.
    pub fn push_list(&mut self, values: impl IntoIterator<Item = impl Into<Arg>>) -> &mut Self {
        let mut values: Vec<Arg> = values.into_iter().map(Into::into).collect();
        let Some(last) = values.last().cloned() else {
            return self.push("(NULL)");
        };
        values.resize(values.len().next_power_of_two(), last);
        for (at, value) in values.into_iter().enumerate() {
            self.push(if at == 0 { "(" } else { ", " });
            self.push_bind(value);
        }
        self.push(")")
    }

    /// Appends a LIMIT. SQLite would compile a statement anew for each execution if its LIMIT were a
    /// plain placeholder, because the plan then depends on the value (since SQLite 3.47).
    pub fn push_limit(&mut self, limit: i64) -> &mut Self {
        self.push(" LIMIT ").push_bind(limit).push(" + 0")
    }

    /// Returns the number of values, at most 65,535: databases reject a statement with more.
    pub(crate) fn count(&self) -> u16 {
        u16::try_from(self.args.len()).unwrap_or(u16::MAX)
    }

    /// Returns the SQL for a driver, from the cache if it was used recently.
    fn cached_sql(&self) -> SqlStr {
        if let [Piece::Text { text, base: 0 }] = *self.pieces {
            return text.into_sql_str();
        }
        if let Some(text) = TEXTS.get(&*self.pieces) {
            return text;
        }
        // Safe: `Query` joins only `&'static str` pieces and placeholder numbers.
        let text = AssertSqlSafe(Arc::<str>::from(self.sql())).into_sql_str();
        TEXTS.insert(self.pieces.as_slice().into(), text.clone());
        text
    }

    /// Builds the SQL.
    pub fn sql(&self) -> String {
        let mut sql = String::with_capacity(512);
        for piece in &self.pieces {
            match *piece {
                Piece::Text { text, base } => push_text(&mut sql, text, base),
                Piece::Value(number) => push_placeholder(&mut sql, number),
            }
        }
        sql
    }

    /// Rejects everything but SELECT and its EXPLAIN. `EXPLAIN ANALYZE` is rejected too, because it
    /// runs the statement.
    pub(crate) fn require_select(self) -> Result<Self, Error> {
        let mut texts = self.pieces.iter().map_while(|piece| match *piece {
            Piece::Text { text, .. } => Some(text),
            Piece::Value(_) => None,
        });
        let mut begin = texts.next().unwrap_or_default();
        for explain in ["EXPLAIN QUERY PLAN ", "EXPLAIN "] {
            begin = begin.strip_prefix(explain).unwrap_or(begin);
        }
        // EXPLAIN may be a separate piece.
        if begin.is_empty() {
            begin = texts.next().unwrap_or_default();
        }
        match begin.starts_with("SELECT ") {
            true => Ok(self),
            false => Err(Error::Internal(Cause::new("a read must be a SELECT"))),
        }
    }
}

/// A query that can be encoded as text and arguments for a driver.
pub(crate) trait IntoStatement<D: Database> {
    fn into_statement(self) -> Result<(SqlStr, D::Arguments), Error>;
}

/// Takes a reference, because a read may be retried.
impl IntoStatement<Postgres> for &Query {
    fn into_statement(self) -> Result<(SqlStr, PgArguments), Error> {
        let mut arguments = PgArguments::default();
        for arg in &self.args {
            arg.add_to_postgres(&mut arguments).map_err(sqlx::Error::Encode)?;
        }
        Ok((self.cached_sql(), arguments))
    }
}

/// Takes the query, because SQLite's arguments own texts and bytes.
impl IntoStatement<Sqlite> for Query {
    fn into_statement(self) -> Result<(SqlStr, SqliteArguments), Error> {
        let text = self.cached_sql();
        let mut arguments = SqliteArguments::default();
        for arg in self.args {
            arg.add_to_sqlite(&mut arguments).map_err(sqlx::Error::Encode)?;
        }
        Ok((text, arguments))
    }
}

fn push_placeholder(sql: &mut String, number: u16) {
    // Writing to a String cannot fail.
    let _ = write!(sql, "${number}");
}

/// Appends `text`, with each `$n` replaced by `$(base + n)`. The text must not contain `$` in quotes.
fn push_text(sql: &mut String, text: &str, base: u16) {
    let mut parts = text.split('$');
    sql.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        match number.parse::<u16>() {
            Ok(number) => push_placeholder(sql, base.saturating_add(number)),
            Err(_) => sql.push('$'),
        }
        sql.push_str(rest);
    }
}

/// A value for a placeholder. `None` is NULL of a known type, which PostgreSQL requires.
#[derive(Clone)]
pub enum Arg {
    /// For a `uuid` column.
    Uuid(Option<Uuid>),
    /// For a `text` column.
    Text(Option<Cow<'static, str>>),
    /// For a `boolean` column.
    Bool(Option<bool>),
    /// For a `bigint` column.
    BigInt(Option<i64>),
    /// For a `timestamptz` column, in whole microseconds.
    Time(Option<DateTime<Utc>>),
    /// For a `date` column.
    Date(Option<NaiveDate>),
    /// For a `bytea` column.
    Bytes(Option<Vec<u8>>),
}

impl Arg {
    fn add_to_postgres(&self, to: &mut PgArguments) -> Result<(), BoxDynError> {
        match self {
            Self::Uuid(value) => to.add(*value),
            Self::Text(value) => to.add(value.as_deref()),
            Self::Bool(value) => to.add(*value),
            Self::BigInt(value) => to.add(*value),
            Self::Time(value) => to.add(*value),
            Self::Date(value) => to.add(*value),
            Self::Bytes(value) => to.add(value.as_deref()),
        }
    }

    fn add_to_sqlite(self, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
        match self {
            Self::Uuid(value) => to.add(value),
            Self::Text(value) => to.add(value.map(Cow::into_owned)),
            Self::Bool(value) => to.add(value),
            Self::BigInt(value) => to.add(value),
            // Always six digits and `Z`, so equal times are equal texts. sqlx varies the number of
            // digits.
            Self::Time(value) => {
                to.add(value.map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, true)))
            }
            Self::Date(value) => to.add(value),
            Self::Bytes(value) => to.add(value),
        }
    }
}

macro_rules! arg_from {
    ($($type:ty => $variant:ident,)*) => {$(
        impl From<$type> for Arg {
            fn from(value: $type) -> Self {
                Self::$variant(Some(value.into()))
            }
        }

        impl From<Option<$type>> for Arg {
            fn from(value: Option<$type>) -> Self {
                Self::$variant(value.map(Into::into))
            }
        }
    )*};
}

arg_from! {
    Uuid => Uuid,
    String => Text,
    &'static str => Text,
    bool => Bool,
    i32 => BigInt,
    i64 => BigInt,
    DateTime<Utc> => Time,
    NaiveDate => Date,
    Vec<u8> => Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_in_the_order_of_their_values() {
        let mut query = Query::new("SELECT * FROM t WHERE a = $1").bind(1_i64);
        query.push(" AND b = ").push_bind("x").push(" AND c IN ").push_list([1_i64, 2, 3]);
        let sql = "SELECT * FROM t WHERE a = $1 AND b = $2 AND c IN ($3, $4, $5, $6)";
        assert_eq!((query.sql().as_str(), query.args.len()), (sql, 6));
    }

    #[test]
    fn appending_a_query_renumbers_its_placeholders() {
        let mut part = Query::new("b = $1 OR b = $1 + $2").bind(2_i64).bind(3_i64);
        part.push(" OR c = ").push_bind("x");
        let mut query = Query::new("a = $1").bind(1_i64);
        query.push(" AND (").append(&part).push(") AND d = ").push_bind("y");
        let sql = "a = $1 AND (b = $2 OR b = $2 + $3 OR c = $4) AND d = $5";
        assert_eq!((query.sql().as_str(), query.args.len()), (sql, 5));
        let mut outer = Query::empty();
        outer.push_bind(0_i64).push(", ").append(&query);
        let sql = "$1, a = $2 AND (b = $3 OR b = $3 + $4 OR c = $5) AND d = $6";
        assert_eq!((outer.sql().as_str(), outer.args.len()), (sql, 6));
    }

    #[test]
    fn a_limit_is_not_a_plain_placeholder() {
        let mut query = Query::new("SELECT 1");
        query.push_limit(51);
        assert_eq!(query.sql(), "SELECT 1 LIMIT $1 + 0");
    }

    #[test]
    fn an_empty_list_matches_nothing() {
        let mut query = Query::new("SELECT 1 WHERE 1 IN ");
        query.push_list(Vec::<i64>::new());
        assert_eq!(query.sql(), "SELECT 1 WHERE 1 IN (NULL)");
    }
}
