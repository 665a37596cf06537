//! Errors of a database, in the terms that callers act on. The drivers' errors are classified only
//! here, in one function per driver.

use std::borrow::Cow;
use std::fmt;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::sqlite::SqliteError;

/// Why a statement failed. No text contains a value of a row.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A unique index already contains the value. `key` is the name of the index, which must follow
    /// `<table>_<column>_<column>_key`: PostgreSQL reports the name, and SQLite only the table and
    /// the columns, from which the name is built.
    #[error("the unique index {key} already contains this value")]
    Unique { key: String },
    /// Two writes conflict (serialization failure, deadlock, locked file). A retry may succeed now.
    #[error("the write conflicts with another one")]
    Conflict,
    /// No connection became free in time. A retry may succeed later.
    #[error("all connections to the database are in use")]
    Busy,
    /// The database cannot be reached or accepts no more work. A retry may succeed later.
    #[error("the database is not available")]
    Unavailable(#[source] Cause),
    /// A defect of the statement, the schema or the program.
    #[error("the database refused a statement")]
    Internal(#[source] Cause),
}

impl Error {
    /// Whether this is a violation of the unique index `key`.
    pub fn is_unique(&self, key: &str) -> bool {
        matches!(self, Self::Unique { key: violated } if violated == key)
    }

    /// Whether the connection failed. The statement may then succeed over another one.
    pub(crate) fn is_connection_error(&self) -> bool {
        matches!(self, Self::Unavailable(cause) if cause.is_connection_error)
    }

    /// Classifies an error of connecting, which always means that the database is not available. A
    /// proxy whose server is away may answer with something other than PostgreSQL's protocol.
    pub(crate) fn from_connecting(error: sqlx::Error) -> Self {
        match Self::from(error) {
            Self::Internal(cause) => Self::Unavailable(cause),
            error => error,
        }
    }
}

/// The driver's message, for the log only. Omits PostgreSQL's DETAIL, which quotes rows.
#[derive(Clone, thiserror::Error)]
#[error("{text}")]
pub struct Cause {
    text: String,
    /// Whether the connection failed, not the statement.
    is_connection_error: bool,
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Cause {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_connection_error: false }
    }

    pub(crate) fn connection(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_connection_error: true }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(refusal) => {
                if let Some(refusal) = refusal.try_downcast_ref::<PgDatabaseError>() {
                    from_postgres(refusal)
                } else if let Some(refusal) = refusal.try_downcast_ref::<SqliteError>() {
                    from_sqlite(refusal)
                } else {
                    Self::Internal(Cause::new("an error of an unknown driver"))
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(Cause::connection(error.to_string())),
            _ => Self::Internal(Cause::new(error.to_string())),
        }
    }
}

/// By SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn from_postgres(error: &PgDatabaseError) -> Error {
    let code = error.code();
    // The messages of class 22 (data exception) quote the value.
    let text = match code.starts_with("22") {
        true => format!("SQLSTATE {code}"),
        false => format!("SQLSTATE {code}: {}", error.message()),
    };
    let cause = Cause { text, is_connection_error: ends_session(error) };
    match code {
        "23505" => Error::Unique { key: error.constraint().unwrap_or_default().to_owned() },
        // serialization_failure, deadlock_detected, lock_not_available
        "40001" | "40P01" | "55P03" => Error::Conflict,
        // query_canceled, idle_in_transaction_session_timeout, transaction_timeout
        READ_ONLY | "57014" | "25P03" | "25P04" => Error::Unavailable(cause),
        // connection exceptions, insufficient resources, operator intervention
        _ if ["08", "53", "57P"].iter().any(|class| code.starts_with(class)) => {
            Error::Unavailable(cause)
        }
        _ => Error::Internal(cause),
    }
}

/// Whether a connection is unusable after this error.
pub(crate) fn ends_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => ends_session(error),
            // SQLite may have rolled back, or the file may no longer exist: SQLITE_NOMEM,
            // SQLITE_READONLY, SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_FULL, SQLITE_CANTOPEN,
            // SQLITE_NOTADB
            None => sqlite_code(&**error)
                .is_none_or(|code| matches!(code & 0xff, 7 | 8 | 10 | 11 | 13 | 14 | 26)),
        },
        // After a value that cannot be encoded or decoded, the connection is usable.
        sqlx::Error::RowNotFound
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::Decode(_) => false,
        _ => true,
    }
}

/// Whether a PostgreSQL connection is unusable after this error: the server closes it, or it leads
/// to a read-only server (a standby after a failover) while another one may lead to the primary.
fn ends_session(error: &PgDatabaseError) -> bool {
    matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic) || error.code() == READ_ONLY
}

/// Whether the database reports that it is read-only.
pub(crate) fn is_read_only(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some(READ_ONLY)
}

/// Whether there was no space for a write (disk_full, SQLITE_FULL).
pub(crate) fn is_full(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("53100" | "13"))
}

/// Returns PostgreSQL's SQLSTATE, or SQLite's result code.
pub(crate) fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

/// SQLSTATE read_only_sql_transaction.
const READ_ONLY: &str = "25006";

/// Whether the file is damaged, or is not an SQLite database.
pub(crate) fn is_damaged(error: &sqlx::Error) -> bool {
    // SQLITE_CORRUPT, SQLITE_NOTADB
    let code = error.as_database_error().and_then(sqlite_code);
    code.is_some_and(|code| matches!(code & 0xff, 11 | 26))
}

/// Returns the extended result code. Its lowest byte is the primary one.
fn sqlite_code(error: &dyn DatabaseError) -> Option<i32> {
    error.code()?.parse().ok()
}

/// By result code: <https://www.sqlite.org/rescode.html>.
fn from_sqlite(error: &SqliteError) -> Error {
    let extended = sqlite_code(error).unwrap_or_default();
    let cause = Cause::new(error.to_string());
    match (extended, extended & 0xff) {
        // SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE
        (1555 | 2067, _) => Error::Unique { key: sqlite_key(error.message()) },
        // SQLITE_BUSY, SQLITE_LOCKED
        (_, 5 | 6) => Error::Conflict,
        // SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN
        (_, 8 | 10 | 13 | 14) => Error::Unavailable(cause),
        _ => Error::Internal(cause),
    }
}

/// `UNIQUE constraint failed: users.email_key, users.tenant` → `users_email_key_tenant_key`.
/// SQLite names an index over an expression: `UNIQUE constraint failed: index 'users_x_key'`.
fn sqlite_key(message: &str) -> String {
    let columns = message.split_once(": ").map_or(message, |(_, columns)| columns);
    if let Some(name) = columns.strip_prefix("index ") {
        return name.trim_matches('\'').to_owned();
    }
    let mut key = String::new();
    for column in columns.split(", ") {
        let (table, column) = column.split_once('.').unwrap_or(("", column));
        if key.is_empty() {
            key.push_str(table);
        }
        key.push('_');
        key.push_str(column);
    }
    key.push_str("_key");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sqlite_message_gives_the_name_of_the_index() {
        for (message, key) in [
            ("UNIQUE constraint failed: users.email_key", "users_email_key_key"),
            ("UNIQUE constraint failed: patients.user_id", "patients_user_id_key"),
            (
                "UNIQUE constraint failed: assignments.patient_id, assignments.doctor_id",
                "assignments_patient_id_doctor_id_key",
            ),
            ("UNIQUE constraint failed: index 'users_lower_key'", "users_lower_key"),
        ] {
            assert_eq!(sqlite_key(message), key);
        }
    }
}
