//! Completion in the shell: what can stand where the cursor is, by the words before it.
//!
//! Pure: text in, candidates out.

use std::collections::BTreeMap;

/// What there is to complete.
#[derive(Debug, Default)]
pub struct Names {
    /// Tables and views with their columns.
    pub relations: BTreeMap<String, Vec<String>>,
    /// Functions.
    pub functions: Vec<String>,
}

const KEYWORDS: &[&str] = &[
    "all",
    "and",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "cast",
    "cross join",
    "desc",
    "describe",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "explain",
    "explain analyze",
    "false",
    "filter",
    "from",
    "full join",
    "group by",
    "having",
    "in",
    "inner join",
    "intersect",
    "interval",
    "is not null",
    "is null",
    "join",
    "left join",
    "like",
    "limit",
    "not",
    "null",
    "nulls first",
    "nulls last",
    "offset",
    "on",
    "or",
    "order by",
    "over",
    "partition by",
    "right join",
    "select",
    "show tables",
    "then",
    "timestamp",
    "true",
    "union",
    "union all",
    "using",
    "values",
    "when",
    "where",
    "with",
];

impl Names {
    /// Where the word at `cursor` begins, and what it can become.
    pub fn complete(&self, line: &str, cursor: usize) -> (usize, Vec<String>) {
        let before = line.get(..cursor).unwrap_or(line);
        if in_quotes(before) {
            return (cursor, Vec::new());
        }
        let begin = before
            .rfind(|char: char| !is_name(char))
            .map_or(0, |at| at + char_len(before, at));
        let (context, word) = before.split_at(begin);
        let candidates = if let Some(qualified) = context.strip_suffix('.') {
            let first = qualified
                .rfind(|char: char| !is_name(char))
                .map_or(0, |at| at + char_len(qualified, at));
            self.columns_of(&qualified[first..], line)
        } else if context.trim_start().starts_with("\\d") || follows_from(context) {
            self.relations.keys().cloned().collect()
        } else {
            self.everything(line)
        };
        let lower = word.to_lowercase();
        let mut fitting: Vec<String> = candidates
            .into_iter()
            .filter(|candidate| candidate.starts_with(&lower) && *candidate != lower)
            .collect();
        if !word.is_empty() && word.chars().all(|char| !char.is_lowercase()) {
            // Whoever types in capitals wants keywords in capitals; names stay as they are.
            for candidate in fitting
                .iter_mut()
                .filter(|candidate| KEYWORDS.contains(&candidate.as_str()))
            {
                *candidate = candidate.to_uppercase();
            }
        }
        fitting.dedup();
        (begin, fitting)
    }

    /// Columns of the tables that the statement names, or of all when it names none; tables, keywords, functions.
    fn everything(&self, line: &str) -> Vec<String> {
        let words: Vec<String> = words(line).collect();
        let named: Vec<&Vec<String>> = self
            .relations
            .iter()
            .filter(|(name, _)| words.contains(name))
            .map(|(_, columns)| columns)
            .collect();
        let columns: Vec<&String> = match named.is_empty() {
            true => self.relations.values().flatten().collect(),
            false => named.into_iter().flatten().collect(),
        };
        let keywords = KEYWORDS.iter().map(|keyword| (*keyword).to_owned());
        let mut all: Vec<String> = columns
            .into_iter()
            .chain(self.relations.keys())
            .cloned()
            .chain(keywords)
            .collect();
        all.extend(self.functions.iter().map(|name| format!("{name}(")));
        all.sort();
        all.dedup();
        all
    }

    /// Columns of a table or view, by its name or by the alias that the statement gives it.
    fn columns_of(&self, name: &str, line: &str) -> Vec<String> {
        if let Some(columns) = self.relations.get(name) {
            return columns.clone();
        }
        let words: Vec<String> = words(line).filter(|word| word != "as").collect();
        let relation = words
            .windows(2)
            .find(|pair| pair[1] == name && self.relations.contains_key(&pair[0]));
        relation
            .and_then(|pair| self.relations.get(&pair[0]))
            .cloned()
            .unwrap_or_default()
    }
}

/// Whether a table must follow: after `from`, `join`, or a comma in a list of tables.
fn follows_from(context: &str) -> bool {
    let last = words(context).last().unwrap_or_default();
    let ends_in_space = context.ends_with(char::is_whitespace);
    ends_in_space && matches!(last.as_str(), "from" | "join" | "describe")
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|char: char| !is_name(char))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

fn is_name(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn in_quotes(before: &str) -> bool {
    before.matches('\'').count() % 2 == 1
}

fn char_len(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(1, char::len_utf8)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Names;

    /// What can stand at the bar.
    fn check(line: &str, expected: &[&str]) {
        let relation = |name: &str, columns: &[&str]| {
            (
                name.to_owned(),
                columns.iter().map(|column| (*column).to_owned()).collect(),
            )
        };
        let names = Names {
            relations: [
                relation("events", &["event_id", "event_type", "workflow_id"]),
                relation("workflows", &["workflow_id", "outcome"]),
            ]
            .into(),
            functions: vec!["count".to_owned(), "coalesce".to_owned()],
        };
        let cursor = line.find('|').unwrap();
        let (_, found) = names.complete(&line.replace('|', ""), cursor);
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn tables_follow_from_and_join() {
        check("select * from ev|", &["events"]);
        check("select * from events join |", &["events", "workflows"]);
        check("\\d w|", &["workflows"]);
        check("describe e|", &["events"]);
    }

    #[test]
    fn columns_are_those_of_the_tables_that_are_named() {
        check(
            "select event| from events",
            &["event_id", "event_type", "events"],
        );
        check("select outc| from events", &[]);
        check("select outc|", &["outcome"]);
        check("select e.e| from events as e", &["event_id", "event_type"]);
        check("select w.o| from events e join workflows w", &["outcome"]);
        check("select events.wo| from events", &["workflow_id"]);
    }

    #[test]
    fn keywords_and_functions() {
        check("sel|", &["select"]);
        check("SEL|", &["SELECT"]);
        check("select cou|", &["count("]);
        check("select 'sel|", &[]);
    }
}
