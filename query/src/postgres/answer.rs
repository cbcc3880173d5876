//! Rows to the wire: data rows in text or binary, `copy` text, cursors; and what an error is called there.
//!
//! Owns the types that clients get. Each row passes once; nothing is collected.

use std::io::Write as _;
use std::sync::Arc;

use arrow_pg::datatypes::{arrow_schema_to_pg_fields, encode_recordbatch};
use bytes::{BufMut as _, Bytes, BytesMut};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::{Stream, StreamExt, stream};
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::{CopyResponse, FieldInfo, QueryResponse};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::copy::CopyData;
use pgwire::messages::data::DataRow;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use super::statement::CopyText;
use crate::archive_table::JSON_MARK;
use crate::{Error, Rows};

/// The columns of an answer as clients know them.
pub(super) fn fields(schema: &SchemaRef, format: &Format) -> PgWireResult<Arc<Vec<FieldInfo>>> {
    let columns = schema.fields().len();
    if let Format::Individual(codes) = format
        && codes.len() != columns
    {
        return Err(user_error(
            "08P01",
            format!("{} formats were given for {columns} columns", codes.len()),
        ));
    }
    let mut fields = arrow_schema_to_pg_fields(&sendable(schema), format, None)?;
    for (field, column) in fields.iter_mut().zip(schema.fields()) {
        // The type json is sent as its text, in both formats.
        if column.metadata().contains_key(JSON_MARK) && *field.datatype() == Type::TEXT {
            *field = FieldInfo::new(
                field.name().to_owned(),
                None,
                None,
                Type::JSON,
                field.format(),
            );
        }
    }
    Ok(Arc::new(fields))
}

/// The rows of an answer, each on its way when it is computed.
pub(super) fn query(
    rows: Rows,
    format: &Format,
    stop: CancellationToken,
) -> PgWireResult<QueryResponse> {
    let fields = fields(&rows.schema(), format)?;
    let sent = data_rows(rows.on_own_task(), Arc::clone(&fields), stop);
    Ok(QueryResponse::new(fields, sent))
}

/// Rows as they go over the wire, until they end or the statement is stopped.
fn data_rows(
    batches: impl Stream<Item = Result<RecordBatch, Error>> + Send + 'static,
    fields: Arc<Vec<FieldInfo>>,
    stop: CancellationToken,
) -> impl Stream<Item = PgWireResult<DataRow>> + Send + 'static {
    until_stopped(batches, stop)
        .map(move |batch| {
            let rows: Box<dyn Iterator<Item = PgWireResult<DataRow>> + Send> =
                match batch.and_then(|batch| to_sendable(&batch)) {
                    Ok(batch) => encode_recordbatch(Arc::clone(&fields), batch),
                    Err(error) => Box::new(std::iter::once(Err(error))),
                };
            stream::iter(rows)
        })
        .flatten()
}

fn until_stopped(
    batches: impl Stream<Item = Result<RecordBatch, Error>> + Send + 'static,
    stop: CancellationToken,
) -> impl Stream<Item = PgWireResult<RecordBatch>> + Send + 'static {
    stream::try_unfold(
        (Box::pin(batches), stop),
        |(mut batches, stop)| async move {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(PgWireError::QueryCanceled),
                next = batches.next() => next,
            };
            match next {
                Some(Ok(batch)) => Ok(Some((batch, (batches, stop)))),
                Some(Err(error)) => Err(told(&error)),
                None => Ok(None),
            }
        },
    )
}

/// A cursor: a query that is read in parts.
pub(super) struct Cursor {
    rows: Rows,
    left: Option<RecordBatch>,
}

impl Cursor {
    pub(super) fn new(rows: Rows) -> Self {
        Self {
            rows: rows.on_own_task(),
            left: None,
        }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    /// At most this many rows more.
    async fn next(&mut self, rows_max: usize) -> Option<Result<RecordBatch, Error>> {
        let batch = match self.left.take() {
            Some(batch) => batch,
            None => loop {
                match self.rows.next().await? {
                    Ok(batch) if batch.num_rows() == 0 => {}
                    Ok(batch) => break batch,
                    Err(error) => return Some(Err(error)),
                }
            },
        };
        if batch.num_rows() > rows_max {
            self.left = Some(batch.slice(rows_max, batch.num_rows() - rows_max));
        }
        Some(Ok(batch.slice(0, rows_max.min(batch.num_rows()))))
    }
}

/// The next rows of a cursor; all that are left where no number is given.
pub(super) fn fetch(
    cursor: OwnedMutexGuard<Cursor>,
    rows: Option<u64>,
    format: &Format,
    stop: CancellationToken,
) -> PgWireResult<QueryResponse> {
    let fields = fields(&cursor.schema(), format)?;
    let batches = stream::unfold(
        (cursor, rows.unwrap_or(u64::MAX)),
        |(mut cursor, wanted)| async move {
            if wanted == 0 {
                return None;
            }
            let batch = cursor
                .next(usize::try_from(wanted).unwrap_or(usize::MAX))
                .await?;
            let got = batch
                .as_ref()
                .map_or(wanted, |batch| batch.num_rows() as u64);
            Some((batch, (cursor, wanted - got)))
        },
    );
    let mut response = QueryResponse::new(Arc::clone(&fields), data_rows(batches, fields, stop));
    response.command_tag = "FETCH".to_owned();
    Ok(response)
}

/// One row of text, for `show`.
pub(super) fn text(name: &str, value: &str, format: &Format) -> PgWireResult<QueryResponse> {
    let schema = Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8, false)]));
    let column = datafusion::arrow::array::StringArray::from(vec![value]);
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(column)])
        .map_err(|error| PgWireError::ApiError(Box::new(error)))?;
    let fields = fields(&schema, format)?;
    let sent = data_rows(
        stream::iter([Ok(batch)]),
        Arc::clone(&fields),
        CancellationToken::new(),
    );
    let mut response = QueryResponse::new(fields, sent);
    response.command_tag = "SHOW".to_owned();
    Ok(response)
}

/// The rows of an answer as `copy … to stdout` writes them.
pub(super) fn copy(
    rows: Rows,
    how: CopyText,
    stop: CancellationToken,
) -> PgWireResult<CopyResponse> {
    let fields = fields(&rows.schema(), &Format::UnifiedText)?;
    let columns = fields.len();
    let mut head = BytesMut::new();
    if how.has_header {
        let names: Vec<Option<Bytes>> = fields
            .iter()
            .map(|field| Some(Bytes::copy_from_slice(field.name().as_bytes())))
            .collect();
        write_line(&mut head, &names, &how);
    }
    let lines = data_rows(rows.on_own_task(), fields, stop).map(move |row| {
        let mut line = BytesMut::new();
        write_line(&mut line, &values(row?)?, &how);
        Ok(CopyData::new(line.freeze()))
    });
    // The protocol counts messages as rows, so each line is one; the head is none of them, and goes with the first.
    let head = (!head.is_empty()).then(|| head.freeze());
    let sent = lines
        .map(Some)
        .chain(stream::iter([None]))
        .scan(head, |head, line: Option<PgWireResult<CopyData>>| {
            let sent = match (head.take(), line) {
                (Some(head), Some(Ok(line))) => {
                    let mut both = BytesMut::with_capacity(head.len() + line.data.len());
                    both.extend_from_slice(&head);
                    both.extend_from_slice(&line.data);
                    Some(Ok(CopyData::new(both.freeze())))
                }
                (Some(head), None) => Some(Ok(CopyData::new(head))),
                (_, line) => line,
            };
            std::future::ready(Some(sent))
        })
        .filter_map(std::future::ready);
    Ok(CopyResponse::new(0, columns, sent))
}

/// The values of a row that is ready for the wire: a length and that many bytes for each, -1 for null.
fn values(row: DataRow) -> PgWireResult<Vec<Option<Bytes>>> {
    let mut data = row.data.freeze();
    let mut values = Vec::new();
    for _ in 0..row.field_count {
        let broken = || user_error("XX000", "a row could not be encoded".to_owned());
        let length = data.get(..4).ok_or_else(broken)?;
        let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        data = data.slice(4..);
        match usize::try_from(length) {
            Err(_) => values.push(None),
            Ok(length) if length <= data.len() => values.push(Some(data.split_to(length))),
            Ok(_) => return Err(broken()),
        }
    }
    Ok(values)
}

fn write_line(line: &mut BytesMut, values: &[Option<Bytes>], how: &CopyText) {
    for (nth, value) in values.iter().enumerate() {
        if nth > 0 {
            line.put_u8(how.delimiter);
        }
        match value {
            None => line.extend_from_slice(how.null.as_bytes()),
            Some(value) if how.is_csv => write_csv(line, value, how),
            Some(value) => write_text(line, value, how),
        }
    }
    line.put_u8(b'\n');
}

/// Quoted where it has to be, and where it would else be read as null.
fn write_csv(line: &mut BytesMut, value: &[u8], how: &CopyText) {
    let special = |byte: &u8| [how.delimiter, how.quote, b'\n', b'\r'].contains(byte);
    if value != how.null.as_bytes() && !value.iter().any(special) {
        return line.extend_from_slice(value);
    }
    line.put_u8(how.quote);
    for byte in value {
        if *byte == how.quote {
            line.put_u8(how.quote);
        }
        line.put_u8(*byte);
    }
    line.put_u8(how.quote);
}

fn write_text(line: &mut BytesMut, value: &[u8], how: &CopyText) {
    for byte in value {
        match byte {
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            byte if *byte == how.delimiter => {
                let _ = write!(line.writer(), "\\{}", char::from(*byte));
            }
            byte => line.put_u8(*byte),
        }
    }
}

/// The type that a column is sent as: the wire has no bytes as numbers and no unsigned numbers.
fn sent_as(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Int8 | DataType::UInt8 => Some(DataType::Int16),
        DataType::UInt16 => Some(DataType::Int32),
        DataType::UInt32 | DataType::UInt64 => Some(DataType::Int64),
        DataType::Float16 => Some(DataType::Float32),
        DataType::Date64 => Some(DataType::Date32),
        _ => None,
    }
}

fn sendable(schema: &SchemaRef) -> Schema {
    let fields = schema
        .fields()
        .iter()
        .map(|field| match sent_as(field.data_type()) {
            Some(other) => Arc::new(field.as_ref().clone().with_data_type(other)),
            None => Arc::clone(field),
        });
    Schema::new(fields.collect::<Vec<_>>())
}

fn to_sendable(batch: &RecordBatch) -> PgWireResult<RecordBatch> {
    if !batch
        .columns()
        .iter()
        .any(|column| sent_as(column.data_type()).is_some())
    {
        return Ok(batch.clone());
    }
    let columns = batch
        .columns()
        .iter()
        .map(|column| match sent_as(column.data_type()) {
            Some(other) => cast(column, &other),
            None => Ok(Arc::clone(column)),
        });
    let schema = Arc::new(sendable(&batch.schema()));
    columns
        .collect::<Result<Vec<_>, _>>()
        .and_then(|columns| RecordBatch::try_new(schema, columns))
        .map_err(|error| user_error("22003", error.to_string()))
}

pub(super) fn user_error(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(
        "ERROR".to_owned(),
        code.to_owned(),
        message,
    )))
}

/// Our error in the text of a statement: clients put a mark at its place.
pub(super) fn told_of(error: &Error, text: &str) -> PgWireError {
    match (told(error), error.place()) {
        (PgWireError::UserError(mut info), Some(place)) => {
            info.position = Some((place.offset(text) + 1).to_string());
            PgWireError::UserError(info)
        }
        (told, _) => told,
    }
}

/// Our error by PostgreSQL's names, by which clients decide what to do next.
pub(super) fn told(error: &Error) -> PgWireError {
    let message = error.to_string();
    let code = match error {
        Error::Refused { .. } => "25006",
        Error::TimeUp(_) => "57014",
        Error::TooManyRows(_) => "54000",
        Error::Limit(_) => "53400",
        Error::File { .. }
        | Error::Gone { .. }
        | Error::Folder { .. }
        | Error::Archive(_)
        | Error::Tail(_) => "58030",
        Error::Engine(_) => "XX000",
        Error::Settings(_) => "F0000",
        Error::Query { message, .. } if message.starts_with("this is no SQL") => "42601",
        Error::Query { message, .. } if message.starts_with("no table or view") => "42P01",
        Error::Query { message, .. } if message.starts_with("no column") => "42703",
        Error::Query { message, .. } if message.starts_with("no function") => "42883",
        Error::Query { .. } => "42000",
    };
    user_error(code, message)
}
