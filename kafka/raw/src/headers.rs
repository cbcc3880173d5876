//! The headers of a record, as bytes: a producer may write any bytes as a name.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr;

use rdkafka::bindings::{rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_message_headers};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;

/// One header: a name, which need not be text, and a value, which need not be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name; librdkafka ends it at its first zero byte.
    pub name: &'a [u8],
    /// The value.
    pub value: Option<&'a [u8]>,
}

/// The headers of a record, in their order.
#[derive(Debug)]
pub struct Headers<'a> {
    native: *const rd_kafka_headers_t,
    next: usize,
    record: PhantomData<&'a ()>,
}

/// The headers of a record; none where it has none, and where they cannot be read. Unlike `Message::headers` of
/// rdkafka, whose iteration panics on a name that is not UTF-8, this never panics.
pub fn headers<'a>(message: &'a BorrowedMessage<'_>) -> Headers<'a> {
    let mut native = ptr::null_mut();
    // SAFETY: the message is borrowed, so its pointer is valid; librdkafka fills `native` with a pointer that lives as
    // long as the message, or leaves it null.
    let answer = unsafe { rd_kafka_message_headers(message.ptr(), &raw mut native) };
    Headers {
        native: match answer {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => native,
            _ => ptr::null(),
        },
        next: 0,
        record: PhantomData,
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        if self.native.is_null() {
            return None;
        }
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `native` is valid as long as the message, which 'a borrows; the three pointers are to locals. Beyond
        // the last header librdkafka answers with an error and fills nothing.
        let answer = unsafe {
            rd_kafka_header_get_all(
                self.native,
                self.next,
                &raw mut name,
                &raw mut value,
                &raw mut size,
            )
        };
        if answer != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
            return None;
        }
        self.next += 1;
        // SAFETY: both lie in the record, as long as 'a; the name ends with a zero byte, the value has `size` bytes.
        let (name, value) = unsafe {
            (
                CStr::from_ptr(name).to_bytes(),
                (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size)),
            )
        };
        Some(Header { name, value })
    }
}
