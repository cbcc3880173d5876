//! The documentation is made from the program and its views, and is not out of date.

use std::path::Path;

use query::{Archive, Config, VIEWS, document};

const BEGIN: &str =
    "<!-- from here to the end of the reference: generated, see query/tests/it/document.rs -->\n";
const END: &str = "<!-- end of the reference -->\n";

fn archive() -> Archive {
    Archive::open("/nowhere/at/all", Config::default()).unwrap()
}

#[test]
fn every_column_of_a_view_is_documented_once_and_in_order() {
    let archive = archive();
    for view in VIEWS {
        assert!(
            view.about().ends_with(['.', ':']) && view.about().len() > 20,
            "{}: {:?}",
            view.name,
            view.about()
        );
        let documented: Vec<&str> = view.documented().map(|(name, _)| name).collect();
        let columns: Vec<String> = archive
            .columns(view.name)
            .into_iter()
            .map(|column| column.name)
            .collect();
        if documented.is_empty() {
            assert_eq!(
                view.name, "events_once",
                "a view without documented columns"
            );
            continue;
        }
        assert_eq!(documented, columns, "{}", view.name);
        for (name, meaning) in view.documented() {
            assert!(
                meaning.len() > 8 && meaning.ends_with('.'),
                "{}.{name}: {meaning}",
                view.name
            );
        }
    }
}

#[test]
fn docs_sql_md_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sql.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let wanted = format!("{before}{BEGIN}\n{}{END}{after}", document(&archive()));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else if text != wanted {
        panic!(
            "docs/sql.md is out of date; run `UPDATE_DOCS=1 cargo test --release -p query --test it document`"
        );
    }
}

/// Each query that the documentation shows is run.
#[tokio::test]
async fn the_recipes_run() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sql.md");
    let text = std::fs::read_to_string(path).unwrap();
    let world = crate::world::World::incident();
    let archive = world.archive();
    let mut count = 0;
    for block in text.split("```sql\n").skip(1) {
        let sql = block.split("```").next().unwrap();
        for statement in sql
            .split(";\n")
            .filter(|statement| !statement.trim().is_empty())
        {
            archive
                .sql_all(statement)
                .await
                .unwrap_or_else(|error| panic!("{statement}\n{error}"));
            count += 1;
        }
    }
    assert!(count >= 8, "{count} recipes");
}
