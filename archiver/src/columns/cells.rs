//! The cells of one column while rows are collected: Arrow builders that only the rows with a value touch.
//!
//! A row's cell is set at most once and in rising order of rows; the rows between become null when the next cell is
//! set or the column is finished. So a row costs what it holds, not what the table could hold.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder,
    ListBuilder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field};
use serde::Serialize;

/// What all cells have in common.
pub(crate) trait Cells {
    /// Bytes that the cells fill.
    fn bytes(&self) -> usize;
    /// The cells of `rows` rows as an array; none are left.
    fn finish(&mut self, rows: usize) -> ArrayRef;
}

/// What a list of texts is made of. The name is the one that the Parquet format asks for.
pub(crate) fn list_element() -> Field {
    Field::new("element", DataType::Utf8, true)
}

/// A builder, the value that it takes, and the bytes that it fills.
macro_rules! cells {
    ($($(#[$doc:meta])* $name:ident($builder:ty) takes $value:ty, $bytes:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Default)]
        pub(crate) struct $name($builder);

        impl $name {
            /// Sets the cell of a row.
            pub(crate) fn set(&mut self, row: usize, value: $value) {
                self.pad(row);
                self.0.append_value(value);
            }

            /// Sets the cell of a row if there is a value.
            #[allow(dead_code, reason = "not every kind of column is optional somewhere")]
            pub(crate) fn put(&mut self, row: usize, value: Option<$value>) {
                if let Some(value) = value {
                    self.set(row, value);
                }
            }

            fn pad(&mut self, row: usize) {
                use arrow::array::ArrayBuilder;
                debug_assert!(self.0.len() <= row, "a cell is set once");
                self.0.append_nulls(row - self.0.len());
            }
        }

        impl Cells for $name {
            fn bytes(&self) -> usize {
                let bytes: fn(&$builder) -> usize = $bytes;
                bytes(&self.0)
            }

            fn finish(&mut self, rows: usize) -> ArrayRef {
                self.pad(rows);
                Arc::new(self.0.finish())
            }
        }
    )+};
}

cells! {
    /// Cells of [`super::Kind::Text`].
    Text(StringBuilder) takes &str, |cells| cells.values_slice().len() + size_of_val(cells.offsets_slice());
    /// Cells of [`super::Kind::Bytes`].
    Bytes(BinaryBuilder) takes &[u8], |cells| cells.values_slice().len() + size_of_val(cells.offsets_slice());
    /// Cells of [`super::Kind::SmallInt`].
    SmallInt(Int32Builder) takes i32, |cells| size_of_val(cells.values_slice());
    /// Cells of [`super::Kind::Int`].
    Int(Int64Builder) takes i64, |cells| size_of_val(cells.values_slice());
    /// Cells of [`super::Kind::Real`].
    Real(Float64Builder) takes f64, |cells| size_of_val(cells.values_slice());
    /// Cells of [`super::Kind::Flag`].
    Flag(BooleanBuilder) takes bool, |cells| cells.values_slice().len();
}

/// Cells of [`super::Kind::Time`]: microseconds since 1970 UTC.
pub(crate) struct Time(TimestampMicrosecondBuilder);

impl Default for Time {
    fn default() -> Self {
        Self(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
    }
}

impl Time {
    /// Sets the cell of a row.
    pub(crate) fn set(&mut self, row: usize, value: i64) {
        self.pad(row);
        self.0.append_value(value);
    }

    /// Sets the cell of a row if there is a value.
    pub(crate) fn put(&mut self, row: usize, value: Option<i64>) {
        if let Some(value) = value {
            self.set(row, value);
        }
    }

    fn pad(&mut self, row: usize) {
        debug_assert!(self.0.values_slice().len() <= row, "a cell is set once");
        self.0.append_nulls(row - self.0.values_slice().len());
    }
}

impl Cells for Time {
    fn bytes(&self) -> usize {
        size_of_val(self.0.values_slice())
    }

    fn finish(&mut self, rows: usize) -> ArrayRef {
        self.pad(rows);
        Arc::new(self.0.finish())
    }
}

/// Cells of [`super::Kind::Json`].
#[derive(Default)]
pub(crate) struct Json {
    text: Text,
    scratch: Vec<u8>,
}

impl Json {
    /// Sets the cell of a row to a value's JSON text.
    pub(crate) fn set(&mut self, row: usize, value: &impl Serialize) {
        self.scratch.clear();
        serde_json::to_writer(&mut self.scratch, value)
            .expect("the keys of our types are text, and writing to memory does not fail");
        self.text.set(
            row,
            std::str::from_utf8(&self.scratch).expect("JSON is UTF-8"),
        );
    }

    /// Sets the cell of a row unless there is nothing to tell: an empty list or map is null.
    pub(crate) fn set_unless_empty<'a, C>(&mut self, row: usize, value: &'a C)
    where
        C: Serialize,
        &'a C: IntoIterator,
    {
        if value.into_iter().next().is_some() {
            self.set(row, value);
        }
    }
}

impl Cells for Json {
    fn bytes(&self) -> usize {
        self.text.bytes()
    }

    fn finish(&mut self, rows: usize) -> ArrayRef {
        self.text.finish(rows)
    }
}

/// Cells of [`super::Kind::TextList`].
pub(crate) struct TextList(ListBuilder<StringBuilder>);

impl Default for TextList {
    fn default() -> Self {
        Self(ListBuilder::new(StringBuilder::new()).with_field(list_element()))
    }
}

impl TextList {
    /// Sets the cell of a row.
    pub(crate) fn set<T: AsRef<str>>(&mut self, row: usize, values: &[T]) {
        self.pad(row);
        for value in values {
            self.0.values().append_value(value);
        }
        self.0.append(true);
    }

    fn pad(&mut self, row: usize) {
        use arrow::array::ArrayBuilder;
        debug_assert!(self.0.len() <= row, "a cell is set once");
        self.0.append_nulls(row - self.0.len());
    }
}

impl Cells for TextList {
    fn bytes(&self) -> usize {
        let values = self.0.values_ref();
        values.values_slice().len()
            + size_of_val(values.offsets_slice())
            + size_of_val(self.0.offsets_slice())
    }

    fn finish(&mut self, rows: usize) -> ArrayRef {
        self.pad(rows);
        Arc::new(self.0.finish())
    }
}
