//! What a start is busy with, as a value: the caller draws the bar.

use std::fmt;

/// One step towards an answering broker, in the order in which the steps come. Steps that are not needed are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Another process is filling the same cache; this one waits for it.
    WaitingForCache,
    /// Maven fetches the jars.
    Fetching {
        /// Jars that Maven has reported so far.
        jars_done: usize,
        /// All the jars of the pinned distribution.
        jars_total: usize,
    },
    /// The digests of the jars are compared with the pinned ones.
    Verifying,
    /// Once per cache and Java version: classes are stored in the form in which they load fastest.
    WarmingUp,
    /// The data folder is new and gets its cluster id.
    Formatting,
    /// The Java process runs and does not answer yet.
    Starting,
    /// The broker answers.
    Ready,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitingForCache => write!(f, "waiting for another process that fetches Kafka"),
            Self::Fetching {
                jars_done,
                jars_total,
            } => write!(f, "fetching Kafka, jar {jars_done} of {jars_total}"),
            Self::Verifying => write!(f, "verifying Kafka's jars"),
            Self::WarmingUp => write!(f, "preparing Kafka for quick starts"),
            Self::Formatting => write!(f, "formatting Kafka's data folder"),
            Self::Starting => write!(f, "starting Kafka"),
            Self::Ready => write!(f, "Kafka answers"),
        }
    }
}
