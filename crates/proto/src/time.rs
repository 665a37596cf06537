//! Converts times from and to protobuf.

use chrono::{DateTime, Datelike as _, SubsecRound as _, Utc};
use prost_types::Timestamp;

/// Converts a time to a protobuf timestamp.
pub fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: at.timestamp(),
        // chrono documents a maximum below 2·10⁹ (leap seconds), so it always fits.
        nanos: i32::try_from(at.timestamp_subsec_nanos()).unwrap_or_default(),
    }
}

/// Converts a protobuf timestamp, whose years are 1 to 9999. Drops fractions of a microsecond, which
/// the databases do not store.
pub fn utc(timestamp: Timestamp) -> Option<DateTime<Utc>> {
    let nanos = u32::try_from(timestamp.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    let time = DateTime::from_timestamp(timestamp.seconds, nanos)?;
    (1..=9999).contains(&time.year()).then(|| time.trunc_subsecs(6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_keeps_its_microseconds() {
        let given = Timestamp { seconds: 1_777_000_000, nanos: 123_456_789 };
        let kept = Timestamp { nanos: 123_456_000, ..given };
        assert_eq!(utc(given).map(timestamp), Some(kept));
    }

    #[test]
    fn a_timestamp_outside_of_its_range_is_no_time() {
        let (first, last) = (-62_135_596_800, 253_402_300_799);
        for (seconds, nanos, is_time) in [
            (first, 0, true),
            (first - 1, 0, false),
            (last, 999_999_999, true),
            (last + 1, 0, false),
            (0, -1, false),
            (59, 1_000_000_000, false),
            (i64::MAX, 0, false),
        ] {
            assert_eq!(utc(Timestamp { seconds, nanos }).is_some(), is_time, "{seconds} {nanos}");
        }
    }
}
