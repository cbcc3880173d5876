//! What the crate rdkafka 0.39 does badly or not at all, done once, with librdkafka's own functions.
//!
//! Two things: the headers of a record whatever their names are ([`headers`]: rdkafka panics on a name that is not
//! UTF-8), and the ids that Kafka gives its topics ([`topic_ids`]: rdkafka does not ask for them). This is the only
//! crate with `unsafe` code; everything in it is checked against the header file of librdkafka 2.12. It knows nothing
//! of Throughline.
#![allow(
    unsafe_code,
    reason = "calls into C; each block says why it is sound, and no other crate has any"
)]

mod headers;
mod topics;

pub use headers::{Header, Headers, headers};
pub use topics::{TopicId, topic_ids};
