//! Rows of `anomalies`: one for each revision of a finding; (anomaly_id, revision) is unique (P-2).

use arrow::record_batch::RecordBatch;
use schemas::{Anomaly, Decoder};

use super::{Record, Rows, Taken, rows};

rows! { Anomalies, AnomalyRows {
    /// Id of the anomaly: a hash of workflow, signal and subject, 32 hex digits.
    anomaly_id: Text, Distinct;
    /// From 1, grows by one with each change of the anomaly.
    revision: Int, Repeating;
    /// The workflow that it was found in.
    workflow_id: Text, Sought;
    /// What kind of workflow it is.
    workflow_type: Text, Repeating;
    /// Name of the signal, for example confidence_hardening.
    signal: Text, Repeating;
    /// What in the workflow it is about: a hypothesis, a call, an actor.
    subject: Text, Distinct;
    /// What this revision says: opened, updated, resolved or retracted.
    status: Text, Repeating;
    /// How bad it is: info, warning or critical.
    severity: Text, Repeating;
    /// How sure and how strong, 0 to 1.
    score: Real, Repeating;
    /// Kinds within the signal, in the order in which they were seen.
    kinds: TextList, Repeating;
    /// Event time of the event that proves this revision.
    detected_at: Time, Rising;
    /// Id of the event that proves this revision; null where time alone does.
    proved_by: Text, Distinct;
    /// Ids of the events that prove it, in the order in which they are told.
    evidence: TextList, Distinct;
    /// Ids of the actors concerned.
    actors: TextList, Repeating;
    /// Tool calls that it cost.
    calls: Int, Repeating;
    /// Tokens that it cost.
    tokens: Int, Repeating;
    /// US dollars that it cost.
    cost_usd: Real, Repeating;
    /// Event time that it cost, in microseconds.
    duration_us: Int, Distinct;
    /// One sentence that a person on call understands.
    sentence: Text, Wide;
    /// Facts behind the sentence, an object of names and texts.
    details: Json, Wide;
    /// The value as it came, where it is no anomaly.
    undecodable: Bytes, Wide;
} }

impl Rows for AnomalyRows {
    fn push(&mut self, record: &Record<'_>, decoder: &Decoder) -> Taken {
        let row = self.begin(record);
        let value = record.value.unwrap_or_default();
        match decoder.anomaly(value) {
            Ok(anomaly) => {
                self.set_anomaly(row, &anomaly);
                Taken::Decoded
            }
            Err(error) => {
                self.undecodable.set(row, value);
                Taken::Undecodable(error.to_string())
            }
        }
    }

    fn len(&self) -> usize {
        self.rows
    }

    fn bytes(&self) -> usize {
        self.filled_bytes()
    }

    fn finish(&mut self) -> RecordBatch {
        self.take_batch()
    }
}

impl AnomalyRows {
    fn set_anomaly(&mut self, row: usize, anomaly: &Anomaly) {
        self.anomaly_id.set(row, &anomaly.anomaly_id);
        self.revision.set(row, anomaly.revision);
        self.workflow_id.set(row, &anomaly.workflow_id);
        self.workflow_type
            .put(row, anomaly.workflow_type.as_deref());
        self.signal.set(row, &anomaly.signal);
        self.subject.set(row, &anomaly.subject);
        self.status.set(row, anomaly.status.as_str());
        self.severity.set(row, anomaly.severity.as_str());
        self.score.set(row, anomaly.score);
        self.kinds.set(row, &anomaly.kinds);
        self.detected_at.set(row, anomaly.detected_at);
        self.proved_by.put(row, anomaly.proved_by.as_deref());
        self.evidence.set(row, &anomaly.evidence);
        self.actors.set(row, &anomaly.actors);
        self.calls.put(row, anomaly.calls);
        self.tokens.put(row, anomaly.tokens);
        self.cost_usd.put(row, anomaly.cost_usd);
        self.duration_us.put(row, anomaly.duration_us);
        self.sentence.set(row, &anomaly.sentence);
        self.details.set_unless_empty(row, &anomaly.details);
    }
}
