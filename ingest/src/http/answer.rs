//! Answers: one status for a request, and for each of its items exactly what is known of it.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::body::BodyError;
use super::items::{Refusal, SplitError};
use crate::publisher::Position;

/// What became of the items of a request. Indexes are positions in the request, from 0.
#[derive(Debug, Default, Serialize)]
pub struct Answer {
    /// Kafka has them.
    pub accepted: Vec<Accepted>,
    /// They will never be taken as they are.
    pub rejected: Vec<Rejected>,
    /// Nobody can say; to be sent again under the same event ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<Unknown>,
}

/// An item that Kafka has.
#[derive(Debug, Serialize)]
pub struct Accepted {
    /// Position in the request.
    pub index: usize,
    /// Its own id, or the one that was drawn for it.
    pub event_id: String,
    /// Its workflow.
    pub workflow_id: String,
    /// Where it stands in the topic.
    pub partition: i32,
    /// Where it stands in the partition.
    pub offset: i64,
}

impl Accepted {
    /// The item is at this position of the topic.
    pub fn new(index: usize, event_id: String, workflow_id: String, at: Position) -> Self {
        Self {
            index,
            event_id,
            workflow_id,
            partition: at.partition,
            offset: at.offset,
        }
    }
}

/// An item that was refused.
#[derive(Debug, Serialize)]
pub struct Rejected {
    /// Position in the request.
    pub index: usize,
    /// Line of the body, from 1, where each line is an item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// `invalid` or `too_large`.
    pub code: &'static str,
    /// JSON pointer into the item.
    pub pointer: String,
    /// What belongs there.
    pub expected: String,
    /// What stood there instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub got: Option<String>,
}

impl Rejected {
    /// The item was refused for this reason.
    pub fn new(index: usize, line: Option<usize>, refusal: Refusal) -> Self {
        let Refusal { code, violation } = refusal;
        Self {
            index,
            line,
            code,
            pointer: violation.pointer,
            expected: violation.expected,
            got: violation.got,
        }
    }
}

/// An item that Kafka did not acknowledge.
#[derive(Debug, Serialize)]
pub struct Unknown {
    /// Position in the request.
    pub index: usize,
    /// Its own id, or the one that was drawn for it: to be sent again with it.
    pub event_id: String,
    /// Its workflow.
    pub workflow_id: String,
    /// Why nobody can say.
    pub reason: String,
}

impl Answer {
    /// 200 when Kafka has all, 207 when it has some and the rest is refused, 400 (413) when all is refused (as too
    /// large), 503 as soon as the fate of one is unknown.
    pub fn status(&self) -> StatusCode {
        let all_too_large = self
            .rejected
            .iter()
            .all(|rejected| rejected.code == "too_large");
        match (self.accepted.len(), self.rejected.len(), self.unknown.len()) {
            (_, _, 1..) => StatusCode::SERVICE_UNAVAILABLE,
            (_, 0, 0) => StatusCode::OK,
            (1.., 1.., 0) => StatusCode::MULTI_STATUS,
            (0, 1.., 0) if all_too_large => StatusCode::PAYLOAD_TOO_LARGE,
            (0, 1.., 0) => StatusCode::BAD_REQUEST,
        }
    }

    /// The HTTP answer.
    pub fn into_response(self, retry_after_s: u64) -> Response {
        json(self.status(), &self, retry_after_s)
    }
}

/// A request that was refused as a whole: none of its events was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
    position: Option<(usize, usize)>,
}

impl Refused {
    /// The body did not come in time.
    pub fn slow(timeout_ms: u64) -> Self {
        Self {
            status: StatusCode::REQUEST_TIMEOUT,
            code: "body_timeout",
            message: format!("the body did not arrive within {timeout_ms} ms"),
            position: None,
        }
    }

    /// Whether the body did not come in time.
    pub fn is_slow(&self) -> bool {
        self.status == StatusCode::REQUEST_TIMEOUT
    }

    /// Nothing is here, or not with this method.
    pub fn nothing_here(status: StatusCode) -> Self {
        let message =
            "there are POST /v1/events, GET /health, GET /ready and GET /metrics".to_owned();
        let code = if status == StatusCode::NOT_FOUND {
            "not_found"
        } else {
            "method_not_allowed"
        };
        Self {
            status,
            code,
            message,
            position: None,
        }
    }

    /// Something of ours failed.
    pub fn failed(message: String) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "internal",
            message,
            position: None,
        }
    }

    /// The HTTP answer.
    pub fn into_response(self, retry_after_s: u64) -> Response {
        let (line, column) = self.position.unzip();
        let error = Error {
            code: self.code,
            message: self.message,
            line,
            column,
        };
        json(self.status, &ErrorAnswer { error }, retry_after_s)
    }
}

#[derive(Serialize)]
struct ErrorAnswer {
    error: Error,
}

#[derive(Serialize)]
struct Error {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        let (status, code) = match error {
            BodyError::Unsupported(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            BodyError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            BodyError::Damaged { .. } => (StatusCode::BAD_REQUEST, "damaged_body"),
            BodyError::Broken(_) => (StatusCode::BAD_REQUEST, "broken_body"),
            BodyError::Crowded => (StatusCode::TOO_MANY_REQUESTS, "crowded"),
        };
        Self {
            status,
            code,
            message: error.to_string(),
            position: None,
        }
    }
}

impl From<SplitError> for Refused {
    fn from(error: SplitError) -> Self {
        let message = error.to_string();
        match error {
            SplitError::Malformed { line, column, .. } => {
                let status = StatusCode::BAD_REQUEST;
                Self {
                    status,
                    code: "malformed_json",
                    message,
                    position: Some((line, column)),
                }
            }
            SplitError::TooMany { .. } => Self {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                code: "too_many_events",
                message,
                position: None,
            },
            SplitError::Empty => Self {
                status: StatusCode::BAD_REQUEST,
                code: "no_event",
                message,
                position: None,
            },
        }
    }
}

/// A JSON answer; one that asks to come again says when.
pub fn json(status: StatusCode, body: &impl Serialize, retry_after_s: u64) -> Response {
    let text = serde_json::to_string(body).unwrap_or_else(|_| "{}".to_owned());
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    ) {
        headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_s));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::Violation;

    fn answer(accepted: usize, invalid: usize, too_large: usize, unknown: usize) -> u16 {
        let refused = |code| {
            let violation = Violation {
                pointer: String::new(),
                expected: String::new(),
                got: None,
            };
            Rejected::new(0, None, Refusal { code, violation })
        };
        let at = Position {
            partition: 0,
            offset: 0,
        };
        let answer = Answer {
            accepted: (0..accepted)
                .map(|index| Accepted::new(index, String::new(), String::new(), at))
                .collect(),
            rejected: (0..invalid)
                .map(|_| refused("invalid"))
                .chain((0..too_large).map(|_| refused("too_large")))
                .collect(),
            unknown: (0..unknown)
                .map(|index| Unknown {
                    index,
                    event_id: String::new(),
                    workflow_id: String::new(),
                    reason: String::new(),
                })
                .collect(),
        };
        answer.status().as_u16()
    }

    #[test]
    fn the_status_says_what_the_sender_does_next() {
        assert_eq!(answer(2, 0, 0, 0), 200);
        assert_eq!(answer(1, 1, 0, 0), 207);
        assert_eq!(answer(1, 0, 1, 0), 207);
        assert_eq!(answer(0, 2, 0, 0), 400);
        assert_eq!(answer(0, 1, 1, 0), 400);
        assert_eq!(answer(0, 0, 2, 0), 413);
        assert_eq!(answer(5, 0, 0, 1), 503);
        assert_eq!(answer(0, 1, 0, 1), 503);
    }
}
