//! What an operator can see of the archiver: each observable happening is one function that logs and counts.
//!
//! ERROR means that data is at risk or lost. What may come many times a second is counted always and logged rarely;
//! the caller sees to that.

use std::path::Path;
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use rdkafka::error::KafkaError;
use tracing::{debug, error, info, warn};

use crate::compact::Compacted;
use crate::footer::{Footer, Gap};
use crate::invariants::Broken;
use crate::listing::FileInfo;
use crate::roll::Reason;
use crate::{Error, Table};

/// The archiver runs.
pub(crate) fn started(root: &Path, group: &str) {
    info!(root = %root.display(), group, "archiver started");
}

/// Partitions came, each with where its archive ends.
pub(crate) fn partition_assigned(table: Table, partition: i32, next_offset: i64) {
    info!(
        table = table.name(),
        partition, next_offset, "partition assigned"
    );
}

/// The group shares its partitions out anew. If they are lost, this archiver was taken for dead.
pub(crate) fn partitions_revoked(partitions: usize, lost: bool) {
    if lost {
        counter!("throughline_archiver_assignments_lost_total").increment(1);
        warn!(
            partitions,
            "partitions lost to the group, which got no sign of life in time"
        );
    } else {
        info!(partitions, "partitions given back to the group");
    }
}

/// A file is visible and durable.
pub(crate) fn file_published(footer: &Footer, file_bytes: u64, reason: Reason, path: &Path) {
    let table = footer.table.name();
    counter!("throughline_archiver_files_total", "table" => table, "reason" => reason.as_str())
        .increment(1);
    counter!("throughline_archiver_rows_total", "table" => table).increment(footer.rows);
    counter!("throughline_archiver_file_bytes_total", "table" => table).increment(file_bytes);
    histogram!("throughline_archiver_file_rows", "table" => table).record(footer.rows as f64);
    debug!(
        table,
        partition = footer.partition,
        first_offset = footer.first_offset,
        next_offset = footer.next_offset,
        rows = footer.rows,
        file_bytes,
        reason = reason.as_str(),
        path = %path.display(),
        "file published"
    );
}

/// A compacted file is visible and durable.
pub(crate) fn compacted(done: &Compacted) {
    let footer = &done.footer;
    let table = footer.table.name();
    counter!("throughline_archiver_compactions_total", "table" => table).increment(1);
    counter!("throughline_archiver_compacted_rows_total", "table" => table).increment(footer.rows);
    counter!("throughline_archiver_compacted_bytes_total", "table" => table)
        .increment(done.file_bytes);
    counter!("throughline_archiver_resent_rows_total", "table" => table).increment(footer.resent);
    info!(
        table,
        number = footer.number,
        inputs = footer.inputs,
        input_bytes = done.input_bytes,
        rows = footer.rows,
        resent = footer.resent,
        file_bytes = done.file_bytes,
        path = %done.path.display(),
        "compacted"
    );
}

/// Another compactor published the same number first; the work was in vain.
pub(crate) fn compaction_lost(table: Table) {
    counter!("throughline_archiver_compactions_lost_total", "table" => table.name()).increment(1);
    info!(table = table.name(), "another compactor was first");
}

/// A compaction failed and is tried again later. The raw files have everything until then.
pub(crate) fn compaction_put_off(table: Table, error: &Error, pause: Duration) {
    counter!("throughline_archiver_compactions_put_off_total", "table" => table.name())
        .increment(1);
    if error.is_passing() {
        warn!(table = table.name(), %error, pause_ms = pause.as_millis() as u64, "not compacted, trying again");
    } else {
        error!(table = table.name(), %error, pause_ms = pause.as_millis() as u64, "not compacted; the raw files have everything");
    }
}

/// A raw file does not begin where the one before it ends. If that stays so, a file is missing.
pub(crate) fn hole_before_compaction(file: &FileInfo, expected: i64) {
    counter!("throughline_archiver_compaction_holes_total", "table" => file.table.name())
        .increment(1);
    warn!(
        table = file.table.name(),
        partition = file.partition,
        expected,
        found = file.first_offset,
        "a raw file is missing before this one; the partition is compacted up to there; `throughline archive verify` \
         tells more if it stays so"
    );
}

/// Raw files whose rows are in the compacted tier were deleted.
pub(crate) fn inputs_deleted(table: Table, files: u64, bytes: u64) {
    counter!("throughline_archiver_inputs_deleted_total", "table" => table.name()).increment(files);
    info!(
        table = table.name(),
        files, bytes, "compacted raw files deleted"
    );
}

/// Files before a date were deleted.
pub(crate) fn retired(table: Table, before: &str, files: usize, bytes: u64) {
    counter!("throughline_archiver_files_retired_total", "table" => table.name())
        .increment(files as u64);
    info!(
        table = table.name(),
        before, files, bytes, "files deleted by retention"
    );
}

/// Another archiver published the same range first; what was collected is dropped and the partition goes on after it.
pub(crate) fn race_lost(winner: &Footer, rows_dropped: usize, path: &Path) {
    counter!("throughline_archiver_races_lost_total", "table" => winner.table.name()).increment(1);
    info!(
        table = winner.table.name(),
        partition = winner.partition,
        next_offset = winner.next_offset,
        rows_dropped,
        path = %path.display(),
        "another archiver was first"
    );
}

/// Kafka deleted records before they were archived.
pub(crate) fn records_lost(table: Table, partition: i32, gap: Gap) {
    counter!("throughline_archiver_offsets_lost_total", "table" => table.name())
        .increment((gap.to - gap.from).unsigned_abs());
    error!(
        table = table.name(),
        partition,
        gap_from = gap.from,
        gap_to = gap.to,
        "Kafka deleted records before they were archived; the gap is noted in the next file; raise retention.ms or \
         look why the archiver was behind"
    );
}

/// A partition is archived for the first time and Kafka has already deleted its beginning.
pub(crate) fn beginning_missed(table: Table, partition: i32, gap: Gap) {
    warn!(
        table = table.name(),
        partition,
        gap_to = gap.to,
        "the archive of the partition begins after the topic did; the gap is noted in the first file"
    );
}

/// A record was not what its topic promises; it is a row with its bytes.
pub(crate) fn undecodable(table: Table, partition: i32, offset: i64, why: &str) {
    counter!("throughline_archiver_undecodable_total", "table" => table.name()).increment(1);
    debug!(
        table = table.name(),
        partition, offset, why, "record kept as bytes"
    );
}

/// Promise A-1 does not hold. This is a defect, or somebody changed the archive.
pub(crate) fn ranges_broken(table: Table, partition: i32, broken: Broken) {
    counter!("throughline_archiver_ranges_broken_total", "table" => table.name()).increment(1);
    error!(table = table.name(), partition, %broken, "archived offset ranges do not tile (A-1)");
}

/// A file could not be written and is tried again.
pub(crate) fn write_put_off(table: Table, partition: i32, error: &Error, pause: Duration) {
    counter!("throughline_archiver_writes_put_off_total", "table" => table.name()).increment(1);
    warn!(table = table.name(), partition, %error, pause_ms = pause.as_millis() as u64, "file not written, trying again");
}

/// Kafka did not answer, or said no; librdkafka tries again by itself.
pub(crate) fn kafka_troubled(error: &KafkaError, log: bool) {
    counter!("throughline_archiver_kafka_errors_total").increment(1);
    if log {
        warn!(%error, "trouble with Kafka, trying again");
    }
}

/// The Kafka client is beyond repair; a new one takes over from where the files end.
pub(crate) fn client_replaced(error: &KafkaError) {
    counter!("throughline_archiver_clients_replaced_total").increment(1);
    warn!(%error, "Kafka client is replaced");
}

/// A position in a topic is not there any more; the partitions look for their places again.
pub(crate) fn position_lost(error: &KafkaError) {
    counter!("throughline_archiver_positions_lost_total").increment(1);
    warn!(%error, "a position is not in the topic, looking again");
}

/// A partition's topic ends before its archive does; that passes after a change of leader, or it does not.
pub(crate) fn ahead_of_topic(table: Table, partition: i32, archived_to: i64, topic_end: i64) {
    warn!(
        table = table.name(),
        partition, archived_to, topic_end, "the topic ends before its archive, looking again"
    );
}

/// A topic is not there, so there is nothing to archive of it.
pub(crate) fn topic_missing(topic: &str) {
    warn!(
        topic,
        "topic is missing; `throughline topics create` makes it"
    );
}

/// What an archiver left behind that is gone was removed.
pub(crate) fn temporary_file_swept(path: &Path) {
    info!(path = %path.display(), "temporary file of an earlier run removed");
}

/// Rows were dropped because the time for a stop was over; they are read again at the next start.
pub(crate) fn rows_left(rows: usize) {
    warn!(
        rows,
        "stopped before all was written; the rest is read again at the next start"
    );
}

/// How much memory the collected rows fill.
pub(crate) fn buffered(bytes: usize) {
    gauge!("throughline_archiver_buffered_bytes").set(bytes as f64);
}

/// Everything that stood in the topics at the start is archived.
pub(crate) fn end_reached() {
    info!("everything that stood in the topics at the start is archived");
}
