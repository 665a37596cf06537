//! Opens a database by its URL.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, PgConnection};

use crate::connect_error::ConnectError;
use crate::db::{Db, Pools};
use crate::error::{Cause, is_damaged};
use crate::postgres::{ACQUIRE_TIMEOUT, Postgres};
use crate::sqlite::Sqlite;
use crate::url::{is_postgres, parse_postgres};

/// The URL of a database, and the number of connections.
#[derive(Clone)]
pub struct Options {
    /// `postgres://user:password@host/database?sslmode=…` or `sqlite:path/to/file.db`.
    pub url: SecretString,
    /// PostgreSQL: the size of the pool. SQLite: the number of readers beside the one writer.
    pub max_connections: u32,
}

impl Options {
    /// Allows 8 connections: on PostgreSQL 8 are faster than 16, and 8 readers keep SQLite busy.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self { url: url.into(), max_connections: 8 }
    }
}

/// How long SQLite waits for a write of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of the WAL after a checkpoint, in bytes.
const WAL_KEPT: &str = "16777216";

impl Db {
    /// Opens the database. Creates a missing SQLite file. Fails within seconds if it is not usable
    /// now. If it goes away later, calls fail with [`crate::Error::Unavailable`] until it is back.
    pub async fn connect(options: &Options) -> Result<Self, ConnectError> {
        let url = options.url.expose_secret();
        if is_postgres(url) {
            postgres(url, options.max_connections).await
        } else if let Some(path) = url.strip_prefix("sqlite:") {
            sqlite(Path::new(path.strip_prefix("//").unwrap_or(path)), options.max_connections)
                .await
        } else {
            Err(ConnectError::UnknownScheme)
        }
    }
}

async fn postgres(url: &str, max_connections: u32) -> Result<Db, ConnectError> {
    let options = with_timeouts(parse_postgres(url)?);
    // A connection outside of the pool reports what is wrong; the pool would only time out.
    try_postgres(&options).await?.close().await.ok();
    Ok(Db::new(Pools::Postgres(Postgres::open(options, max_connections), Arc::default())))
}

/// Limits how long a statement, and a transaction between two statements, can outlive the call that
/// began it. Otherwise one whose client is gone would keep its locks. `statement_timeout` includes
/// the wait for a lock, so that needs no separate limit. Migrations are exempt.
const TIMEOUTS: [(&str, &str); 2] =
    [("statement_timeout", "60s"), ("idle_in_transaction_session_timeout", "60s")];

/// Adds the session timeouts that the URL does not set (`?options[statement_timeout]=…`).
fn with_timeouts(options: PgConnectOptions) -> PgConnectOptions {
    let given = options.get_options().unwrap_or_default().to_owned();
    let timeouts = TIMEOUTS.into_iter().filter(|(name, _)| !given.contains(name));
    options.options(timeouts)
}

/// Opens a single connection.
pub(crate) async fn try_postgres(options: &PgConnectOptions) -> Result<PgConnection, ConnectError> {
    let server = format!("{}:{}", options.get_host(), options.get_port());
    let connect = PgConnection::connect_with(options);
    let error = match tokio::time::timeout(ACQUIRE_TIMEOUT, connect).await {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(error)) => error,
        Err(_) => return Err(ConnectError::Unreachable { server }),
    };
    let user = options.get_username().to_owned();
    let database = options.get_database().unwrap_or(&user).to_owned();
    Err(match &error {
        // rustls reports a failed handshake, such as an untrusted certificate, like this.
        sqlx::Error::Io(source) if source.kind() == io::ErrorKind::InvalidData => {
            ConnectError::Tls { server, source: Cause::new(source.to_string()) }
        }
        sqlx::Error::Io(_) => ConnectError::Unreachable { server },
        sqlx::Error::Tls(source) => {
            ConnectError::Tls { server, source: Cause::new(source.to_string()) }
        }
        sqlx::Error::Database(refusal) => match refusal.code().as_deref() {
            Some("28P01" | "28000") => ConnectError::LoginRefused { server, user },
            Some("3D000") => ConnectError::NoDatabase { server, user, database },
            Some("42501") => ConnectError::NotAllowed { server, user, database },
            _ => ConnectError::Refused { server, source: error.into() },
        },
        _ => ConnectError::Refused { server, source: error.into() },
    })
}

async fn sqlite(path: &Path, max_connections: u32) -> Result<Db, ConnectError> {
    // Readers and the writer are separate connections, which share only a file.
    if path.as_os_str().is_empty() || path == Path::new(":memory:") {
        return Err(ConnectError::UnknownScheme);
    }
    make_file(path)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(SqliteSynchronous::Full);
    let writing = options
        .clone()
        .journal_mode(SqliteJournalMode::Wal)
        // A reader with a long snapshot makes the WAL grow. The next checkpoint shrinks it again.
        .pragma("journal_size_limit", WAL_KEPT);
    let path = path.to_owned();
    match Sqlite::open(options.read_only(true), writing, max_connections).await {
        Ok(sqlite) => Ok(Db::new(Pools::Sqlite(sqlite, Arc::default()))),
        Err(error) if is_damaged(&error) => {
            Err(ConnectError::NotADatabase { path, source: error.into() })
        }
        Err(error) => Err(ConnectError::Unopenable { path, source: error.into() }),
    }
}

/// Creates the directory (0700) and the file (0600) if they are missing. SQLite gives its other
/// files the mode of this one.
fn make_file(path: &Path) -> Result<(), ConnectError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let make = || {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        let mut file = std::fs::OpenOptions::new();
        file.append(true).create(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
            builder.mode(0o700);
            file.mode(0o600);
        }
        builder.create(directory)?;
        file.open(path).map(drop)
    };
    make().map_err(|error| {
        let path = directory.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                ConnectError::Full { path }
            }
            _ => ConnectError::NotWritable { path, error },
        }
    })?;
    #[cfg(unix)]
    check_modes(path)?;
    Ok(())
}

/// Checks that only the owner can read the files. A restore may have given them other permissions.
#[cfg(unix)]
fn check_modes(path: &Path) -> Result<(), ConnectError> {
    use std::os::unix::fs::PermissionsExt as _;

    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut path = path.as_os_str().to_owned();
        path.push(suffix);
        let Ok(file) = std::fs::metadata(&path) else { continue };
        let mode = file.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(ConnectError::ReadableByOthers { path: path.into(), mode });
        }
    }
    Ok(())
}
