//! When what is collected of a partition becomes a file. A function of values; clocks and buffers are elsewhere.

use std::time::Duration;

use crate::Config;

/// The bounds of a file. Whichever is reached first closes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roll {
    /// Rows.
    pub rows_max: usize,
    /// Bytes of memory that the rows fill.
    pub bytes_max: usize,
    /// Time since the first of them came.
    pub age_max: Duration,
}

/// How much is collected of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Rows.
    pub rows: usize,
    /// Bytes of memory that they fill.
    pub bytes: usize,
    /// Time since the first of them came.
    pub age: Duration,
}

/// Why a file was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It has as many rows as a file may have.
    Rows,
    /// It has as many bytes as a file may have.
    Bytes,
    /// Its first row has waited for long enough.
    Age,
    /// All partitions together fill the memory, and this one fills most of it.
    Memory,
    /// The partition goes to another archiver.
    Revoked,
    /// The archiver stops, or has reached the end that it was asked to reach.
    End,
}

impl Reason {
    /// Its name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Bytes => "bytes",
            Self::Age => "age",
            Self::Memory => "memory",
            Self::Revoked => "revoked",
            Self::End => "end",
        }
    }
}

impl Roll {
    /// Whether to close the file now, and why. Nothing is never a file.
    pub fn due(&self, collected: &Collected) -> Option<Reason> {
        if collected.rows == 0 {
            None
        } else if collected.rows >= self.rows_max {
            Some(Reason::Rows)
        } else if collected.bytes >= self.bytes_max {
            Some(Reason::Bytes)
        } else if collected.age >= self.age_max {
            Some(Reason::Age)
        } else {
            None
        }
    }
}

impl From<&Config> for Roll {
    fn from(config: &Config) -> Self {
        Self {
            rows_max: config.file_rows_max,
            bytes_max: config.file_bytes_max,
            age_max: Duration::from_millis(config.file_age_max_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    const ROLL: Roll = Roll {
        rows_max: 10,
        bytes_max: 1000,
        age_max: Duration::from_secs(5),
    };

    fn due(rows: usize, bytes: usize, age_s: u64) -> Option<Reason> {
        ROLL.due(&Collected {
            rows,
            bytes,
            age: Duration::from_secs(age_s),
        })
    }

    #[test]
    fn the_first_bound_closes_the_file() {
        assert_eq!(due(9, 999, 4), None);
        assert_eq!(due(10, 999, 4), Some(Reason::Rows));
        assert_eq!(due(9, 1000, 4), Some(Reason::Bytes));
        assert_eq!(due(9, 999, 5), Some(Reason::Age));
        assert_eq!(due(0, 0, 3600), None, "an idle partition makes no file");
    }

    proptest! {
        #[test]
        fn more_never_makes_a_file_wait(rows in 1_usize..20, bytes in 0_usize..2000, age_s in 0_u64..10) {
            if due(rows, bytes, age_s).is_some() {
                prop_assert!(due(rows + 1, bytes, age_s).is_some());
                prop_assert!(due(rows, bytes + 1, age_s).is_some());
                prop_assert!(due(rows, bytes, age_s + 1).is_some());
            }
        }
    }
}
