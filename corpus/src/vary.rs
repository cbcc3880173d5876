//! Tells a scenario as the events of one workflow, varied by a seed: names, tools, wording, ids, declared causes,
//! length, a parallel actor. Variant 0 is the story as it stands, with all links declared.
//!
//! Knows nothing of signals. What the variation must not change is what is expected.

mod deeds;
mod links;
mod padding;

use std::collections::BTreeMap;

use schemas::Event;
use schemas::anomaly::{AnomalyStatus, Severity};
use schemas::event::{Actor, ActorKind, Effect};

use crate::parse::ParseError;
use crate::scenario::{Allow, Deed, Label, Line, Scenario, Step, When};

/// Second 0 of every story: 2026-01-05, midnight, in microseconds since 1970.
const DAY: i64 = 1_767_571_200_000_000;
const SECOND: i64 = 1_000_000;
/// Longest workflow that padding makes, in events.
pub const EVENTS_MAX: usize = 400;
const EVENTS_MIN: usize = 10;

/// A scenario told as events.
#[derive(Debug, Clone)]
pub struct Told {
    /// Id of the workflow: family, title and variant.
    pub workflow_id: String,
    /// Family of the scenario.
    pub family: String,
    /// Title of the scenario.
    pub title: String,
    /// Which variant.
    pub variant: u64,
    /// Whether the family's own fault is in it.
    pub has_fault: bool,
    /// Every event but the first declares what it follows from.
    pub declares: bool,
    /// What was varied, in words.
    pub varied: Vec<&'static str>,
    /// Events in the order of arrival.
    pub deliveries: Vec<Delivery>,
    /// What the signals must say.
    pub expects: Vec<Expected>,
    /// What they may say.
    pub allows: Vec<Allow>,
}

/// An event and when it arrives.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The event.
    pub event: Event,
    /// Microseconds since 1970.
    pub arrives_at: i64,
}

/// An expectation with the names and ids of this telling.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// Name of the signal.
    pub signal: String,
    /// Kinds that it must have.
    pub kinds: Vec<String>,
    /// How bad it must get.
    pub severity: Option<Severity>,
    /// How it must end.
    pub status: Option<AnomalyStatus>,
    /// The event that proves the first revision of that severity.
    pub at: Option<String>,
    /// Events that must be among the evidence.
    pub about: Vec<String>,
    /// The actors concerned, sorted; empty where nothing is said of them.
    pub by: Vec<String>,
}

/// Tells one variant of a scenario.
pub fn tell(scenario: &Scenario, seed: u64, variant: u64) -> Result<Told, ParseError> {
    let hash = session::fingerprint::id(&scenario.title);
    let mut rng = fastrand::Rng::with_seed(
        hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ variant.wrapping_mul(0x2545_f491_4f6c_dd1d),
    );
    let taste = Taste::draw(scenario, variant, &mut rng);
    let workflow_id = format!(
        "{}/{}/{variant}",
        scenario.family,
        scenario.title.replace(' ', "-")
    );
    let mut beats = flatten(scenario, variant, &mut rng);
    if taste.interleave {
        padding::interleave(&mut beats, &mut rng);
    }
    if taste.length {
        padding::lengthen(&mut beats, EVENTS_MIN, EVENTS_MAX, &mut rng);
    }
    let mut teller = Teller {
        scenario,
        workflow_id: workflow_id.clone(),
        salt: hash ^ variant,
        taste,
        rng,
        clock: 0,
        shift: 0,
        told: Vec::new(),
        names: BTreeMap::new(),
        tools: BTreeMap::new(),
        labels: BTreeMap::new(),
        links: links::Links::default(),
        sequences: BTreeMap::new(),
        root: None,
        root_event: None,
        calls: Vec::new(),
        handoffs: BTreeMap::new(),
        work: 0,
    };
    for beat in &beats {
        match beat {
            Beat::Line(line, n) => teller.line(line, *n)?,
            Beat::Work(actor) => teller.work(actor),
            Beat::Side(step) => teller.side(*step),
        }
    }
    let mut expects = Vec::new();
    for expect in &scenario.expects {
        let mut by: Vec<String> = expect.by.iter().map(|name| teller.name(name)).collect();
        by.sort();
        expects.push(Expected {
            signal: expect.signal.clone(),
            kinds: expect.kinds.clone(),
            severity: expect.severity,
            status: expect.status,
            at: expect
                .at
                .as_ref()
                .map(|label| teller.id_of(label, scenario.line))
                .transpose()?,
            about: expect
                .about
                .iter()
                .map(|label| teller.id_of(label, scenario.line))
                .collect::<Result<_, _>>()?,
            by,
        });
    }
    let declares = teller
        .told
        .iter()
        .skip(1)
        .all(|one| !one.event.caused_by.is_empty());
    let mut deliveries = teller.told;
    deliveries.sort_by_key(|delivery| delivery.arrives_at);
    Ok(Told {
        workflow_id,
        family: scenario.family.clone(),
        title: scenario.title.clone(),
        variant,
        has_fault: scenario.has_fault(),
        declares,
        varied: teller.taste.words(),
        deliveries,
        expects,
        allows: scenario.allows.clone(),
    })
}

/// What is varied in one telling.
#[derive(Debug, Clone, Copy)]
struct Taste {
    names: bool,
    tools: bool,
    wording: bool,
    ids: bool,
    sequences: bool,
    length: bool,
    interleave: bool,
    causes: Causes,
}

/// Which links are written down as `caused_by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Causes {
    /// Those of the story, and those that the structure has anyway.
    All,
    /// Those of the story.
    Named,
    /// None.
    None,
}

impl Taste {
    fn draw(scenario: &Scenario, variant: u64, rng: &mut fastrand::Rng) -> Self {
        let vary = scenario.vary;
        let plain = variant == 0;
        let mut may = |allowed: bool, share: f64| allowed && rng.f64() < share && !plain;
        let names = may(true, 0.8);
        let tools = may(vary.tools, 0.8);
        let wording = may(vary.wording, 0.8);
        let ids = may(vary.ids, 0.5);
        let sequences = !may(true, 0.3);
        let length = may(vary.length, 0.75);
        let interleave = may(vary.interleave, 0.5);
        let causes = match variant % 3 {
            0 => Causes::All,
            1 => Causes::Named,
            _ if vary.causality => Causes::None,
            _ => Causes::All,
        };
        let counts = |line: &Line| line.lost || line.sequence.is_some() || line.arrives_after_s > 0;
        let counts = scenario.steps.iter().any(|step| match step {
            Step::Line(line) => counts(line),
            Step::Times { lines, .. } => lines.iter().any(counts),
            Step::Pad { .. } => false,
        });
        Self {
            names,
            tools,
            wording,
            ids,
            sequences: sequences || counts,
            length,
            interleave,
            causes,
        }
    }

    fn words(self) -> Vec<&'static str> {
        [
            (self.names, "names"),
            (self.tools, "tools"),
            (self.wording, "wording"),
            (self.ids, "no claim ids"),
            (!self.sequences, "no sequences"),
            (self.length, "length"),
            (self.interleave, "interleaved"),
            (self.causes == Causes::Named, "causes of the story"),
            (self.causes == Causes::None, "no causes"),
        ]
        .into_iter()
        .filter_map(|(is, word)| is.then_some(word))
        .collect()
    }
}

/// A step of the telling.
#[derive(Debug, Clone)]
enum Beat<'a> {
    /// A line, the n-th time.
    Line(&'a Line, u32),
    /// A piece of harmless work: a call and a result that nobody has seen.
    Work(String),
    /// The parallel actor goes on.
    Side(padding::Side),
}

impl Beat<'_> {
    fn events(&self) -> usize {
        match self {
            Self::Line(line, _) => match &line.deed {
                Deed::Call {
                    answer: Some(_), ..
                }
                | Deed::Offer { accepted: true, .. } => 2,
                _ => 1,
            },
            Self::Work(_) | Self::Side(padding::Side::Work) => 2,
            Self::Side(_) => 1,
        }
    }
}

fn flatten<'a>(scenario: &'a Scenario, variant: u64, rng: &mut fastrand::Rng) -> Vec<Beat<'a>> {
    let mut beats = Vec::new();
    for step in &scenario.steps {
        match step {
            Step::Line(line) => beats.push(Beat::Line(line, 1)),
            Step::Pad { actor } => beats.push(Beat::Work(actor.clone())),
            Step::Times { least, most, lines } => {
                let times = if variant == 0 {
                    *least
                } else {
                    rng.u32(*least..=*most)
                };
                for n in 1..=times {
                    beats.extend(lines.iter().map(|line| Beat::Line(line, n)));
                }
            }
        }
    }
    beats
}

struct Teller<'a> {
    scenario: &'a Scenario,
    workflow_id: String,
    salt: u64,
    taste: Taste,
    rng: fastrand::Rng,
    /// Seconds of the story's day.
    clock: i64,
    /// Seconds that harmless work has taken.
    shift: i64,
    told: Vec<Delivery>,
    names: BTreeMap<String, String>,
    tools: BTreeMap<String, String>,
    /// First and second event of each time that a labelled line was told.
    labels: BTreeMap<String, Vec<(String, Option<String>)>>,
    links: links::Links,
    sequences: BTreeMap<String, i64>,
    root: Option<String>,
    /// The event that took it on.
    root_event: Option<String>,
    calls: Vec<OpenCall>,
    /// Sender and receiver, and the event of the offer.
    handoffs: BTreeMap<String, (String, String, String)>,
    work: u32,
}

#[derive(Debug, Clone)]
struct OpenCall {
    call_id: String,
    tool: String,
    actor: String,
    event: String,
    task: Option<String>,
}

impl Teller<'_> {
    fn kind(&self, actor: &str) -> ActorKind {
        self.scenario
            .cast
            .get(actor)
            .copied()
            .unwrap_or(ActorKind::Agent)
    }

    /// The name of an actor in this telling.
    fn name(&mut self, actor: &str) -> String {
        if !self.taste.names || self.kind(actor) != ActorKind::Agent {
            return actor.to_owned();
        }
        if let Some(name) = self.names.get(actor) {
            return name.clone();
        }
        let number = self.names.len();
        let pool = padding::NAMES;
        let name = format!(
            "{}-{}",
            pool[(self.salt as usize + 7 * number) % pool.len()],
            number + 1
        );
        self.names.insert(actor.to_owned(), name.clone());
        name
    }

    fn actor(&mut self, actor: &str) -> Actor {
        let (id, kind) = (self.name(actor), self.kind(actor));
        Actor {
            id,
            kind,
            name: None,
            framework: None,
            version: None,
            team: None,
        }
    }

    /// The name of a tool in this telling: another one with the same effect, unless its name is all that tells.
    fn tool(&mut self, tool: &str, effect: Effect) -> String {
        if !self.taste.tools || effect == Effect::Unknown {
            return tool.to_owned();
        }
        if let Some(name) = self.tools.get(tool) {
            return name.clone();
        }
        let pool: &[&str] = match effect {
            Effect::Read => &padding::READS,
            Effect::Write => &padding::WRITES,
            _ => &padding::DESTROYS,
        };
        let number = self.tools.len();
        let name = format!(
            "{}_{number}",
            pool[(self.salt as usize + 3 * number) % pool.len()]
        );
        self.tools.insert(tool.to_owned(), name.clone());
        name
    }

    /// A text in this telling: one of its alternatives, the same one each time, with `{n}` filled in.
    fn text(&self, text: &str, n: u32) -> String {
        let options: Vec<&str> = text.split('|').collect();
        let pick = if self.taste.wording {
            (session::fingerprint::id(text) ^ self.salt) as usize % options.len()
        } else {
            0
        };
        options[pick].replace("{n}", &n.to_string())
    }

    fn id_of(&self, label: &Label, line: usize) -> Result<String, ParseError> {
        let times = self
            .labels
            .get(&label.name)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let found = match label.time {
            Some(time) => times.get(time.wrapping_sub(1)),
            None => times.last(),
        };
        let id = found.and_then(|(first, second)| {
            if label.second {
                second.as_ref()
            } else {
                Some(first)
            }
        });
        id.cloned().ok_or_else(|| {
            ParseError::new(
                line,
                "a label of a line that is told so often, with a second event if asked for",
                format!("{label:?}"),
            )
        })
    }

    fn ids_of(&self, labels: &[Label], line: usize) -> Result<Vec<String>, ParseError> {
        labels.iter().map(|label| self.id_of(label, line)).collect()
    }

    fn line(&mut self, line: &Line, n: u32) -> Result<(), ParseError> {
        let now = match line.when {
            When::At(second) => second + self.shift,
            When::After(seconds) => self.clock + seconds,
        };
        if now < self.clock {
            let since = self.clock - self.shift;
            let earliest = format!(
                "a time from {:02}:{:02}:{:02} on",
                since / 3600,
                since / 60 % 60,
                since % 60
            );
            return Err(ParseError::new(
                line.number,
                earliest,
                format!("{:?}", line.when),
            ));
        }
        self.clock = now;
        let first = self.links.ids.len();
        self.deed(line, n)?;
        if let Some(label) = &line.label {
            let id = |at: usize| self.links.ids.get(at).cloned();
            let told = (id(first).unwrap_or_default(), id(first + 1));
            self.labels.entry(label.clone()).or_default().push(told);
        }
        Ok(())
    }
}
