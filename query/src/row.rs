//! One row of an answer, by column name: the way from Arrow back to plain values.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::record_batch::RecordBatch;
use serde::de::DeserializeOwned;

use crate::Error;

/// A value that is not what its column promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub(crate) struct Bad {
    column: String,
    message: String,
}

impl Bad {
    /// The error that a caller sees, who knows the row by its workflow.
    pub(crate) fn into_error(self, table: &str, workflow_id: &str) -> Error {
        Error::Engine(format!(
            "a row of {table} of workflow {workflow_id} cannot be read back: {self}"
        ))
    }
}

/// The rows of some batches.
pub(crate) fn rows(batches: &[RecordBatch]) -> impl Iterator<Item = Row<'_>> {
    batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(move |index| Row { batch, index }))
}

/// A text as SQL writes it.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    batch: &'a RecordBatch,
    index: usize,
}

impl Row<'_> {
    pub(crate) fn text(&self, column: &str) -> Result<String, Bad> {
        self.needed(column, Self::text_if)
    }

    pub(crate) fn text_if(&self, column: &str) -> Result<Option<String>, Bad> {
        let cell = self.cell(column, &DataType::Utf8)?;
        let texts = cell.as_string::<i32>();
        Ok(texts.is_valid(0).then(|| texts.value(0).to_owned()))
    }

    pub(crate) fn int(&self, column: &str) -> Result<i64, Bad> {
        self.needed(column, Self::int_if)
    }

    pub(crate) fn int_if(&self, column: &str) -> Result<Option<i64>, Bad> {
        let cell = self.cell(column, &DataType::Int64)?;
        Ok(cell
            .is_valid(0)
            .then(|| cell.as_primitive::<Int64Type>().value(0)))
    }

    pub(crate) fn real(&self, column: &str) -> Result<f64, Bad> {
        self.needed(column, Self::real_if)
    }

    pub(crate) fn real_if(&self, column: &str) -> Result<Option<f64>, Bad> {
        let cell = self.cell(column, &DataType::Float64)?;
        Ok(cell
            .is_valid(0)
            .then(|| cell.as_primitive::<Float64Type>().value(0)))
    }

    /// Microseconds since 1970 UTC.
    pub(crate) fn time(&self, column: &str) -> Result<i64, Bad> {
        self.needed(column, Self::time_if)
    }

    /// Microseconds since 1970 UTC.
    pub(crate) fn time_if(&self, column: &str) -> Result<Option<i64>, Bad> {
        let cell = self.cell(
            column,
            &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        )?;
        Ok(cell
            .is_valid(0)
            .then(|| cell.as_primitive::<TimestampMicrosecondType>().value(0)))
    }

    /// A list of texts; empty where there is none.
    pub(crate) fn texts(&self, column: &str) -> Result<Vec<String>, Bad> {
        let cell = self.batch_column(column)?.slice(self.index, 1);
        let Some(list) = cell.as_list_opt::<i32>() else {
            return Err(bad(
                column,
                format!("is {}, expected a list", cell.data_type()),
            ));
        };
        if list.is_null(0) {
            return Ok(Vec::new());
        }
        let texts = cast(&list.value(0), &DataType::Utf8).map_err(|error| bad(column, error))?;
        Ok(texts
            .as_string::<i32>()
            .iter()
            .flatten()
            .map(str::to_owned)
            .collect())
    }

    /// A word of a closed list, as the types of `schemas` read it.
    pub(crate) fn symbol<T: DeserializeOwned>(&self, column: &str) -> Result<T, Bad> {
        serde_json::from_value(self.text(column)?.into()).map_err(|error| bad(column, error))
    }

    /// A word of a closed list, where there is one.
    pub(crate) fn symbol_if<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, Bad> {
        match self.text_if(column)? {
            Some(word) => serde_json::from_value(word.into())
                .map(Some)
                .map_err(|error| bad(column, error)),
            None => Ok(None),
        }
    }

    /// Yes or no, where it is said.
    pub(crate) fn flag_if(&self, column: &str) -> Result<Option<bool>, Bad> {
        let cell = self.cell(column, &DataType::Boolean)?;
        let flags = cell.as_boolean();
        Ok(flags.is_valid(0).then(|| flags.value(0)))
    }

    /// A value that stands as JSON text; its default where there is none.
    pub(crate) fn json_or_default<T: DeserializeOwned + Default>(
        &self,
        column: &str,
    ) -> Result<T, Bad> {
        match self.text_if(column)? {
            Some(text) => serde_json::from_str(&text).map_err(|error| bad(column, error)),
            None => Ok(T::default()),
        }
    }

    fn needed<T>(
        &self,
        column: &str,
        get: impl Fn(&Self, &str) -> Result<Option<T>, Bad>,
    ) -> Result<T, Bad> {
        get(self, column)?.ok_or_else(|| bad(column, "has no value"))
    }

    fn cell(&self, column: &str, wanted: &DataType) -> Result<ArrayRef, Bad> {
        cast(&self.batch_column(column)?.slice(self.index, 1), wanted)
            .map_err(|error| bad(column, error))
    }

    fn batch_column(&self, column: &str) -> Result<&ArrayRef, Bad> {
        self.batch
            .column_by_name(column)
            .ok_or_else(|| bad(column, "is not there"))
    }
}

fn bad(column: &str, message: impl ToString) -> Bad {
    Bad {
        column: column.to_owned(),
        message: message.to_string(),
    }
}
