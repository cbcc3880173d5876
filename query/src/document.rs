//! The pages of `docs/sql/`, made from what the program itself knows, so that they cannot be out of date.
//!
//! Owns how a page looks. Runs nothing: the result of an example is given.

use std::fmt::Write as _;

use crate::{Archive, Relation, VIEWS, View};

/// The page of one table or view, as Markdown; `shown` is what its example returns.
pub fn page(archive: &Archive, relation: &Relation, shown: Option<&str>) -> String {
    let kind = if relation.is_view { "view" } else { "table" };
    let mut text = format!("# `{}` ({kind})\n\n{}\n", relation.name, relation.about);
    let view = VIEWS.iter().find(|view| view.name == relation.name);
    let remarks = view.map(View::remarks).unwrap_or_default();
    if !remarks.is_empty() {
        let _ = write!(text, "\n{remarks}\n");
    }
    if let Some(example) = view.and_then(View::example) {
        let _ = write!(text, "\n## Example\n\n```sql\n{example}\n```\n");
    }
    if let Some(shown) = shown {
        let _ = write!(text, "\n```text\n{shown}\n```\n");
    }
    text.push_str("\n## Columns\n\n");
    if let Some(passed_on) = view.and_then(View::columns_of) {
        let _ = writeln!(text, "Those of [`{passed_on}`]({passed_on}.md).");
        return text;
    }
    text.push_str("| column | type | meaning |\n|---|---|---|\n");
    for column in archive.columns(relation.name) {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} |",
            column.name, column.kind, column.about
        );
    }
    text
}

/// A line for each table and view with a link to its page, as Markdown.
pub fn index(archive: &Archive) -> String {
    let mut text = String::from("| name | kind | a row is |\n|---|---|---|\n");
    for relation in archive.relations() {
        let kind = if relation.is_view { "view" } else { "table" };
        let _ = writeln!(
            text,
            "| [`{0}`](sql/{0}.md) | {kind} | {1} |",
            relation.name,
            relation.about.trim_end_matches('.')
        );
    }
    text
}
