//! `docs/signals/` is made from the headers of the signals' files, `docs/effects.md` and `docs/words.md` from their
//! tables: what the code says is what people read.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use session::effects::{self, Does};
use session::patterns;
use session::signal::Settings;
use session::words::{self, Meaning};

#[test]
fn the_pages_of_signals_say_what_the_files_say() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = here.join("../../docs/signals");
    let signals = Described::all(&here.join("src"));
    let mut made = vec![(folder.join("README.md"), index(&signals))];
    made.extend(signals.iter().map(|signal| signal.page(&folder)));
    compare(made);
}

#[test]
fn the_page_of_effects_says_what_the_table_says() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    compare(vec![(docs.join("effects.md"), effects_page())]);
}

#[test]
fn the_page_of_words_says_what_the_list_says() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    compare(vec![(docs.join("words.md"), words_page())]);
}

/// Pages are what they should be; with `UPDATE_DOCS` they are made so.
fn compare(made: Vec<(PathBuf, String)>) {
    for (path, text) in made {
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
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
            .filter(|line| !line.trim().starts_with("//"))
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
         `[session.limits]`. `default.toml` has all of them with their reasons. How they do on stories whose faults are known is\n\
         in [quality.md](quality.md).\n\n\
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

fn effects_page() -> String {
    let mut page = String::from(
        "# Effects of tools\n\n\
         <!-- Made from processor/session/src/effects/table.rs by `UPDATE_DOCS=1 cargo test --release -p session docs`. -->\n\n\
         A call says what it does to the world in `effect`: read, write, destructive. Where it says `unknown`, which is the\n\
         default, the name of the tool is looked up here, and what is found is marked `inferred`: on the anomalies that rest on\n\
         it, as a kind. What the event declares always wins, then the operator's own words under `[session.tools]` in the\n\
         configuration (a name, or the beginning of a name with a `*` behind it), which count as declared. The events in Kafka\n\
         and in the archive keep what they declared.\n\n\
         Names are compared in snake case: `getUser`, `get-user`, `users.get_user` and `mcp__users__get_user` are one. *Nothing*\n\
         is a read that looks at nothing, so it is no check of anything; *unknown* stays unknown whatever the rest of the name.\n",
    );
    let parts = [&effects::table::NAMES, &effects::table::VERBS]
        .into_iter()
        .chain([&effects::table::SHELL])
        .chain(effects::table::PROGRAMS.iter().map(|(_, part)| part))
        .chain([
            &effects::table::SQL,
            &effects::table::HTTP,
            &effects::table::EDITOR,
        ]);
    for part in parts {
        write!(
            page,
            "\n## {}\n\n{}\n\n| | words |\n|---|---|\n",
            part.title, part.about
        )
        .unwrap();
        for (does, words) in part.rows {
            let does = match does {
                Does::Nothing => "nothing",
                Does::Reads => "read",
                Does::Writes => "write",
                Does::Destroys => "destructive",
                Does::Unknown => "unknown",
            };
            row(&mut page, does, words);
        }
    }
    page.push_str(
        "\n## Tools whose arguments say it\n\nLooked up in the part named, with the text that the arguments hold.\n\n| part | tools |\n|---|---|\n",
    );
    for (language, names) in effects::table::LANGUAGES {
        row(&mut page, &format!("{language:?}"), names);
    }
    let programs = effects::table::PROGRAMS;
    let programs: Vec<&str> = programs
        .iter()
        .flat_map(|(names, _)| *names)
        .copied()
        .collect();
    row(&mut page, "their own", &programs);
    writeln!(
        page,
        "\nAs the first word these give way to any other verb: {}. Later in a name these are nouns: {}.",
        effects::table::NOUNS.join(", "),
        effects::table::LEADING.join(", ")
    )
    .unwrap();
    page
}

fn words_page() -> String {
    let mut page = String::from(
        "# Words\n\n\
         <!-- Made from processor/session/src/words.rs by `UPDATE_DOCS=1 cargo test --release -p session docs`. -->\n\n\
         How sure somebody is stands in `confidence` and `probability` of a claim, and that the goal is reached in `declares` of a\n\
         text. Where those fields are not set, the words of the text are looked up here. What rests on them has the kind\n\
         `from_text` and is a step milder than what rests on a field. English; the first 600 bytes of a text.\n",
    );
    for part in [&words::LEVELS, &words::OUTCOMES] {
        write!(
            page,
            "\n## {}\n\n{}\n\n| | words |\n|---|---|\n",
            part.title, part.about
        )
        .unwrap();
        for (meaning, phrases) in part.rows {
            let meaning = match meaning {
                Meaning::Level(level) => level.to_string(),
                other => format!("{other:?}").to_lowercase(),
            };
            row(&mut page, &meaning, phrases);
        }
    }
    writeln!(
        page,
        "\nWords that turn what follows: {}.\n\n\
         A call of one of these tools is a final answer and declares success: {}.\n\n\
         Statements without ids are one claim when their words are the same without those of the first table and without these:\n{}.",
        words::NEGATIONS.join(", "),
        words::FINAL_ANSWERS.join(", "),
        words::FILLERS.join(", ")
    )
    .unwrap();
    page
}

fn row(page: &mut String, name: &str, words: &[&str]) {
    let words: Vec<String> = words
        .iter()
        .map(|word| {
            if word.is_empty() {
                "(none)".to_owned()
            } else {
                format!("`{word}`")
            }
        })
        .collect();
    writeln!(page, "| {name} | {} |", words.join(", ")).unwrap();
}
