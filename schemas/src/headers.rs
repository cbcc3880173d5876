//! W3C Trace Context and Baggage: header text to what an event carries, and back.
//!
//! As both recommendations ask, what cannot be read is left out and the work goes on; the caller is told, so that it
//! can count. Knows nothing of HTTP or Kafka: only of the text of the two headers.
//! <https://www.w3.org/TR/trace-context/>, <https://www.w3.org/TR/baggage/>

use std::collections::BTreeMap;

use crate::event::Trace;

/// Name of the header with the trace context.
pub const TRACEPARENT: &str = "traceparent";
/// Name of the header with the vendor's part of the trace context; passed on, never read.
pub const TRACESTATE: &str = "tracestate";
/// Name of the header with the baggage.
pub const BAGGAGE: &str = "baggage";
/// Most bytes of a baggage header; the recommendation's lower limit for what must be passed on.
pub const BAGGAGE_BYTES_MAX: usize = 8192;
/// Most entries of a baggage header; the recommendation's lower limit for what must be passed on.
pub const BAGGAGE_ENTRIES_MAX: usize = 64;

/// What the two headers say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// The caller's place in its trace.
    pub trace: Option<Trace>,
    /// The caller's baggage.
    pub baggage: BTreeMap<String, String>,
    /// Names of the headers of which something could not be read and was left out.
    pub ignored: Vec<&'static str>,
}

impl Context {
    /// Reads both headers. Several `baggage` headers are to be joined with a comma first, as HTTP has it.
    pub fn parse(traceparent: Option<&str>, baggage: Option<&str>) -> Self {
        let mut context = Self::default();
        if let Some(text) = traceparent {
            context.trace = parse_traceparent(text);
            if context.trace.is_none() {
                context.ignored.push(TRACEPARENT);
            }
        }
        if let Some(text) = baggage {
            let (entries, whole) = parse_baggage(text);
            context.baggage = entries;
            if !whole {
                context.ignored.push(BAGGAGE);
            }
        }
        context
    }
}

/// Reads `00-<trace id>-<span id>-<flags>`; `None` when the recommendation says to ignore it.
///
/// A version after 00 may have more fields behind the four known ones.
pub fn parse_traceparent(text: &str) -> Option<Trace> {
    let mut fields = text.trim_matches([' ', '\t']).splitn(5, '-');
    let (version, trace_id, span_id, flags) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    let known = hex(version, 2) && version != "ff" && (version != "00" || fields.next().is_none());
    let named = |id: &str| id.bytes().any(|digit| digit != b'0');
    (known
        && hex(trace_id, 32)
        && named(trace_id)
        && hex(span_id, 16)
        && named(span_id)
        && hex(flags, 2))
    .then(|| Trace {
        trace_id: trace_id.to_owned(),
        span_id: span_id.to_owned(),
        parent_span_id: None,
    })
}

/// Writes a trace context as `traceparent`, sampled; `None` where its ids are not of W3C's form.
pub fn write_traceparent(trace_id: &str, span_id: &str) -> Option<String> {
    let text = format!("00-{trace_id}-{span_id}-01");
    parse_traceparent(&text).map(|_| text)
}

fn hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// Reads `name=value;property,name=value`, values percent-decoded, properties left aside; the flag tells whether all
/// of it could be read. Of a name that stands twice, the last counts.
pub fn parse_baggage(text: &str) -> (BTreeMap<String, String>, bool) {
    let mut entries = BTreeMap::new();
    let mut whole = true;
    let mut bytes = 0;
    for member in text.split(',') {
        bytes += member.len() + 1;
        if bytes > BAGGAGE_BYTES_MAX + 1 || entries.len() == BAGGAGE_ENTRIES_MAX {
            return (entries, false);
        }
        let (pair, _properties) = member.split_once(';').unwrap_or((member, ""));
        let entry = pair.split_once('=').and_then(|(name, value)| {
            let (name, value) = (
                name.trim_matches([' ', '\t']),
                value.trim_matches([' ', '\t']),
            );
            (is_token(name) && value.bytes().all(is_baggage_octet))
                .then(|| percent_decode(value))
                .flatten()
                .map(|value| (name.to_owned(), value))
        });
        match entry {
            Some((name, value)) => {
                entries.insert(name, value);
            }
            None => whole &= member.trim_matches([' ', '\t']).is_empty(),
        }
    }
    (entries, whole)
}

/// Writes baggage as a header; `None` where there is nothing to write. Entries whose name is no token of HTTP, and
/// what passes the limits, are left out: they stand in the event's body all the same.
pub fn write_baggage<S: AsRef<str>>(baggage: &BTreeMap<S, S>) -> Option<String> {
    let mut text = String::new();
    for (name, value) in baggage
        .iter()
        .filter(|(name, _)| is_token(name.as_ref()))
        .take(BAGGAGE_ENTRIES_MAX)
    {
        let before = text.len();
        if before > 0 {
            text.push(',');
        }
        text.push_str(name.as_ref());
        text.push('=');
        for byte in value.as_ref().bytes() {
            if is_baggage_octet(byte) && byte != b'%' {
                text.push(char::from(byte));
            } else {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
        if text.len() > BAGGAGE_BYTES_MAX {
            text.truncate(before);
        }
    }
    (!text.is_empty()).then_some(text)
}

fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_baggage_octet(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2B | 0x2D..=0x3A | 0x3C..=0x5B | 0x5D..=0x7E)
}

/// A percent sign that starts no escape stands for itself; bytes that are no UTF-8 are refused.
fn percent_decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten();
        let byte = escape.and_then(|digits| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
        });
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn names(text: &str) -> (Vec<(String, String)>, bool) {
        let (entries, whole) = parse_baggage(text);
        (entries.into_iter().collect(), whole)
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_traceparent_gives_its_ids_and_writes_back() {
        let trace = parse_traceparent(PARENT);
        assert_eq!(
            trace,
            Some(Trace {
                trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
                span_id: "00f067aa0ba902b7".to_owned(),
                parent_span_id: None
            })
        );
        assert_eq!(
            write_traceparent("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7").as_deref(),
            Some(PARENT)
        );
        assert_eq!(
            parse_traceparent(&format!(" {PARENT} ")),
            trace,
            "white space around a header's value is HTTP's"
        );
        assert_eq!(
            parse_traceparent(&PARENT.replacen("00", "01", 1)),
            trace,
            "a later version has the same fields"
        );
        assert_eq!(
            parse_traceparent(&format!("{}-more", PARENT.replacen("00", "cc", 1))),
            trace
        );
    }

    #[test]
    fn a_bad_traceparent_is_ignored_and_told() {
        for bad in [
            "",
            "-",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            let context = Context::parse(Some(bad), None);
            assert_eq!(
                (context.trace, context.ignored),
                (None, vec![TRACEPARENT]),
                "{bad}"
            );
        }
        assert_eq!(Context::parse(None, None), Context::default());
        assert_eq!(write_traceparent("4bf9", "00f0"), None);
    }

    #[test]
    fn baggage_gives_its_entries() {
        assert_eq!(
            names("user=a%20b%C3%A9 ; private , region = eu-1;ttl=3"),
            (vec![pair("region", "eu-1"), pair("user", "a bé")], true)
        );
        assert_eq!(names("a=1,a=2"), (vec![pair("a", "2")], true));
        assert_eq!(names("a=b=c"), (vec![pair("a", "b=c")], true));
        assert_eq!(names("a=100%"), (vec![pair("a", "100%")], true));
        assert_eq!(names(""), (vec![], true));
    }

    #[test]
    fn of_bad_baggage_the_good_entries_stay_and_the_rest_is_told() {
        assert_eq!(
            names("good=1, no value, b ad=2, quo=\"te, x=%FF"),
            (vec![pair("good", "1")], false)
        );
        let context = Context::parse(Some(PARENT), Some("nothing"));
        assert_eq!(context.ignored, [BAGGAGE]);
        assert!(context.trace.is_some());
    }

    #[test]
    fn baggage_is_bounded_both_ways() {
        let many: Vec<String> = (0..100).map(|index| format!("k{index}=v")).collect();
        let (entries, whole) = parse_baggage(&many.join(","));
        assert_eq!((entries.len(), whole), (BAGGAGE_ENTRIES_MAX, false));
        let (entries, whole) = parse_baggage(&format!("a=1,b={}", "x".repeat(BAGGAGE_BYTES_MAX)));
        assert_eq!((entries.len(), whole), (1, false));
        let written = write_baggage(
            &[("a", "é".repeat(BAGGAGE_BYTES_MAX)), ("b", "2".to_owned())]
                .map(|(n, v)| (n.to_owned(), v))
                .into(),
        );
        assert_eq!(written.as_deref(), Some("b=2"));
    }

    #[test]
    fn baggage_reads_back_as_it_was_written() {
        let baggage: BTreeMap<String, String> = [
            ("plain", "v"),
            ("odd", "a,b;c=\"d\" 100% \\ é\n"),
            ("empty", ""),
        ]
        .map(|(name, value)| pair(name, value))
        .into();
        let text = write_baggage(&baggage).unwrap_or_default();
        assert_eq!(parse_baggage(&text), (baggage, true), "{text}");
        assert_eq!(write_baggage(&BTreeMap::from([("no token", "x")])), None);
    }
}
