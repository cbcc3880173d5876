//! "Did you mean": the nearest of some names.

use datafusion::common::utils::datafusion_strsim::levenshtein;

/// The name that is nearest to what was typed, if any is near: at most a third of its letters are wrong, or it begins
/// with what was typed. Of two that are as near, the one of more equal length.
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let changes_max = typed.chars().count().div_ceil(3);
    names
        .into_iter()
        .map(|name| {
            let lower = name.to_lowercase();
            let begins = typed.len() >= 3 && lower.starts_with(&typed);
            let changes = if begins {
                0
            } else {
                levenshtein(&typed, &lower)
            };
            (changes, lower.len().abs_diff(typed.len()), name)
        })
        .filter(|(changes, _, _)| *changes <= changes_max)
        .min_by_key(|(changes, longer, _)| (*changes, *longer))
        .map(|(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_mended_and_a_stranger_is_not() {
        let names = ["workflow_id", "workflow_type", "event_id", "tool"];
        assert_eq!(nearest("workflow_ids", names), Some("workflow_id"));
        assert_eq!(nearest("Event_Id", names), Some("event_id"));
        assert_eq!(nearest("tol", names), Some("tool"));
        assert_eq!(nearest("workflow", names), Some("workflow_id"));
        assert_eq!(nearest("cuont", ["cot", "count"]), Some("count"));
        assert_eq!(nearest("temperature", names), None);
    }
}
