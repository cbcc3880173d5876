//! A checksum over the content of rows that does not depend on their order, their file or their encoding.
//!
//! With it a later, differently sorted copy of the rows can be held against the files that it was made from, and two
//! archives of the same topic against each other. Nothing here knows of Parquet.
//!
//! Definition `xxh3-rows-v1`: the hash of a cell is XXH3-64 of the value's bytes with XXH3-64 of the column's name as
//! seed; a null has none. A row is the sum of its cells' hashes modulo 2^64, and its hash is XXH3-128 of that sum's
//! eight little-endian bytes. The checksum is the sum of the rows' hashes modulo 2^128, in 32 hex digits. The bytes of
//! a value: text and binary as they are; integers and times as 64-bit little-endian, doubles as their 64 bits, a
//! boolean as one byte; a list as its elements, each with its length as 32-bit little-endian before it.
//! A column that is null everywhere changes nothing, so columns may be added.

use std::fmt;
use std::str::FromStr;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128};

/// Checksum of a multiset of rows; of two multisets together it is the sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checksum(u128);

/// Name of the definition above, which stands before the digits.
const DEFINITION: &str = "xxh3-rows-v1";

/// A column has a type that no table of the archive has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "column {column} has type {found}, for which {DEFINITION} says nothing; take the checksum of an archive table"
)]
pub struct UnknownType {
    column: String,
    found: DataType,
}

impl Checksum {
    /// The checksum of a batch of rows.
    pub fn of(batch: &RecordBatch) -> Result<Self, UnknownType> {
        let mut rows = vec![0_u64; batch.num_rows()];
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            if !add_cells(field.name(), array, &mut rows) {
                return Err(UnknownType {
                    column: field.name().clone(),
                    found: field.data_type().clone(),
                });
            }
        }
        Ok(Self(rows.iter().fold(0, |sum: u128, row| {
            sum.wrapping_add(xxh3_128(&row.to_le_bytes()))
        })))
    }
}

impl std::ops::AddAssign for Checksum {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DEFINITION}:{:032x}", self.0)
    }
}

impl FromStr for Checksum {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix(DEFINITION)
            .and_then(|rest| rest.strip_prefix(':'))
            .filter(|digits| digits.len() == 32)
            .and_then(|digits| u128::from_str_radix(digits, 16).ok())
            .map(Self)
            .ok_or_else(|| {
                format!("{text:?} is no checksum of the form {DEFINITION}:<32 hex digits>")
            })
    }
}

/// Adds the cells of a column to the sums of their rows; false where the type is none of ours.
fn add_cells(column: &str, array: &ArrayRef, rows: &mut [u64]) -> bool {
    let seed = xxh3_64(column.as_bytes());
    let mut add = |row: usize, bytes: &[u8]| {
        rows[row] = rows[row].wrapping_add(xxh3_64_with_seed(bytes, seed))
    };
    match array.data_type() {
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            valid_rows(array).for_each(|row| add(row, values.value(row).as_bytes()));
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            valid_rows(array).for_each(|row| add(row, values.value(row)));
        }
        DataType::Int32 => {
            let values = array.as_primitive::<Int32Type>().values();
            valid_rows(array).for_each(|row| add(row, &i64::from(values[row]).to_le_bytes()));
        }
        DataType::Int64 => {
            let values = array.as_primitive::<Int64Type>().values();
            valid_rows(array).for_each(|row| add(row, &values[row].to_le_bytes()));
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let values = array.as_primitive::<TimestampMicrosecondType>().values();
            valid_rows(array).for_each(|row| add(row, &values[row].to_le_bytes()));
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().values();
            valid_rows(array).for_each(|row| add(row, &values[row].to_bits().to_le_bytes()));
        }
        DataType::Boolean => {
            let values = array.as_boolean();
            valid_rows(array).for_each(|row| add(row, &[u8::from(values.value(row))]));
        }
        DataType::List(element) if *element.data_type() == DataType::Utf8 => {
            let lists = array.as_list::<i32>();
            let texts = lists.values().as_string::<i32>();
            let mut bytes = Vec::new();
            for row in valid_rows(array) {
                bytes.clear();
                let (from, to) = (lists.value_offsets()[row], lists.value_offsets()[row + 1]);
                for index in from..to {
                    let text = texts.value(index as usize);
                    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    bytes.extend_from_slice(text.as_bytes());
                }
                add(row, &bytes);
            }
        }
        _ => return false,
    }
    true
}

fn valid_rows(array: &ArrayRef) -> impl Iterator<Item = usize> {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    // One of the two is empty.
    let all = if nulls.is_none() {
        0..array.len()
    } else {
        0..0
    };
    nulls
        .into_iter()
        .flat_map(|nulls| nulls.valid_indices())
        .chain(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};
    use proptest::prelude::*;

    use super::*;

    fn batch(rows: &[(i64, Option<&str>)]) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int64, false),
            Field::new("t", DataType::Utf8, true),
        ]);
        let numbers = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
        let texts: StringArray = rows.iter().map(|row| row.1).collect();
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(numbers), Arc::new(texts)]).unwrap()
    }

    fn checksum(rows: &[(i64, Option<&str>)]) -> Checksum {
        Checksum::of(&batch(rows)).unwrap()
    }

    #[test]
    fn the_definition_is_what_the_words_say() {
        let cell =
            |column: &str, bytes: &[u8]| xxh3_64_with_seed(bytes, xxh3_64(column.as_bytes()));
        let first = cell("n", &1_i64.to_le_bytes()).wrapping_add(cell("t", b"a"));
        let second = cell("n", &2_i64.to_le_bytes());
        let expected = xxh3_128(&first.to_le_bytes()).wrapping_add(xxh3_128(&second.to_le_bytes()));
        assert_eq!(checksum(&[(1, Some("a")), (2, None)]), Checksum(expected));
    }

    #[test]
    fn values_that_change_rows_or_columns_are_seen() {
        let base = checksum(&[(1, Some("a")), (2, Some("b"))]);
        assert_ne!(base, checksum(&[(1, Some("b")), (2, Some("a"))]));
        assert_ne!(base, checksum(&[(1, Some("a")), (2, None)]));
        assert_ne!(base, checksum(&[(1, Some("a")), (2, Some(""))]));
        assert_ne!(base, checksum(&[(1, Some("a"))]));
        assert_ne!(
            base,
            checksum(&[(1, Some("a")), (2, Some("b")), (2, Some("b"))])
        );
    }

    #[test]
    fn a_checksum_is_read_back_from_its_text() {
        let sum = checksum(&[(7, Some("x"))]);
        assert_eq!(sum.to_string().parse(), Ok(sum));
        assert!("xxh3-rows-v1:12".parse::<Checksum>().is_err());
        assert!(
            "xxh3-rows-v2:00000000000000000000000000000000"
                .parse::<Checksum>()
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn order_and_cut_do_not_matter(
            rows in prop::collection::vec((any::<i64>(), prop::option::of("[a-c]{0,3}")), 0..20),
            cut in any::<prop::sample::Index>(),
            seed in any::<u64>(),
        ) {
            let rows: Vec<_> = rows.iter().map(|(number, text)| (*number, text.as_deref())).collect();
            let mut shuffled = rows.clone();
            shuffled.sort_by_key(|row| xxh3_64_with_seed(&row.0.to_le_bytes(), seed));
            prop_assert_eq!(checksum(&rows), checksum(&shuffled));
            let (left, right) = rows.split_at(cut.index(rows.len() + 1));
            let mut sum = checksum(left);
            sum += checksum(right);
            prop_assert_eq!(sum, checksum(&rows));
        }
    }
}
