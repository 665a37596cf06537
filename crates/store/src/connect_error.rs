//! The errors of opening a database, for operators.

use std::io;
use std::path::PathBuf;

use crate::error::{Cause, Error};

/// Why a database could not be opened. Each text says in one sentence what to do, and does not
/// contain the password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the database URL must be postgres://… or sqlite:path/to/file.db")]
    UnknownScheme,
    /// The URL is not that of a server with several databases.
    #[error("the URL of the database server must be postgres://…: leave it out for SQLite")]
    NotAServer,
    /// The URL of a server names a database, which would be ignored.
    #[error(
        "the URL of the database server names the database {name}: leave the name out, because the \
         names of the databases begin with --database-prefix"
    )]
    NamesADatabase { name: String },
    #[error(
        "the database URL cannot be read: write it as postgres://user:password@host:5432/database, \
         with %40 for @, %2F for /, %23 for #, %25 for %, %3A for : and %3F for ? in the password"
    )]
    Malformed,
    /// A parameter that the driver would ignore.
    #[error(
        "the database URL has an unknown parameter, {name}: check its spelling (the TLS parameters \
         are sslmode, sslrootcert, sslcert and sslkey), or leave it out"
    )]
    UnknownParameter { name: String },
    /// `name` is a parameter, or the environment variable that replaces it.
    #[error("{name} of the database connection has an invalid value: it must be {expected}")]
    WrongValue {
        name: &'static str,
        /// The valid values.
        expected: &'static str,
    },
    /// The driver would take several hosts for one.
    #[error(
        "the database URL names several hosts: name one, such as a proxy or a virtual address that \
         leads to the primary"
    )]
    SeveralHosts,
    /// The directory or the file cannot be created or written.
    #[error(
        "the data directory {path} cannot be written ({error}): make it writable for this user, \
         or choose another one"
    )]
    NotWritable { path: PathBuf, error: io::Error },
    /// There is no space for the directory or the file.
    #[error("the disk of the data directory {path} is full: free some space")]
    Full { path: PathBuf },
    #[error("the file {path} is not an SQLite database, or is damaged: restore it from a backup")]
    NotADatabase {
        path: PathBuf,
        #[source]
        source: Error,
    },
    #[error(
        "the SQLite database {path} cannot be opened: check that the disk is not full and that the \
         file is not locked"
    )]
    Unopenable {
        path: PathBuf,
        #[source]
        source: Error,
    },
    #[error(
        "the file {path} contains health data and can be read by other users (mode {mode:04o}): \
         run `chmod 600 {path}`"
    )]
    ReadableByOthers { path: PathBuf, mode: u32 },
    #[error(
        "PostgreSQL does not answer at {server}: check that it runs, and the host in the database \
         URL"
    )]
    Unreachable {
        /// Host and port, as in the variants below.
        server: String,
    },
    #[error(
        "PostgreSQL at {server} rejects the login of user {user}: check user and password in the \
         database URL"
    )]
    LoginRefused { server: String, user: String },
    #[error(
        "PostgreSQL at {server} has no database {database}: check the name, or create it with \
         `createdb --owner {user} {database}`"
    )]
    NoDatabase { server: String, user: String, database: String },
    #[error(
        "user {user} may not connect to the database {database} of PostgreSQL at {server}: check \
         both names in the database URL"
    )]
    NotAllowed { server: String, user: String, database: String },
    #[error(
        "user {user} may not create databases on PostgreSQL at {server}: create it as an \
         administrator, with `createdb --owner {user} {database}`"
    )]
    MayNotCreate { server: String, user: String, database: String },
    /// The server has no TLS, or its certificate is not trusted.
    #[error(
        "no TLS connection to PostgreSQL at {server}: check sslmode and sslrootcert in the \
         database URL"
    )]
    Tls {
        server: String,
        #[source]
        source: Cause,
    },
    #[error("PostgreSQL at {server} refuses connections now: look into its log, and try again")]
    Refused {
        server: String,
        #[source]
        source: Error,
    },
}
