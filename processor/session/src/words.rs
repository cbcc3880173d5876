//! Words: how sure somebody says to be, and whether somebody says that the work succeeded, where no field says it.
//!
//! One published list (`docs/words.md` is made from it), English, no model. What it reads is marked `from_text` and
//! weighs less than a field. Words are compared in lower case, phrases word by word, whatever stands between them.
//! Bound: the first 600 bytes of a text are read.

use std::sync::LazyLock;

use hashbrown::HashMap;

use schemas::event::{Confidence, Declaration};

use crate::fingerprint;

/// How much of a text is read: who declares something does so at the beginning.
const BYTES_MAX: usize = 600;
/// Words that may be told apart in them.
const WORDS_MAX: usize = 160;
/// Words of a statement that can be recognised again: fewer say too little, more are a story.
const SKETCH_WORDS: std::ops::RangeInclusive<usize> = 2..=24;
/// How far behind a word of success a question or a plan takes it back, in bytes.
const TAKEN_BACK_BYTES: usize = 40;

/// One part of the list.
#[derive(Debug)]
pub struct Part {
    /// Heading.
    pub title: &'static str,
    /// How its words are used.
    pub about: &'static str,
    /// What the words mean.
    pub rows: &'static [(Meaning, &'static [&'static str])],
}

/// What a word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// How sure.
    Level(Confidence),
    /// That it succeeded.
    Success,
    /// That it did not, or could not be done.
    Failure,
    /// That it is still to come, or up to somebody else.
    Open,
}

/// How sure somebody is.
pub const LEVELS: Part = Part {
    title: "How sure",
    about: "ICD-203's words of likelihood and of confidence, and those that agents use for them. Of several the least sure counts; a `not`, `never` or `hardly` up to two words before takes a word down to low.",
    rows: &[
        (
            Meaning::Level(Confidence::Low),
            &[
                "almost no chance",
                "remote",
                "very unlikely",
                "highly improbable",
                "unlikely",
                "improbable",
                "roughly even chance",
                "roughly even odds",
                "even chance",
                "low confidence",
                "possible",
                "possibly",
                "perhaps",
                "maybe",
                "might",
                "may be",
                "may have",
                "could be",
                "could have",
                "suspect",
                "suspected",
                "suspects",
                "suspicion",
                "guess",
                "guessing",
                "hunch",
                "unsure",
                "uncertain",
                "unclear",
                "unconfirmed",
                "unverified",
                "speculative",
                "tentative",
                "tentatively",
                "hypothesis",
            ],
        ),
        (
            Meaning::Level(Confidence::Medium),
            &[
                "likely",
                "probable",
                "probably",
                "presumably",
                "appears",
                "apparently",
                "seems",
                "seemingly",
                "suggests",
                "suggest",
                "indicates",
                "points to",
                "consistent with",
                "moderate confidence",
                "medium confidence",
                "think",
                "believe",
                "assume",
            ],
        ),
        (
            Meaning::Level(Confidence::High),
            &[
                "very likely",
                "very probable",
                "very probably",
                "highly likely",
                "highly probable",
                "almost certain",
                "almost certainly",
                "nearly certain",
                "most likely",
                "high confidence",
                "confident",
                "strongly suggests",
                "strong evidence",
                "sure",
            ],
        ),
        (
            Meaning::Level(Confidence::Confirmed),
            &[
                "confirmed",
                "confirms",
                "certain",
                "certainly",
                "definite",
                "definitely",
                "definitively",
                "undoubtedly",
                "without doubt",
                "no doubt",
                "proven",
                "proves",
                "proved",
                "verified",
                "established",
                "conclusive",
                "conclusively",
                "root cause is",
                "root cause was",
                "identified",
                "is the cause",
                "was the cause",
                "it is a fact",
            ],
        ),
    ],
};

/// Whether it succeeded.
pub const OUTCOMES: Part = Part {
    title: "Whether it succeeded",
    about: "A text declares success when it has a word of success, no word of failure, and no question or plan up to 40 characters behind the word of success; a `not` up to two words before makes it a word of failure. It declares failure when it has a word of failure and none of success.",
    rows: &[
        (
            Meaning::Success,
            &[
                "all set",
                "accomplished",
                "complete",
                "completed",
                "completes",
                "done",
                "final answer",
                "finished",
                "fixed",
                "has been",
                "have been",
                "is now ready",
                "is now working",
                "is ready",
                "is working",
                "mission accomplished",
                "mitigated",
                "processed",
                "resolved",
                "restored",
                "solved",
                "succeeded",
                "success",
                "successful",
                "successfully",
                "terminate",
            ],
        ),
        (
            Meaning::Failure,
            &[
                "apologise",
                "apologize",
                "can not",
                "can't",
                "cannot",
                "could not",
                "couldn't",
                "error",
                "fail",
                "failed",
                "fails",
                "failure",
                "gave up",
                "giving up",
                "not able",
                "not allowed",
                "not been",
                "not complete",
                "not completed",
                "not done",
                "not eligible",
                "not fixed",
                "not possible",
                "not resolved",
                "not solved",
                "still failing",
                "unable",
                "unfortunately",
                "unresolved",
                "unsuccessful",
                "unsuccessfully",
            ],
        ),
        (
            Meaning::Open,
            &[
                "before",
                "do you want",
                "i will",
                "i'll",
                "let me",
                "once",
                "please confirm",
                "shall i",
                "should i",
                "when done",
                "would you like",
            ],
        ),
    ],
};

/// Words that turn what follows.
pub const NEGATIONS: &[&str] = &["not", "never", "hardly", "isn't", "wasn't", "aren't"];

/// Tools whose call is the final answer: it declares success as `declares` would, marked `from_text`.
pub const FINAL_ANSWERS: &[&str] = &[
    "attempt_completion",
    "final_answer",
    "finish",
    "submit_answer",
    "submit_final_answer",
    "task_complete",
];

/// Words that carry no claim: left out, with those of [`LEVELS`], where statements without ids are compared.
pub const FILLERS: &[&str] = &[
    "a", "an", "and", "are", "be", "been", "by", "cause", "caused", "causes", "due", "from", "has",
    "have", "i", "in", "is", "it", "its", "of", "on", "our", "s", "so", "that", "the", "there",
    "this", "to", "very", "was", "we", "were", "with", "issue", "problem", "root", "reason",
    "because", "for", "now",
];

/// A phrase of the list.
struct Phrase {
    words: Vec<&'static str>,
    meaning: Meaning,
}

/// The list by the first word of each phrase, the longest first.
struct Lookup {
    levels: ByFirst,
    outcomes: ByFirst,
}

/// Phrases by their first word.
struct ByFirst {
    phrases: HashMap<&'static str, Vec<Phrase>>,
    /// By the first byte of a first word its lengths, a bit each: most words of a text are none, and that tells most of
    /// them without hashing.
    lengths: [u32; 256],
}

impl ByFirst {
    fn get(&self, word: &str) -> Option<&Vec<Phrase>> {
        let first = *word.as_bytes().first()?;
        if self.lengths[first as usize] & length_bit(word) == 0 {
            return None;
        }
        self.phrases.get(word)
    }
}

fn length_bit(word: &str) -> u32 {
    1 << word.len().min(31)
}

static LOOKUP: LazyLock<Lookup> = LazyLock::new(|| Lookup {
    levels: by_first(&LEVELS),
    outcomes: by_first(&OUTCOMES),
});

fn by_first(part: &Part) -> ByFirst {
    let mut by_first: HashMap<&'static str, Vec<Phrase>> = HashMap::new();
    for (meaning, phrases) in part.rows {
        for phrase in *phrases {
            let words: Vec<&'static str> = phrase.split(' ').collect();
            let meaning = *meaning;
            if let Some(first) = words.first() {
                by_first
                    .entry(first)
                    .or_default()
                    .push(Phrase { words, meaning });
            }
        }
    }
    for phrases in by_first.values_mut() {
        phrases.sort_by_key(|phrase| std::cmp::Reverse(phrase.words.len()));
    }
    let mut lengths = [0; 256];
    for word in by_first.keys() {
        if let Some(first) = word.as_bytes().first() {
            lengths[*first as usize] |= length_bit(word);
        }
    }
    ByFirst {
        phrases: by_first,
        lengths,
    }
}

/// A word of a text, in lower case, and where it begins and ends in it.
struct Word {
    begins: u32,
    ends: u32,
    starts_at: u32,
    stops_at: u32,
}

/// The beginning of a text, in words.
struct Words {
    text: String,
    words: Vec<Word>,
}

impl Words {
    fn of(text: &str) -> Self {
        let mut end = text.len().min(BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut words = Self {
            text: String::with_capacity(end),
            words: Vec::with_capacity(end / 5),
        };
        let mut begins: Option<(u32, u32)> = None;
        for (at, character) in text[..end].char_indices().chain([(end, ' ')]) {
            // The typographic apostrophe is one, too.
            let apostrophe = matches!(character, '\'' | '\u{2019}') && begins.is_some();
            if character.is_alphanumeric() || apostrophe {
                begins.get_or_insert((words.text.len() as u32, at as u32));
                if apostrophe {
                    words.text.push('\'');
                } else if character.is_ascii() {
                    words.text.push(character.to_ascii_lowercase());
                } else {
                    words.text.extend(character.to_lowercase());
                }
            } else if let Some((begins_at, starts_at)) = begins.take() {
                if words.words.len() == WORDS_MAX {
                    break;
                }
                words.words.push(Word {
                    begins: begins_at,
                    ends: words.text.len() as u32,
                    starts_at,
                    stops_at: at as u32,
                });
            }
        }
        words
    }

    fn get(&self, at: usize) -> Option<&str> {
        let word = self.words.get(at)?;
        Some(&self.text[word.begins as usize..word.ends as usize])
    }

    fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether a word that turns what follows stands up to two words before.
    fn negated(&self, at: usize) -> bool {
        (at.saturating_sub(2)..at).any(|before| {
            self.get(before)
                .is_some_and(|word| NEGATIONS.contains(&word))
        })
    }

    /// The longest phrase that begins at a word: how many words it has, and what it means.
    fn phrase(&self, at: usize, lookup: &ByFirst) -> Option<(usize, Meaning)> {
        let phrases = lookup.get(self.get(at)?)?;
        phrases
            .iter()
            .find(|phrase| {
                let mut words = phrase.words.iter().enumerate().skip(1);
                words.all(|(further, word)| self.get(at + further) == Some(*word))
            })
            .map(|phrase| (phrase.words.len(), phrase.meaning))
    }
}

/// How sure a text sounds; nothing where it has no word for it.
pub fn confidence(text: &str) -> Option<Confidence> {
    let words = Words::of(text);
    let mut least: Option<Confidence> = None;
    let mut at = 0;
    while at < words.len() {
        let Some((length, Meaning::Level(level))) = words.phrase(at, &LOOKUP.levels) else {
            at += 1;
            continue;
        };
        let negated = words.negated(at);
        let level = if negated { Confidence::Low } else { level };
        least = Some(least.map_or(level, |known| known.min(level)));
        at += length;
    }
    least
}

/// Whether a text says that the work succeeded or that it failed.
pub fn declares(text: &str) -> Option<Declaration> {
    let words = Words::of(text);
    let mut success: Option<usize> = None;
    let mut failed = false;
    let mut open: Option<usize> = None;
    let mut at = 0;
    while at < words.len() {
        let Some((length, meaning)) = words.phrase(at, &LOOKUP.outcomes) else {
            at += 1;
            continue;
        };
        match meaning {
            Meaning::Success if words.negated(at) => failed = true,
            Meaning::Success => {
                let ends = words.words[at + length - 1].stops_at as usize;
                success.get_or_insert(ends);
            }
            Meaning::Failure => failed = true,
            Meaning::Open => {
                let begins = words.words[at].starts_at as usize;
                open.get_or_insert(begins);
            }
            Meaning::Level(_) => {}
        }
        at += length;
    }
    match (success, failed) {
        (Some(ends), false) => {
            let taken_back = open.is_some_and(|begins| begins < ends + TAKEN_BACK_BYTES);
            (!taken_back).then_some(Declaration::Success)
        }
        (None, true) => Some(Declaration::Failure),
        _ => None,
    }
}

/// Whether a call of this tool is the final answer.
pub fn is_final_answer(tool: &str) -> bool {
    FINAL_ANSWERS.contains(&tool)
}

/// What makes two statements without ids one: their words, without those of [`LEVELS`] and [`FILLERS`]. A statement
/// that has no others is compared as it is.
pub fn claim(statement: &str) -> u64 {
    let words = Words::of(statement);
    let mut bare = String::with_capacity(words.text.len());
    each_bare(&words, |word| {
        bare.push_str(word);
        bare.push(' ');
    });
    if bare.is_empty() || statement.len() > BYTES_MAX {
        return fingerprint::statement(statement);
    }
    fingerprint::statement(&bare)
}

/// The words that make a short statement what it is, as sorted hashes; nothing for one too short or too long to be
/// recognised again.
pub fn sketch(statement: &str) -> Option<Vec<u32>> {
    if statement.len() > BYTES_MAX / 2 {
        return None;
    }
    let hashes = hashes(statement);
    (SKETCH_WORDS.contains(&hashes.len())).then_some(hashes)
}

/// The words of a text as sorted hashes, so many of them at most: those with the smallest hashes, so that texts with the
/// same words keep the same ones.
pub fn most_words(text: &str, max: usize) -> Vec<u32> {
    let mut hashes = hashes(text);
    hashes.truncate(max);
    hashes
}

/// Whether a text begins with something that went wrong, as programmes write it.
pub fn begins_with_error(text: &str) -> bool {
    let mut end = text.len().min(200);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let beginning = text[..end].to_ascii_lowercase();
    ["error", "traceback", "exitcode: 1", "exception"]
        .iter()
        .any(|word| beginning.contains(word))
}

/// The share of the words of a sketch that a text has.
pub fn share_of(sketch: &[u32], text: &str) -> f64 {
    let hashes = hashes(text);
    let common = sketch
        .iter()
        .filter(|hash| hashes.binary_search(hash).is_ok())
        .count();
    common as f64 / sketch.len().max(1) as f64
}

fn hashes(text: &str) -> Vec<u32> {
    let words = Words::of(text);
    let mut hashes = Vec::with_capacity(words.len());
    each_bare(&words, |word| hashes.push(fingerprint::id(word) as u32));
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

fn each_bare<'w>(words: &'w Words, mut take: impl FnMut(&'w str)) {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        match words.phrase(at, &LOOKUP.levels) {
            Some((length, _)) => at += length,
            None => {
                if !FILLERS.contains(&word) {
                    take(word);
                }
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_sounds_as_sure_as_its_least_sure_word() {
        use Confidence::{Confirmed, High, Low, Medium};
        for (text, expected) in [
            ("Recent deploy, likely cause.", Some(Medium)),
            ("It is probably the pool.", Some(Medium)),
            ("Very likely the pool", Some(High)),
            ("Confirmed: the pool is exhausted", Some(Confirmed)),
            ("Confirmed, or so it seems", Some(Medium)),
            ("This is not confirmed", Some(Low)),
            ("It isn\u{2019}t certain", Some(Low)),
            ("unlikely", Some(Low)),
            ("It might be the disk", Some(Low)),
            ("We have high confidence in this", Some(High)),
            ("The pool is exhausted", None),
            ("", None),
            ("ever\u{0130}", None),
        ] {
            assert_eq!(confidence(text), expected, "{text}");
        }
    }

    #[test]
    fn a_text_declares_success_unless_it_has_failed_or_is_not_there_yet() {
        use Declaration::{Failure, Success};
        for (text, expected) in [
            ("Identified and resolved", Some(Success)),
            ("done", Some(Success)),
            ("Task completed.", Some(Success)),
            ("TERMINATE", Some(Success)),
            ("FINAL ANSWER: 42", Some(Success)),
            ("Your reservation has been cancelled.", Some(Success)),
            ("I was unable to find it", Some(Failure)),
            ("The deploy failed.", Some(Failure)),
            ("It has not been resolved", Some(Failure)),
            ("Fixed the build, but the tests failed", None),
            ("Once this is done, tell me", None),
            ("All done! Would you like anything else?", None),
            ("Let me see whether it is fixed", None),
            ("Looking at the logs", None),
            ("", None),
        ] {
            assert_eq!(declares(text), expected, "{text}");
        }
        let late = format!("{} done", "x ".repeat(400));
        assert_eq!(declares(&late), None, "only the beginning is read");
    }

    #[test]
    fn statements_are_one_claim_whatever_their_level() {
        for (a, b) in [
            (
                "The deploy likely caused it",
                "Confirmed: the deploy caused it",
            ),
            (
                "DB issue from the deploy",
                "probably a DB issue from the deploy!",
            ),
            ("The disk is full.", "the disk is full"),
        ] {
            assert_eq!(claim(a), claim(b), "{a} / {b}");
        }
        assert_ne!(claim("the disk is full"), claim("the pool is full"));
        assert_ne!(
            claim("it is likely"),
            claim("it was confirmed"),
            "no other words"
        );
    }

    #[test]
    fn no_phrase_stands_twice_in_one_part_of_the_list() {
        for part in [&LEVELS, &OUTCOMES] {
            let mut phrases: Vec<&str> = part
                .rows
                .iter()
                .flat_map(|(_, phrases)| phrases.iter().copied())
                .collect();
            let count = phrases.len();
            phrases.sort_unstable();
            phrases.dedup();
            assert_eq!(phrases.len(), count, "{}", part.title);
        }
    }
}
