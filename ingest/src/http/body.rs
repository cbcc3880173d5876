//! The body of a request: what it says that it is, and its bytes, bounded at every step.
//!
//! A compressed body is counted as it comes and again as it unfolds, so that a small one cannot become a large one.

use std::io::Write;

use std::time::Duration;

use axum::body::{BodyDataStream, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use futures::StreamExt;

use super::admission::{Crowded, Permit};

/// How long a refused body is read on, at most.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// log2 of the largest window that a zstd body may ask for: 8 MiB, as RFC 9659 has it for HTTP.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How events stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One JSON value: an event, or an array of them.
    Json,
    /// One event on each line.
    Lines,
    /// Not said; the body shows it.
    Unsaid,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Why a body was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is of a kind that we do not read.
    #[error("{0}")]
    Unsupported(String),
    /// It is larger than the limit.
    #[error("the body is larger than {bytes_max} bytes{}; send fewer events at once", if *.is_unfolded { " after decompression" } else { "" })]
    TooLarge {
        /// The limit.
        bytes_max: usize,
        /// Whether it is only so after decompression.
        is_unfolded: bool,
    },
    /// The compressed bytes are damaged.
    #[error("the body is no valid {coding}: {reason}")]
    Damaged {
        /// Name of the coding.
        coding: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The sender stopped before its end.
    #[error("the body ended early: {0}")]
    Broken(String),
    /// Too much is under way.
    #[error("too much is under way; send again after the time in Retry-After")]
    Crowded,
}

impl From<Crowded> for BodyError {
    fn from(_: Crowded) -> Self {
        Self::Crowded
    }
}

/// What the headers say about the body.
pub fn announced(headers: &HeaderMap) -> Result<(Layout, Coding), BodyError> {
    Ok((layout(headers)?, coding(headers)?))
}

fn layout(headers: &HeaderMap) -> Result<Layout, BodyError> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(Layout::Unsaid);
    };
    let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let (essence, parameters) = text.split_once(';').unwrap_or((&text, ""));
    let charset = parameters
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix("charset="));
    if let Some(charset) = charset.map(|charset| charset.trim_matches('"'))
        && !matches!(charset, "utf-8" | "utf8" | "us-ascii")
    {
        return Err(BodyError::Unsupported(format!(
            "charset {charset} is not read here; send UTF-8"
        )));
    }
    match essence.trim() {
        "application/json" => Ok(Layout::Json),
        "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonl"
        | "application/x-jsonlines" => Ok(Layout::Lines),
        other => Err(BodyError::Unsupported(format!(
            "content type {other} is not read here; send application/json or application/x-ndjson (curl: --json)"
        ))),
    }
}

fn coding(headers: &HeaderMap) -> Result<Coding, BodyError> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let Some(value) = values.next() else {
        return Ok(Coding::Identity);
    };
    let text = value
        .to_str()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match text.as_str() {
        _ if values.next().is_some() => Err(unsupported_coding("more than one")),
        "identity" | "" => Ok(Coding::Identity),
        "gzip" | "x-gzip" => Ok(Coding::Gzip),
        "zstd" => Ok(Coding::Zstd),
        other => Err(unsupported_coding(other)),
    }
}

fn unsupported_coding(found: &str) -> BodyError {
    BodyError::Unsupported(format!(
        "content encoding {found} is not read here; send gzip, zstd or none"
    ))
}

/// Collects the body as it was sent; stops reading when it is larger than `bytes_max` or there is no more room.
pub async fn collect(
    headers: &HeaderMap,
    chunks: &mut BodyDataStream,
    bytes_max: usize,
    permit: &mut Permit,
) -> Result<Vec<u8>, BodyError> {
    let too_large = BodyError::TooLarge {
        bytes_max,
        is_unfolded: false,
    };
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let announced = match announced.map(usize::try_from) {
        Some(Ok(bytes)) if bytes <= bytes_max => bytes,
        Some(_) => return Err(too_large),
        None => 0,
    };
    permit.grow_to(announced)?;
    let mut collected = Vec::with_capacity(announced);
    while let Some(chunk) = chunks.next().await {
        let chunk: Bytes = chunk.map_err(|error| BodyError::Broken(error.to_string()))?;
        if collected.len() + chunk.len() > bytes_max {
            return Err(too_large);
        }
        permit.grow_to(collected.len() + chunk.len())?;
        collected.extend_from_slice(&chunk);
    }
    Ok(collected)
}

/// Reads on and throws away what is left of a refused body, up to `bytes_max` bytes and a short time: a sender that is
/// cut off while it writes never sees why.
pub async fn drain(headers: &HeaderMap, chunks: &mut BodyDataStream, bytes_max: usize) {
    if headers.contains_key(EXPECT) {
        // It waits for leave to send, and gets the answer instead.
        return;
    }
    let reading = async {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            bytes += chunk.len();
            if bytes > bytes_max {
                break;
            }
        }
    };
    // Either way the answer follows.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, reading).await;
}

/// Unfolds a compressed body. Never holds more than `bytes_max` bytes of it.
pub fn unfold(
    sent: Vec<u8>,
    coding: Coding,
    bytes_max: usize,
    permit: &mut Permit,
) -> Result<Vec<u8>, BodyError> {
    let mut bounded = Bounded {
        bytes: Vec::new(),
        bytes_max,
        permit,
        stopped: None,
    };
    let (name, result) = match coding {
        Coding::Identity => return Ok(sent),
        Coding::Gzip => ("gzip", unfold_gzip(&sent, &mut bounded)),
        Coding::Zstd => ("zstd", unfold_zstd(&sent, &mut bounded)),
    };
    match (bounded.stopped, result) {
        (Some(stopped), _) => Err(stopped),
        (None, Ok(())) => Ok(bounded.bytes),
        (None, Err(error)) => Err(BodyError::Damaged {
            coding: name,
            reason: error.to_string(),
        }),
    }
}

fn unfold_gzip(sent: &[u8], bounded: &mut Bounded<'_>) -> std::io::Result<()> {
    let mut decoder = flate2::write::MultiGzDecoder::new(bounded);
    decoder.write_all(sent)?;
    decoder.finish().map(drop)
}

fn unfold_zstd(sent: &[u8], bounded: &mut Bounded<'_>) -> std::io::Result<()> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(sent)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    std::io::copy(&mut decoder, bounded).map(drop)
}

/// Takes what a decoder writes, up to a limit.
struct Bounded<'a> {
    bytes: Vec<u8>,
    bytes_max: usize,
    permit: &'a mut Permit,
    stopped: Option<BodyError>,
}

impl Bounded<'_> {
    fn room_for(&mut self, more: usize) -> Result<(), BodyError> {
        let bytes = self.bytes.len() + more;
        if bytes > self.bytes_max {
            return Err(BodyError::TooLarge {
                bytes_max: self.bytes_max,
                is_unfolded: true,
            });
        }
        self.permit.grow_to(bytes)?;
        Ok(())
    }
}

impl Write for Bounded<'_> {
    fn write(&mut self, chunk: &[u8]) -> std::io::Result<usize> {
        if let Err(error) = self.room_for(chunk.len()) {
            let text = error.to_string();
            self.stopped = Some(error);
            return Err(std::io::Error::other(text));
        }
        self.bytes.extend_from_slice(chunk);
        Ok(chunk.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::super::admission::Admission;
    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ::zstd::encode_all(bytes, 3).unwrap()
    }

    fn check(sent: Vec<u8>, coding: Coding, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
        let admission = Admission::new(1 << 30);
        let mut permit = admission.enter(0).unwrap();
        let unfolded = unfold(sent, coding, bytes_max, &mut permit);
        let expected = unfolded.as_ref().map_or(0, Vec::len);
        assert!(coding == Coding::Identity || unfolded.is_err() || admission.taken() == expected);
        unfolded
    }

    #[test]
    fn what_was_folded_unfolds() {
        let text = b"one line\nand another".to_vec();
        assert_eq!(check(text.clone(), Coding::Identity, 5).unwrap(), text);
        assert_eq!(check(gzip(&text), Coding::Gzip, text.len()).unwrap(), text);
        assert_eq!(
            check(
                [gzip(b"one line\n"), gzip(b"and another")].concat(),
                Coding::Gzip,
                100
            )
            .unwrap(),
            text
        );
        assert_eq!(check(zstd(&text), Coding::Zstd, text.len()).unwrap(), text);
        assert_eq!(
            check(
                [zstd(b"one line\n"), zstd(b"and another")].concat(),
                Coding::Zstd,
                100
            )
            .unwrap(),
            text
        );
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let zeros = vec![0_u8; 64 << 20];
        let limit = 1 << 20;
        let too_large = BodyError::TooLarge {
            bytes_max: limit,
            is_unfolded: true,
        };
        assert_eq!(
            check(gzip(&zeros), Coding::Gzip, limit),
            Err(too_large.clone())
        );
        assert_eq!(check(zstd(&zeros), Coding::Zstd, limit), Err(too_large));
    }

    #[test]
    fn a_bomb_that_fits_the_body_but_not_the_room_is_turned_away() {
        let admission = Admission::new(1 << 20);
        let mut permit = admission.enter(100).unwrap();
        let folded = gzip(&vec![0_u8; 2 << 20]);
        assert_eq!(
            unfold(folded, Coding::Gzip, 8 << 20, &mut permit),
            Err(BodyError::Crowded)
        );
    }

    #[test]
    fn damaged_bodies_are_told() {
        let mut half = gzip(b"some text that is long enough to be cut in the middle");
        half.truncate(half.len() / 2);
        let mut zhalf = zstd(b"some text that is long enough to be cut in the middle");
        zhalf.truncate(zhalf.len() / 2);
        for (sent, coding) in [
            (b"no gzip at all".to_vec(), Coding::Gzip),
            (half, Coding::Gzip),
            (b"no zstd at all".to_vec(), Coding::Zstd),
            (zhalf, Coding::Zstd),
            (Vec::new(), Coding::Gzip),
        ] {
            let result = check(sent.clone(), coding, 1 << 20);
            assert!(
                matches!(result, Err(BodyError::Damaged { .. })),
                "{sent:?} {coding:?}: {result:?}"
            );
        }
    }

    #[test]
    fn a_window_beyond_what_http_allows_is_refused() {
        let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(&vec![7_u8; 1 << 20]).unwrap();
        let result = check(encoder.finish().unwrap(), Coding::Zstd, 8 << 20);
        assert!(
            matches!(result, Err(BodyError::Damaged { .. })),
            "{result:?}"
        );
    }

    #[test]
    fn the_headers_say_what_comes() {
        let said = |content_type: Option<&str>, encoding: Option<&str>| {
            let mut headers = HeaderMap::new();
            content_type.map(|value| headers.insert(CONTENT_TYPE, value.parse().unwrap()));
            encoding.map(|value| headers.insert(CONTENT_ENCODING, value.parse().unwrap()));
            announced(&headers)
        };
        assert_eq!(said(None, None), Ok((Layout::Unsaid, Coding::Identity)));
        assert_eq!(
            said(Some("application/json"), Some("gzip")),
            Ok((Layout::Json, Coding::Gzip))
        );
        assert_eq!(
            said(Some("Application/JSON; Charset=\"UTF-8\""), None),
            Ok((Layout::Json, Coding::Identity))
        );
        assert_eq!(
            said(Some("application/x-ndjson"), Some("zstd")),
            Ok((Layout::Lines, Coding::Zstd))
        );
        for (content_type, encoding) in [
            (Some("text/plain"), None),
            (Some("application/x-www-form-urlencoded"), None),
            (Some("application/json; charset=latin1"), None),
            (None, Some("br")),
            (None, Some("gzip, zstd")),
        ] {
            let result = said(content_type, encoding);
            assert!(
                matches!(result, Err(BodyError::Unsupported(_))),
                "{content_type:?} {encoding:?}: {result:?}"
            );
        }
    }
}
