//! Opening a database by its URL, with the settings that matter.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, PgConnection};

use crate::db::{Db, Pools};
use crate::error::{Cause, Error, is_damaged};
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::url::{is_postgres, parse_postgres};

/// Which database, and how much of it.
#[derive(Clone)]
pub struct Options {
    /// `postgres://user:password@host/database?sslmode=…` or `sqlite:path/to/file.db`.
    pub url: SecretString,
    /// PostgreSQL: the size of the pool. SQLite: how many may read at once; one writes.
    pub max_connections: u32,
}

impl Options {
    /// The usual size: 8 connections beat 16 on PostgreSQL, and 8 readers keep SQLite busy.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self { url: url.into(), max_connections: 8 }
    }
}

/// Why a database could not be opened: one sentence that says what to do, without the password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not a URL of a database that Clinic knows.
    #[error("the database URL must be postgres://… or sqlite:path/to/file.db")]
    UnknownScheme,
    /// Not the URL of a server that can have several databases.
    #[error("the URL of the database server must be postgres://…: leave it out for SQLite")]
    NotAServer,
    /// The URL of a server names a database, which would not be the one that is used.
    #[error(
        "the URL of the database server names the database {name}: leave that out, since the names \
         of the databases begin with --database-prefix"
    )]
    NamesADatabase {
        /// The name.
        name: String,
    },
    /// A URL that cannot be read.
    #[error(
        "the database URL cannot be read: write it as postgres://user:password@host:5432/database, \
         with %40 for @, %2F for /, %23 for #, %25 for %, %3A for : and %3F for ? in the password"
    )]
    Malformed,
    /// A parameter that the driver would ignore.
    #[error(
        "the database URL has an unknown parameter, {name}: check its spelling (those of TLS are \
         sslmode, sslrootcert, sslcert and sslkey), or leave it out"
    )]
    UnknownParameter {
        /// The parameter's name.
        name: String,
    },
    /// A parameter with a value that it cannot have.
    #[error("{name}, which belongs to the database URL, has a wrong value: it must be {expected}")]
    WrongValue {
        /// The parameter's name.
        name: &'static str,
        /// What it can be.
        expected: &'static str,
    },
    /// Several hosts, of which the driver would make one.
    #[error(
        "the database URL names several hosts: name one, such as a proxy or a virtual address that \
         leads to the primary"
    )]
    SeveralHosts,
    /// A directory or file that cannot be made or written.
    #[error(
        "the data directory {path} cannot be written ({error}): make it writable for this user, \
         or choose another one"
    )]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// There is no space for a directory or a file.
    #[error("the disk of the data directory {path} is full: free some space")]
    Full {
        /// The directory.
        path: PathBuf,
    },
    /// The file is there, but is no database.
    #[error("the file {path} is no SQLite database, or is damaged: restore it from a backup")]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Error,
    },
    /// The file cannot be opened now.
    #[error(
        "the SQLite database {path} cannot be opened: check that the disk is not full and that the \
         file is not locked"
    )]
    Unopenable {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Error,
    },
    /// Other users of the system may read the file.
    #[error(
        "the file {path} has health data and can be read by other users (mode {mode:04o}): run \
         `chmod 600 {path}`"
    )]
    ReadableByOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Nobody answers.
    #[error(
        "PostgreSQL does not answer at {server}: check that it runs, and the host in the database \
         URL"
    )]
    Unreachable {
        /// Host and port.
        server: String,
    },
    /// The server does not know the user.
    #[error(
        "PostgreSQL at {server} does not let user {user} in: check user and password in the \
         database URL"
    )]
    LoginRefused {
        /// Host and port.
        server: String,
        /// The user's name.
        user: String,
    },
    /// The server has no such database.
    #[error(
        "PostgreSQL at {server} has no database {database}: check the name, or create it with \
         `createdb --owner {user} {database}`"
    )]
    NoDatabase {
        /// Host and port.
        server: String,
        /// The user's name.
        user: String,
        /// The database's name.
        database: String,
    },
    /// The user may not use the database.
    #[error(
        "user {user} may not connect to the database {database} of PostgreSQL at {server}: check both \
         names in the database URL"
    )]
    NotAllowed {
        /// Host and port.
        server: String,
        /// The user's name.
        user: String,
        /// The database's name.
        database: String,
    },
    /// The user may not create databases.
    #[error(
        "user {user} may not create databases on PostgreSQL at {server}: create it as an \
         administrator, with `createdb --owner {user} {database}`"
    )]
    MayNotCreate {
        /// Host and port.
        server: String,
        /// The user's name.
        user: String,
        /// The name of the database that is missing.
        database: String,
    },
    /// No TLS, or a certificate that is not trusted.
    #[error(
        "no TLS connection to PostgreSQL at {server}: check sslmode and sslrootcert in the \
         database URL"
    )]
    Tls {
        /// Host and port.
        server: String,
        /// What the driver said.
        #[source]
        source: Cause,
    },
    /// The server refuses connections now.
    #[error("PostgreSQL at {server} takes no connection now: look into its log, and try again")]
    Refused {
        /// Host and port.
        server: String,
        /// What the driver said.
        #[source]
        source: Error,
    },
}

/// How long to wait for a connection before a request fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long SQLite waits for another process's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of the WAL that stay after a checkpoint.
const WAL_KEPT: &str = "16777216";

impl Db {
    /// Opens the database, and makes an SQLite file that is not there. Fails within seconds when it
    /// is not usable now; a database that goes away later is [`Error::Unavailable`] until it is back.
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
    let options = bounded(parse_postgres(url)?);
    // One connection outside of the pool tells what is wrong; the pool would only say that its
    // time was up.
    try_postgres(&options).await?.close().await.ok();
    Ok(Pools::Postgres(Postgres::new(options, max_connections)).into())
}

/// No statement, and no transaction between two statements, outlives the call that began it by
/// much: else one whose client is gone would keep its locks. A statement waits for a lock no longer
/// than it may run, so that needs no bound of its own. Migrations are exempt.
const BOUNDS: [(&str, &str); 2] =
    [("statement_timeout", "60s"), ("idle_in_transaction_session_timeout", "60s")];

/// The settings of the pool's sessions. What the URL says (`?options[statement_timeout]=…`) goes
/// before.
fn bounded(options: PgConnectOptions) -> PgConnectOptions {
    let given = options.get_options().unwrap_or_default().to_owned();
    let bounds = BOUNDS.into_iter().filter(|(name, _)| !given.contains(name));
    options.options(bounds)
}

/// Opens a single connection, and says in one sentence why it cannot.
pub(crate) async fn try_postgres(options: &PgConnectOptions) -> Result<PgConnection, ConnectError> {
    let server = format!("{}:{}", options.get_host(), options.get_port());
    let connect = PgConnection::connect_with(options);
    let error = match tokio::time::timeout(ACQUIRE_TIMEOUT, connect).await {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(error)) => error,
        Err(_) => return Err(ConnectError::Unreachable { server }),
    };
    Err(match &error {
        // A handshake that fails is an I/O error of this kind: rustls says so of a certificate.
        sqlx::Error::Io(source) if source.kind() == io::ErrorKind::InvalidData => {
            ConnectError::Tls { server, source: Cause::new(source.to_string()) }
        }
        sqlx::Error::Io(_) => ConnectError::Unreachable { server },
        sqlx::Error::Tls(source) => {
            ConnectError::Tls { server, source: Cause::new(source.to_string()) }
        }
        sqlx::Error::Database(refusal) => match refusal.code().as_deref() {
            Some("28P01" | "28000") => {
                ConnectError::LoginRefused { server, user: options.get_username().to_owned() }
            }
            Some(code @ ("3D000" | "42501")) => {
                let user = options.get_username().to_owned();
                let database = options.get_database().unwrap_or(&user).to_owned();
                match code {
                    "3D000" => ConnectError::NoDatabase { server, user, database },
                    _ => ConnectError::NotAllowed { server, user, database },
                }
            }
            _ => ConnectError::Refused { server, source: error.into() },
        },
        _ => ConnectError::Refused { server, source: error.into() },
    })
}

async fn sqlite(path: &Path, max_connections: u32) -> Result<Db, ConnectError> {
    // Readers and the writer are different connections: they only meet in a file.
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
        // A reader with a long snapshot lets the WAL grow. It shrinks again at the next checkpoint.
        .pragma("journal_size_limit", WAL_KEPT);
    let opened = Sqlite::open(options.read_only(true), writing, max_connections).await;
    let opened = opened.map_err(|error| {
        let (path, is_damaged) = (path.to_owned(), is_damaged(&error));
        let source = error.into();
        match is_damaged {
            true => ConnectError::NotADatabase { path, source },
            false => ConnectError::Unopenable { path, source },
        }
    });
    Ok(Pools::Sqlite(opened?).into())
}

/// Makes the directory (0700) and the file (0600), unless they are there. SQLite gives its other
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

/// Whether only the owner may read the files. They may have been restored with other permissions.
#[cfg(unix)]
fn check_modes(path: &Path) -> Result<(), ConnectError> {
    use std::os::unix::fs::PermissionsExt as _;

    for also in ["", "-wal", "-shm", "-journal"] {
        let mut path = path.as_os_str().to_owned();
        path.push(also);
        let Ok(file) = std::fs::metadata(&path) else { continue };
        let mode = file.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(ConnectError::ReadableByOthers { path: path.into(), mode });
        }
    }
    Ok(())
}
