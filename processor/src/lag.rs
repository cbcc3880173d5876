//! How far behind the consumer is, as librdkafka's statistics have it. Knows nothing else of them.

use std::collections::HashMap;

use serde::Deserialize;

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: HashMap<String, Topic>,
}

#[derive(Deserialize)]
struct Topic {
    #[serde(default)]
    partitions: HashMap<String, Partition>,
}

#[derive(Deserialize)]
struct Partition {
    /// Records up to the last stable offset; -1 where it is not known.
    #[serde(default)]
    consumer_lag: i64,
}

/// Records between the position and the last stable offset, by partition; partitions without a position are left out.
pub(crate) fn read(statistics: &[u8], topic: &str) -> Vec<(i32, i64)> {
    // it is a client library's own text; what does not parse is no lag
    let Ok(mut statistics) = serde_json::from_slice::<Statistics>(statistics) else {
        return Vec::new();
    };
    let Some(topic) = statistics.topics.remove(topic) else {
        return Vec::new();
    };
    let mut lags: Vec<(i32, i64)> = topic
        .partitions
        .iter()
        .filter(|(_, partition)| partition.consumer_lag >= 0)
        .filter_map(|(number, partition)| {
            Some((
                number.parse().ok().filter(|number| *number >= 0)?,
                partition.consumer_lag,
            ))
        })
        .collect();
    lags.sort_unstable();
    lags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_read_for_known_positions_only() {
        let statistics = br#"{"name": "x", "topics": {
            "events": {"topic": "events", "partitions": {
                "1": {"partition": 1, "consumer_lag": 7}, "0": {"consumer_lag": 0}, "2": {"consumer_lag": -1},
                "-1": {"partition": -1, "consumer_lag": 3}}},
            "other": {"partitions": {"0": {"consumer_lag": 9}}}}}"#;
        assert_eq!(read(statistics, "events"), [(0, 0), (1, 7)]);
        assert_eq!(read(statistics, "missing"), []);
        assert_eq!(read(b"{", "events"), []);
    }
}
