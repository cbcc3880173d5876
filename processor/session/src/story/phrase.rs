//! Words for the story: texts of agents made readable, levels, times and lists.
//!
//! Knows nothing of what is told. What agents write is cut, put on one line and stripped of the marks of JSON and
//! Markdown; nothing is reworded.

use schemas::session::Confidence;

/// The beginning of a text on one line, at most `chars_max` characters, cut between words.
pub(super) fn plain(text: &str, chars_max: usize) -> String {
    // A long text is cut before it is cleaned: what is told stands in its beginning.
    let text: String = text.chars().take(chars_max.saturating_mul(4)).collect();
    let text = match text.find(['{', '[']) {
        Some(at) if looks_like_json(&text[at..]) => {
            format!("{}{}", &text[..at], without_json_marks(&text[at..]))
        }
        _ => text,
    };
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        let word = word
            .trim_start_matches('#')
            .replace("**", "")
            .replace('`', "");
        let word: String = word.chars().filter(|char| !char.is_control()).collect();
        let is_mark = word
            .chars()
            .all(|char| matches!(char, '-' | '*' | '=' | '_' | '•' | '|' | '>' | '#'));
        if !word.is_empty() && !is_mark {
            words.push(word);
        }
    }
    fit(&words.join(" "), chars_max)
}

/// A text cut between words, quotes closed.
pub(super) fn fit(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let cut: String = text.chars().take(chars_max).collect();
    let cut = match cut.rfind(' ') {
        Some(at) if at > cut.len() / 2 => &cut[..at],
        _ => &cut,
    };
    let mut cut = cut
        .trim_end_matches([' ', ',', ';', ':', '.', '…', '“'])
        .to_owned();
    cut.push('…');
    if cut.matches('“').count() > cut.matches('”').count() {
        cut.push('”');
    }
    cut
}

fn looks_like_json(text: &str) -> bool {
    let mut chars = text.chars().filter(|char| !char.is_whitespace());
    matches!(
        (chars.next(), chars.next()),
        (Some('{'), Some('"' | '\'' | '}')) | (Some('['), Some('"' | '\'' | '{' | '[' | ']'))
    )
}

fn without_json_marks(text: &str) -> String {
    let text = text.replace("\\n", " ").replace("\\\"", "\"");
    let bare = text
        .chars()
        .filter(|char| !matches!(char, '{' | '}' | '[' | ']' | '"' | '\\'));
    bare.collect::<String>()
        .replace("': '", ": ")
        .replace("', '", ", ")
}

/// “text”, cut; empty where there is nothing to say.
pub(super) fn quoted(text: &str, chars_max: usize) -> String {
    let text = plain(text, chars_max);
    let text = text.trim_end_matches(['.', ' ']).replace(['“', '”'], "'");
    if text.is_empty() {
        return text;
    }
    format!("“{text}”")
}

/// How sure somebody is, in words.
pub(super) fn level(confidence: Option<Confidence>, probability: Option<f64>) -> Option<String> {
    let percent = probability.map(|p| format!("{:.0} %", p * 100.0));
    match (confidence, percent) {
        (Some(confidence), Some(percent)) => Some(format!("{confidence}, {percent}")),
        (Some(confidence), None) => Some(confidence.to_string()),
        (None, percent) => percent,
    }
}

/// A name in snake_case or kebab-case as words.
pub(super) fn spaced(name: &str) -> String {
    name.replace(['_', '-'], " ")
}

/// a, b and c.
pub(super) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// `one thing`, `3 things`.
pub(super) fn count(number: i64, one: &str, many: &str) -> String {
    match number {
        1 => format!("one {one}"),
        _ => format!("{number} {many}"),
    }
}

/// A span of time in the unit that a person would use.
pub(super) fn lasting(us: i64) -> String {
    let seconds = us.max(0) / 1_000_000;
    match seconds {
        0 => "less than a second".to_owned(),
        1..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

/// The first letter made large and a full stop set.
pub(super) fn sentence(text: &str) -> String {
    let text = text.trim().trim_end_matches(['.', ';', ',']);
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    let mut sentence: String = first.to_uppercase().collect();
    sentence.push_str(chars.as_str());
    if !sentence.ends_with(['!', '?']) {
        sentence.push('.');
    }
    sentence
}

/// Time of day in UTC.
pub(super) fn clock(at: i64) -> String {
    let seconds = at.div_euclid(1_000_000).rem_euclid(86_400);
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// RFC 3339, in UTC to the second.
pub(super) fn stamp(at: i64) -> String {
    format!("{}T{}Z", date(at), clock(at))
}

/// Civil date of a time, after Howard Hinnant's days algorithm.
pub(super) fn date(at: i64) -> String {
    let days = at.div_euclid(86_400 * 1_000_000) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_utc() {
        assert_eq!(stamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(stamp(1_763_432_220_000_000), "2025-11-18T02:17:00Z");
        assert_eq!(date(951_782_400_000_000), "2000-02-29");
    }

    #[test]
    fn texts_of_agents_lose_the_marks_of_json_and_markdown_and_keep_their_words() {
        let json = r#"failed afterwards: {"service": "checkout", "error_rate": 0.06}"#;
        assert_eq!(
            plain(json, 100),
            "failed afterwards: service: checkout, error_rate: 0.06"
        );
        assert_eq!(
            plain("### 1. Facts\n\n---\n- **big**\n", 100),
            "1. Facts big"
        );
        assert_eq!(plain("set {a, b} and x[0]", 100), "set {a, b} and x[0]");
    }

    #[test]
    fn a_long_text_is_cut_between_words_and_its_quote_closed() {
        assert_eq!(fit("one two three four", 12), "one two…");
        assert_eq!(fit("said “one two three four”", 15), "said “one two…”");
        assert_eq!(quoted("It works.", 20), "“It works”");
        assert_eq!(quoted("  \n", 20), "");
    }
}
