//! The types of columns in words, as the documentation and the shell tell them.

use datafusion::arrow::datatypes::{DataType, TimeUnit};

/// A type in words.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "text".to_owned(),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => "binary".to_owned(),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => "int32".to_owned(),
        DataType::Int64 | DataType::UInt64 => "int64".to_owned(),
        DataType::Float32 | DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamp (µs, UTC)".to_owned(),
        DataType::List(element) | DataType::LargeList(element) | DataType::ListView(element) => {
            format!("list of {}", type_name(element.data_type()))
        }
        other => other.to_string().to_lowercase(),
    }
}
