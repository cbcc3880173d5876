//! `docs/signals/` is made from the headers of the signals' files: what the code says is what people read.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use session::patterns;
use session::signal::Settings;

#[test]
fn the_pages_of_signals_say_what_the_files_say() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = here.join("../../docs/signals");
    let signals = Described::all(&here.join("src"));
    let mut made = vec![(folder.join("README.md"), index(&signals))];
    made.extend(signals.iter().map(|signal| signal.page(&folder)));
    for (path, text) in made {
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{} is out of date; run UPDATE_DOCS=1 cargo test --release -p session docs",
            path.display()
        );
    }
}

/// One signal, as its file describes it.
struct Described {
    module: String,
    /// Where it stands in `src`.
    file: String,
    /// Its table of the configuration, and the defaults.
    settings: (String, serde_json::Value),
    header: Vec<String>,
}

impl Described {
    fn all(src: &Path) -> Vec<Self> {
        let list = fs::read_to_string(src.join("signal.rs")).unwrap();
        let list = list.split("\nsignals! {").nth(1).unwrap();
        let list = list.split('}').next().unwrap();
        let modules = list
            .lines()
            .filter_map(|line| line.trim().split("::").next())
            .filter(|name| !name.is_empty());
        let of_workflows = serde_json::to_value(Settings::default()).unwrap();
        let listed = modules.map(|module| {
            let settings = of_workflows[module].clone();
            let table = format!("session.signals.{module}");
            (module, format!("signal/{module}.rs"), (table, settings))
        });
        let across = serde_json::to_value(patterns::Settings::default()).unwrap();
        let across = ("session.patterns".to_owned(), across);
        listed
            .chain([("decision_pattern", "patterns.rs".to_owned(), across)])
            .map(|(module, file, settings)| {
                let header: Vec<String> = fs::read_to_string(src.join(&file))
                    .unwrap()
                    .lines()
                    .take_while(|line| line.starts_with("//!"))
                    .map(|line| line[3..].trim_start().to_owned())
                    .collect();
                for part in ["Signal ", "Example:", "Order:", "Bound:"] {
                    assert!(
                        header.iter().any(|line| line.starts_with(part)),
                        "{module}: its header has no line that begins with `{part}`"
                    );
                }
                Self {
                    module: module.to_owned(),
                    file,
                    settings,
                    header,
                }
            })
            .collect()
    }

    /// The names that its anomalies have: what its first line gives in backquotes.
    fn names(&self) -> Vec<&str> {
        let first = self.header[0].split(':').next().unwrap();
        first.split('`').skip(1).step_by(2).collect()
    }

    fn page(&self, folder: &Path) -> (PathBuf, String) {
        let mut page = format!(
            "# {}\n\n<!-- Made from processor/session/src/{}; see README.md. -->\n\n",
            self.module.replace('_', " "),
            self.file
        );
        for line in &self.header {
            let begins = ["Example:", "Order:", "Bound:"];
            if begins.iter().any(|part| line.starts_with(part)) && !page.ends_with("\n\n") {
                page.push('\n');
            }
            writeln!(page, "{line}").unwrap();
        }
        let names: Vec<String> = self
            .names()
            .iter()
            .map(|name| format!("'{name}'"))
            .collect();
        write!(
            page,
            "\n```sql\nselect workflow_id, detected_at, status, severity, kinds, sentence, evidence from findings\n\
             where signal in ({}) order by detected_at desc;\n```\n",
            names.join(", ")
        )
        .unwrap();
        let (table, settings) = &self.settings;
        let settings = settings.as_object().unwrap();
        if !settings.is_empty() {
            write!(
                page,
                "\n| setting under `[{table}]` | default |\n|---|---|\n"
            )
            .unwrap();
            for (name, value) in settings {
                writeln!(page, "| `{name}` | {value} |").unwrap();
            }
        }
        (folder.join(format!("{}.md", self.module)), page)
    }
}

fn index(signals: &[Described]) -> String {
    let mut page = String::from(
        "# Signals\n\n\
         <!-- Made from the headers in processor/session/src/signal/ by `UPDATE_DOCS=1 cargo test --release -p session docs`. -->\n\n\
         A signal judges the events of one workflow while they happen, on event time, without a model. What it finds is an\n\
         anomaly with a life: opened, updated, resolved (it is over) or retracted (it was never so), always with the same id.\n\
         Every anomaly carries the events that prove it, the actors concerned, what it cost and one sentence for people.\n\n\
         Settings stand under `[session.signals]`, a table for each signal; `off` lists the names that say nothing, and\n\
         `[session.signals.workflow_types.NAME]` has what is otherwise for one type of workflow. Limits are under\n\
         `[session.limits]`. `default.toml` has all of them with their reasons.\n\n\
         | page | anomalies | what it says |\n|---|---|---|\n",
    );
    for signal in signals {
        let names: Vec<String> = signal
            .names()
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let (_, says) = signal.header[0].split_once(": ").unwrap();
        writeln!(
            page,
            "| [{}]({}.md) | {} | {} |",
            signal.module.replace('_', " "),
            signal.module,
            names.join(", "),
            says.trim_end_matches('.')
        )
        .unwrap();
    }
    page
}
