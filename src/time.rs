//! Times of events as text. Event time is microseconds since 1970 UTC everywhere else.

use jiff::Timestamp;

/// `2025-11-18T02:47:00Z`, as long as the fraction needs; the number itself where it is no time.
pub fn rfc3339(us: i64) -> String {
    Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |time| time.to_string())
}

/// `2025-11-18 02:47:00`, in UTC.
pub fn seconds(us: i64) -> String {
    Timestamp::from_microsecond(us).map_or_else(
        |_| us.to_string(),
        |time| time.strftime("%F %T").to_string(),
    )
}

/// `02:47`, in UTC.
pub fn minutes(us: i64) -> String {
    Timestamp::from_microsecond(us).map_or_else(
        |_| us.to_string(),
        |time| time.strftime("%H:%M").to_string(),
    )
}

/// Now, in microseconds since 1970 UTC.
pub fn now_us() -> i64 {
    Timestamp::now().as_microsecond()
}
