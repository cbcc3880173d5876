//! `throughline doctor`: what this machine has and lacks, with a remedy for each thing missing.
//!
//! Looks and changes nothing but a file that it makes and deletes to see whether a folder can be written.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use local_kafka::{Distribution, JAVA_MAJOR_MIN, Java, KAFKA_VERSION, Maven};

use crate::cmd::topics::wanted;
use crate::context::Context;
use crate::output::{self, Paint, Style};
use crate::topics::Admin;

/// Free space under which a local run is likely to end badly.
const DISK_FREE_BYTES_MIN: u64 = 2 * 1024 * 1024 * 1024;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status 1 when something is missing that this configuration needs.\n\nExamples:\n  throughline doctor\n  throughline doctor --brokers kafka-1:9092     also: does that Kafka answer, are its topics as they should be"
)]
pub struct Args {}

/// What one look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    found: String,
    remedy: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// There, and good.
    Good,
    /// Not there, and not needed now.
    Optional,
    /// In the way.
    Bad,
}

/// Runs the command.
pub async fn run(_args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let kafka_given = context.kafka_given();
    let cache_dir = cache_dir(context);
    let needs_java = kafka_given.is_none();
    let is_cached = cache_dir.as_deref().is_some_and(Distribution::is_cached);
    let mut findings = vec![
        java(needs_java),
        maven(needs_java && !is_cached),
        kafka_cache(cache_dir.as_deref(), is_cached),
    ];
    findings.extend([
        build_tool("C compiler", "cc", "gcc"),
        // only for the configure script of librdkafka, which does not go on without it
        build_tool("C++ compiler", "c++", "g++"),
        build_tool("make", "make", "make"),
        build_tool(
            "Rust compiler",
            "rustc",
            "rustup (https://rustup.rs), version 1.95 or newer",
        ),
        go(),
    ]);
    findings.push(data_folder(context));
    findings.push(disk(context.data.root()));
    findings.push(ingest_port(context));
    let kafka = kafka_given.or_else(|| {
        context
            .data
            .running()
            .first()
            .map(|found| context.kafka_at(&found.brokers))
    });
    match kafka {
        Some(kafka) => findings.extend(kafka_and_topics(context, &kafka).await),
        None => findings.push(Finding {
            what: "Kafka",
            verdict: Verdict::Good,
            found: format!("`up` and `demo` start Kafka {KAFKA_VERSION} here; give --brokers to look at another"),
            remedy: String::new(),
        }),
    }
    report(&findings)
}

fn report(findings: &[Finding]) -> anyhow::Result<ExitCode> {
    let paint = Paint::for_stdout();
    for finding in findings {
        let mark = match finding.verdict {
            Verdict::Good => paint.text(Style::Green, "ok      "),
            Verdict::Optional => paint.text(Style::Yellow, "absent  "),
            Verdict::Bad => paint.text(Style::Red, "MISSING "),
        };
        output::line(format!("{mark}{:<14}{}", finding.what, finding.found))?;
        if finding.verdict != Verdict::Good && !finding.remedy.is_empty() {
            output::line(format!(
                "{:8}{:14}{}",
                "",
                "",
                paint.text(Style::Bold, &finding.remedy)
            ))?;
        }
    }
    let bad = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Bad)
        .count();
    if bad == 0 {
        output::line("\nEverything that this configuration needs is there.")?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format!("\n{bad} of {} need mending.", findings.len()))?;
    Ok(ExitCode::FAILURE)
}

fn java(is_needed: bool) -> Finding {
    let what = "Java";
    match Java::find() {
        Ok(java) => good(
            what,
            format!("{} at {}", java.version(), java.program().display()),
        ),
        Err(error) => missing(
            what,
            is_needed,
            error.to_string(),
            format!(
                "apt-get install openjdk-17-jdk-headless   (any JDK from {JAVA_MAJOR_MIN} on; JAVA_HOME is looked at first)"
            ),
        ),
    }
}

fn maven(is_needed: bool) -> Finding {
    let what = "Maven";
    match Maven::find() {
        Ok(maven) => good(what, maven.version().to_owned()),
        Err(error) => missing(
            what,
            is_needed,
            error.to_string(),
            "apt-get install maven".to_owned(),
        ),
    }
}

fn kafka_cache(dir: Option<&Path>, is_cached: bool) -> Finding {
    let what = "Kafka's jars";
    let Some(dir) = dir else {
        return missing(
            what,
            true,
            "no folder for them".to_owned(),
            "set HOME, or THROUGHLINE_CACHE to a folder".to_owned(),
        );
    };
    match writable(dir) {
        Err(error) => missing(
            what,
            !is_cached,
            format!("{} cannot be written: {error}", dir.display()),
            "set THROUGHLINE_CACHE to a folder that can be written".to_owned(),
        ),
        Ok(()) if is_cached => good(what, format!("{KAFKA_VERSION} in {}", dir.display())),
        Ok(()) => good(
            what,
            format!("will be fetched once, 43 MB, into {}", dir.display()),
        ),
    }
}

/// The tests build an S3 server with it; nothing else needs it.
fn go() -> Finding {
    let what = "Go";
    match Command::new("go").arg("version").output() {
        Ok(answer) if answer.status.success() => {
            let text = String::from_utf8_lossy(&answer.stdout).into_owned();
            good(what, text.trim_end().to_owned())
        }
        _ => missing(
            what,
            false,
            "not found; needed for the tests alone".to_owned(),
            "install Go 1.21 or newer (https://go.dev/dl)".to_owned(),
        ),
    }
}

/// Compilers are of interest only to who builds; this binary is built.
fn build_tool(what: &'static str, program: &str, package: &str) -> Finding {
    match Command::new(program).arg("--version").output() {
        Ok(answer) if answer.status.success() => {
            let text = String::from_utf8_lossy(&answer.stdout).into_owned();
            good(what, text.lines().next().unwrap_or_default().to_owned())
        }
        _ => missing(
            what,
            false,
            "not found; needed to build, not to run".to_owned(),
            match program {
                "rustc" => format!("install {package}"),
                _ => format!("apt-get install {package}"),
            },
        ),
    }
}

fn data_folder(context: &Context) -> Finding {
    let root = context.data.root();
    let running: Vec<String> = context
        .data
        .running()
        .iter()
        .map(|running| format!("{} (process {})", running.service, running.pid))
        .collect();
    let state = match (running.is_empty(), root.exists()) {
        (false, _) => format!("{} runs: {}", root.display(), running.join(", ")),
        (true, true) => format!("{}, nothing runs in it", root.display()),
        (true, false) => format!("{}, will be made", root.display()),
    };
    match writable(root) {
        Ok(()) => good("data folder", state),
        Err(error) => missing(
            "data folder",
            true,
            format!("{} cannot be written: {error}", root.display()),
            "choose another with --data DIR or THROUGHLINE_DATA".to_owned(),
        ),
    }
}

fn disk(root: &Path) -> Finding {
    let what = "free disk";
    let Some(existing) = root.ancestors().find(|path| path.exists()) else {
        return missing(what, false, "unknown".to_owned(), String::new());
    };
    match rustix::fs::statvfs(existing) {
        Err(error) => missing(what, false, format!("unknown: {error}"), String::new()),
        Ok(volume) => {
            let bytes = volume.f_bavail.saturating_mul(volume.f_frsize);
            let text = format!("{:.1} GB", bytes as f64 / 1e9);
            if bytes >= DISK_FREE_BYTES_MIN {
                return good(what, text);
            }
            let remedy =
                "free some space, or choose a folder on another disk with --data DIR".to_owned();
            missing(what, true, format!("{text} for {}", root.display()), remedy)
        }
    }
}

fn ingest_port(context: &Context) -> Finding {
    let what = "ingest port";
    let listen = context.loaded.config.ingest.listen.clone();
    let ours = context
        .data
        .running()
        .iter()
        .any(|running| running.ingest_address.as_deref() == Some(&listen));
    match TcpListener::bind(&listen) {
        Ok(_) => good(what, format!("{listen} is free")),
        Err(_) if ours => good(
            what,
            format!("{listen} is in use by the ingest of this data folder"),
        ),
        Err(error) => missing(
            what,
            true,
            format!("{listen}: {error}"),
            "stop what listens there, or choose another with --set ingest.listen=127.0.0.1:7172"
                .to_owned(),
        ),
    }
}

async fn kafka_and_topics(context: &Context, kafka: &schemas::topics::KafkaClient) -> Vec<Finding> {
    let differences = match Admin::new(kafka) {
        Ok(admin) => admin.differences(&wanted(context)).await,
        Err(error) => Err(error),
    };
    match differences {
        Err(error) => vec![missing(
            "Kafka",
            true,
            format!("{error:#}"),
            "look at the address, and at [kafka.properties] where the brokers want TLS or SASL"
                .to_owned(),
        )],
        Ok(differences) => {
            let kafka = good("Kafka", format!("answers at {}", kafka.brokers));
            let topics = match differences.len() {
                0 => good("topics", "as they should be".to_owned()),
                count => missing(
                    "topics",
                    true,
                    format!("{count} differences, the first: {} of {}", differences[0].what, differences[0].topic),
                    "throughline topics check lists them, throughline topics create makes what is missing".to_owned(),
                ),
            };
            vec![kafka, topics]
        }
    }
}

fn cache_dir(context: &Context) -> Option<PathBuf> {
    let configured = &context.loaded.config.local_kafka.cache_dir;
    match configured.as_os_str().is_empty() {
        false => Some(configured.clone()),
        true => local_kafka::default_cache_dir().ok(),
    }
}

/// Whether a file can be made here, or where the folder would be made.
fn writable(dir: &Path) -> std::io::Result<()> {
    let existing = dir.ancestors().find(|path| path.exists()).unwrap_or(dir);
    tempfile::Builder::new()
        .prefix(".throughline-")
        .tempfile_in(existing)
        .map(drop)
}

fn good(what: &'static str, found: String) -> Finding {
    Finding {
        what,
        verdict: Verdict::Good,
        found,
        remedy: String::new(),
    }
}

fn missing(what: &'static str, is_needed: bool, found: String, remedy: String) -> Finding {
    let verdict = if is_needed {
        Verdict::Bad
    } else {
        Verdict::Optional
    };
    Finding {
        what,
        verdict,
        found,
        remedy,
    }
}
