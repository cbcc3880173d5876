//! Brokers for tests: one that a test process shares, and ones of their own for tests that kill them.
//!
//! Both live in temporary folders, on free ports, and end with the test process, however that ends. A test that shares
//! a broker takes names of its own for topics, groups and transactional ids (`unique_name`).

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Broker, BrokerConfig, Error};

/// The one broker of this test process, started by whoever asks first; the others wait.
///
/// # Panics
///
/// When it cannot be started: a test without its broker has failed. The message says what to mend.
pub fn shared_test_broker() -> &'static Broker {
    static BROKER: OnceLock<Result<Broker, Error>> = OnceLock::new();
    match BROKER.get_or_init(start_test_broker) {
        Ok(broker) => broker,
        #[allow(clippy::panic, reason = "for tests only")]
        Err(error) => panic!("no Kafka for the tests: {error}"),
    }
}

/// A broker for one test alone, to be killed, restarted or filled.
pub fn start_test_broker() -> Result<Broker, Error> {
    Broker::start(test_broker_config(), &|_| ())
}

/// What the test brokers run with: a new temporary folder, deleted with the broker, half of the usual heap, and time to
/// start on a machine that does much else.
pub fn test_broker_config() -> BrokerConfig {
    BrokerConfig {
        heap_mb: 512,
        start_limit_ms: 300_000,
        remove_data_on_close: true,
        ..BrokerConfig::new(temporary_dir())
    }
}

/// A name that no other test on the broker has: `prefix-<number>`.
pub fn unique_name(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn temporary_dir() -> PathBuf {
    std::env::temp_dir().join(format!("local-kafka-{}", uuid::Uuid::now_v7()))
}
