//! Near-equality: whether two texts say almost the same, told from a sketch of fixed size instead of the texts.
//!
//! A sketch is a minhash with one permutation: the shingles of a text fall into 64 bins by their hash, and each bin
//! keeps its smallest. The share of equal bins estimates the Jaccard similarity of the shingles; with 8 bits for a bin
//! its standard error is 0.06 at most. Chosen over simhash because it estimates a share that can be explained (the words
//! that two texts have in common), because it is exact for short arguments, where no bin holds two words, and because
//! an addition per shingle is all that it costs. It knows nothing of languages: words are runs of letters and digits in
//! lower case, an ideograph is a word of its own.
//! Bound: the first 400 words within the first 4 KiB of a text are read; a [`Sketch`] is 64 bytes, a [`Likeness`] 24.

use serde::{Deserialize, Serialize};

const BINS: usize = 64;
const BYTES_MAX: usize = 4096;
const WORDS_MAX: usize = 400;
/// From here on two sets of arguments, or two results, are almost the same.
pub const NEAR: f32 = 0.9;
/// Words of an error that make it the same error.
const FAILURE_WORDS_MAX: usize = 40;
const FAILURE_BYTES_MAX: usize = 500;

/// What is kept of a longer text: 8 bits for each bin, 0 where no shingle fell into it. Graded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sketch([[u8; BINS / 2]; 2]);

impl Sketch {
    /// The sketch of the pairs of neighbouring words in these texts, and how many pairs there are.
    pub fn of_pairs<'a>(texts: impl IntoIterator<Item = &'a str>) -> (Self, usize) {
        let mut bins = Bins::new();
        let (mut before, mut pairs) = (None, 0);
        for text in texts {
            words(text, |word| {
                if let Some(before) = before {
                    bins.add(mix(before, word.hash));
                    pairs += 1;
                }
                before = Some(word.hash);
            });
        }
        (bins.sketch(), pairs)
    }

    /// Share of the shingles that two texts have in common, estimated, in [0, 1].
    pub fn similarity(&self, other: &Self) -> f32 {
        let (mut used, mut same) = (0_u32, 0_u32);
        let bins = self.0.as_flattened().iter().zip(other.0.as_flattened());
        for (a, b) in bins {
            used += u32::from(a | b != 0);
            same += u32::from(a | b != 0 && a == b);
        }
        if used == 0 {
            return 1.0;
        }
        same as f32 / used as f32
    }
}

/// What is kept of arguments and results: whether a bin is used and one bit of it, and the words with digits apart.
///
/// A changed number, id or page is another question or another answer, however much of the text is the same: a batch
/// over files, paging, a job at 23 and then at 24 per cent. A changed order of words is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Likeness {
    used: u64,
    low: u64,
    digits: u32,
}

impl Likeness {
    /// The likeness of a text's words.
    pub fn of(text: &str) -> Self {
        let mut likeness = Self::default();
        let mut bins = Bins::new();
        words(text, |word| {
            if let Some((bin, low)) = bins.add(word.hash) {
                likeness.used |= 1 << bin;
                likeness.low = (likeness.low & !(1 << bin)) | (low << bin);
            }
            if word.has_digit {
                likeness.digits = likeness.digits.wrapping_add((word.hash >> 32) as u32);
            }
        });
        likeness
    }

    /// Whether there are no words.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Different words, up to 64; two that share a bin count as one.
    pub const fn words(&self) -> u32 {
        self.used.count_ones()
    }

    /// Whether two texts have the same numbers and [`NEAR`] of their words in common.
    pub fn is_near(&self, other: &Self) -> bool {
        self.digits == other.digits && self.similarity(other) >= NEAR
    }

    fn similarity(&self, other: &Self) -> f32 {
        let used = (self.used | other.used).count_ones();
        if used == 0 {
            return 1.0;
        }
        let alone = (self.used ^ other.used).count_ones();
        // Half of the bins that differ have the same bit by chance.
        let differ = 2 * ((self.low ^ other.low) & self.used & other.used).count_ones();
        used.saturating_sub(alone + differ) as f32 / used as f32
    }
}

/// What makes two failures the same: the words of the message without numbers and without what stands in quotes
/// (`unexpected keyword argument 'x'` is `unexpected keyword argument 'y'`). Never 0.
pub fn failure(message: &str) -> u32 {
    let mut end = message.len().min(FAILURE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let (mut hash, mut counted) = (1_u64, 0);
    let mut rest = &message[..end];
    while !rest.is_empty() {
        let open = rest.find(['\'', '"']).unwrap_or(rest.len());
        words(&rest[..open], |word| {
            if !word.has_digit && counted < FAILURE_WORDS_MAX {
                hash = mix(hash, word.hash);
                counted += 1;
            }
        });
        let mut quoted = rest[open..].chars();
        let Some(quote) = quoted.next() else { break };
        let quoted = quoted.as_str();
        // A quote that nobody closes is an apostrophe.
        rest = quoted
            .find(quote)
            .map_or(quoted, |close| &quoted[close + 1..]);
    }
    ((hash >> 32) as u32).max(1)
}

struct Bins([u64; BINS]);

impl Bins {
    fn new() -> Self {
        Self([u64::MAX; BINS])
    }

    /// Adds a shingle; its bin and the lowest bit where it is the smallest so far.
    fn add(&mut self, hash: u64) -> Option<(u32, u64)> {
        let bin = (hash >> 58) as usize;
        let rest = hash & ((1 << 58) - 1);
        if rest >= self.0[bin] {
            return None;
        }
        self.0[bin] = rest;
        Some((bin as u32, rest & 1))
    }

    fn sketch(&self) -> Sketch {
        let mut sketch = [[0; BINS / 2]; 2];
        for (kept, smallest) in sketch.as_flattened_mut().iter_mut().zip(&self.0) {
            *kept = if *smallest == u64::MAX {
                0
            } else {
                (*smallest as u8).max(1)
            };
        }
        Sketch(sketch)
    }
}

struct Word {
    hash: u64,
    has_digit: bool,
}

/// What a byte is: 0 stands between words, 1 is a letter or `_`, 2 a digit, 4 a part of a letter beyond ASCII.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => 1,
            b'0'..=b'9' => 2,
            0x80.. => 4,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// Words of a text in lower case, hashed.
fn words(text: &str, mut take: impl FnMut(Word)) {
    let mut end = text.len().min(BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    let bytes = text.as_bytes();
    let (mut at, mut start, mut count) = (0, 0, 0);
    let mut letters = Letters::default();
    while at < end {
        let class = CLASSES[bytes[at] as usize];
        if class & 3 != 0 {
            letters.push(bytes[at], class);
            at += 1;
            continue;
        }
        if class == 4 {
            // Letters beyond ASCII: by characters, from the beginning of the word.
            letters = Letters::default();
            at = start + other_letters(&text[start..], &mut count, &mut take);
        } else {
            if letters.len > 0 {
                take(std::mem::take(&mut letters).word());
                count += 1;
            }
            at += 1;
        }
        if count >= WORDS_MAX {
            return;
        }
        start = at;
    }
    if letters.len > 0 {
        take(letters.word());
    }
}

/// A word that is being read, eight bytes at a time.
#[derive(Default)]
struct Letters {
    hash: u64,
    part: u64,
    len: u32,
    classes: u8,
}

impl Letters {
    /// Setting bit 5 makes letters small and leaves digits as they are.
    fn push(&mut self, byte: u8, class: u8) {
        self.part = (self.part << 8) | u64::from(byte | 0x20);
        self.len += 1;
        self.classes |= class;
        if self.len.is_multiple_of(8) {
            self.hash = mix(self.hash, self.part);
            self.part = 0;
        }
    }

    fn word(self) -> Word {
        Word {
            hash: mix(self.hash ^ u64::from(self.len), self.part),
            has_digit: self.classes & 2 != 0,
        }
    }
}

/// One word with letters beyond ASCII, or what is no word; the bytes that it took, one at least.
fn other_letters(text: &str, count: &mut usize, take: &mut impl FnMut(Word)) -> usize {
    let mut lower = String::new();
    let mut has_digit = false;
    let mut end = text.len();
    for (at, letter) in text.char_indices() {
        if is_ideograph(letter) {
            if lower.is_empty() {
                lower.push(letter);
                end = at + letter.len_utf8();
            } else {
                end = at;
            }
            break;
        }
        if !letter.is_alphanumeric() && letter != '_' {
            end = if lower.is_empty() {
                at + letter.len_utf8()
            } else {
                at
            };
            break;
        }
        has_digit |= letter.is_numeric();
        lower.extend(letter.to_lowercase());
    }
    if !lower.is_empty() {
        let mut letters = Letters::default();
        for byte in lower.bytes() {
            letters.push(byte, 1);
        }
        take(Word {
            has_digit,
            ..letters.word()
        });
        *count += 1;
    }
    end
}

/// Scripts that are written without spaces between words: Chinese, Japanese, Korean syllables aside.
const fn is_ideograph(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

/// Two hashes into one, every bit of which depends on all of theirs.
const fn mix(a: u64, b: u64) -> u64 {
    let product = (a ^ 0x9e37_79b9_7f4a_7c15) as u128 * (b ^ 0xd6e8_feb8_6659_fd93) as u128;
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(text: &str) -> Sketch {
        Sketch::of_pairs([text]).0
    }

    /// Words `first..last` of an endless text.
    fn words_of(range: std::ops::Range<usize>) -> String {
        range.map(|n| format!("w{} ", letters(n))).collect()
    }

    fn letters(n: usize) -> String {
        n.to_string()
            .bytes()
            .map(|digit| char::from(b'a' + (digit - b'0')))
            .collect()
    }

    #[test]
    fn the_estimate_is_near_the_share_of_common_words_for_short_and_long_texts() {
        for (common, own) in [(300, 100), (200, 200), (90, 10), (20, 20), (0, 100)] {
            let a = words_of(0..common + own / 2);
            let b = words_of(0..common) + &words_of(1000..1000 + own / 2);
            let truth = common as f32 / (common + own) as f32;
            let estimate = sketch(&a).similarity(&sketch(&b));
            assert!(
                (estimate - truth).abs() < 0.15,
                "{estimate} for {truth} of {common} and {own}"
            );
            let estimate = Likeness::of(&a).similarity(&Likeness::of(&b));
            assert!(
                (estimate - truth).abs() < 0.25,
                "{estimate} for {truth} of {common} and {own}, in brief"
            );
        }
    }

    #[test]
    fn arguments_are_near_in_another_order_and_not_with_another_number() {
        let near = |a: &str, b: &str| Likeness::of(a).is_near(&Likeness::of(b));
        assert!(near(
            r#"{"query":"August 2021 Vogue cover"}"#,
            r#"{"query": "vogue COVER August 2021"}"#
        ));
        assert!(!near(r#"{"page":1}"#, r#"{"page":2}"#));
        assert!(!near(r#"{"path":"a.rs"}"#, r#"{"path":"b.rs"}"#));
        assert!(!near("", "something"));
        assert!(Likeness::of(r#"{}"#).is_empty());
    }

    #[test]
    fn a_text_is_like_itself_whatever_its_case_and_script_and_unlike_another() {
        for (a, b) in [
            (
                "Please look at the Log again",
                "please LOOK at the log, again!",
            ),
            (
                "Überprüfe bitte das Protokoll",
                "überprüfe „bitte“ das PROTOKOLL",
            ),
            ("请再检查一次日志", "请再检查一次日志。"),
        ] {
            assert_eq!(sketch(a), sketch(b), "{a}");
            assert!(Sketch::of_pairs([a]).1 >= 3, "{a}");
        }
        assert!(sketch("请再检查一次日志").similarity(&sketch("我们今天去吃饭吧")) < 0.2);
    }

    #[test]
    fn a_failure_is_the_same_with_other_numbers_and_names() {
        assert_eq!(
            failure("unexpected keyword argument 'x' at line 12"),
            failure("unexpected keyword argument 'filter' at line 99")
        );
        assert_eq!(failure("can't open it"), failure("can't open it"));
        assert_ne!(failure("can't open it"), failure("can't read it"));
        assert_ne!(failure(""), 0);
    }

    #[test]
    fn only_the_beginning_of_a_long_text_is_read_and_no_cut_splits_a_letter() {
        let long = "ä".repeat(BYTES_MAX);
        assert!(!Likeness::of(&long).is_empty());
        let same = words_of(0..WORDS_MAX);
        assert_eq!(sketch(&same), sketch(&(same.clone() + "and another end")));
        let cut = format!("{}ä'", "x".repeat(FAILURE_BYTES_MAX - 1));
        assert_ne!(failure(&cut), 0);
    }
}
