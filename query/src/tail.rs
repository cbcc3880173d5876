//! What is committed and not archived yet, from wherever it comes: this crate knows nothing of Kafka.

use std::collections::BTreeMap;
use std::fmt::Debug;

use archiver::Table;
use async_trait::async_trait;
use datafusion::arrow::record_batch::RecordBatch;

/// The name of the setting that adds the tail to what a session's queries see.
pub const FRESH: &str = "throughline.fresh";

/// Where the rows come from that are committed and not archived yet.
#[async_trait]
pub trait Tail: Debug + Send + Sync {
    /// The rows of `table` from these offsets of each partition on, up to the last record that is committed when this is
    /// called; a partition that is not named begins at 0. All of them or an error. The columns are those of the archive.
    async fn rows(
        &self,
        table: Table,
        from: BTreeMap<i32, i64>,
    ) -> Result<Vec<RecordBatch>, Box<dyn std::error::Error + Send + Sync>>;
}

/// A statement about the setting, as a shell reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreshStatement {
    /// `set throughline.fresh = true`, or `reset throughline.fresh`.
    Set(bool),
    /// `show throughline.fresh`.
    Show,
}

impl FreshStatement {
    /// Reads a statement; none if it is about something else, an error if its value is neither yes nor no.
    pub fn parse(statement: &str) -> Option<Result<Self, String>> {
        let statement = statement.to_lowercase().replace('=', " = ");
        let mut words = statement.split_whitespace();
        let verb = words.next()?;
        if words.next()? != FRESH {
            return None;
        }
        let rest: Vec<&str> = words.collect();
        match (verb, rest.as_slice()) {
            ("show", []) => Some(Ok(Self::Show)),
            ("reset", []) => Some(Ok(Self::Set(false))),
            ("set", ["=" | "to", value]) => Some(parse_fresh(value).map(Self::Set)),
            ("set", _) => Some(Err(format!("write `set {FRESH} = true`"))),
            _ => None,
        }
    }
}

/// The value of the setting.
pub(crate) fn parse_fresh(value: &str) -> Result<bool, String> {
    match value.trim_matches(['\'', '"']).to_lowercase().as_str() {
        "true" | "on" | "1" | "yes" => Ok(true),
        "false" | "off" | "0" | "no" | "default" => Ok(false),
        other => Err(format!("{FRESH} is true or false, not {other}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_setting_is_read_as_people_write_it() {
        for on in [
            "set throughline.fresh = true",
            "SET throughline.fresh TO on",
            "set throughline.fresh='1'",
        ] {
            assert_eq!(
                FreshStatement::parse(on),
                Some(Ok(FreshStatement::Set(true))),
                "{on}"
            );
        }
        for off in [
            "set throughline.fresh=false",
            "reset throughline.fresh",
            "set throughline.fresh to default",
        ] {
            assert_eq!(
                FreshStatement::parse(off),
                Some(Ok(FreshStatement::Set(false))),
                "{off}"
            );
        }
        assert_eq!(
            FreshStatement::parse("show throughline.fresh"),
            Some(Ok(FreshStatement::Show))
        );
        assert!(
            FreshStatement::parse("set throughline.fresh = perhaps")
                .unwrap()
                .is_err()
        );
        assert!(
            FreshStatement::parse("set throughline.fresh")
                .unwrap()
                .is_err()
        );
        for other in [
            "select 1",
            "set other = true",
            "select throughline.fresh",
            "",
        ] {
            assert_eq!(FreshStatement::parse(other), None, "{other}");
        }
    }
}
