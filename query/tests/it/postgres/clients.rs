//! The PostgreSQL door through the clients of other languages: psycopg, SQLAlchemy and pandas, and pgjdbc.
//!
//! What they need is fetched once into the cache (`THROUGHLINE_CACHE`, or `~/.cache/throughline`). Where that cannot be, the
//! tests fail and say so, unless `THROUGHLINE_WITHOUT_CLIENTS` is set.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{Door, PASSWORD, config, output};
use crate::stories::stories;

const PYTHON_PACKAGES: [&str; 3] = [
    "psycopg[binary]==3.3.9",
    "sqlalchemy==2.1.9",
    "pandas==3.1.1",
];

fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/throughline");
    std::env::var_os("THROUGHLINE_CACHE").map_or_else(home, PathBuf::from)
}

pub fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

/// Runs a program that must end well; none where the clients may be missing and are.
async fn run(what: &str, program: &Path, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(std::env::temp_dir());
    let told = match output(command).await {
        Ok(output) if output.status.success() => return Some(output),
        Ok(output) => format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => error.to_string(),
    };
    if std::env::var_os("THROUGHLINE_WITHOUT_CLIENTS").is_some() {
        eprintln!("NOT TESTED: {what}: {told}");
        return None;
    }
    panic!("{what}: {told}\nmend that, or set THROUGHLINE_WITHOUT_CLIENTS");
}

/// A Python with these packages, in a folder of the cache of this name; none where the clients may be missing and are.
pub async fn python(name: &str, packages: &[&str]) -> Option<PathBuf> {
    let folder = cache().join(name);
    let python = folder.join("bin/python");
    let installed = folder.join("installed");
    if std::fs::read_to_string(&installed).unwrap_or_default() != packages.join(" ") {
        let make = ["-m", "venv", "--clear", folder.to_str().unwrap()];
        run("python3 -m venv", Path::new("python3"), &make).await?;
        let mut install = vec![
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ];
        install.extend(packages);
        run("pip install", &python, &install).await?;
        std::fs::write(&installed, packages.join(" ")).unwrap();
    }
    Some(python)
}

#[tokio::test]
async fn psycopg_sqlalchemy_and_pandas() {
    let Some(python) = python("python-clients", &PYTHON_PACKAGES).await else {
        return;
    };
    let world = stories();
    let door = Door::open(&world.archive(), config()).await;
    let mut asked = Command::new(&python);
    asked
        .arg(program("client.py"))
        .arg(door.port.to_string())
        .arg(PASSWORD);
    let output = output(asked).await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    door.close().await;
}

#[tokio::test]
async fn pgjdbc() {
    let (folder, pom) = (cache().join("jdbc"), program("pom.xml"));
    let (installed, wanted) = (
        folder.join("installed"),
        std::fs::read_to_string(&pom).unwrap(),
    );
    if std::fs::read_to_string(&installed).unwrap_or_default() != wanted {
        let _ = std::fs::remove_dir_all(&folder);
        let to = format!("-DoutputDirectory={}", folder.display());
        let mut arguments = vec!["-q", "-B", "-f", pom.to_str().unwrap()];
        arguments.extend([
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            &to,
        ]);
        if run("mvn", Path::new("mvn"), &arguments).await.is_none() {
            return;
        }
        std::fs::write(&installed, wanted).unwrap();
    }
    let world = stories();
    let door = Door::open(&world.archive(), config()).await;
    let mut asked = Command::new("java");
    asked
        .arg("-cp")
        .arg(folder.join("*"))
        .arg(program("Client.java"))
        .arg(door.port.to_string())
        .arg(PASSWORD);
    let output = output(asked).await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    door.close().await;
}
