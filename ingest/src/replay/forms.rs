//! What lines of files become: events, or the reason why not. Knows the two forms and tells them apart line by line.
//!
//! Bound: the lines of one trace of the neutral form, which are held to look ahead; a longer trace is mapped in parts.

use std::path::Path;

use serde_json::Value;

use schemas::{Event, validate};

use super::neutral::{self, Neutral};
use super::source::{Read, Source};
use super::{Error, Options, own};
use crate::cut::cut_text;

/// What became of a line.
#[derive(Debug)]
pub(super) struct Taken {
    /// `file:line`.
    pub(super) place: String,
    /// Its event, or why it has none.
    pub(super) event: Result<Event, String>,
}

/// What is remembered from line to line.
#[derive(Debug, Default)]
pub(super) struct Forms {
    neutral: Neutral,
    /// Lines of one trace of the neutral form, with their places.
    held: Vec<(String, neutral::Line)>,
}

impl Forms {
    /// Takes a line; `out` gets what is known to be whole by now.
    pub(super) fn line(
        &mut self,
        place: String,
        text: &[u8],
        options: &Options,
        out: &mut Vec<Taken>,
    ) {
        let value: Value = match serde_json::from_slice(text) {
            Ok(value) => value,
            Err(error) => return out.push(refused(place, format!("no JSON: {error}"))),
        };
        if !neutral::is_neutral(&value) {
            self.release(options, out);
            let event = own::event(&value).map_err(|violation| violation.to_string());
            return out.push(checked(place, event, options));
        }
        match neutral::Line::read(value) {
            Ok(line) => {
                let is_other = self
                    .held
                    .last()
                    .is_some_and(|(_, held)| held.trace_id != line.trace_id);
                if is_other || self.held.len() >= options.trace_lines_max {
                    self.release(options, out);
                }
                self.held.push((place, line));
            }
            Err(reason) => out.push(refused(place, reason)),
        }
    }

    /// Maps the lines of the trace that is held.
    pub(super) fn release(&mut self, options: &Options, out: &mut Vec<Taken>) {
        let held = std::mem::take(&mut self.held);
        let (places, lines): (Vec<String>, Vec<neutral::Line>) = held.into_iter().unzip();
        let events = self.neutral.map(lines);
        out.extend(
            places
                .into_iter()
                .zip(events)
                .map(|(place, event)| checked(place, Ok(event), options)),
        );
    }

    /// Forgets the lines that are held.
    pub(super) fn clear(&mut self) {
        self.held.clear();
    }
}

fn refused(place: String, reason: String) -> Taken {
    Taken {
        place,
        event: Err(reason),
    }
}

/// The event as it may be sent: cut to the limit, and valid.
fn checked(place: String, event: Result<Event, String>, options: &Options) -> Taken {
    let event = event.and_then(|mut event| {
        cut_text(&mut event, options.text_bytes_max);
        match validate(&event.borrowed()) {
            Ok(()) => Ok(event),
            Err(violation) => Err(violation.to_string()),
        }
    });
    Taken { place, event }
}

/// What [`events`] tells, in the order of the files.
#[derive(Debug)]
pub enum Item<'a> {
    /// A line is this event.
    Event(Box<Event>),
    /// A line was refused.
    Refused {
        /// `file:line`.
        place: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// So many bytes of the file were read, as they lie on the disk.
    Read(u64),
}

/// Reads a file as [`super::run`] would, event by event, and sends nothing.
pub fn events(path: &Path, options: &Options, take: &mut dyn FnMut(Item<'_>)) -> Result<(), Error> {
    let mut source = Source::open(path, options.line_bytes_max)?;
    let name = path.display();
    let mut forms = Forms::default();
    let mut taken = Vec::new();
    loop {
        match source.next_line() {
            Ok(Read::End) => break,
            Ok(Read::Line { number, text }) => {
                forms.line(format!("{name}:{number}"), text, options, &mut taken);
            }
            Ok(Read::TooLong { number }) => taken.push(refused(
                format!("{name}:{number}"),
                format!("longer than {} bytes", options.line_bytes_max),
            )),
            Err(error) => {
                let place = format!("{name}:{}", source.lines_read() + 1);
                let reason = format!("the rest of the file cannot be read: {error}");
                taken.push(refused(place, reason));
                break;
            }
        }
        hand_over(&mut taken, take);
        if source.lines_read().is_multiple_of(super::REPORT_LINES) {
            take(Item::Read(source.bytes_read()));
        }
    }
    forms.release(options, &mut taken);
    hand_over(&mut taken, take);
    take(Item::Read(source.bytes_read()));
    Ok(())
}

fn hand_over(taken: &mut Vec<Taken>, take: &mut dyn FnMut(Item<'_>)) {
    for Taken { place, event } in taken.drain(..) {
        match event {
            Ok(event) => take(Item::Event(Box::new(event))),
            Err(reason) => take(Item::Refused {
                place: &place,
                reason: &reason,
            }),
        }
    }
}
