//! Points in time between the contract and the domain.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;

/// The contract's form of a point in time.
pub fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: at.timestamp(),
        // Below 2·10⁹ by chrono's own account (leap seconds), so it always fits.
        nanos: i32::try_from(at.timestamp_subsec_nanos()).unwrap_or_default(),
    }
}
