//! The cache, with the real Maven: whole or not there, whoever dies and however many come at once.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use local_kafka::{Distribution, FetchLimits, Progress};

#[test]
fn a_cache_is_whole_or_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");

    // killed while Maven runs: no Maven, no folder
    let (mut fetcher, lines) = spawn_fetcher(&cache, &[]);
    let line = lines
        .map_while(Result::ok)
        .find(|line| line.contains("fetching"));
    assert!(line.is_some());
    fetcher.kill().unwrap();
    fetcher.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while names(&cache) != ["kafka-4.2.2.lock"] {
        assert!(Instant::now() < deadline, "left: {:?}", names(&cache));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!Distribution::is_cached(&cache));

    // two at once: one fetches, the other waits for it
    let steps = Mutex::new(Vec::new());
    let ensure = || {
        let note = |step: Progress| steps.lock().unwrap().push(step);
        Distribution::ensure(&cache, &FetchLimits::default(), &note).unwrap();
    };
    std::thread::scope(|scope| {
        scope.spawn(ensure);
        scope.spawn(ensure);
    });
    let count = |wanted: Progress| {
        let steps = steps.lock().unwrap();
        steps.iter().filter(|step| **step == wanted).count()
    };
    assert_eq!(count(Progress::WaitingForCache), 1);
    assert_eq!(count(Progress::Verifying), 1);
    let all = Progress::Fetching {
        jars_done: 46,
        jars_total: 46,
    };
    assert_eq!(count(all), 1);
    assert!(Distribution::is_cached(&cache));
    assert_eq!(names(&cache), ["kafka-4.2.2", "kafka-4.2.2.lock"]);
    let archives = names(&Distribution::dir(&cache))
        .iter()
        .filter(|name| name.ends_with(".jsa"))
        .count();
    assert_eq!(archives, 1, "{:?}", names(&Distribution::dir(&cache)));

    // complete: nothing to do
    steps.lock().unwrap().clear();
    ensure();
    assert!(steps.lock().unwrap().is_empty());

    // a jar cut short, as after a power cut: fetched again
    let jar = Distribution::dir(&cache).join("kafka-clients-4.2.2.jar");
    std::fs::write(&jar, "half").unwrap();
    assert!(!Distribution::is_cached(&cache));
    ensure();
    assert!(Distribution::is_cached(&cache));
}

#[test]
fn without_maven_or_java_the_remedy_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let check = |programs: &[&str], expected: &[&str]| {
        let bin = dir.path().join(format!("bin-{}", programs.len()));
        std::fs::create_dir(&bin).unwrap();
        for program in programs {
            symlink(find_program(program), bin.join(program)).unwrap();
        }
        let cache = dir.path().join("cache");
        let env = [("PATH", bin.to_str().unwrap()), ("JAVA_HOME", "")];
        let (mut fetcher, lines) = spawn_fetcher(&cache, &env);
        let lines: Vec<String> = lines.map_while(Result::ok).collect();
        let line = lines
            .iter()
            .find(|line| line.starts_with("error="))
            .unwrap();
        fetcher.wait().unwrap();
        for part in expected {
            assert!(line.contains(part), "no `{part}` in: {line}");
        }
        let partial = names(&cache)
            .into_iter()
            .find(|name| name.ends_with(".partial"));
        assert_eq!(partial, None);
    };
    check(&["sh"], &["no usable java", "JDK 17"]);
    check(&["sh", "java"], &["no usable mvn", "apt-get install maven"]);
}

#[test]
fn a_maven_that_fails_is_quoted() {
    let dir = tempfile::tempdir().unwrap();
    // a repository that is nowhere, and a local one that is empty
    let settings = dir.path().join("settings.xml");
    std::fs::write(
        &settings,
        "<settings><mirrors><mirror><id>nowhere</id><mirrorOf>*</mirrorOf>\
         <url>http://127.0.0.1:1/</url></mirror></mirrors></settings>",
    )
    .unwrap();
    let cache = dir.path().join("cache");
    let repository = dir.path().join("repository");
    let arguments = format!("-Dmaven.repo.local={}", repository.display());
    let home = dir.path().to_str().unwrap();
    std::fs::create_dir(dir.path().join(".m2")).unwrap();
    std::fs::rename(&settings, dir.path().join(".m2/settings.xml")).unwrap();
    let options = format!("{arguments} -Duser.home={home}");
    let env = [("MAVEN_OPTS", options.as_str()), ("HOME", home)];
    let (mut fetcher, lines) = spawn_fetcher(&cache, &env);
    let text: Vec<String> = lines
        .map_while(Result::ok)
        .skip_while(|line| !line.starts_with("error="))
        .collect();
    fetcher.wait().unwrap();
    let text = text.join("\n");
    for part in ["mvn ended with", "settings.xml", "[ERROR]", "127.0.0.1"] {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
    assert_eq!(names(&cache), ["kafka-4.2.2.lock"]);
}

const FETCHER_CACHE: &str = "LOCAL_KAFKA_TEST_CACHE";

/// Not a test by itself: the process that the tests above start, kill, or let run short of something.
#[test]
#[ignore = "started by the other tests"]
fn fetcher() {
    let Some(cache) = std::env::var_os(FETCHER_CACHE) else {
        return;
    };
    println!();
    let tell = |step: Progress| println!("{step}");
    if let Err(error) = Distribution::ensure(Path::new(&cache), &FetchLimits::default(), &tell) {
        println!("error={error}");
    }
}

fn spawn_fetcher(
    cache: &Path,
    env: &[(&str, &str)],
) -> (Child, std::io::Lines<BufReader<std::process::ChildStdout>>) {
    let mut fetcher = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fetcher", "--ignored", "--nocapture"])
        .env(FETCHER_CACHE, cache)
        .envs(env.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(fetcher.stdout.take().unwrap()).lines();
    (fetcher, lines)
}

fn find_program(name: &str) -> PathBuf {
    let output = Command::new("sh")
        .args(["-c", "command -v \"$1\"", "sh", name])
        .output()
        .unwrap();
    let path = String::from_utf8(output.stdout).unwrap();
    std::fs::canonicalize(path.trim()).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
