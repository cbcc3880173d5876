//! What a client may `set`, what `show` tells, and the few functions that drivers call before anything else.
//!
//! Nothing that is set here lifts a limit; `throughline.fresh` alone changes what a query reads. What would have no effect is
//! accepted only where its value is what holds anyway.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result as EngineResult, ScalarValue};
use datafusion::logical_expr::expr_fn::SimpleScalarUDF;
use datafusion::logical_expr::{ColumnarValue, Signature, TypeSignature, Volatility};
use datafusion::prelude::{SessionContext, create_udf};

use crate::tail::parse_fresh;
use crate::{Error, FRESH};

/// What the server says of itself, at the beginning and to `show`.
pub(super) const SHOWN: &[(&str, &str)] = &[
    (
        "server_version",
        concat!("15.0 (Throughline ", env!("CARGO_PKG_VERSION"), ")"),
    ),
    ("server_version_num", "150000"),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("is_superuser", "off"),
    ("in_hot_standby", "off"),
    ("default_transaction_read_only", "on"),
    ("transaction_read_only", "on"),
    ("transaction_isolation", "read committed"),
    ("default_transaction_isolation", "read committed"),
    ("integer_datetimes", "on"),
    ("standard_conforming_strings", "on"),
    ("timezone", "UTC"),
    ("datestyle", "ISO, YMD"),
    ("intervalstyle", "postgres"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
    ("search_path", "public"),
    ("max_identifier_length", "63"),
    ("default_table_access_method", "heap"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
];

/// What `version()` says.
const VERSION: &str = concat!(
    "PostgreSQL 15.0 (Throughline ",
    env!("CARGO_PKG_VERSION"),
    ")"
);

/// What clients set on their way in, and that changes nothing here.
const WITHOUT_EFFECT: &[&str] = &[
    "application_name",
    "extra_float_digits",
    "client_min_messages",
    "row_security",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "default_transaction_read_only",
    "transaction_read_only",
    "default_transaction_isolation",
    "search_path",
    "jit",
    "tcp_user_timeout",
    "ssl_renegotiation_limit",
];

/// What one client has set.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    timeout: Option<Duration>,
    application_name: Option<String>,
    is_fresh: bool,
}

impl Settings {
    /// The longest time of a statement: as the client says, and at most as the configuration says (0: no limit).
    pub(super) fn timeout(&self, max_ms: u64) -> Option<Duration> {
        let max = (max_ms > 0).then(|| Duration::from_millis(max_ms));
        match (self.timeout, max) {
            (Some(own), Some(max)) => Some(own.min(max)),
            (own, max) => own.or(max),
        }
    }

    /// Whether queries see what is not archived yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// `set name = value`.
    pub(super) fn set(&mut self, name: &str, value: &str, max_ms: u64) -> Result<(), Error> {
        let value = value.trim();
        let holds_anyway = |expected: &[&str]| {
            if expected.contains(&value.to_lowercase().as_str()) {
                Ok(())
            } else {
                Err(Error::query(format!(
                    "{name} cannot be set to {value}: it is {} here",
                    expected.first().copied().unwrap_or_default()
                )))
            }
        };
        match name {
            "statement_timeout" => {
                let asked = duration(value)?;
                let max = Duration::from_millis(max_ms);
                if max_ms > 0 && asked.is_none_or(|asked| asked > max) {
                    return Err(Error::Refused {
                        what: format!(
                            "a statement_timeout above {max_ms} ms, which is serve.statement_timeout_ms,"
                        ),
                    });
                }
                self.timeout = asked;
                Ok(())
            }
            "application_name" => {
                self.application_name = Some(value.to_owned());
                Ok(())
            }
            FRESH => {
                self.is_fresh = parse_fresh(value).map_err(Error::query)?;
                Ok(())
            }
            "timezone" | "time zone" => holds_anyway(&[
                "utc",
                "etc/utc",
                "gmt",
                "z",
                "0",
                "+00:00",
                "default",
                "local",
                "universal",
                "zulu",
            ]),
            "client_encoding" | "names" => holds_anyway(&["utf8", "utf-8", "unicode", "default"]),
            "datestyle" => {
                match value.to_lowercase().starts_with("iso")
                    || value.eq_ignore_ascii_case("default")
                {
                    true => Ok(()),
                    false => holds_anyway(&["iso"]),
                }
            }
            "intervalstyle" => holds_anyway(&["postgres", "default"]),
            "bytea_output" => holds_anyway(&["hex", "default"]),
            "standard_conforming_strings" => holds_anyway(&["on", "true", "1", "default"]),
            name if WITHOUT_EFFECT.contains(&name) => Ok(()),
            name => Err(Error::Refused {
                what: format!("setting {name}"),
            }),
        }
    }

    /// `reset name`; none means all.
    pub(super) fn reset(&mut self, name: Option<&str>) -> Result<(), Error> {
        match name.map(str::to_lowercase).as_deref() {
            None => *self = Self::default(),
            Some("statement_timeout") => self.timeout = None,
            Some("application_name") => self.application_name = None,
            Some(FRESH) => self.is_fresh = false,
            Some(name) if name.starts_with("datafusion") => {
                return Err(Error::Refused {
                    what: format!("resetting {name}"),
                });
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// `show name`: the value, where it is a setting of the session.
    pub(super) fn show(&self, name: &str, max_ms: u64) -> Option<String> {
        let name = name.to_lowercase().replace(' ', "_");
        let name = match name.as_str() {
            "time_zone" => "timezone",
            "transaction_isolation_level" => "transaction_isolation",
            // The words of a name with a point come without it.
            "throughline_fresh" => FRESH,
            name => name,
        };
        match name {
            "statement_timeout" => Some(match self.timeout(max_ms) {
                Some(max) => format!("{}ms", max.as_millis()),
                None => "0".to_owned(),
            }),
            "application_name" => Some(self.application_name.clone().unwrap_or_default()),
            FRESH => Some(if self.is_fresh { "on" } else { "off" }.to_owned()),
            name => shown(name).map(str::to_owned),
        }
    }
}

/// What is the same for every client.
fn shown(name: &str) -> Option<&'static str> {
    let found = SHOWN.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value)
}

/// A time as PostgreSQL writes it: milliseconds, or with a unit; 0 is none.
fn duration(value: &str) -> Result<Option<Duration>, Error> {
    let wrong = || {
        Error::query(format!(
            "statement_timeout: {value} is no time; write 5000, 5s or 1min"
        ))
    };
    if value.eq_ignore_ascii_case("default") {
        return Ok(None);
    }
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = value[..digits].parse().map_err(|_| wrong())?;
    let unit_ms = match value[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let time_ms = number.checked_mul(unit_ms).ok_or_else(wrong)?;
    Ok((time_ms > 0).then(|| Duration::from_millis(time_ms)))
}

/// Functions that drivers call and that the catalogue lacks.
pub(super) fn register_functions(context: &SessionContext) {
    // psycopg and SQLAlchemy look for types of extensions (hstore); there are none.
    for name in ["to_regtype", "to_regclass"] {
        context.register_udf(create_udf(
            name,
            vec![DataType::Utf8],
            DataType::Int32,
            Volatility::Stable,
            Arc::new(|_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(ScalarValue::Int32(None)))),
        ));
    }
    // SQLAlchemy reads a version of PostgreSQL out of this, and stops where there is none.
    context.register_udf(create_udf(
        "version",
        Vec::new(),
        DataType::Utf8,
        Volatility::Stable,
        Arc::new(|_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(ScalarValue::from(VERSION)))),
    ));
    let text_alone = TypeSignature::Exact(vec![DataType::Utf8]);
    let text_and_flag = TypeSignature::Exact(vec![DataType::Utf8, DataType::Boolean]);
    context.register_udf(
        SimpleScalarUDF::new_with_signature(
            "current_setting",
            Signature::one_of(vec![text_alone, text_and_flag], Volatility::Stable),
            DataType::Utf8,
            Arc::new(current_setting),
        )
        .into(),
    );
    context.register_udf(create_udf(
        "pg_is_in_recovery",
        Vec::new(),
        DataType::Boolean,
        Volatility::Stable,
        Arc::new(|_: &[ColumnarValue]| {
            Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(false))))
        }),
    ));
}

/// `current_setting(name, missing_ok)`: what `show` tells, of what is the same for every client.
fn current_setting(arguments: &[ColumnarValue]) -> EngineResult<ColumnarValue> {
    let arguments = ColumnarValue::values_to_arrays(arguments)?;
    let Some(names) = arguments.first() else {
        return Ok(ColumnarValue::Scalar(ScalarValue::Utf8(None)));
    };
    let names = names.as_string::<i32>();
    let may_be_missing = |row: usize| {
        let flags = arguments.get(1).and_then(|flags| flags.as_boolean_opt());
        flags.is_some_and(|flags| flags.is_valid(row) && flags.value(row))
    };
    let values = names.iter().enumerate().map(|(row, name)| match name {
        None => Ok(None),
        Some(name) => match shown(&name.to_lowercase()) {
            None if !may_be_missing(row) => {
                Err(Error::query(format!("no setting {name}")).into_engine())
            }
            value => Ok(value),
        },
    });
    let values: StringArray = values.collect::<EngineResult<_>>()?;
    Ok(ColumnarValue::Array(Arc::new(values) as ArrayRef))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MAX_MS: u64 = 300_000;

    #[test]
    fn a_timeout_can_be_lowered_and_not_lifted() {
        let mut settings = Settings::default();
        assert_eq!(settings.timeout(MAX_MS), Some(Duration::from_secs(300)));
        settings.set("statement_timeout", "5s", MAX_MS).unwrap();
        assert_eq!(settings.timeout(MAX_MS), Some(Duration::from_secs(5)));
        assert_eq!(
            settings.show("statement_timeout", MAX_MS).unwrap(),
            "5000ms"
        );
        for lifted in ["0", "default", "6min", "300001", "99999999999999999999h"] {
            assert!(
                settings.set("statement_timeout", lifted, MAX_MS).is_err(),
                "{lifted}"
            );
        }
        settings.reset(None).unwrap();
        assert_eq!(settings.timeout(MAX_MS), Some(Duration::from_secs(300)));
        settings.set("statement_timeout", "0", 0).unwrap();
        assert_eq!(settings.timeout(0), None);
    }

    #[test]
    fn fresh_is_on_or_off_and_nothing_else() {
        let mut settings = Settings::default();
        assert_eq!(settings.show(FRESH, MAX_MS).unwrap(), "off");
        settings.set(FRESH, "true", MAX_MS).unwrap();
        assert!(settings.is_fresh());
        assert!(settings.set(FRESH, "perhaps", MAX_MS).is_err());
        assert_eq!(settings.show(FRESH, MAX_MS).unwrap(), "on");
        settings.reset(Some(FRESH)).unwrap();
        assert!(!settings.is_fresh());
    }

    #[test]
    fn what_would_have_no_effect_is_not_accepted_in_silence() {
        let mut settings = Settings::default();
        settings.set("timezone", "UTC", MAX_MS).unwrap();
        settings.set("datestyle", "ISO, MDY", MAX_MS).unwrap();
        for (name, value) in [
            ("timezone", "Europe/Berlin"),
            ("client_encoding", "LATIN1"),
            ("datafusion.execution.batch_size", "1"),
            ("work_mem", "10GB"),
            ("memory_limit", "10G"),
        ] {
            assert!(settings.set(name, value, MAX_MS).is_err(), "{name}");
        }
    }
}
