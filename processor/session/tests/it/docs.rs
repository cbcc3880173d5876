//! `docs/signals.md` is made from the headers of the signals' files: what the code says is what people read.

use std::fs;
use std::path::Path;

use session::config::Thresholds;

#[test]
fn the_page_of_signals_says_what_the_files_say() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = here.join("../../docs/signals.md");
    let made = page_of_signals(&here.join("src"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&page, &made).unwrap();
    }
    let found = fs::read_to_string(&page).unwrap_or_default();
    assert!(
        found == made,
        "docs/signals.md is out of date; run UPDATE_DOCS=1 cargo test --release -p session docs"
    );
}

fn page_of_signals(src: &Path) -> String {
    let mut page = String::from(
        "# Signals\n\n\
         <!-- Made from the headers in processor/session/src/signal/ by `UPDATE_DOCS=1 cargo test --release -p session docs`. -->\n\n\
         A signal judges the events of one workflow while they happen, on event time, without a model. What it finds is an\n\
         anomaly with a life: opened, updated, resolved (it is over) or retracted (it was never so), always with the same id.\n\
         Every anomaly carries the events that prove it, the actors concerned, what it cost and one sentence for people.\n\n\
         The thresholds below are settings under `[session.signals]`; the limits are under `[session.limits]`.\n\n",
    );
    let list = fs::read_to_string(src.join("signal.rs")).unwrap();
    let list = list
        .split("signals! {")
        .nth(1)
        .unwrap()
        .split('}')
        .next()
        .unwrap();
    for module in list
        .lines()
        .filter_map(|line| line.trim().split("::").next())
        .filter(|name| !name.is_empty())
    {
        let file = fs::read_to_string(src.join(format!("signal/{module}.rs"))).unwrap();
        let header: Vec<&str> = file
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .map(|line| line[3..].trim_start())
            .collect();
        assert!(header.len() > 2, "{module} says too little of itself");
        page.push_str(&format!(
            "## {}\n\n{}\n\n",
            module.replace('_', " "),
            header.join("\n")
        ));
        page.push_str(&format!(
            "```sql\nselect detected_at, severity, kinds, sentence, evidence from findings where signal = '{module}' order by detected_at desc;\n```\n\n"
        ));
    }
    page.push_str("## Thresholds\n\n| setting | default |\n|---|---|\n");
    let thresholds = serde_json::to_value(Thresholds::default()).unwrap();
    for (name, value) in thresholds.as_object().unwrap() {
        page.push_str(&format!("| `{name}` | {value} |\n"));
    }
    page
}
