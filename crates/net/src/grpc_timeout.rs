//! The `grpc-timeout` header of the gRPC protocol: up to 8 digits and a unit.

use std::time::Duration;

use http::HeaderMap;

use crate::Error;

/// Returns the client's `grpc-timeout`. A malformed or repeated one is an error, because the client
/// relies on that deadline.
pub fn requested_timeout(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let mut values = headers.get_all("grpc-timeout").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::malformed_timeout());
    }
    let timeout = value.to_str().ok().and_then(parse_timeout);
    Ok(Some(timeout.ok_or_else(Error::malformed_timeout)?))
}

/// Parses the header's value. Returns None if it is malformed.
pub fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

/// Formats a duration as the header's value.
pub fn format_timeout(left: Duration) -> String {
    match (left.as_micros(), left.as_millis()) {
        (micros @ 0..=99_999_999, _) => format!("{micros}u"),
        (_, millis @ 0..=99_999_999) => format!("{millis}m"),
        _ => format!("{}S", left.as_secs().min(99_999_999)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_timeout_is_read_back() {
        for millis in [0, 1, 999, 30_000, 3_600_000] {
            let left = Duration::from_millis(millis);
            assert_eq!(parse_timeout(&format_timeout(left)), Some(left));
        }
    }

    #[test]
    fn malformed_timeouts_are_refused() {
        // The digit of \u{ff11}S is a full-width 1.
        for text in ["", "S", "1", "1s", "123456789S", "-1S", "1 S", "\u{ff11}S", "+1S"] {
            assert_eq!(parse_timeout(text), None, "{text}");
        }
    }
}
