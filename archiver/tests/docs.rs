//! `docs/archive.md` tells the columns and the keys that there are. `UPDATE_DOCS=1` writes them into it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use archiver::{Table, footer};

const END: &str = "<!-- end -->";

/// Puts a table behind the line that begins with `mark`, in place of what stands there.
fn put(text: &str, mark: &str, table: &str) -> String {
    let begin = text
        .find(mark)
        .unwrap_or_else(|| panic!("docs/archive.md has no line {mark}"));
    let body = begin + text[begin..].find('\n').unwrap() + 1;
    let end = body + text[body..].find(END).unwrap();
    format!("{}{table}{}", &text[..body], &text[end..])
}

fn columns(table: Table) -> String {
    let rows = table.columns().iter().map(|column| {
        format!(
            "| `{}` | {} | {} |\n",
            column.name,
            column.kind.name(),
            column.doc
        )
    });
    format!(
        "| column | type | |\n|---|---|---|\n{}",
        rows.collect::<String>()
    )
}

fn keys(keys: &[footer::Key]) -> String {
    let rows = keys
        .iter()
        .map(|key| format!("| `{}` | {} |\n", key.name, key.doc));
    format!("| key | value |\n|---|---|\n{}", rows.collect::<String>())
}

#[test]
fn the_documentation_tells_the_columns_and_keys_that_there_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/archive.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut expected = put(&text, "<!-- keys:", &keys(&footer::KEYS));
    expected = put(
        &expected,
        "<!-- compacted keys -->",
        &keys(&footer::COMPACTED_KEYS),
    );
    for table in Table::ALL {
        expected = put(
            &expected,
            &format!("<!-- columns: {table} -->"),
            &columns(table),
        );
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    } else {
        assert!(
            text == expected,
            "docs/archive.md is out of date; run the command that stands in it"
        );
    }
}
