//! Reads the text form. Every error names the line, what was expected and what stood there.

use std::collections::{BTreeMap, BTreeSet};

use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{
    ActorKind, ClaimKind, Confidence, Declaration, Effect, ErrorKind, HandoffMode, HandoffPhase,
    ToolStatus, Verdict,
};
use schemas::symbols::Symbol;

use crate::SIGNALS;
use crate::scenario::{
    Allow, Answer, Choice, ClaimText, Deed, Expect, Label, Line, Scenario, Step, Vary, When,
};
use crate::tokens::{Token, Tokens};

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}, got {got:?}")]
pub struct ParseError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What belongs there.
    pub expected: String,
    /// What stood there.
    pub got: String,
}

impl ParseError {
    pub(crate) fn new(line: usize, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self {
            line,
            expected: expected.into(),
            got: got.into(),
        }
    }
}

/// Reads the scenarios of one family from the text of its file.
pub fn parse(family: &str, text: &str) -> Result<Vec<Scenario>, ParseError> {
    let mut reader = Reader {
        family,
        ..Reader::default()
    };
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            reader.read(at + 1, line)?;
        }
    }
    reader.finish()
}

#[derive(Default)]
struct Reader<'a> {
    family: &'a str,
    cast: BTreeMap<String, ActorKind>,
    done: Vec<Scenario>,
    open: Option<Scenario>,
    /// `expect nothing` stands where nothing is expected: forgetting it is an error.
    says_what: bool,
    labels: BTreeSet<String>,
    times: Option<(usize, u32, u32, Vec<Line>)>,
}

impl Reader<'_> {
    fn read(&mut self, number: usize, text: &str) -> Result<(), ParseError> {
        if let Some(title) = text.strip_prefix("scenario ") {
            return self.begin(number, title);
        }
        let mut tokens = Tokens::split(number, text)?;
        if tokens.skip("cast") {
            let mut kind = None;
            while let Some(token) = tokens.take() {
                match (ActorKind::from_symbol(token.as_str()), kind) {
                    _ if token == Token::Comma => {}
                    (Some(of), _) => kind = Some(of),
                    (None, Some(kind)) => {
                        let cast = self
                            .open
                            .as_mut()
                            .map_or(&mut self.cast, |open| &mut open.cast);
                        cast.insert(token.as_str().to_owned(), kind);
                    }
                    (None, None) => {
                        return Err(tokens.wrong(&one_of(ActorKind::SYMBOLS), Some(&token)));
                    }
                }
            }
            return Ok(());
        }
        let Some(open) = &mut self.open else {
            return Err(ParseError::new(number, "`scenario` and its title", text));
        };
        if tokens.skip("expect") {
            self.says_what = true;
            if !tokens.skip("nothing") {
                open.expects.push(expect(&mut tokens)?);
            }
            return end_of(&mut tokens);
        }
        if tokens.skip("allow") {
            while let Some(token) = tokens.take() {
                let word = token.as_str();
                match (Severity::from_symbol(word), open.allows.last_mut()) {
                    _ if token == Token::Comma => {}
                    (Some(severity_max), Some(last)) => last.severity_max = severity_max,
                    _ => {
                        known_signal(&tokens, word)?;
                        let (signal, severity_max) = (word.to_owned(), Severity::Critical);
                        open.allows.push(Allow {
                            signal,
                            severity_max,
                        });
                    }
                }
            }
            return Ok(());
        }
        if tokens.skip("vary") {
            while let Some(token) = tokens.take() {
                let vary = &mut open.vary;
                let what = match token.as_str() {
                    "," => continue,
                    "tools" => &mut vary.tools,
                    "wording" => &mut vary.wording,
                    "causality" => &mut vary.causality,
                    "length" => &mut vary.length,
                    "interleave" => &mut vary.interleave,
                    "ids" => &mut vary.ids,
                    _ => {
                        return Err(tokens.wrong(
                            "tools, wording, causality, length, interleave or ids",
                            Some(&token),
                        ));
                    }
                };
                *what = true;
            }
            return Ok(());
        }
        if tokens.skip("end") {
            let Some((_, least, most, lines)) = self.times.take() else {
                return Err(ParseError::new(number, "`end` after `N times`", text));
            };
            open.steps.push(Step::Times { least, most, lines });
            return end_of(&mut tokens);
        }
        if tokens.skip("...") {
            let actor = tokens.word("who works on meanwhile")?;
            open.steps.push(Step::Pad { actor });
            return end_of(&mut tokens);
        }
        if let Some(range) = text.strip_suffix(" times") {
            let (least, most) = range.split_once("..").unwrap_or((range, range));
            let number_of = |text: &str| {
                text.trim()
                    .parse::<u32>()
                    .map_err(|_| ParseError::new(number, "`5 times` or `4..9 times`", range))
            };
            if self.times.is_some() {
                return Err(ParseError::new(
                    number,
                    "`end` before the next `times`",
                    text,
                ));
            }
            self.times = Some((number, number_of(least)?, number_of(most)?, Vec::new()));
            return Ok(());
        }
        let line = line(&mut tokens)?;
        self.check_labels(&line)?;
        if let Some(label) = &line.label {
            self.labels.insert(label.clone());
        }
        match (&mut self.times, &mut self.open) {
            (Some((_, _, _, lines)), _) => lines.push(line),
            (None, Some(open)) => open.steps.push(Step::Line(Box::new(line))),
            (None, None) => {}
        }
        Ok(())
    }

    fn begin(&mut self, number: usize, title: &str) -> Result<(), ParseError> {
        self.close()?;
        if self.done.iter().any(|known| known.title == title.trim()) {
            return Err(ParseError::new(number, "a title of its own", title));
        }
        self.open = Some(Scenario {
            family: self.family.to_owned(),
            title: title.trim().to_owned(),
            line: number,
            cast: self.cast.clone(),
            expects: Vec::new(),
            allows: Vec::new(),
            vary: Vary::default(),
            steps: Vec::new(),
        });
        self.says_what = false;
        self.labels.clear();
        Ok(())
    }

    fn close(&mut self) -> Result<(), ParseError> {
        if let Some((line, ..)) = self.times {
            return Err(ParseError::new(
                line,
                "`end` after `times`",
                "the end of the scenario",
            ));
        }
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        if !self.says_what {
            return Err(ParseError::new(
                open.line,
                "a line `expect …` or `expect nothing`",
                &open.title,
            ));
        }
        if open.steps.is_empty() {
            return Err(ParseError::new(open.line, "a story", &open.title));
        }
        for label in open
            .expects
            .iter()
            .flat_map(|expect| expect.at.iter().chain(&expect.about))
        {
            if !self.labels.contains(&label.name) {
                return Err(ParseError::new(
                    open.line,
                    "a label of this scenario",
                    &label.name,
                ));
            }
        }
        self.done.push(open);
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Scenario>, ParseError> {
        self.close()?;
        Ok(self.done)
    }

    fn check_labels(&self, line: &Line) -> Result<(), ParseError> {
        let answers = match &line.deed {
            Deed::Get { call, .. } => call.as_ref(),
            Deed::Decide { on, .. } => Some(on),
            _ => None,
        };
        let based = line.claims.iter().flat_map(|claim| &claim.based);
        let named = line
            .because
            .iter()
            .chain(&line.retrying)
            .chain(&line.derived)
            .chain(based)
            .chain(answers);
        for label in named {
            if !self.labels.contains(&label.name) {
                return Err(ParseError::new(
                    line.number,
                    "a label of an earlier line",
                    &label.name,
                ));
            }
        }
        Ok(())
    }
}

fn one_of(symbols: &[&str]) -> String {
    symbols.join(", ")
}

fn end_of(tokens: &mut Tokens) -> Result<(), ParseError> {
    match tokens.take() {
        None => Ok(()),
        Some(token) => Err(tokens.wrong("the end of the line", Some(&token))),
    }
}

fn known_signal(tokens: &Tokens, signal: &str) -> Result<(), ParseError> {
    if SIGNALS.contains(&signal) {
        return Ok(());
    }
    Err(ParseError::new(
        tokens.line,
        format!("one of {}", SIGNALS.join(", ")),
        signal,
    ))
}

fn expect(tokens: &mut Tokens) -> Result<Expect, ParseError> {
    let signal = tokens.word("the name of a signal")?;
    known_signal(tokens, &signal)?;
    let mut expect = Expect {
        signal,
        kinds: Vec::new(),
        severity: None,
        status: None,
        at: None,
        about: Vec::new(),
        by: Vec::new(),
    };
    while let Some(token) = tokens.take() {
        match token.as_str() {
            "kind" => expect.kinds.push(tokens.word("a kind")?),
            "at" => expect.at = Some(label(tokens)?),
            "about" => expect.about = labels(tokens)?,
            "by" => expect.by = tokens.words("the name of an actor")?,
            word => match (
                Severity::from_symbol(word),
                AnomalyStatus::from_symbol(word),
            ) {
                (Some(severity), _) => expect.severity = Some(severity),
                (_, Some(status)) => expect.status = Some(status),
                _ => {
                    return Err(
                        tokens.wrong("kind, at, about, by, a severity or a status", Some(&token))
                    );
                }
            },
        }
    }
    Ok(expect)
}

fn label(tokens: &mut Tokens) -> Result<Label, ParseError> {
    let word = tokens.word("a label")?;
    label_of(tokens.line, &word)
}

fn labels(tokens: &mut Tokens) -> Result<Vec<Label>, ParseError> {
    let line = tokens.line;
    tokens
        .words("a label")?
        .iter()
        .map(|word| label_of(line, word))
        .collect()
}

fn label_of(line: usize, word: &str) -> Result<Label, ParseError> {
    let (word, second) = match word.rsplit_once('.') {
        Some((name, "result" | "accepted")) => (name, true),
        Some((_, other)) => return Err(ParseError::new(line, "`.result` or `.accepted`", other)),
        None => (word, false),
    };
    let (name, time) = match word.split_once('#') {
        Some((name, time)) => {
            let time = time
                .parse()
                .map_err(|_| ParseError::new(line, "a number after #", time))?;
            (name, Some(time))
        }
        None => (word, None),
    };
    Ok(Label {
        name: name.to_owned(),
        time,
        second,
    })
}

fn time(word: &str) -> Option<When> {
    if let Some(delta) = word.strip_prefix('+') {
        let (count, unit) = delta.split_at(delta.len().checked_sub(1)?);
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return None,
        };
        return Some(When::After(count.parse::<i64>().ok()? * unit));
    }
    let mut parts = word.split(':').map(|part| {
        (part.len() == 2)
            .then(|| part.parse::<i64>().ok())
            .flatten()
    });
    let (hours, minutes) = (parts.next()??, parts.next()??);
    let seconds = match parts.next() {
        None => 0,
        Some(seconds) => seconds?,
    };
    parts
        .next()
        .is_none()
        .then_some(When::At(hours * 3600 + minutes * 60 + seconds))
}

fn line(tokens: &mut Tokens) -> Result<Line, ParseError> {
    const TIME: &str = "a time like 02:51, 02:51:30 or +5s";
    let first = tokens.word(TIME)?;
    let (label, when) = match time(&first) {
        Some(when) => (None, when),
        None => {
            let word = tokens.word(TIME)?;
            let when = time(&word).ok_or_else(|| ParseError::new(tokens.line, TIME, &word))?;
            (Some(first), when)
        }
    };
    let actor = tokens.word("the name of an actor")?;
    let deed = deed(tokens)?;
    let mut line = Line {
        number: tokens.line,
        label,
        when,
        actor,
        deed,
        claims: Vec::new(),
        because: Vec::new(),
        retrying: Vec::new(),
        derived: None,
        task: None,
        sequence: None,
        lost: false,
        arrives_after_s: 0,
        marked: BTreeMap::new(),
    };
    while let Some(token) = tokens.take() {
        if !option(&mut line, &token, tokens)? {
            return Err(tokens.wrong("an option of this line", Some(&token)));
        }
    }
    Ok(line)
}

/// What stands behind the head of a line; false where the word is none of it.
fn option(line: &mut Line, token: &Token, tokens: &mut Tokens) -> Result<bool, ParseError> {
    match token.as_str() {
        "because" => line.because = labels(tokens)?,
        "retrying" => line.retrying = labels(tokens)?,
        "derived" => line.derived = Some(label(tokens)?),
        "in" => line.task = Some(tokens.word("a task, or none")?),
        "seq" => line.sequence = Some(tokens.number("a number")?),
        "lost" => line.lost = true,
        "arrives" => {
            let word = tokens.word("a delay like +90s")?;
            match time(&word) {
                Some(When::After(seconds)) => line.arrives_after_s = seconds,
                _ => return Err(ParseError::new(tokens.line, "a delay like +90s", word)),
            }
        }
        "marked" => {
            line.marked.extend(pair(tokens)?);
        }
        "claim" => line.claims.push(claim(tokens)?),
        word => return detail(line, word, tokens),
    }
    Ok(true)
}

/// The options that only some deeds have.
fn detail(line: &mut Line, word: &str, tokens: &mut Tokens) -> Result<bool, ParseError> {
    match (&mut line.deed, word) {
        (Deed::Say { to, .. }, "to") => *to = tokens.words("the name of an actor")?,
        (Deed::Say { declares, .. }, _) if Declaration::from_symbol(word).is_some() => {
            *declares = Declaration::from_symbol(word);
        }
        (Deed::Think { choice, .. }, "chooses") => *choice = Some(choose(tokens)?),
        (Deed::Call { effect, .. }, _) if Effect::from_symbol(word).is_some() => {
            *effect = Effect::from_symbol(word).unwrap_or(*effect);
        }
        (Deed::Call { target, .. }, "on") => *target = Some(tokens.word("a target")?),
        (Deed::Call { attempt, .. }, "attempt") => *attempt = tokens.number("a number from 1")?,
        (Deed::Call { tokens: spent, .. }, "tokens") => *spent = Some(tokens.number("a number")?),
        (Deed::Call { answer, .. }, "->") => *answer = Some(self::answer(tokens)?),
        (Deed::Task { parent, .. }, "under") => *parent = Some(tokens.word("a task")?),
        (Deed::Task { checks, .. }, "check") => checks.extend(tokens.texts("a check in quotes")?),
        (Deed::Task { constraints, .. } | Deed::Offer { constraints, .. }, "constraint") => {
            constraints.extend(tokens.texts("a constraint in quotes")?);
        }
        (Deed::Task { outcome, .. }, "outcome") => outcome.extend(pair(tokens)?),
        (Deed::Report { retryable, .. }, "retryable") => *retryable = Some(true),
        (Deed::Offer { mode, .. }, "return") => *mode = HandoffMode::ReturnToCaller,
        (Deed::Offer { questions, .. }, "question") => {
            questions.extend(tokens.texts("a question in quotes")?)
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn pair(tokens: &mut Tokens) -> Result<Option<(String, String)>, ParseError> {
    let word = tokens.word("name=value")?;
    match word.split_once('=') {
        Some((name, value)) => Ok(Some((name.to_owned(), value.to_owned()))),
        None => Err(ParseError::new(tokens.line, "name=value", word)),
    }
}

fn deed(tokens: &mut Tokens) -> Result<Deed, ParseError> {
    const VERBS: &str = "says, thinks, calls, gets, task, reports, offers, hands, accepts, rejects, expires, approves, refuses, edits or defers";
    let verb = tokens.word(VERBS)?;
    Ok(match verb.as_str() {
        "says" => Deed::Say {
            content: tokens.text("what is said, in quotes")?,
            to: Vec::new(),
            declares: None,
        },
        "thinks" => Deed::Think {
            content: tokens.text("a thought in quotes")?,
            choice: None,
        },
        "calls" => Deed::Call {
            tool: tokens.word("a tool")?,
            arguments: tokens.maybe_json().unwrap_or_else(|| "{}".to_owned()),
            effect: Effect::Read,
            target: None,
            attempt: 1,
            tokens: None,
            answer: None,
        },
        "gets" => {
            let call = if tokens.skip("for") {
                Some(label(tokens)?)
            } else {
                None
            };
            Deed::Get {
                call,
                answer: answer(tokens)?,
            }
        }
        "task" => {
            let id = tokens.word("the id of a task")?;
            let state = symbol(tokens)?;
            let intent = tokens.maybe_text().unwrap_or_default();
            Deed::Task {
                id,
                state,
                intent,
                parent: None,
                checks: Vec::new(),
                constraints: Vec::new(),
                outcome: BTreeMap::new(),
            }
        }
        "reports" => Deed::Report {
            kind: symbol::<ErrorKind>(tokens)?,
            message: tokens.text("a message in quotes")?,
            retryable: None,
        },
        "offers" | "hands" => {
            let id = tokens.word("the id of a handoff")?;
            if !tokens.skip("to") {
                return Err(tokens.wrong("to", tokens.peek()));
            }
            Deed::Offer {
                id,
                to: tokens.word("the name of the receiver")?,
                reason: tokens
                    .maybe_text()
                    .unwrap_or_else(|| "your turn".to_owned()),
                mode: HandoffMode::PassControl,
                constraints: Vec::new(),
                questions: Vec::new(),
                accepted: verb == "hands",
            }
        }
        "accepts" | "rejects" | "expires" => Deed::Settle {
            id: tokens.word("the id of a handoff")?,
            phase: match verb.as_str() {
                "accepts" => HandoffPhase::Accepted,
                "rejects" => HandoffPhase::Rejected,
                _ => HandoffPhase::Expired,
            },
        },
        "approves" | "refuses" | "edits" | "defers" => Deed::Decide {
            on: label(tokens)?,
            verdict: match verb.as_str() {
                "approves" => Verdict::Approve,
                "refuses" => Verdict::Reject,
                "edits" => Verdict::Edit,
                _ => Verdict::Defer,
            },
            words: tokens.maybe_text().unwrap_or_else(|| verb.clone()),
        },
        _ => return Err(ParseError::new(tokens.line, VERBS, verb)),
    })
}

fn symbol<T: Symbol>(tokens: &mut Tokens) -> Result<T, ParseError> {
    let found = tokens.maybe::<T>();
    found.ok_or_else(|| tokens.wrong(&format!("one of {}", one_of(T::SYMBOLS)), tokens.peek()))
}

fn answer(tokens: &mut Tokens) -> Result<Answer, ParseError> {
    let status = tokens.maybe::<ToolStatus>().unwrap_or(ToolStatus::Ok);
    let result = match tokens.maybe_json() {
        Some(json) => json,
        None => tokens.text("a result, in quotes or as JSON")?,
    };
    let mut answer = Answer {
        status,
        result,
        verifies: Vec::new(),
        passed: None,
    };
    if tokens.skip("verifies") {
        loop {
            let Some(goal) = tokens.take() else {
                return Err(tokens.wrong("a task, or the name of a check in quotes", None));
            };
            answer.verifies.push(goal.as_str().to_owned());
            if !tokens.skip("and") {
                break;
            }
        }
        if tokens.skip("passed") {
            answer.passed = Some(true);
        } else if tokens.skip("failed") {
            answer.passed = Some(false);
        }
    }
    Ok(answer)
}

/// Words that say how sure somebody is; they stand behind a claim or a choice.
fn level(
    tokens: &mut Tokens,
    confidence: &mut Option<Confidence>,
    probability: &mut Option<f64>,
) -> bool {
    if let Some(found) = tokens.maybe::<Confidence>() {
        *confidence = Some(found);
        return true;
    }
    let Some(Token::Word(word)) = tokens.peek() else {
        return false;
    };
    let number = word
        .parse::<f64>()
        .ok()
        .filter(|_| word.starts_with(|c: char| c.is_ascii_digit()));
    if number.is_some() {
        *probability = number;
        tokens.take();
    }
    number.is_some()
}

fn claim(tokens: &mut Tokens) -> Result<ClaimText, ParseError> {
    let mut claim = ClaimText {
        id: tokens.word("the id of a hypothesis, or -")?,
        statement: tokens.text("a statement in quotes")?,
        kind: ClaimKind::Hypothesis,
        probability: None,
        confidence: None,
        based: Vec::new(),
        refines: None,
        refutes: None,
    };
    loop {
        if level(tokens, &mut claim.confidence, &mut claim.probability) {
        } else if let Some(kind) = tokens.maybe::<ClaimKind>() {
            claim.kind = kind;
        } else if tokens.skip("based") {
            claim.based = labels(tokens)?;
        } else if tokens.skip("refines") {
            claim.refines = Some(tokens.word("the id of a hypothesis")?);
        } else if tokens.skip("refutes") {
            claim.refutes = Some(tokens.word("the id of a hypothesis")?);
        } else {
            return Ok(claim);
        }
    }
}

fn choose(tokens: &mut Tokens) -> Result<Choice, ParseError> {
    let mut choice = Choice {
        kind: tokens.word("the kind of decision")?,
        choice: tokens.text("the choice in quotes")?,
        confidence: None,
        probability: None,
        over: Vec::new(),
    };
    loop {
        if level(tokens, &mut choice.confidence, &mut choice.probability) {
        } else if tokens.skip("over") {
            choice.over = tokens.texts("an alternative in quotes")?;
        } else {
            return Ok(choice);
        }
    }
}
