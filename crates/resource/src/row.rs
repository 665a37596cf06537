//! Reads a record from a row of either database.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, Utc};
use clinic_proto::time::timestamp;
use clinic_store::etag;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column as _, FromRow, Row as _};
use uuid::Uuid;

use crate::field::Kind;
use crate::{Record, Resource};

/// The column that tells whether the caller sees the FULL view, if that depends on the row.
pub(crate) const IS_FULL: &str = "is_full";

/// Reads the columns of [`Fields::columns`] and, if it follows them, the column [`IS_FULL`].
macro_rules! from_row {
    ($row:ty, $date:ident) => {
        impl<'r, R: Resource> FromRow<'r, $row> for Record<R> {
            fn from_row(row: &'r $row) -> Result<Self, sqlx::Error> {
                let mut message = R::Message::default();
                let fields = R::fields().all;
                for (at, field) in fields.iter().enumerate() {
                    match field.kind {
                        Kind::Text(to) => *to(&mut message) = row.try_get(at)?,
                        Kind::Day(to) => {
                            *to(&mut message) = $date(row, at)?.unwrap_or_default();
                        }
                        Kind::Int(to, _) => {
                            let number: i64 = row.try_get(at)?;
                            *to(&mut message) = i32::try_from(number).unwrap_or(i32::MAX);
                        }
                        Kind::Flag(to, _) => *to(&mut message) = Some(row.try_get(at)?),
                        Kind::Id(to) | Kind::Reference(to) => {
                            let id: Option<Uuid> = row.try_get(at)?;
                            *to(&mut message) = id.map(id_text).unwrap_or_default();
                        }
                        Kind::Etag(to) => *to(&mut message) = etag::etag(row.try_get(at)?),
                        Kind::Time(to) | Kind::Moment(to) => {
                            let time: Option<DateTime<Utc>> = row.try_get(at)?;
                            *to(&mut message) = time.map(timestamp);
                        }
                        Kind::Bool(to) => *to(&mut message) = row.try_get(at)?,
                    }
                }
                // Checks the name, because a shared read has the ordinal in this position.
                let is_full = match row.columns().get(fields.len()) {
                    Some(column) if column.name() == IS_FULL => Some(row.try_get(fields.len())?),
                    _ => None,
                };
                Ok(Self { id: row.try_get(0)?, is_full, message })
            }
        }
    };
}

/// Formats an id without the formatting machinery, which costs several times as much.
fn id_text(id: Uuid) -> String {
    id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
}

/// Reads a date as YYYY-MM-DD.
fn postgres_date(row: &PgRow, at: usize) -> Result<Option<String>, sqlx::Error> {
    let date: Option<NaiveDate> = row.try_get(at)?;
    Ok(date.map(|date| {
        // With one allocation. `to_string` would grow the text character by character.
        let mut text = String::with_capacity("2024-02-29".len());
        // Writing to a String cannot fail.
        let _ = write!(text, "{date}");
        text
    }))
}

/// Reads a date as YYYY-MM-DD, which is how SQLite stores it.
fn sqlite_date(row: &SqliteRow, at: usize) -> Result<Option<String>, sqlx::Error> {
    row.try_get(at)
}

from_row!(PgRow, postgres_date);
from_row!(SqliteRow, sqlite_date);
