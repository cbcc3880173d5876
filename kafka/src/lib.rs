//! The pinned Apache Kafka of a laptop and of the tests: fetched once, started on a free port, gone with its owner.
//!
//! Owns `pom.xml` and `jars.lock` (what runs), the cache that the jars lie in, one folder per broker and the Java
//! process over it. It deliberately knows nothing of topics, of Throughline's configuration or of a terminal:
//! progress is a value handed to a closure.
//!
//! Promises: the cache is never half-written, also after SIGKILL in the middle of a fetch; no Java process outlives
//! the process that started it, however that one dies; two brokers never share a data folder; a broker found on a
//! folder that was in use before, cleanly stopped or killed, has all its data.
//!
//! ```no_run
//! # fn main() -> Result<(), local_kafka::Error> {
//! let config = local_kafka::BrokerConfig::new("/tmp/somewhere");
//! let mut broker = local_kafka::Broker::start(config, &|progress| eprintln!("{progress}"))?;
//! println!("bootstrap.servers={}", broker.address());
//! broker.stop()?;
//! # Ok(())
//! # }
//! ```

mod broker;
mod distribution;
mod error;
mod folder;
mod node;
mod progress;
mod properties;
mod supervisor;
mod tools;
mod warm_up;

pub mod testing;

pub use broker::{Broker, BrokerConfig};
pub use distribution::{Distribution, FetchLimits, KAFKA_VERSION, default_cache_dir};
pub use error::Error;
pub use folder::{Holder, find_running};
pub use progress::Progress;
pub use tools::{JAVA_MAJOR_MIN, Java, Maven};
