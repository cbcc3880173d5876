//! Text that people type, cut into statements.
//!
//! Knows quotes, comments and semicolons, and nothing else of SQL.

/// The statements of a text, without their semicolons; empty ones are left out.
pub fn statements(text: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let mut first = 0;
    for (at, mark) in marks(text) {
        if mark == Mark::End {
            statements.push(&text[first..at]);
            first = at + 1;
        }
    }
    statements.push(&text[first..]);
    statements.retain(|statement| !is_blank(statement));
    statements.into_iter().map(str::trim).collect()
}

/// Whether the text can be run as it is: nothing is open, and the last statement is ended.
pub fn is_complete(text: &str) -> bool {
    let mut marks = marks(text);
    let mut last_end = None;
    let is_open = loop {
        match marks.next() {
            Some((at, Mark::End)) => last_end = Some(at),
            Some((_, Mark::Open)) => break true,
            None => break false,
        }
    };
    let rest = last_end.map_or(text, |at| &text[at + 1..]);
    !is_open && is_blank(rest)
}

/// What stands at a place of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// A semicolon that ends a statement.
    End,
    /// The beginning of a quote or comment that does not end.
    Open,
}

/// Every semicolon outside of quotes and comments, and the quote or comment that is still open at the end.
fn marks(text: &str) -> impl Iterator<Item = (usize, Mark)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() {
            let rest = &text.as_bytes()[at..];
            let begin = at;
            let skipped = match rest {
                [b';', ..] => {
                    at += 1;
                    return Some((begin, Mark::End));
                }
                [b'\'' | b'"', ..] => find(text, at + 1, &text[at..=at]),
                // a comment up to the end of the text hides nothing
                [b'-', b'-', ..] => Some(find(text, at + 2, "\n").unwrap_or(text.len())),
                [b'/', b'*', ..] => find(text, at + 2, "*/"),
                _ => Some(at + 1),
            };
            match skipped {
                Some(next) => at = next,
                None => {
                    at = text.len();
                    return Some((begin, Mark::Open));
                }
            }
        }
        None
    })
}

/// Where the text goes on after the next `end`. All that is looked for is ASCII, so bytes are enough.
fn find(text: &str, from: usize, end: &str) -> Option<usize> {
    let found = text
        .as_bytes()
        .get(from..)?
        .windows(end.len())
        .position(|window| window == end.as_bytes())?;
    Some(from + found + end.len())
}

/// Whether there is nothing but white space and comments.
fn is_blank(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        let end = if rest.starts_with("--") {
            find(rest, 2, "\n").unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            match find(rest, 2, "*/") {
                Some(end) => end,
                None => return false,
            }
        } else {
            return rest.is_empty();
        };
        rest = rest[end..].trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::{is_complete, statements};

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        assert_eq!(
            statements("select ';' as \"a;b\"; -- one; two\nselect 2 /* ; */;\n-- bye\n"),
            ["select ';' as \"a;b\"", "-- one; two\nselect 2 /* ; */"]
        );
        assert_eq!(statements("select 'it''s; so'"), ["select 'it''s; so'"]);
        assert_eq!(statements(" ;; \n"), Vec::<&str>::new());
        assert_eq!(
            statements("select 'é;ü'; select 'ß'"),
            ["select 'é;ü'", "select 'ß'"]
        );
    }

    #[test]
    fn a_statement_is_complete_at_its_semicolon() {
        for whole in [
            "select 1;",
            "select ';';",
            "select 1; -- done",
            "",
            "-- nothing",
            "select 1; select 2 ;\n",
        ] {
            assert!(is_complete(whole), "{whole}");
        }
        for part in [
            "select 1",
            "select ';",
            "select 1; select 2",
            "select 1 /* ;",
            "select \"a;",
            "select 1 -- ;",
        ] {
            assert!(!is_complete(part), "{part}");
        }
    }
}
