//! Records that cannot be taken: what is kept of them, and when there are too many (P-3).
//!
//! A dead letter has the bytes and the key of its record, and the reason in headers. Headers of the record itself are
//! not copied: a header whose name is no text would stop the readers of the dead letters in turn.

use rdkafka::message::{Header, OwnedHeaders};
use schemas::dead_letter::{
    HEADER_MESSAGE, HEADER_OFFSET, HEADER_PARTITION, HEADER_REASON, HEADER_STAGE, HEADER_TOPIC,
    Reason,
};
use schemas::topics::MESSAGE_BYTES_MAX;

/// Header of a dead letter whose value was too long for the topic: how many bytes were cut off, decimal.
pub const HEADER_TRUNCATED_BYTES: &str = "throughline.truncated_bytes";
/// Bytes of key and value that a dead letter keeps; the rest of a message is for headers and framing.
const KEPT_BYTES_MAX: usize = MESSAGE_BYTES_MAX as usize - 64 * 1024;
/// Bytes of the message header; some decoders' messages quote the data.
const MESSAGE_HEADER_BYTES_MAX: usize = 1024;

/// A record that could not be taken.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub reason: Reason,
    pub message: String,
    pub partition: i32,
    pub offset: i64,
    /// Bytes of the value that did not fit.
    pub truncated_bytes: usize,
}

impl DeadLetter {
    pub fn new(
        (partition, offset): (i32, i64),
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        reason: Reason,
        message: String,
    ) -> Self {
        let key = key.map(|key| &key[..key.len().min(KEPT_BYTES_MAX)]);
        let room = KEPT_BYTES_MAX - key.map_or(0, <[u8]>::len);
        let kept = value.map(|value| &value[..value.len().min(room)]);
        let truncated_bytes = value.map_or(0, <[u8]>::len) - kept.map_or(0, <[u8]>::len);
        Self {
            key: key.map(<[u8]>::to_vec),
            value: kept.map(<[u8]>::to_vec),
            reason,
            message: cut(message),
            partition,
            offset,
            truncated_bytes,
        }
    }

    /// The headers that say why.
    pub fn headers(&self, topic: &str) -> OwnedHeaders {
        let headers = OwnedHeaders::new_with_capacity(7)
            .insert(text(HEADER_REASON, self.reason.as_str()))
            .insert(text(HEADER_MESSAGE, &self.message))
            .insert(text(HEADER_STAGE, "processor"))
            .insert(text(HEADER_TOPIC, topic))
            .insert(text(HEADER_PARTITION, &self.partition.to_string()))
            .insert(text(HEADER_OFFSET, &self.offset.to_string()));
        match self.truncated_bytes {
            0 => headers,
            bytes => headers.insert(text(HEADER_TRUNCATED_BYTES, &bytes.to_string())),
        }
    }
}

/// A header with text.
pub(crate) fn text<'a>(key: &'a str, value: &'a str) -> Header<'a, &'a str> {
    Header {
        key,
        value: Some(value),
    }
}

fn cut(mut message: String) -> String {
    let end = (0..=MESSAGE_HEADER_BYTES_MAX.min(message.len()))
        .rev()
        .find(|end| message.is_char_boundary(*end));
    message.truncate(end.unwrap_or(0));
    message
}

/// Which of the last records could not be taken.
#[derive(Debug)]
pub(crate) struct Window {
    failed: Vec<bool>,
    next: usize,
    count: usize,
    count_max: usize,
}

impl Window {
    /// A window over `records` that is over its limit when more than `share_max` of them failed. Records that have not
    /// come yet count as taken, so that the first bad one of a new topic stops nothing.
    pub fn new(records: usize, share_max: f64) -> Self {
        // at most `records`, and a share of a count of records is far from where a float loses whole numbers
        let count_max = (share_max * records as f64).floor() as usize;
        Self {
            failed: vec![false; records],
            next: 0,
            count: 0,
            count_max,
        }
    }

    /// Notes one record. True: more than the share failed.
    pub fn note(&mut self, failed: bool) -> bool {
        let Some(slot) = self.failed.get_mut(self.next) else {
            return false;
        };
        self.count = self.count + usize::from(failed) - usize::from(*slot);
        *slot = failed;
        self.next = (self.next + 1) % self.failed.len();
        failed && self.count > self.count_max
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn len(&self) -> usize {
        self.failed.len()
    }

    /// Forgets everything, because the records come again.
    pub fn clear(&mut self) {
        self.failed.fill(false);
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_window_stops_when_more_than_the_share_failed() {
        let mut window = Window::new(10, 0.5);
        // every second one: never more than half
        assert!((0..100).all(|index| !window.note(index % 2 == 0)));
        let mut fresh = Window::new(10, 0.5);
        let stopped_at = (1..=10).find(|_| fresh.note(true));
        assert_eq!((stopped_at, fresh.count(), fresh.len()), (Some(6), 6, 10));
        fresh.clear();
        assert!(!fresh.note(true));
    }

    #[test]
    fn no_window_never_stops() {
        let mut window = Window::new(0, 0.0);
        assert!((0..100).all(|_| !window.note(true)));
    }

    #[test]
    fn what_does_not_fit_is_cut_and_told() {
        let value = vec![7; 9 * 1024 * 1024];
        let letter = DeadLetter::new(
            (3, 9),
            Some(b"key"),
            Some(&value),
            Reason::Malformed,
            "é".repeat(1000),
        );
        assert_eq!(letter.value.as_ref().unwrap().len() + 3, KEPT_BYTES_MAX);
        assert_eq!(letter.truncated_bytes, value.len() + 3 - KEPT_BYTES_MAX);
        assert_eq!(letter.message.len(), MESSAGE_HEADER_BYTES_MAX);
        let small = DeadLetter::new((3, 9), None, None, Reason::Malformed, String::new());
        assert_eq!(
            (
                small.key.is_none(),
                small.value.is_none(),
                small.truncated_bytes
            ),
            (true, true, 0)
        );
    }
}
