//! Answers as bytes: CSV, JSON, lines of JSON, an Arrow stream, Parquet. Written batch by batch, whatever their size.
//!
//! Tables for people are not here; the shell draws them.

use std::io::{self, Write};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use datafusion::arrow::csv;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::arrow::json::writer::{
    JsonArray, LineDelimited, Writer as JsonWriter, WriterBuilder,
};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A head and lines, RFC 4180; lists as JSON text, nulls as nothing.
    Csv,
    /// One array of objects.
    Json,
    /// An object on each line.
    Ndjson,
    /// An Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

/// Writes one answer.
pub struct Sink<W: Write + Send>(Inner<W>);

enum Inner<W: Write + Send> {
    Csv {
        writer: Box<csv::Writer<W>>,
        flat: SchemaRef,
    },
    Json(JsonWriter<W, JsonArray>),
    Ndjson(JsonWriter<W, LineDelimited>),
    Arrow(Box<StreamWriter<W>>),
    Parquet(Box<ArrowWriter<W>>),
}

impl<W: Write + Send> Sink<W> {
    /// Begins an answer with these columns.
    pub fn new(format: Format, schema: &SchemaRef, out: W) -> io::Result<Self> {
        Ok(Self(match format {
            Format::Csv => {
                let flat = flat_schema(schema);
                let mut writer = Box::new(csv::WriterBuilder::new().with_header(true).build(out));
                // The head also where no row follows.
                writer
                    .write(&RecordBatch::new_empty(Arc::clone(&flat)))
                    .map_err(io_error)?;
                Inner::Csv { writer, flat }
            }
            Format::Json => Inner::Json(WriterBuilder::new().with_explicit_nulls(true).build(out)),
            Format::Ndjson => {
                Inner::Ndjson(WriterBuilder::new().with_explicit_nulls(true).build(out))
            }
            Format::Arrow => Inner::Arrow(Box::new(
                StreamWriter::try_new(out, schema).map_err(io_error)?,
            )),
            Format::Parquet => Inner::Parquet(Box::new(
                ArrowWriter::try_new(out, Arc::clone(schema), None).map_err(parquet_error)?,
            )),
        }))
    }

    /// Writes some rows.
    pub fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        match &mut self.0 {
            Inner::Csv { writer, flat } => writer
                .write(&flat_batch(batch, flat).map_err(io_error)?)
                .map_err(io_error),
            Inner::Json(writer) => writer.write(batch).map_err(io_error),
            Inner::Ndjson(writer) => writer.write(batch).map_err(io_error),
            Inner::Arrow(writer) => writer.write(batch).map_err(io_error),
            Inner::Parquet(writer) => writer.write(batch).map_err(parquet_error),
        }
    }

    /// Ends the answer. Without it the last bytes may be missing.
    pub fn finish(self) -> io::Result<()> {
        match self.0 {
            Inner::Csv { writer, .. } => writer.into_inner().flush(),
            Inner::Json(mut writer) => {
                writer.finish().map_err(io_error)?;
                let mut out = writer.into_inner();
                out.write_all(b"\n")?;
                out.flush()
            }
            Inner::Ndjson(mut writer) => {
                writer.finish().map_err(io_error)?;
                writer.into_inner().flush()
            }
            Inner::Arrow(writer) => writer.into_inner().map_err(io_error)?.flush(),
            Inner::Parquet(writer) => writer.into_inner().map_err(parquet_error)?.flush(),
        }
    }
}

/// CSV has no lists: they become JSON text.
fn flat_schema(schema: &SchemaRef) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .map(|field| match field.data_type().is_nested() {
            true => Arc::new(Field::new(field.name(), DataType::Utf8, true)),
            false => Arc::clone(field),
        });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn flat_batch(batch: &RecordBatch, flat: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .map(|column| match column.data_type().is_nested() {
            true => json_text(column),
            false => Ok(Arc::clone(column)),
        });
    RecordBatch::try_new(Arc::clone(flat), columns.collect::<Result<_, _>>()?)
}

/// Lists of texts as JSON arrays; anything else that is nested as Arrow shows it.
fn json_text(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let mut texts = StringBuilder::new();
    let list = column.as_list_opt::<i32>();
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    for row in 0..column.len() {
        if column.is_null(row) {
            texts.append_null();
        } else if let Some(list) = list {
            let elements = list.value(row);
            let elements =
                ArrayFormatter::try_new(elements.as_ref(), &options).map(|formatter| {
                    (0..elements.len())
                        .map(|index| formatter.value(index).to_string())
                        .collect::<Vec<_>>()
                })?;
            texts.append_value(
                serde_json::to_string(&elements)
                    .map_err(|error| ArrowError::ExternalError(error.into()))?,
            );
        } else {
            texts.append_value(formatter.value(row).to_string());
        }
    }
    Ok(Arc::new(texts.finish()))
}

/// An error of the disk or pipe stays one, so that a closed pipe is known for what it is.
fn io_error(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        ArrowError::ExternalError(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        other => io::Error::other(other),
    }
}

fn parquet_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        other => io::Error::other(other),
    }
}
