//! Converts times to protobuf.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;

/// Converts a time to a protobuf timestamp.
pub fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: at.timestamp(),
        // chrono documents a maximum below 2·10⁹ (leap seconds), so it always fits.
        nanos: i32::try_from(at.timestamp_subsec_nanos()).unwrap_or_default(),
    }
}
