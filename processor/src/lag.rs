//! Where the partitions end, as librdkafka's statistics have it. Knows nothing else of them.
//!
//! The lag that they name is of no use here: it is counted from the offsets that the consumer itself has committed or
//! stored, and here a transaction commits them.

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
    /// The last stable offset; negative where it is not known.
    #[serde(default = "unknown")]
    ls_offset: i64,
}

fn unknown() -> i64 {
    -1
}

/// The last stable offsets, by partition; those that are not known are left out.
pub(crate) fn read(statistics: &[u8], topic: &str) -> Vec<(i32, i64)> {
    // it is a client library's own text; what does not parse is no lag
    let Ok(mut statistics) = serde_json::from_slice::<Statistics>(statistics) else {
        return Vec::new();
    };
    let Some(topic) = statistics.topics.remove(topic) else {
        return Vec::new();
    };
    let mut ends: Vec<(i32, i64)> = topic
        .partitions
        .iter()
        .filter(|(_, partition)| partition.ls_offset >= 0)
        .filter_map(|(number, partition)| {
            Some((
                number.parse().ok().filter(|number| *number >= 0)?,
                partition.ls_offset,
            ))
        })
        .collect();
    ends.sort_unstable();
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ends_are_read() {
        let statistics = br#"{"name": "x", "topics": {
            "events": {"topic": "events", "partitions": {
                "1": {"partition": 1, "ls_offset": 7}, "0": {"ls_offset": 0}, "2": {"ls_offset": -1001}, "3": {},
                "-1": {"partition": -1, "ls_offset": 3}}},
            "other": {"partitions": {"0": {"ls_offset": 9}}}}}"#;
        assert_eq!(read(statistics, "events"), [(0, 0), (1, 7)]);
        assert_eq!(read(statistics, "missing"), []);
        assert_eq!(read(b"{", "events"), []);
    }
}
