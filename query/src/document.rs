//! The reference part of `docs/sql.md`, made from what the program itself knows, so that it cannot be out of date.

use std::fmt::Write as _;

use crate::{Archive, VIEWS};

/// Every table and view with its columns, as Markdown.
pub fn document(archive: &Archive) -> String {
    let mut text = String::new();
    for relation in archive.relations() {
        let kind = if relation.is_view { "view" } else { "table" };
        let _ = writeln!(
            text,
            "### `{}` ({kind})\n\n{}\n",
            relation.name, relation.about
        );
        let view = VIEWS.iter().find(|view| view.name == relation.name);
        if let Some(remarks) = view
            .map(crate::View::remarks)
            .filter(|remarks| !remarks.is_empty())
        {
            let _ = writeln!(text, "{remarks}\n");
        }
        let columns = archive.columns(relation.name);
        // A view that passes all columns of a table on says so in its head and documents none of them.
        if view.is_some_and(|view| view.documented().next().is_none()) {
            continue;
        }
        text.push_str("| column | type | meaning |\n|---|---|---|\n");
        for column in columns {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} |",
                column.name, column.kind, column.about
            );
        }
        text.push('\n');
    }
    text
}
