//! What a reader of the code may rely on: arrows that point one way, a pure core, files that say what they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::sandbox::files_below;

/// Which of our crates each may use. Whatever points the other way makes two services one.
const ARROWS: [(&str, &[&str]); 12] = [
    ("schemas", &[]),
    ("session", &["schemas"]),
    ("corpus", &["schemas", "session"]),
    ("processor", &["schemas", "session"]),
    ("ingest", &["schemas"]),
    ("archiver", &["schemas", "kafka-raw"]),
    ("query", &["schemas", "archiver"]),
    ("local-kafka", &[]),
    ("local-s3", &["local-kafka"]),
    ("kafka-raw", &[]),
    ("evaluate", &["schemas", "session", "ingest"]),
    (
        "throughline",
        &[
            "schemas",
            "session",
            "processor",
            "ingest",
            "archiver",
            "query",
            "local-kafka",
            "kafka-raw",
            "evaluate",
        ],
    ),
];

/// What the pure core must not reach, however far down: clocks that tick, sockets, threads of a runtime.
const IMPURE: [&str; 5] = ["tokio", "rdkafka", "rdkafka-sys", "mio", "fastrand"];

#[test]
fn the_arrows_point_one_way() {
    let metadata = metadata();
    let ours: BTreeMap<String, BTreeSet<String>> = members(&metadata)
        .map(|package| {
            let used = package["dependencies"].as_array().unwrap().iter();
            // what only tests use is no arrow
            let used = used.filter(|other| other["path"].is_string() && other["kind"] != "dev");
            (
                text(&package["name"]),
                used.map(|other| text(&other["name"])).collect(),
            )
        })
        .collect();
    let known: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        ours.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        known,
        "a crate is new or gone"
    );
    for (name, allowed) in ARROWS {
        for used in &ours[name] {
            assert!(
                allowed.contains(&used.as_str()),
                "{name} must not use {used}"
            );
        }
    }
}

#[test]
fn the_core_is_pure_down_to_its_last_dependency() {
    let metadata = metadata();
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["id"].as_str().unwrap(), node))
        .collect();
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            (
                package["id"].as_str().unwrap(),
                package["name"].as_str().unwrap(),
            )
        })
        .collect();
    let core = members(&metadata)
        .find(|package| package["name"] == "session")
        .unwrap();
    let mut open = vec![core["id"].as_str().unwrap()];
    let mut reached = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !reached.insert(names[id]) {
            continue;
        }
        for used in nodes[id]["deps"].as_array().unwrap() {
            let is_normal = used["dep_kinds"]
                .as_array()
                .unwrap()
                .iter()
                .any(|kind| kind["kind"].is_null());
            if is_normal {
                open.push(used["pkg"].as_str().unwrap());
            }
        }
    }
    assert!(reached.contains("schemas"), "{reached:?}");
    for name in IMPURE {
        assert!(!reached.contains(name), "the core reaches {name}");
    }
}

#[test]
fn every_file_says_what_it_is() {
    let mut missing = Vec::new();
    let mut seen = 0;
    for path in sources() {
        let source = std::fs::read_to_string(&path).unwrap();
        seen += 1;
        if !source.starts_with("//!") {
            missing.push(path);
        }
    }
    assert!(seen > 50, "only {seen} files found");
    assert!(
        missing.is_empty(),
        "these files do not begin with //!: {missing:#?}"
    );
}

#[test]
fn the_readme_names_the_commands_that_ci_runs() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let ci = read(".ci/run");
    let line = ci
        .lines()
        .find(|line| line.contains("cargo test"))
        .expect("CI runs the tests");
    let test = line[line.find("cargo test").unwrap()..]
        .trim()
        .trim_end_matches(" --locked");
    let readme = read("README.md");
    assert!(readme.contains(test), "README does not name `{test}`");
    assert!(readme.contains("cargo run --release -- demo"));
}

#[test]
fn every_command_that_the_documents_name_is_there() {
    let help = crate::support::run(&["--help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    let commands: BTreeSet<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for document in ["README.md", "docs/operators.md"] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        let mut named = 0;
        for line in text.lines() {
            // at the beginning of a line of a block, or of code within a line
            for rest in line
                .split('`')
                .flat_map(|part| part.strip_prefix("throughline "))
            {
                let word = rest
                    .split_whitespace()
                    .find(|word| !word.starts_with('-'))
                    .unwrap_or_default();
                let word = word.trim_matches(|char: char| !char.is_alphanumeric());
                if word.chars().all(|char| char.is_ascii_lowercase()) && !word.is_empty() {
                    assert!(
                        commands.contains(word),
                        "{document} names `throughline {word}`, which is not there"
                    );
                    named += 1;
                }
            }
        }
        assert!(named > 3, "{document} names only {named} commands");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<std::path::PathBuf> {
    let folders = [
        "src",
        "schemas",
        "corpus",
        "processor",
        "ingest",
        "archiver",
        "query",
        "kafka",
        "evaluate",
        "tests",
        "benches",
    ];
    let all = folders
        .iter()
        .flat_map(|folder| files_below(&root().join(folder)));
    all.filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter(|path| !path.components().any(|part| part.as_os_str() == "target"))
        .collect()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn members(metadata: &Value) -> impl Iterator<Item = &Value> {
    let ids: BTreeSet<&str> = metadata["workspace_members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.filter(move |package| ids.contains(package["id"].as_str().unwrap()))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
