//! The two programs that must be there already: Java, and Maven for the first time.
//!
//! Each is found, asked for its version, and either usable or an error with its remedy.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// The oldest Java that Kafka 4 runs on.
pub const JAVA_MAJOR_MIN: u32 = 17;

/// A Java that Kafka runs on.
#[derive(Debug, Clone)]
pub struct Java {
    program: PathBuf,
    version: String,
}

impl Java {
    /// `$JAVA_HOME/bin/java` when `JAVA_HOME` is set, else `java` on the path.
    pub fn find() -> Result<Self, Error> {
        let program = match std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty()) {
            Some(home) => PathBuf::from(home).join("bin").join("java"),
            None => PathBuf::from("java"),
        };
        Self::at(&program)
    }

    /// The Java at this path, if Kafka runs on it.
    pub fn at(program: &Path) -> Result<Self, Error> {
        match Command::new(program).arg("-version").output() {
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).into_owned()
                    + &String::from_utf8_lossy(&output.stdout);
                Self::judge(program, &text)
            }
            Err(error) => Err(Error::JavaMissing {
                program: program.display().to_string(),
                reason: error.to_string(),
            }),
        }
    }

    /// Takes the answer to `java -version` and tells whether Kafka runs on that.
    fn judge(program: &Path, answer: &str) -> Result<Self, Error> {
        let version = java_version(answer).ok_or_else(|| Error::JavaMissing {
            program: program.display().to_string(),
            reason: format!("`java -version` said `{}`", answer.trim()),
        })?;
        if java_major(version).is_none_or(|major| major < JAVA_MAJOR_MIN) {
            return Err(Error::JavaTooOld {
                program: program.display().to_string(),
                version: version.to_owned(),
            });
        }
        Ok(Self {
            program: program.to_owned(),
            version: version.to_owned(),
        })
    }

    /// What to call.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// As Java writes it, for example `17.0.15`.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// Maven, which fetches the jars.
#[derive(Debug, Clone)]
pub struct Maven {
    version: String,
}

impl Maven {
    /// `mvn` on the path.
    pub fn find() -> Result<Self, Error> {
        let output = Command::new(Self::PROGRAM)
            .arg("-v")
            .output()
            .map_err(|error| Error::MavenMissing {
                reason: error.to_string(),
            })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let first = text.lines().find(|line| line.contains("Apache Maven"));
        match first {
            Some(line) if output.status.success() => Ok(Self {
                // "Apache Maven 3.8.7 (…)", possibly with terminal colours around it
                version: line
                    .split_whitespace()
                    .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
                    .map(|word| word.split('\u{1b}').next().unwrap_or(word))
                    .unwrap_or("of unknown version")
                    .to_owned(),
            }),
            _ => Err(Error::MavenMissing {
                reason: format!(
                    "`mvn -v` said `{}`",
                    String::from_utf8_lossy(&output.stderr).trim()
                ),
            }),
        }
    }

    /// What to call.
    pub const PROGRAM: &'static str = "mvn";

    /// As Maven writes it, for example `3.8.7`.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// `17.0.15` out of `openjdk version "17.0.15" 2025-04-15`, whatever lines stand around it.
fn java_version(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(" version \"")?;
    let (version, _) = rest.split_once('"')?;
    Some(version)
}

/// 17 of `17.0.15`, 8 of `1.8.0_422`, 25 of `25-ea`.
fn java_major(version: &str) -> Option<u32> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let major: u32 = numbers.next()?.parse().ok()?;
    match major {
        1 => numbers.next()?.parse().ok(),
        _ => Some(major),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn versions_of_many_vendors_are_read() {
        let check = |text: &str, version: &str, major: u32| {
            assert_eq!(java_version(text), Some(version));
            assert_eq!(java_major(version), Some(major));
        };
        check(
            "openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime …",
            "17.0.15",
            17,
        );
        check("java version \"1.8.0_422\"\n", "1.8.0_422", 8);
        check(
            "Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version \"25-ea\" 2025-09-16",
            "25-ea",
            25,
        );
        assert_eq!(java_version("bash: java: command not found"), None);
        assert_eq!(java_major("x"), None);
    }

    #[test]
    fn a_missing_java_is_told_with_its_remedy() {
        let error = Java::at(Path::new("/nowhere/bin/java")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("/nowhere/bin/java") && text.contains("apt-get install openjdk"),
            "{text}"
        );
    }

    #[test]
    fn an_old_or_odd_java_is_refused() {
        let judge = |answer| Java::judge(Path::new("java"), answer);
        let error = judge("openjdk version \"11.0.2\" 2019-01-15").unwrap_err();
        assert!(
            matches!(&error, Error::JavaTooOld { version, .. } if version == "11.0.2"),
            "{error}"
        );
        let error = judge("No Java runtime present, requesting install.").unwrap_err();
        assert!(
            matches!(&error, Error::JavaMissing { reason, .. } if reason.contains("requesting install")),
            "{error}"
        );
    }
}
