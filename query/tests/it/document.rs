//! The documentation is made from the program and its views, and is not out of date.

use std::path::{Path, PathBuf};

use datafusion::arrow::util::pretty::pretty_format_batches;
use query::{Archive, Config, VIEWS, document};

use crate::stories::stories;

const BEGIN: &str =
    "<!-- the list of tables and views: generated, see query/tests/it/document.rs -->\n";
const END: &str = "<!-- end of the list -->\n";

fn archive() -> Archive {
    Archive::open("/nowhere/at/all", Config::default()).unwrap()
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Compares a file with what it must be, or writes it where `UPDATE_DOCS` says so.
fn check(path: &Path, wanted: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, wanted).unwrap();
    } else if std::fs::read_to_string(path).unwrap_or_default() != wanted {
        panic!(
            "{} is out of date; run `UPDATE_DOCS=1 cargo test --release -p query --test it document`",
            path.display()
        );
    }
}

/// What a query returns, as the documentation shows it.
async fn shown(archive: &Archive, sql: &str) -> String {
    let batches = archive
        .sql_all(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}\n{error}"));
    assert!(
        batches.iter().any(|batch| batch.num_rows() > 0),
        "nothing to show for\n{sql}"
    );
    pretty_format_batches(&batches).unwrap().to_string()
}

#[test]
fn every_column_of_a_view_is_documented_once_and_in_order() {
    let archive = archive();
    for view in VIEWS {
        assert!(
            view.about().ends_with('.') && view.about().len() > 20,
            "{}: {:?}",
            view.name,
            view.about()
        );
        let columns: Vec<String> = archive
            .columns(view.name)
            .into_iter()
            .map(|column| column.name)
            .collect();
        let documented: Vec<&str> = match view.columns_of() {
            None => view.documented().map(|(name, _)| name).collect(),
            Some(other) => {
                let others = archive.columns(other);
                let planned = archive.columns_planned(view.name);
                assert_eq!(
                    planned,
                    others
                        .iter()
                        .map(|column| column.name.clone())
                        .collect::<Vec<_>>(),
                    "{} does not pass on the columns of {other}",
                    view.name
                );
                continue;
            }
        };
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

/// A page for each table and view, with what its example returns on the stories.
#[tokio::test]
async fn the_pages_are_up_to_date() {
    let world = stories();
    let archive = world.archive();
    let mut pages = vec!["recipes.md".to_owned(), "postgresql.md".to_owned()];
    for relation in archive.relations() {
        let view = VIEWS.iter().find(|view| view.name == relation.name);
        let shown = match view.map(|view| view.example()) {
            None => None,
            Some(None) => panic!("view {} has no example", relation.name),
            Some(Some(example)) => Some(shown(&archive, &example).await),
        };
        let page = document::page(&archive, &relation, shown.as_deref());
        let file = format!("{}.md", relation.name);
        check(&docs().join("sql").join(&file), &page);
        pages.push(file);
    }
    for entry in std::fs::read_dir(docs().join("sql")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            pages.contains(&name),
            "docs/sql/{name} is the page of nothing"
        );
    }
}

#[test]
fn the_list_in_docs_sql_md_is_up_to_date() {
    let path = docs().join("sql.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let index = document::index(&archive());
    check(&path, &format!("{before}{BEGIN}\n{index}\n{END}{after}"));
}

/// Each query of the recipes is run, and what the page shows below it is what it returns.
#[tokio::test]
async fn the_recipes_return_what_they_show() {
    let world = stories();
    let archive = world.archive();
    let path = docs().join("sql/recipes.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut blocks = text.split("```sql\n");
    let mut wanted = blocks.next().unwrap().to_owned();
    let mut count = 0;
    for block in blocks {
        let (sql, rest) = block.split_once("```\n").unwrap();
        let rest = match rest.strip_prefix("\n```text\n") {
            Some(shown) => shown.split_once("```\n").unwrap().1,
            None => rest,
        };
        let shown = shown(&archive, sql).await;
        wanted += &format!("```sql\n{sql}```\n\n```text\n{shown}\n```\n{rest}");
        count += 1;
    }
    assert!(count >= 18, "{count} recipes");
    check(&path, &wanted);
}
