//! Parses PostgreSQL URLs, and rejects those that the driver would misread.

use std::str::FromStr as _;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgConnectOptions;

use crate::connect_error::ConnectError;

pub(crate) fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

pub(crate) fn parse_postgres(url: &str) -> Result<PgConnectOptions, ConnectError> {
    check_postgres(url)?;
    let options = PgConnectOptions::from_str(url).map_err(|_| ConnectError::Malformed)?;
    // The driver reads what the URL omits from the environment.
    if options.get_host().contains(',') {
        return Err(ConnectError::SeveralHosts);
    }
    if let Ok(mode) = std::env::var("PGSSLMODE") {
        check_ssl_mode("PGSSLMODE", &mode)?;
    }
    Ok(options.application_name("clinic"))
}

/// The parameters that sqlx knows. It ignores others, so a misspelled `sslmode` would mean a
/// connection without TLS.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// Rejects URLs that the driver would misread.
fn check_postgres(url: &str) -> Result<(), ConnectError> {
    let (address, parameters) = url.split_once('?').unwrap_or((url, ""));
    // An unescaped `?`, `@` or `#` ends the password early. The rest of it must not reach an error.
    let is_cut = !address.contains('@') && parameters.contains('@');
    if is_cut || address.matches('@').count() > 1 || url.contains('#') {
        return Err(ConnectError::Malformed);
    }
    let hosts = address.split_once("://").map_or(address, |(_, rest)| rest);
    let hosts = hosts.split('/').next().unwrap_or_default();
    if hosts.rsplit('@').next().is_some_and(|hosts| hosts.contains(',')) {
        return Err(ConnectError::SeveralHosts);
    }
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = name.replace("%5B", "[").replace("%5D", "]");
        let is_option = name.starts_with("options[") && name.ends_with(']');
        if !is_option && !PARAMETERS.contains(&&*name) {
            let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
            return Err(match is_name && !name.is_empty() {
                true => ConnectError::UnknownParameter { name },
                false => ConnectError::Malformed,
            });
        }
        match &*name {
            "sslmode" | "ssl-mode" => check_ssl_mode("sslmode", value)?,
            "host" | "hostaddr" | "port" if value.contains(',') || value.contains("%2C") => {
                return Err(ConnectError::SeveralHosts);
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_ssl_mode(name: &'static str, mode: &str) -> Result<(), ConnectError> {
    if SSL_MODES.contains(&&*mode.to_ascii_lowercase()) {
        return Ok(());
    }
    let expected = "disable, allow, prefer, require, verify-ca or verify-full";
    Err(ConnectError::WrongValue { name, expected })
}

/// Checks the URL of a PostgreSQL server without connecting.
pub fn check_server_url(url: &SecretString) -> Result<(), ConnectError> {
    let url = url.expose_secret();
    // The driver accepts any scheme.
    if !is_postgres(url) {
        return Err(ConnectError::NotAServer);
    }
    let options = parse_postgres(url)?;
    match options.get_database() {
        // Every server has the database `postgres`.
        None | Some("postgres") => Ok(()),
        Some(name) => Err(ConnectError::NamesADatabase { name: name.to_owned() }),
    }
}
