//! The four kinds of questions.

use std::collections::BTreeMap;

use backstitch_proto::mapping::{Mapper, PartitionMapping, infer, validate};
use backstitch_proto::partition::{
    NoDynamicKeys, PartitionSubset, Partitions, PartitionsDefinition, next_cron_ticks,
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;

use crate::answer::{KeyAnswer, shown};

/// One line of a vector file.
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) id: String,
    #[serde(flatten)]
    question: Question,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Question {
    Cron { cron: String, timezone: String, from_inclusive: DateTime<Utc>, expect: Vec<DateTime<Utc>> },
    Mapping(Box<MappingQuestion>),
    Windows { partitions: PartitionsDefinition, now: DateTime<Utc>, expect: BTreeMap<String, Window> },
    Keys { partitions: PartitionsDefinition, now: DateTime<Utc>, expect: KeyAnswer },
}

/// Whether a list of keys is the expected answer.
type Answers<'a> = Box<dyn Fn(&[String]) -> bool + 'a>;

type Window = (DateTime<Utc>, DateTime<Utc>);

#[derive(Debug, Deserialize)]
pub(crate) struct MappingQuestion {
    /// `null` for an unpartitioned asset.
    pub(crate) upstream: Option<PartitionsDefinition>,
    pub(crate) downstream: Option<PartitionsDefinition>,
    /// `null` for the inferred one.
    pub(crate) mapping: Option<PartitionMapping>,
    pub(crate) now: DateTime<Utc>,
    pub(crate) upstream_of: UpstreamOf,
    downstream_of: Option<DownstreamOf>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct UpstreamOf {
    /// `null` for an unpartitioned downstream asset.
    pub(crate) keys: Option<Vec<String>>,
    expect: KeyAnswer,
    pub(crate) missing: MissingAnswer,
}

/// A list of keys, or one in the shortened form.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum MissingAnswer {
    Listed(Vec<String>),
    Summed(KeyAnswer),
}

impl MissingAnswer {
    fn check(&self, missing: Vec<String>) -> Outcome {
        if self.is(&missing) {
            return Ok(());
        }
        let difference = Difference::new(format!("missing: {self:?}"), shown(&missing));
        Err(Difference { missing: Some(missing), ..difference })
    }

    /// Whether these sorted keys are expected.
    pub(crate) fn is(&self, missing: &[String]) -> bool {
        match self {
            Self::Listed(keys) => keys == missing,
            Self::Summed(summed) => summed.matches(missing),
        }
    }

    /// The expected keys, if they are all given.
    pub(crate) fn whole(&self) -> &[String] {
        match self {
            Self::Listed(keys) => keys,
            Self::Summed(summed) => summed.whole().unwrap_or_default(),
        }
    }
}

#[derive(Debug, Deserialize)]
struct DownstreamOf {
    keys: Option<Vec<String>>,
    expect: KeyAnswer,
}

/// What was expected and what came.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) expected: String,
    pub(crate) actual: String,
    /// Our missing keys, if only those differ.
    pub(crate) missing: Option<Vec<String>>,
}

impl Difference {
    fn new(expected: impl Into<String>, actual: impl Into<String>) -> Self {
        Self { expected: expected.into(), actual: actual.into(), missing: None }
    }
}

type Outcome = Result<(), Difference>;

impl Case {
    /// The definition and the time of a case about keys or windows, and whether a list of all keys would answer it.
    pub(crate) fn about_keys(&self) -> Option<(&PartitionsDefinition, DateTime<Utc>, Answers<'_>)> {
        match &self.question {
            Question::Keys { partitions, now, expect } => {
                Some((partitions, *now, Box::new(|keys: &[String]| expect.matches(keys))))
            }
            Question::Windows { partitions, now, expect } => Some((
                partitions,
                *now,
                Box::new(|keys: &[String]| expect.keys().all(|key| keys.contains(key))),
            )),
            Question::Cron { .. } | Question::Mapping(_) => None,
        }
    }

    /// The question of a case about a mapping.
    pub(crate) fn about_mapping(&self) -> Option<&MappingQuestion> {
        match &self.question {
            Question::Mapping(question) => Some(question),
            _ => None,
        }
    }

    pub(crate) fn check(&self) -> Outcome {
        match &self.question {
            Question::Cron { cron, timezone, from_inclusive, expect } => {
                let actual = next_cron_ticks(cron, timezone, *from_inclusive, expect.len())
                    .map_err(|error| error_instead(&times(expect), &error))?;
                same(expect == &actual, || (times(expect), times(&actual)))
            }
            Question::Keys { partitions, now, expect } => {
                let space = resolve(partitions, *now)?;
                let actual: Vec<String> = space.keys(&space.all()).collect();
                let positions = (0u32..).zip(&actual);
                if let Some((ordinal, key)) =
                    positions.into_iter().find(|(at, key)| space.ordinal(key) != Ok(*at))
                {
                    let found = format!("ordinal of {key:?} is {:?}", space.ordinal(key));
                    return Err(Difference::new(format!("{key:?} has ordinal {ordinal}"), found));
                }
                same(expect.matches(&actual), || (format!("{expect:?}"), shown(&actual)))
            }
            Question::Windows { partitions, now, expect } => {
                let space = resolve(partitions, *now)?;
                for (key, window) in expect {
                    let expected = times(&[window.0, window.1]);
                    let ordinal = space.ordinal(key).map_err(|error| error_instead(&expected, &error))?;
                    let actual = space.window(ordinal).map(|window| (window.start, window.end));
                    let text = actual.map_or("no window".to_owned(), |actual| times(&[actual.0, actual.1]));
                    same(actual == Some(*window), || (format!("{key} {expected}"), format!("{key} {text}")))?;
                }
                Ok(())
            }
            Question::Mapping(question) => question.check(),
        }
    }
}

impl MappingQuestion {
    fn check(&self) -> Outcome {
        let unpartitioned = PartitionsDefinition::Unpartitioned;
        let up = self.upstream.as_ref().unwrap_or(&unpartitioned);
        let down = self.downstream.as_ref().unwrap_or(&unpartitioned);
        let mapping = match &self.mapping {
            Some(mapping) => mapping.clone(),
            None => infer(up, down).map_err(|error| error_instead("an inferred mapping", &error))?,
        };
        validate(&mapping, up, down).map_err(|error| error_instead("a valid mapping", &error))?;
        let (up, down) = (resolve(up, self.now)?, resolve(down, self.now)?);
        let mapper = Mapper::new(&mapping, &up, &down).map_err(|error| error_instead("a mapper", &error))?;
        let question = &self.upstream_of;
        let answer = mapper.upstream_of(&subset(&down, question.keys.as_deref())?);
        let actual = sorted(up.keys(&answer.subset));
        same(question.expect.matches(&actual), || {
            (format!("upstream_of {:?}: {:?}", question.keys, question.expect), shown(&actual))
        })?;
        if let Some(question) = &self.downstream_of {
            let answer = mapper.downstream_of(&subset(&up, question.keys.as_deref())?);
            let actual = sorted(down.keys(&answer));
            same(question.expect.matches(&actual), || {
                (format!("downstream_of {:?}: {:?}", question.keys, question.expect), shown(&actual))
            })?;
        }
        let mut missing = sorted(answer.missing.keys());
        missing.dedup();
        question.missing.check(missing)
    }
}

fn resolve(definition: &PartitionsDefinition, now: DateTime<Utc>) -> Result<Partitions, Difference> {
    let expected = "a valid definition";
    if let Err(errors) = definition.validate() {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        return Err(Difference::new(expected, errors.join("; ")));
    }
    definition.resolve(now, &NoDynamicKeys).map_err(|error| error_instead(expected, &error))
}

fn subset(space: &Partitions, keys: Option<&[String]>) -> Result<PartitionSubset, Difference> {
    let Some(keys) = keys else { return Ok(space.all()) };
    keys.iter().map(|key| space.ordinal(key).map_err(|error| error_instead(key, &error))).collect()
}

fn sorted(keys: impl Iterator<Item = String>) -> Vec<String> {
    let mut keys: Vec<String> = keys.collect();
    keys.sort();
    keys
}

fn times(times: &[DateTime<Utc>]) -> String {
    let times: Vec<String> =
        times.iter().map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)).collect();
    times.join(" ")
}

fn same(same: bool, difference: impl FnOnce() -> (String, String)) -> Outcome {
    if same {
        return Ok(());
    }
    let (expected, actual) = difference();
    Err(Difference::new(expected, actual))
}

fn error_instead(expected: &str, error: &dyn std::error::Error) -> Difference {
    Difference::new(expected, format!("error: {error}"))
}
