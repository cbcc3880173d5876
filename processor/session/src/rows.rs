//! Changelog rows: how the state of a shard is written down and put back (P-1).
//!
//! A workflow is a header row, which holds its open chunk of notes, and full chunks of notes, written once. So the cost
//! of a commit does not grow with the length of the workflow. What a partition has learnt over its workflows is a row
//! for each kind of stay. Values begin with a version; a shard does not start on
//! rows of another version, because guessing at state would be worse than rebuilding it from the events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::input::Commit;
use crate::notes::{CHUNK_NOTES, Note, Notes};
use crate::sojourns::Sketch;
use crate::workflow::Workflow;

/// Version of the layout of the rows' values. Grows with every change of the state's types.
const VERSION: u8 = 4;

/// A changelog row that cannot be put back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Not one of our keys.
    #[error(
        "changelog row has an unknown key of {bytes} bytes; the topic holds something else than processor state"
    )]
    UnknownKey {
        /// Length of the key.
        bytes: usize,
    },
    /// Written by another version of the program.
    #[error(
        "changelog row has layout version {found}, this program reads {VERSION}; run the version that wrote it, or \
         delete the changelog topic and the group's offsets to rebuild the state from the events"
    )]
    Version {
        /// Version of the row.
        found: u8,
    },
    /// Does not decode.
    #[error("changelog row of workflow {workflow_id} is damaged: {message}")]
    Damaged {
        /// The workflow.
        workflow_id: String,
        /// What the decoder says.
        message: String,
    },
    /// A chunk of notes is missing.
    #[error("chunk {chunk} of the notes of workflow {workflow_id} is missing from the changelog")]
    MissingChunk {
        /// The workflow.
        workflow_id: String,
        /// The chunk.
        chunk: u32,
    },
}

/// Key of a row.
pub(crate) enum RowKey<'a> {
    Header(&'a str),
    Chunk(&'a str, u32),
    Forgotten(u64),
    Sojourn(u64),
}

impl RowKey<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Header(id) => [b"h", id.as_bytes()].concat(),
            Self::Chunk(id, chunk) => {
                [b"c", chunk.to_be_bytes().as_slice(), id.as_bytes()].concat()
            }
            Self::Forgotten(hash) => [b"f", hash.to_be_bytes().as_slice()].concat(),
            Self::Sojourn(kind) => [b"s", kind.to_be_bytes().as_slice()].concat(),
        }
    }

    fn decode(key: &[u8]) -> Option<RowKey<'_>> {
        let (kind, rest) = key.split_first()?;
        match kind {
            b'h' => Some(RowKey::Header(std::str::from_utf8(rest).ok()?)),
            b'c' => {
                let (chunk, id) = rest.split_first_chunk::<4>()?;
                Some(RowKey::Chunk(
                    std::str::from_utf8(id).ok()?,
                    u32::from_be_bytes(*chunk),
                ))
            }
            b'f' => Some(RowKey::Forgotten(u64::from_be_bytes(rest.try_into().ok()?))),
            b's' => Some(RowKey::Sojourn(u64::from_be_bytes(rest.try_into().ok()?))),
            _ => None,
        }
    }
}

#[derive(Serialize)]
struct HeaderRef<'a> {
    first_chunk: u32,
    open_notes: &'a [Note],
    workflow: &'a Workflow,
}

#[derive(Deserialize)]
struct Header {
    first_chunk: u32,
    open_notes: Vec<Note>,
    workflow: Workflow,
}

pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    bytes.push(VERSION);
    postcard::to_extend(value, bytes)
        .expect("state has no maps of unknown length and memory takes the bytes")
}

fn header(workflow: &Workflow) -> Vec<u8> {
    let notes = &workflow.notes;
    encode(&HeaderRef {
        first_chunk: notes.first() / CHUNK_NOTES as u32,
        open_notes: notes.chunk(notes.open_chunk()),
        workflow,
    })
}

/// The rows of a workflow that have changed since the last commit.
pub(crate) fn write(workflow: &mut Workflow, commit: &mut Commit) {
    for chunk in workflow.chunks_gone.drain(..) {
        commit
            .rows
            .push((RowKey::Chunk(&workflow.id, chunk).encode(), None));
    }
    let first = workflow.notes.first() / CHUNK_NOTES as u32;
    for chunk in workflow.chunks_written.max(first)..workflow.notes.open_chunk() {
        let key = RowKey::Chunk(&workflow.id, chunk).encode();
        commit
            .rows
            .push((key, Some(encode(&workflow.notes.chunk(chunk)))));
    }
    workflow.chunks_written = workflow.notes.open_chunk();
    commit.rows.push((
        RowKey::Header(&workflow.id).encode(),
        Some(header(workflow)),
    ));
}

/// Every row of a workflow.
pub(crate) fn all(workflow: &Workflow, rows: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    for chunk in workflow.notes.first() / CHUNK_NOTES as u32..workflow.notes.open_chunk() {
        rows.push((
            RowKey::Chunk(&workflow.id, chunk).encode(),
            encode(&workflow.notes.chunk(chunk)),
        ));
    }
    rows.push((RowKey::Header(&workflow.id).encode(), header(workflow)));
}

/// A workflow as bytes: one that is closed, or that is open and has not changed for long.
pub(crate) struct Packed {
    pub(crate) closed_at: Option<i64>,
    /// Stream time at which it has something to do.
    pub(crate) deadline: i64,
    pub(crate) chunks_written: u32,
    /// The header row, compressed.
    header: Box<[u8]>,
    full_notes: Box<[Note]>,
}

impl Packed {
    /// Of a workflow that has not changed since its rows were written. None where it has let notes go: what is known of
    /// them besides would be lost.
    pub(crate) fn pack(workflow: &Workflow, config: &Config) -> Option<Self> {
        let notes = &workflow.notes;
        let full = (notes.first() / CHUNK_NOTES as u32..notes.open_chunk())
            .flat_map(|chunk| notes.chunk(chunk));
        if notes.first() > 0 && workflow.closed_at.is_none() {
            return None;
        }
        Some(Self {
            closed_at: workflow.closed_at,
            deadline: workflow.deadline(config),
            chunks_written: workflow.chunks_written,
            full_notes: full.copied().collect(),
            header: lz4_flex::block::compress_prepend_size(&header(workflow)).into(),
        })
    }

    pub(crate) fn unpack(&self) -> Option<Workflow> {
        let header = lz4_flex::block::decompress_size_prepended(&self.header).ok()?;
        let header: Header = postcard::from_bytes(header.get(1..)?).ok()?;
        let mut notes = self.full_notes.to_vec();
        notes.extend(header.open_notes);
        let mut workflow = header.workflow;
        workflow.notes = Notes::restore(header.first_chunk, notes);
        Some(workflow)
    }
}

/// Rows that are being put back.
#[derive(Default)]
pub(crate) struct Restoring {
    headers: BTreeMap<String, Vec<u8>>,
    chunks: BTreeMap<(String, u32), Vec<u8>>,
    forgotten: hashbrown::HashSet<u64>,
    sojourns: BTreeMap<u64, Vec<u8>>,
}

/// What the rows held.
pub(crate) struct Restored {
    pub(crate) workflows: Vec<Workflow>,
    pub(crate) forgotten: Vec<u64>,
    pub(crate) sojourns: Vec<(u64, Sketch)>,
}

impl Restoring {
    pub(crate) fn row(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        let Some(key) = RowKey::decode(key) else {
            return Err(RestoreError::UnknownKey { bytes: key.len() });
        };
        match (key, value) {
            (RowKey::Header(id), Some(value)) => {
                self.headers.insert(id.to_owned(), value.to_vec());
            }
            (RowKey::Header(id), None) => {
                self.headers.remove(id);
            }
            (RowKey::Chunk(id, chunk), Some(value)) => {
                self.chunks.insert((id.to_owned(), chunk), value.to_vec());
            }
            (RowKey::Chunk(id, chunk), None) => {
                self.chunks.remove(&(id.to_owned(), chunk));
            }
            (RowKey::Forgotten(hash), Some(_)) => {
                self.forgotten.insert(hash);
            }
            (RowKey::Forgotten(hash), None) => {
                self.forgotten.remove(&hash);
            }
            (RowKey::Sojourn(kind), Some(value)) => {
                self.sojourns.insert(kind, value.to_vec());
            }
            (RowKey::Sojourn(kind), None) => {
                self.sojourns.remove(&kind);
            }
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Restored, RestoreError> {
        let mut workflows = Vec::with_capacity(self.headers.len());
        for (id, bytes) in std::mem::take(&mut self.headers) {
            let header: Header = decode(&id, &bytes)?;
            let mut notes = Vec::new();
            let mut workflow = header.workflow;
            for chunk in header.first_chunk..workflow.chunks_written {
                let Some(bytes) = self.chunks.remove(&(id.clone(), chunk)) else {
                    return Err(RestoreError::MissingChunk {
                        workflow_id: id,
                        chunk,
                    });
                };
                notes.extend(decode::<Vec<Note>>(&id, &bytes)?);
            }
            notes.extend(header.open_notes);
            workflow.notes = Notes::restore(header.first_chunk, notes);
            workflows.push(workflow);
        }
        // The changelog does not keep the order in which they were let go; any order serves as well.
        let mut forgotten: Vec<u64> = self.forgotten.into_iter().collect();
        forgotten.sort_unstable();
        let sojourns = std::mem::take(&mut self.sojourns).into_iter();
        let sojourns = sojourns
            .map(|(kind, bytes)| Ok((kind, decode("(usual lengths)", &bytes)?)))
            .collect::<Result<_, RestoreError>>()?;
        Ok(Restored {
            workflows,
            forgotten,
            sojourns,
        })
    }
}

fn decode<T: serde::de::DeserializeOwned>(id: &str, bytes: &[u8]) -> Result<T, RestoreError> {
    match bytes.split_first() {
        Some((&VERSION, value)) => {
            postcard::from_bytes(value).map_err(|error| RestoreError::Damaged {
                workflow_id: id.to_owned(),
                message: error.to_string(),
            })
        }
        Some((found, _)) => Err(RestoreError::Version { found: *found }),
        None => Err(RestoreError::Damaged {
            workflow_id: id.to_owned(),
            message: "empty value".to_owned(),
        }),
    }
}
