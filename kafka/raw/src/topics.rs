//! Ids of topics. A topic that is deleted and made anew under its old name has another id.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

/// How much longer than the request itself its answer is waited for.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// The id that Kafka has given a topic.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TopicId(u128);

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Asks Kafka for the ids of topics, by name. One that is not in the answer: there is no such topic, or its Kafka is
/// older than 2.8 and gives no ids. Blocks for `limit` and a moment at most. Names must be different ones.
pub fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    limit: Duration,
) -> KafkaResult<BTreeMap<String, TopicId>> {
    let names: Vec<CString> = names
        .iter()
        .map(|name| CString::new(*name))
        .collect::<Result<_, _>>()?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let client = client.native_ptr();
    // SAFETY: the client is borrowed and so alive for the whole function; names are copied by librdkafka. Each of the
    // four objects is destroyed once, by its guard, in the reverse order of their making.
    unsafe {
        let topics = Guard(
            native::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
            native::rd_kafka_TopicCollection_destroy,
        );
        let options = Guard(
            native::rd_kafka_AdminOptions_new(
                client,
                native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            ),
            native::rd_kafka_AdminOptions_destroy,
        );
        let answer = native::rd_kafka_AdminOptions_set_request_timeout(
            options.0,
            millis(limit),
            ptr::null_mut(),
            0,
        );
        if answer != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(KafkaError::AdminOp(answer.into()));
        }
        let queue = Guard(
            native::rd_kafka_queue_new(client),
            native::rd_kafka_queue_destroy,
        );
        native::rd_kafka_DescribeTopics(client, topics.0, options.0, queue.0);
        let event = Guard(
            native::rd_kafka_queue_poll(queue.0, millis(limit + ANSWER_MARGIN)),
            native::rd_kafka_event_destroy,
        );
        if event.0.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
        }
        let answer = native::rd_kafka_event_error(event.0);
        if answer != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(KafkaError::AdminOp(answer.into()));
        }
        let result = native::rd_kafka_event_DescribeTopics_result(event.0);
        if result.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::Fail));
        }
        read(result)
    }
}

/// Reads an answer.
///
/// # Safety
///
/// The result must be one of `DescribeTopics` and alive.
unsafe fn read(
    result: *const native::rd_kafka_DescribeTopics_result_t,
) -> KafkaResult<BTreeMap<String, TopicId>> {
    let mut count = 0;
    let mut ids = BTreeMap::new();
    // SAFETY: the caller has a live result; what it points to lives as long.
    unsafe {
        let topics = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if topics.is_null() {
            return Ok(ids);
        }
        for &topic in std::slice::from_raw_parts(topics, count) {
            let error = native::rd_kafka_TopicDescription_error(topic);
            match native::rd_kafka_error_code(error) {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => continue,
                other => return Err(KafkaError::AdminOp(other.into())),
            }
            let name = CStr::from_ptr(native::rd_kafka_TopicDescription_name(topic));
            if let Some(id) = id(native::rd_kafka_TopicDescription_topic_id(topic)) {
                ids.insert(name.to_string_lossy().into_owned(), id);
            }
        }
    }
    Ok(ids)
}

/// # Safety
///
/// The pointer must be null or to a live id.
unsafe fn id(uuid: *const native::rd_kafka_Uuid_t) -> Option<TopicId> {
    if uuid.is_null() {
        return None;
    }
    // SAFETY: the caller has a live id.
    let (most, least) = unsafe {
        (
            native::rd_kafka_Uuid_most_significant_bits(uuid),
            native::rd_kafka_Uuid_least_significant_bits(uuid),
        )
    };
    let bits = u128::from(most.cast_unsigned()) << 64 | u128::from(least.cast_unsigned());
    (bits != 0).then_some(TopicId(bits))
}

/// An object of librdkafka's that is to be destroyed.
struct Guard<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it was made by librdkafka, and nobody else destroys it.
            unsafe { (self.1)(self.0) };
        }
    }
}

fn millis(limit: Duration) -> c_int {
    c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX)
}
