//! Reads the headers of a Kafka record, whatever bytes a producer has put there.

use rdkafka::message::{BorrowedMessage, Headers, Message};

/// Name that a header gets whose name is no text.
const NO_TEXT: &str = "?";

/// A header as rows take it: name and value.
pub(crate) type Header<'a> = (&'a str, Option<&'a [u8]>);

/// Calls `read` with the headers of a record, in their order.
pub(crate) fn with_headers<T>(
    message: &BorrowedMessage<'_>,
    read: impl FnOnce(&[Header<'_>]) -> T,
) -> T {
    let headers: Vec<Header<'_>> = message.headers().map_or_else(Vec::new, |headers| {
        (0..headers.count())
            .map(|index| {
                // rdkafka 0.39 panics on a name that is not UTF-8, and a producer may write one.
                std::panic::catch_unwind(|| headers.try_get(index))
                    .ok()
                    .flatten()
                    .map_or((NO_TEXT, None), |header| (header.key, header.value))
            })
            .collect()
    });
    read(&headers)
}
