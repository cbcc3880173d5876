//! What can be observed of the processor: each happening is one function that logs and counts.
//!
//! ERROR means that data is at risk, WARN that somebody should look, INFO that the state of affairs has changed.
//! Counters of the stream are added at each commit, so that they count what is committed and cost nothing per event.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{debug, error, info, warn};

use crate::outcome::{Failure, Remedy};
use crate::progress::Counts;
use crate::stage::Stage;

/// A worker begins.
pub(crate) fn started(thread: usize, transactional_id: &str) {
    counter!("throughline_processor_starts_total").increment(1);
    info!(thread, transactional_id, "worker started");
}

/// A worker ends.
pub(crate) fn stopped(thread: usize, counts: &Counts) {
    info!(
        thread,
        events = counts.events,
        dead_letters = counts.dead_letters,
        "worker stopped"
    );
}

/// Partitions were given to this worker.
pub(crate) fn assigned(thread: usize, partitions: &[i32]) {
    counter!("throughline_processor_assignments_total").increment(1);
    info!(thread, ?partitions, "partitions assigned");
}

/// Partitions were handed on in order.
pub(crate) fn revoked(thread: usize, partitions: &[i32]) {
    counter!("throughline_processor_revocations_total").increment(1);
    info!(thread, ?partitions, "partitions revoked");
}

/// Partitions were taken away; what was not committed is done again by their new owner.
pub(crate) fn lost(thread: usize, partitions: &[i32]) {
    counter!("throughline_processor_losses_total").increment(1);
    warn!(thread, ?partitions, "partitions lost");
}

/// The group could not be told what was assigned or revoked.
pub(crate) fn assignment_failed(thread: usize, error: &KafkaError) {
    counter!("throughline_processor_assignment_failures_total").increment(1);
    warn!(thread, %error, "assignment not taken");
}

/// A partition's state is there again.
pub(crate) fn restored(partition: i32, rows: usize, next_offset: i64, took: Duration) {
    counter!("throughline_processor_restores_total").increment(1);
    histogram!("throughline_processor_restore_seconds").record(took.as_secs_f64());
    info!(
        partition,
        rows,
        next_offset,
        took_ms = took.as_millis() as u64,
        "state restored"
    );
}

/// A restore waits for Kafka.
pub(crate) fn restore_waits(partition: i32, what: &str, waited: Duration) {
    counter!("throughline_processor_restore_waits_total").increment(1);
    warn!(
        partition,
        what,
        waited_ms = waited.as_millis() as u64,
        "restore waits"
    );
}

/// A transaction is open for longer than Kafka lets one be open, so that waiting will not help.
pub(crate) fn transaction_hangs(partition: i32, over: &str, waited: Duration) {
    counter!("throughline_processor_hanging_transactions_total").increment(1);
    error!(
        partition,
        over,
        waited_ms = waited.as_millis() as u64,
        "a transaction hangs: find it with `kafka-transactions.sh find-hanging`, end it with `abort`; the restore waits for that"
    );
}

/// The group's offset says something else than the progress record, which is believed.
pub(crate) fn progress_differs(partition: i32, progress: (i64, u64), group: (i64, &str)) {
    counter!("throughline_processor_progress_mismatches_total").increment(1);
    error!(
        partition,
        offset = progress.0,
        transaction = progress.1,
        group_offset = group.0,
        group_transaction = group.1,
        "group offset and progress record differ; going on at the progress record"
    );
}

/// The group has an offset, the changelog has no progress record: everything is done again from the beginning.
pub(crate) fn progress_missing(partition: i32, group_offset: i64) {
    counter!("throughline_processor_progress_missing_total").increment(1);
    error!(
        partition,
        group_offset, "no progress record in the changelog; beginning at the first event"
    );
}

/// Retention took events before they were processed.
pub(crate) fn events_gone(partition: i32, next_offset: i64, first_offset: i64) {
    let gone = u64::try_from(first_offset - next_offset).unwrap_or(0);
    counter!("throughline_processor_events_gone_total").increment(gone);
    error!(
        partition,
        next_offset, first_offset, gone, "events were deleted before they were processed"
    );
}

/// A record became a dead letter.
pub(crate) fn refused(partition: i32, offset: i64, reason: &'static str, message: &str) {
    counter!("throughline_processor_dead_letters_total", "reason" => reason).increment(1);
    debug!(partition, offset, reason, message, "dead letter");
}

/// An output does not fit its schema, and is left out.
pub(crate) fn unencodable(record: &'static str, workflow_id: &str, error: &dyn std::error::Error) {
    counter!("throughline_processor_unencodable_total", "record" => record).increment(1);
    error!(record, workflow_id, %error, "output cannot be encoded and is left out");
}

/// A transaction was committed.
pub(crate) fn committed(stage: Stage, counts: &Counts, partitions: usize, took: Duration) {
    let stage = stage.as_str();
    let count = |name: &'static str, by: u64| counter!(name, "stage" => stage).increment(by);
    count("throughline_processor_transactions_total", 1);
    count("throughline_processor_events_total", counts.events);
    count("throughline_processor_bytes_total", counts.bytes);
    count("throughline_processor_held_total", counts.held);
    count("throughline_processor_duplicates_total", counts.duplicates);
    count("throughline_processor_too_late_total", counts.too_late);
    count("throughline_processor_anomalies_total", counts.anomalies);
    count("throughline_processor_sessions_total", counts.sessions);
    count("throughline_processor_state_rows_total", counts.rows);
    histogram!("throughline_processor_commit_seconds").record(took.as_secs_f64());
    debug!(
        stage,
        partitions,
        events = counts.events,
        rows = counts.rows,
        took_us = took.as_micros() as u64,
        "committed"
    );
}

/// Something failed and is being mended.
pub(crate) fn failed(thread: usize, failure: &Failure, in_a_row: u32) {
    let remedy = match failure.remedy {
        Remedy::Resend => "resend",
        Remedy::Rebuild { fenced: false } => "rebuild",
        Remedy::Rebuild { fenced: true } => "rebuild_fenced",
        Remedy::Rejoin => "rejoin",
        Remedy::Stop(_) => "stop",
    };
    counter!("throughline_processor_failures_total", "remedy" => remedy).increment(1);
    match failure.remedy {
        Remedy::Stop(_) => error!(thread, %failure, "stopping"),
        // what happens at every other rebalance
        Remedy::Resend if in_a_row == 1 => {
            info!(thread, %failure, "transaction refused by the group, sending it again")
        }
        _ => warn!(thread, %failure, remedy, in_a_row, "failed, mending"),
    }
}

/// Commit on leaving did not work; the next start does the rest again.
pub(crate) fn left_uncommitted(thread: usize, failure: &Failure) {
    counter!("throughline_processor_left_uncommitted_total").increment(1);
    warn!(thread, %failure, "last commit failed; the next start repeats what was not committed");
}

/// How far behind a partition is: records up to the last stable offset, and age of the newest event taken.
pub(crate) fn lag(stage: Stage, partition: i32, records: i64, seconds: f64) {
    let labels = [
        ("stage", stage.as_str().to_owned()),
        ("partition", partition.to_string()),
    ];
    gauge!("throughline_processor_lag_records", &labels).set(records as f64);
    gauge!("throughline_processor_lag_seconds", &labels).set(seconds);
}

/// How much state a partition has.
pub(crate) fn state(partition: i32, open_workflows: usize) {
    gauge!("throughline_processor_open_workflows", "partition" => partition.to_string())
        .set(open_workflows as f64);
}

/// A line of librdkafka's log.
pub(crate) fn client_spoke(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => {
            warn!(target: "throughline::kafka", facility, message, "client error");
        }
        RDKafkaLogLevel::Warning => {
            warn!(target: "throughline::kafka", facility, message, "client warning")
        }
        _ => debug!(target: "throughline::kafka", facility, message, "client"),
    }
}

/// An error event of a client; it goes on by itself.
pub(crate) fn client_failed(error: &KafkaError, reason: &str) {
    // the end of a partition comes this way too, and is no error
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
        return;
    }
    counter!("throughline_processor_client_errors_total").increment(1);
    warn!(target: "throughline::kafka", %error, reason, "client error");
}
