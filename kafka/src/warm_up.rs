//! The class archive: Kafka's classes as Java would have them in memory, recorded once per cache and Java version.
//!
//! It halves the CPU time of every start after that (measured: listens after 1.0 s instead of 1.7 s, format 0.7 s
//! instead of 1.2 s) for 5 s and 50 MB once. It is a help and no more: without it, or with one that does not fit,
//! Java loads the jars.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::broker::BrokerConfig;
use crate::distribution::Distribution;
use crate::error::IoContext;
use crate::folder::Folder;
use crate::node::{Node, Ports};
use crate::tools::Java;

/// Name of the archive for this Java. Another Java would not take it.
pub(crate) fn file_name(java: &Java) -> String {
    let version = java.version().replace(
        |letter: char| !letter.is_ascii_alphanumeric() && letter != '.',
        "-",
    );
    format!("classes-{version}.jsa")
}

/// Whether there is nothing to do: recorded, or tried without success.
pub(crate) fn is_settled(archive: &Path) -> bool {
    is_usable(archive) || given_up(archive).exists()
}

/// Whether the archive is there.
pub(crate) fn is_usable(archive: &Path) -> bool {
    archive.exists()
}

/// Runs a Kafka for the purpose and keeps what it loaded. Failure is noted, so that it is not tried at each start.
pub(crate) fn record_classes(
    distribution: &Distribution,
    cache_dir: &Path,
    archive: &Path,
    lock: &File,
) {
    let stage = cache_dir.join("warm-up");
    let outcome = record(distribution, &stage, archive, lock);
    let _ = std::fs::remove_dir_all(&stage);
    if let Err(error) = outcome {
        tracing::warn!(%error, "no class archive; Kafka starts slower");
        let note = format!("Recording failed; delete this file to have it tried again.\n{error}\n");
        if let Err(error) = std::fs::write(given_up(archive), note) {
            tracing::debug!(%error, "failure not noted");
        }
    }
}

fn record(
    distribution: &Distribution,
    stage: &Path,
    archive: &Path,
    lock: &File,
) -> Result<(), Error> {
    // of a process that died here
    let _ = std::fs::remove_dir_all(stage);
    let config = BrokerConfig {
        // Java writes the archive while it stops, which takes its time on a slow machine.
        stop_grace_ms: 60_000,
        remove_data_on_close: true,
        ..BrokerConfig::new(stage)
    };
    let folder = Folder::new(stage);
    let draft = stage.join("classes.jsa");
    std::fs::create_dir_all(stage).doing("create", stage)?;
    let node = Node {
        config: &config,
        distribution,
        folder: &folder,
        ports: &Ports::choose(None)?,
        cluster_id: &folder.ensure_cluster_id()?,
        lock,
        class_archive_wanted: None,
    };
    node.format()?;
    let recording = Node {
        class_archive_wanted: Some(&draft),
        ..node
    };
    let mut process = recording.launch()?;
    process.stop().doing("stop Kafka over", stage)?;
    if !draft.exists() {
        return Err(Error::StartFailed {
            reason: "java wrote no class archive when it stopped".to_owned(),
            log: recording.log_file(),
            tail: recording.log_tail(),
        });
    }
    std::fs::rename(&draft, archive).doing("rename", &draft)
}

/// The note that recording was tried here without success.
fn given_up(archive: &Path) -> PathBuf {
    archive.with_extension("failed")
}
