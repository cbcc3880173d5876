//! Questions about the catalogue that clients put in a way that only PostgreSQL can follow: put again, so that ours can.
//!
//! Owns the marks by which they are known and the answers that hold here: there are no keys, no indexes, no domains, no enums,
//! and the search path is `public`. A question of a client's other version may not be known; then it ends with an error.
//!
//! Pure: text in, text out.

/// Questions of which the answer is known: no row. A mark, and the columns of the answer.
const NOTHING: [(&str, &[(&str, &str)]); 5] = [
    // pgjdbc: foreign keys, primary keys, and indexes
    (
        "PKTABLE_CAT",
        &[
            ("PKTABLE_CAT", "text"),
            ("PKTABLE_SCHEM", "text"),
            ("PKTABLE_NAME", "text"),
            ("PKCOLUMN_NAME", "text"),
            ("FKTABLE_CAT", "text"),
            ("FKTABLE_SCHEM", "text"),
            ("FKTABLE_NAME", "text"),
            ("FKCOLUMN_NAME", "text"),
            ("KEY_SEQ", "smallint"),
            ("UPDATE_RULE", "smallint"),
            ("DELETE_RULE", "smallint"),
            ("FK_NAME", "text"),
            ("PK_NAME", "text"),
            ("DEFERRABILITY", "smallint"),
        ],
    ),
    (
        "KEY_SEQ",
        &[
            ("TABLE_CAT", "text"),
            ("TABLE_SCHEM", "text"),
            ("TABLE_NAME", "text"),
            ("COLUMN_NAME", "text"),
            ("KEY_SEQ", "smallint"),
            ("PK_NAME", "text"),
        ],
    ),
    (
        "NON_UNIQUE",
        &[
            ("TABLE_CAT", "text"),
            ("TABLE_SCHEM", "text"),
            ("TABLE_NAME", "text"),
            ("NON_UNIQUE", "boolean"),
            ("INDEX_QUALIFIER", "text"),
            ("INDEX_NAME", "text"),
            ("TYPE", "smallint"),
            ("ORDINAL_POSITION", "smallint"),
            ("COLUMN_NAME", "text"),
            ("ASC_OR_DESC", "text"),
            ("CARDINALITY", "bigint"),
            ("PAGES", "bigint"),
            ("FILTER_CONDITION", "text"),
        ],
    ),
    // SQLAlchemy: keys, and indexes
    (
        "attr.indnullsnotdistinct",
        &[
            ("conrelid", "integer"),
            ("cols", "text"),
            ("conname", "text"),
            ("description", "text"),
            ("indnkeyatts", "smallint"),
            ("indnullsnotdistinct", "boolean"),
        ],
    ),
    (
        "idx_cols.elements",
        &[
            ("indrelid", "integer"),
            ("relname", "text"),
            ("indisunique", "boolean"),
            ("indisvalid", "boolean"),
            ("has_constraint", "boolean"),
            ("indoption", "text"),
            ("reloptions", "text"),
            ("relam", "integer"),
            ("filter_definition", "text"),
            ("indnkeyatts", "smallint"),
            ("indnullsnotdistinct", "boolean"),
            ("elements", "text"),
            ("elements_is_expr", "text"),
            ("elements_opclass", "text"),
        ],
    ),
];

/// The same question as our reader can follow it; nothing where it can anyway.
pub(super) fn put_again(text: &str) -> Option<String> {
    if ["_pg_expandarray", "generate_subscripts", "PKTABLE_CAT"]
        .iter()
        .any(|mark| text.contains(mark))
    {
        let (_, columns) = NOTHING.iter().find(|(mark, _)| text.contains(mark))?;
        return Some(nothing(text, columns));
    }
    if text.contains("name='max_index_keys'") {
        // How many columns a key can have, of which there is none.
        return Some("select '32' as setting".to_owned());
    }
    if text.contains("AS identity_options") {
        return Some(columns(text));
    }
    // SQLAlchemy asks so; psql says it too, among much that our reader can follow.
    if text.contains("AS relhasoids") && !text.contains("relchecks") {
        return Some(options(text));
    }
    if text.contains("AS REGCLASS)") {
        return without_class(text);
    }
    on_search_path(text)
}

fn nothing(text: &str, columns: &[(&str, &str)]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|(name, kind)| format!("cast(null as {kind}) as \"{name}\""))
        .collect();
    format!(
        "select {} where false{}",
        columns.join(", "),
        parameters(text, "")
    )
}

/// SQLAlchemy's question for columns: defaults, identities and collations are what it cannot be followed in, and there are none.
fn columns(text: &str) -> String {
    of_relations(
        text,
        "a.attname as name, format_type(a.atttypid, a.atttypmod) as format_type, cast(null as text) as \"default\", \
         a.attnotnull as not_null, c.relname as table_name, cast(null as text) as comment, '' as generated, \
         cast(null as text) as identity_options, cast(null as text) as collation",
        "left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0",
        "c.relname, a.attnum",
    )
}

/// SQLAlchemy's question for options of tables, of which there are none.
fn options(text: &str) -> String {
    of_relations(
        text,
        "c.oid, c.relname, cast(null as text) as reloptions, cast(null as text) as relhasoids, \
         cast(null as text) as access_method_name, cast(null as text) as tablespace_name, \
         cast(null as text) as parent_table_names",
        "",
        "c.relname",
    )
}

/// A question about the tables and views that the text names, or about all.
fn of_relations(text: &str, selected: &str, joined: &str, order: &str) -> String {
    let names = text
        .rsplit_once("pg_class.relname IN (")
        .and_then(|(_, rest)| rest.split_once(')'))
        .map(|(names, _)| format!(" and c.relname in ({names})"))
        .unwrap_or_default();
    format!(
        "select {selected} from pg_catalog.pg_class c \
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace {joined} \
         where n.nspname = 'public'{names}{} order by {order}",
        parameters(text, &names)
    )
}

/// Conditions that hold, one for each parameter of the question that the new one has no use for: clients send all of them.
fn parameters(text: &str, used: &str) -> String {
    (1..)
        .take_while(|number| mentions(text, *number))
        .filter(|number| !mentions(used, *number))
        .map(|number| format!(" and (cast(${number} as text) is null or true)"))
        .collect()
}

fn mentions(text: &str, number: usize) -> bool {
    let parameter = format!("${number}");
    text.match_indices(&parameter).any(|(at, _)| {
        let after = text[at + parameter.len()..].chars().next();
        after.is_none_or(|char| !char.is_ascii_digit())
    })
}

/// `CAST($1 AS REGCLASS)`: whichever class a description is asked of, there is none.
fn without_class(text: &str) -> Option<String> {
    let (mut again, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(" AS REGCLASS)") {
        let (kept, parameter) = before.rsplit_once("CAST($")?;
        if !parameter.chars().all(|char| char.is_ascii_digit()) {
            return None;
        }
        let length = format!("length(CAST(${parameter} AS TEXT))");
        again.push_str(kept);
        again.push_str(&format!("nullif({length}, {length})"));
        rest = after;
    }
    (rest.len() < text.len()).then(|| again + rest)
}

/// Grafana asks whether a schema is on the search path by unfolding it as only PostgreSQL can. The path is known.
fn on_search_path(text: &str) -> Option<String> {
    const BEGIN: &str = "case when trim(s[i]) = '\"$user\"'";
    const END: &str = "string_to_array(current_setting('search_path'),',') s";
    // Of the same length as the text: only its ASCII letters change.
    let lower = text.to_ascii_lowercase();
    let (mut again, mut kept) = (String::new(), 0);
    while let Some(begin) = lower[kept..].find(BEGIN).map(|at| kept + at) {
        let begin = kept + lower[kept..begin].rfind("select")?;
        let end = begin + lower[begin..].find(END)? + END.len();
        again.push_str(&text[kept..begin]);
        again.push_str("'public'");
        kept = end;
    }
    (kept > 0).then(|| again + &text[kept..])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_question_keeps_its_parameters() {
        let keys = "select (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ where a = $1 and b = $2";
        let again = put_again(keys).unwrap();
        assert!(
            again.contains("where false and (cast($1 as text)"),
            "{again}"
        );
        assert!(again.contains("$2") && !again.contains("$3"), "{again}");
        let columns = "SELECT x AS identity_options WHERE a = $1 AND pg_catalog.pg_class.relname IN ($2::VARCHAR, $10)";
        let again = put_again(columns).unwrap();
        assert!(again.contains("c.relname in ($2::VARCHAR, $10)"), "{again}");
        assert_eq!(again.matches("$1 ").count(), 1, "{again}");
        let class = "SELECT d FROM t WHERE c = CAST($2 AS REGCLASS) AND k = $1";
        let again = put_again(class).unwrap();
        assert!(
            !again.contains("REGCLASS") && again.contains("$2") && again.ends_with("AND k = $1"),
            "{again}"
        );
    }

    #[test]
    fn what_our_reader_follows_stays_as_it_is() {
        for text in [
            "select 1",
            "select 'AS REGCLASS)'",
            "select * from events where text = '$1'",
            "é",
        ] {
            assert_eq!(put_again(text), None, "{text}");
        }
    }
}
