//! Effects: what a tool does to the world, by its name and, where the name says only which language it runs, by its
//! arguments.
//!
//! Asked where an event declares `unknown`. The words are one published table (`effects/table.rs`, `docs/effects.md`);
//! the operator's own words under `[session.tools]` win over it. What the table says is a guess, and everything that
//! rests on it says `inferred`. A tool that no rule knows stays unknown. Nothing here knows of workflows.
//! Bound: names to 128 bytes, arguments to 8 KiB; what is cut off counts as unknown.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use schemas::event::Effect;

mod arguments;
mod shell;
pub mod table;

use table::Part;

const NAME_BYTES_MAX: usize = 128;

/// What a tool does, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Does {
    /// It changes nothing and looks at nothing: it thinks, calculates, answers.
    Nothing,
    /// It looks.
    Reads,
    /// Nobody can tell from outside.
    Unknown,
    /// It changes something.
    Writes,
    /// It takes something away, or takes something back.
    Destroys,
}

impl Does {
    /// The word that events use for it.
    pub const fn effect(self) -> Effect {
        match self {
            Self::Nothing | Self::Reads => Effect::Read,
            Self::Writes => Effect::Write,
            Self::Destroys => Effect::Destructive,
            Self::Unknown => Effect::Unknown,
        }
    }
}

/// How arguments say what a tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Commands of a shell.
    Shell,
    /// SQL statements.
    Sql,
    /// An HTTP method.
    Http,
    /// The command of an editor.
    Editor,
}

/// The effect of a call, and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// What it does.
    pub effect: Effect,
    /// The event did not say it; the published table did.
    pub inferred: bool,
    /// It looks at the world: a read that is more than thinking or answering.
    pub looks: bool,
}

impl Known {
    /// Of an event that is no call.
    pub const NONE: Self = Self {
        effect: Effect::Unknown,
        inferred: false,
        looks: false,
    };

    /// Whether it changes the world.
    pub const fn acts(self) -> bool {
        matches!(self.effect, Effect::Write | Effect::Destructive)
    }
}

/// The effect of a call: as declared, else as configured, else by the table.
pub fn of(
    declared: Effect,
    tool: &str,
    arguments: &str,
    configured: &BTreeMap<String, Effect>,
) -> Known {
    let known = |effect| Known {
        effect,
        inferred: false,
        looks: effect == Effect::Read,
    };
    if declared == Effect::Read {
        // The word `read` does not tell looking from thinking; the name may.
        return Known {
            looks: by_name(tool) != Some(Does::Nothing),
            ..known(declared)
        };
    }
    if declared != Effect::Unknown {
        return known(declared);
    }
    if let Some(effect) = by_configuration(tool, configured) {
        return known(effect);
    }
    let does = does(tool, arguments);
    Known {
        effect: does.effect(),
        inferred: does != Does::Unknown,
        looks: does == Does::Reads,
    }
}

/// By `[session.tools]`: the whole name, else the longest prefix, written with a `*` behind it.
fn by_configuration(tool: &str, configured: &BTreeMap<String, Effect>) -> Option<Effect> {
    if configured.is_empty() {
        return None;
    }
    if let Some(effect) = configured.get(tool) {
        return Some(*effect);
    }
    configured
        .iter()
        .filter_map(|(name, effect)| Some((name.strip_suffix('*')?, effect)))
        .filter(|(prefix, _)| tool.starts_with(prefix))
        .max_by_key(|(prefix, _)| prefix.len())
        .map(|(_, effect)| *effect)
}

/// What a tool does, by the table.
pub fn does(tool: &str, arguments: &str) -> Does {
    let name = Name::of(tool);
    if let Some(language) = name.find(&LOOKUP.languages) {
        return match language {
            Language::Shell => arguments::shell(arguments),
            Language::Sql => arguments::sql(arguments),
            Language::Http => arguments::http(arguments),
            Language::Editor => arguments::editor(arguments),
        };
    }
    if let Some(program) = name.find(&LOOKUP.programs) {
        return arguments::program(arguments, program);
    }
    name.does().unwrap_or(Does::Unknown)
}

fn by_name(tool: &str) -> Option<Does> {
    Name::of(tool).does()
}

/// The table, to look words up in.
struct Lookup {
    names: Words,
    verbs: Words,
    shell: Words,
    sql: Words,
    http: Words,
    editor: Words,
    programs: HashMap<&'static str, usize>,
    of_programs: Vec<Words>,
    languages: HashMap<&'static str, Language>,
}

type Words = HashMap<&'static str, Does>;

static LOOKUP: LazyLock<Lookup> = LazyLock::new(|| Lookup {
    names: words(&table::NAMES),
    verbs: words(&table::VERBS),
    shell: words(&table::SHELL),
    sql: words(&table::SQL),
    http: words(&table::HTTP),
    editor: words(&table::EDITOR),
    programs: table::PROGRAMS
        .iter()
        .enumerate()
        .flat_map(|(at, (names, _))| names.iter().map(move |name| (*name, at)))
        .collect(),
    of_programs: table::PROGRAMS
        .iter()
        .map(|(_, part)| words(part))
        .collect(),
    languages: table::LANGUAGES
        .iter()
        .flat_map(|(language, names)| names.iter().map(|name| (*name, *language)))
        .collect(),
});

fn words(part: &Part) -> Words {
    part.rows
        .iter()
        .flat_map(|(does, words)| words.iter().map(|word| (*word, *does)))
        .collect()
}

/// The name of a tool in snake case, with and without its namespace.
struct Name {
    whole: String,
    /// Where the part behind the last namespace begins.
    bare: usize,
}

impl Name {
    /// `mcp__github__createIssue`, `github.create-issue` and `GitHub/CreateIssue` are one name.
    fn of(tool: &str) -> Self {
        let mut whole = String::with_capacity(tool.len().min(NAME_BYTES_MAX) + 8);
        let mut bare = 0;
        let mut before = '_';
        let mut characters = tool.chars().peekable();
        while let Some(character) = characters.next() {
            if whole.len() >= NAME_BYTES_MAX {
                break;
            }
            if !character.is_alphanumeric() {
                let namespace = matches!(character, '.' | '/' | ':')
                    || (character == '_' && before == '_' && !whole.is_empty());
                if !whole.is_empty() && !whole.ends_with('_') {
                    whole.push('_');
                }
                if namespace && characters.peek().is_some_and(|next| next.is_alphanumeric()) {
                    bare = whole.len();
                }
                before = character;
                continue;
            }
            let next_is_lower = characters.peek().is_some_and(|next| next.is_lowercase());
            let begins = character.is_uppercase()
                && (before.is_lowercase() || before.is_uppercase() && next_is_lower);
            if begins && !whole.ends_with('_') {
                whole.push('_');
            }
            whole.extend(character.to_lowercase());
            before = character;
        }
        while whole.ends_with('_') {
            whole.pop();
        }
        Self { whole, bare }
    }

    /// The name without its namespace, then with it, each also without a last word that says nothing.
    fn forms(&self) -> impl Iterator<Item = &str> {
        let whole = (self.bare > 0).then_some(&*self.whole);
        let forms = self.whole.get(self.bare..).into_iter().chain(whole);
        forms.flat_map(|form| {
            let short = form
                .rsplit_once('_')
                .filter(|(_, last)| matches!(*last, "tool" | "api" | "function" | "action"))
                .map(|(short, _)| short);
            [Some(form), short].into_iter().flatten()
        })
    }

    fn find<T: Copy>(&self, words: &HashMap<&'static str, T>) -> Option<T> {
        self.forms().find_map(|form| words.get(form).copied())
    }

    fn does(&self) -> Option<Does> {
        self.find(&LOOKUP.names)
            .or_else(|| self.forms().find_map(by_program))
            .or_else(|| self.forms().find_map(by_verbs))
    }
}

/// `git_commit`, `kubectl_get_pods`.
fn by_program(name: &str) -> Option<Does> {
    let (program, rest) = name.split_once('_')?;
    let words = LOOKUP.of_programs.get(*LOOKUP.programs.get(program)?)?;
    rest.split('_').find_map(|word| words.get(word).copied())
}

fn by_verbs(name: &str) -> Option<Does> {
    if name.starts_with("transfer_to_") || name.starts_with("transfer_back") {
        return Some(Does::Nothing);
    }
    let verb = |word: &str| LOOKUP.verbs.get(word).copied();
    let first = name.split('_').next()?;
    let begins = verb(first);
    let many = name.contains("_and_") || name.contains("_or_");
    if begins.is_some() && !table::NOUNS.contains(&first) && !many {
        return begins;
    }
    let mut last = None;
    let mut strongest = begins;
    for word in name.split('_').skip(1) {
        if table::NOUNS.contains(&word) || table::LEADING.contains(&word) {
            continue;
        }
        if let Some(does) = verb(word) {
            last = Some(does);
            strongest = strongest.max(last);
        }
    }
    if many { strongest } else { last.or(begins) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &[(&str, Does)]) {
        for (tool, expected) in rows {
            assert_eq!(does(tool, "{}"), *expected, "{tool}");
        }
    }

    #[test]
    fn a_name_says_what_it_does_in_every_convention() {
        use Does::{Destroys, Nothing, Reads, Unknown, Writes};
        check(&[
            ("get_user_details", Reads),
            ("getUserDetails", Reads),
            ("GetUserDetails", Reads),
            ("users.get-details", Reads),
            ("WebSearch", Reads),
            ("web_search", Reads),
            ("page_down", Reads),
            ("TaskOutput", Reads),
            ("inspect_file_as_text", Reads),
            ("find_on_page_ctrl_f", Reads),
            ("mcp__github__create_issue", Writes),
            ("github.createIssue", Writes),
            ("functions/Edit", Writes),
            ("book_reservation", Writes),
            ("return_delivered_order_items", Writes),
            ("send_certificate", Writes),
            ("order_status", Reads),
            ("order_cancel", Destroys),
            ("cancel_pending_order", Destroys),
            ("deploy.rollback", Destroys),
            ("ci.list_deploys", Reads),
            ("k8s_delete_pod", Destroys),
            ("git_commit", Writes),
            ("search_and_delete", Destroys),
            ("think", Nothing),
            ("transfer_to_human_agents", Nothing),
            ("transfer_to_billing", Nothing),
            ("transfer_money", Writes),
            ("final_answer", Nothing),
            ("TodoWrite", Nothing),
            ("python_interpreter", Unknown),
            ("code", Unknown),
            ("getaway", Unknown),
            ("metrics.error_rate", Unknown),
            ("", Unknown),
            ("___", Unknown),
        ]);
    }

    #[test]
    fn a_call_is_what_it_declares_then_what_is_configured_then_what_the_table_says() {
        let configured = BTreeMap::from([
            ("acme_*".to_owned(), Effect::Read),
            ("acme_get_rid_of".to_owned(), Effect::Destructive),
        ]);
        let effect = |declared, tool| {
            let known = of(declared, tool, "{}", &configured);
            (known.effect, known.inferred)
        };
        assert_eq!(effect(Effect::Write, "get_x"), (Effect::Write, false));
        assert_eq!(effect(Effect::Unknown, "get_x"), (Effect::Read, true));
        assert_eq!(
            effect(Effect::Unknown, "acme_delete"),
            (Effect::Read, false)
        );
        assert_eq!(
            effect(Effect::Unknown, "acme_get_rid_of"),
            (Effect::Destructive, false)
        );
        assert_eq!(effect(Effect::Unknown, "mystery"), (Effect::Unknown, false));
        assert!(!of(Effect::Read, "think", "", &configured).looks);
        assert!(of(Effect::Read, "metrics.error_rate", "", &configured).looks);
    }

    #[test]
    fn no_word_stands_twice_in_one_part_of_the_table() {
        let parts = [
            &table::NAMES,
            &table::VERBS,
            &table::SHELL,
            &table::SQL,
            &table::HTTP,
            &table::EDITOR,
        ];
        for part in parts
            .into_iter()
            .chain(table::PROGRAMS.iter().map(|(_, part)| part))
        {
            let count: usize = part.rows.iter().map(|(_, words)| words.len()).sum();
            assert_eq!(words(part).len(), count, "{}", part.title);
        }
    }
}
