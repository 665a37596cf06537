//! A PostgreSQL server with a database for each service.

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::connect::try_postgres;
use crate::connect_error::ConnectError;
use crate::error::code;
use crate::url::{check_server_url, parse_postgres};

/// Returns the URL of a database of a server: `postgres://host/clinic_auth?sslmode=require` for
/// `postgres://host/?sslmode=require` and `clinic_auth`. Replaces a database in the server's URL.
pub fn database_url(server_url: &SecretString, name: &str) -> SecretString {
    let url = server_url.expose_secret();
    let (base, query) = url.split_at(url.find('?').unwrap_or(url.len()));
    let (scheme, rest) = base.split_once("://").unwrap_or(("", base));
    let host = rest.split('/').next().unwrap_or_default();
    format!("{scheme}://{host}/{name}{query}").into()
}

/// Creates a database on a PostgreSQL server if it is missing. `name` must consist of lower-case
/// letters, digits and `_`.
pub async fn create_database_if_missing(
    server_url: &SecretString,
    name: &str,
) -> Result<(), ConnectError> {
    if name.is_empty() || !name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')) {
        return Err(ConnectError::Malformed);
    }
    check_server_url(server_url)?;
    let options = parse_postgres(server_url.expose_secret())?;
    // Connecting to the database itself needs no privilege on another one.
    match try_postgres(&options.clone().database(name)).await {
        Ok(connection) => {
            connection.close().await.ok();
            return Ok(());
        }
        Err(ConnectError::NoDatabase { .. }) => {}
        Err(error) => return Err(error),
    }
    let mut connection = try_postgres(&options.clone().database("postgres")).await?;
    // Safe: the name was checked above. CREATE DATABASE takes no placeholders.
    let created = connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await;
    connection.close().await.ok();
    let Err(error) = created else { return Ok(()) };
    let server = format!("{}:{}", options.get_host(), options.get_port());
    match code(&error).as_deref() {
        // duplicate_database, or its unique index if two processes create it at the same time
        Some("42P04" | "23505") => Ok(()),
        // insufficient_privilege
        Some("42501") => {
            let (user, database) = (options.get_username().to_owned(), name.to_owned());
            Err(ConnectError::MayNotCreate { server, user, database })
        }
        _ => Err(ConnectError::Refused { server, source: error.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_url_is_derived_from_the_server_url() {
        for (server, url) in [
            ("postgres://u:p@host:5432/", "postgres://u:p@host:5432/clinic_auth"),
            ("postgres://host", "postgres://host/clinic_auth"),
            (
                "postgres://host/other?sslmode=require",
                "postgres://host/clinic_auth?sslmode=require",
            ),
            ("postgresql://u@/?host=/run/pg", "postgresql://u@/clinic_auth?host=/run/pg"),
        ] {
            assert_eq!(database_url(&server.into(), "clinic_auth").expose_secret(), url);
        }
    }
}
