//! Settings.

use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use clinic_identity::role_from_name;
use clinic_net::settings::duration;
use clinic_proto::access::v1::Role;
use clinic_server::settings::Common;

/// The settings of auth.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Settings of every service.
    #[command(flatten)]
    pub common: Common,
    /// URL of records, as http://HOST:PORT; several are separated by commas
    #[arg(long, env = "CLINIC_RECORDS_URL", default_value = "http://127.0.0.1:50052")]
    pub records_url: String,
    /// Settings of auth only.
    #[command(flatten)]
    pub settings: Settings,
}

/// Settings of auth only.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Issuer (`iss`) of access tokens, such as https://clinic.example; must equal the gateway's
    /// `--issuer`. Suites with different issuers refuse each other's tokens
    #[arg(
        long,
        env = "CLINIC_ISSUER",
        default_value = clinic_identity::DEFAULT_ISSUER,
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub issuer: String,
    /// Lifetime of an access token, such as 15m
    #[arg(long, env = "CLINIC_ACCESS_TTL", default_value = "15m", value_parser = life)]
    pub access_ttl: Duration,
    /// Lifetime of a session that is not refreshed, such as 7d
    #[arg(long, env = "CLINIC_REFRESH_TTL", default_value = "7d", value_parser = life)]
    pub refresh_ttl: Duration,
    /// Roles with which anyone may register, separated by commas; ADMIN is not allowed
    #[arg(
        long,
        env = "CLINIC_REGISTRATION_ROLES",
        default_value = "staff,doctor,patient",
        value_delimiter = ',',
        value_parser = registration_role
    )]
    pub registration_roles: Vec<Role>,
}

impl Settings {
    pub(crate) fn access_lifetime(&self) -> TimeDelta {
        time_delta(self.access_ttl)
    }

    pub(crate) fn refresh_life(&self) -> TimeDelta {
        time_delta(self.refresh_ttl)
    }
}

fn time_delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::days(MAX_DAYS))
}

/// Maximum lifetime of a token in days, because issued access tokens cannot be revoked.
const MAX_DAYS: i64 = 366;

/// Parses the lifetime of a token. The minimum is a second, which is the resolution of tokens.
fn life(text: &str) -> Result<Duration, String> {
    let life = duration(text)?;
    let most = Duration::from_secs(MAX_DAYS.unsigned_abs() * 24 * 60 * 60);
    if (Duration::from_secs(1)..=most).contains(&life) {
        Ok(life)
    } else {
        Err(format!("must be 1s to {MAX_DAYS}d"))
    }
}

fn registration_role(name: &str) -> Result<Role, String> {
    match role_from_name(name.trim()) {
        Some(role @ (Role::Staff | Role::Doctor | Role::Patient)) => Ok(role),
        _ => Err("must be staff, doctor or patient".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_a_second_to_a_year() {
        assert_eq!(life("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(life("7d"), Ok(Duration::from_secs(7 * 24 * 60 * 60)));
        for text in ["0s", "500ms", "367d", "15", ""] {
            assert!(life(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nobody_can_let_everyone_be_an_administrator() {
        assert_eq!(registration_role("Staff"), Ok(Role::Staff));
        for name in ["admin", "service", "unspecified", "", "root"] {
            assert!(registration_role(name).is_err(), "{name}");
        }
    }
}
