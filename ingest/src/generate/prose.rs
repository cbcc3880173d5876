//! Words for made-up events: sentences of about the length that agents use.

use std::fmt::Write;

/// What the sentences of one workflow are about.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) service: &'static str,
    pub(super) metric: &'static str,
    pub(super) cause: &'static str,
}

const SENTENCES: &[&str] = &[
    "The {metric} of {service} has been at {n} for the last {m} minutes, against a baseline of {m}.",
    "Requests that pass {service} take {n} ms at the median and time out after {m} retries.",
    "Logs of {service} show {n} occurrences of the same message since the window began.",
    "No other dependency shows the same pattern at the same time, so {service} is the place to look first.",
    "I compared the last {m} intervals with the same intervals of the day before and found a step, not a trend.",
    "{cause} would explain both the {metric} and the order in which the first {m} instances were hit.",
    "Two of {m} instances recovered by themselves, which speaks against a full outage of {service}.",
    "The dashboards agree with the raw counters within {m} percent.",
    "It remains open whether customers in the second region are concerned; {n} sessions were sampled there.",
    "Traffic to {service} is normal for this hour, about {n} a minute, so load alone does not explain it.",
    "The runbook names {m} steps for this case, of which the first is to look and the last is to act.",
    "Before anything is changed the current state is written down, so that it can be brought back.",
    "If the {metric} does not move within {m} minutes after the change, the change did not help.",
    "The on-call engineer of {service} was told and agrees with the plan so far.",
    "Sampling {n} traces gives the same picture: the time is lost before {service} answers.",
    "There was one similar case {m} weeks ago; its review is linked in the ticket.",
];

/// Sentences of at least `bytes` bytes.
pub(super) fn sentences(rng: &mut fastrand::Rng, subject: &Subject, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 128);
    while text.len() < bytes {
        if !text.is_empty() {
            text.push(' ');
        }
        let sentence = SENTENCES[rng.usize(..SENTENCES.len())];
        fill(&mut text, rng, subject, sentence);
    }
    text
}

/// One sentence with its gaps filled.
pub(super) fn fill(
    text: &mut String,
    rng: &mut fastrand::Rng,
    subject: &Subject,
    mut sentence: &str,
) {
    while let Some((before, rest)) = sentence.split_once('{') {
        text.push_str(before);
        let (gap, after) = rest.split_once('}').unwrap_or((rest, ""));
        // Writing to a String cannot fail.
        let _ = match gap {
            "service" => text.write_str(subject.service),
            "metric" => text.write_str(subject.metric),
            "cause" => text.write_str(subject.cause),
            "n" => write!(text, "{}", rng.u32(100..9_000)),
            "m" => write!(text, "{}", rng.u32(2..40)),
            other => write!(text, "{{{other}}}"),
        };
        sentence = after;
    }
    text.push_str(sentence);
}

/// A result as tools give it: JSON of at least `bytes` bytes, different each time.
pub(super) fn result(rng: &mut fastrand::Rng, subject: &Subject, bytes: usize) -> String {
    let mut text = format!(
        "{{\"service\":\"{}\",\"metric\":\"{}\",\"value\":{}.{},\"samples\":[",
        subject.service,
        subject.metric,
        rng.u32(..100),
        rng.u32(..100)
    );
    let mut is_first = true;
    while is_first || text.len() + 2 < bytes {
        if !is_first {
            text.push(',');
        }
        let _ = write!(
            text,
            "{{\"at\":\"02:{:02}\",\"host\":\"{}-{}\",\"value\":{}}}",
            rng.u32(..60),
            subject.service,
            rng.u32(1..24),
            rng.u32(..10_000)
        );
        is_first = false;
    }
    text.push_str("]}");
    text
}
