//! What a mapping requires and what does not exist.
//!
//! A requirement can be large (every hour before the upstream begins), so it is kept as it was found, as
//! stretches of ticks and products of sets, and spelled out key by key only when someone reads it. What a
//! definition takes out on purpose (`exclude`, `except`) is never missing.

use std::ops::Range;
use std::sync::Arc;

use super::definition::MissingPolicy;
use crate::partition::{
    KEY_SEPARATOR, PartitionSubset, Partitions, RANGE_SEPARATOR, TimeSpec, Timeline, WindowLayer, quoted,
};

/// Required upstream partitions that do not exist.
#[derive(Clone, Debug, Default)]
pub struct Missing {
    parts: Vec<(MissingPolicy, Absent)>,
}

/// A set of upstream keys.
#[derive(Clone, Debug)]
pub(crate) enum Absent {
    /// Spelled out.
    Keys(Vec<String>),
    /// The keys of these partitions of some space.
    Of(Partitions, PartitionSubset),
    /// Windows that a definition would have.
    Windows { line: Arc<Timeline>, spec: Arc<TimeSpec>, kept: Range<u64> },
    /// All combinations of one key of each.
    Product(Vec<Vec<Absent>>),
}

impl Absent {
    /// How many keys.
    fn count(&self) -> u64 {
        match self {
            Self::Keys(keys) => keys.len() as u64,
            Self::Of(_, subset) => subset.len(),
            Self::Windows { kept, .. } => kept.end.saturating_sub(kept.start),
            Self::Product(sides) => sides
                .iter()
                .map(|side| side.iter().map(Self::count).sum::<u64>())
                .fold(1, u64::saturating_mul),
        }
    }

    /// The keys, one at a time.
    fn keys(&self) -> Box<dyn Iterator<Item = String> + '_> {
        match self {
            Self::Keys(keys) => Box::new(keys.iter().cloned()),
            Self::Of(partitions, subset) => Box::new(partitions.keys(subset)),
            Self::Windows { line, spec, kept } => Box::new(kept.clone().filter_map(|index| {
                let tick = line.tick(WindowLayer::Kept, index)?;
                Some(spec.format.key(&tick))
            })),
            Self::Product(sides) => {
                sides.iter().fold(Box::new(std::iter::once(String::new())), |prefixes, side| {
                    Box::new(prefixes.flat_map(move |prefix| {
                        side.iter().flat_map(Self::keys).map(move |key| match prefix.as_str() {
                            "" => key,
                            prefix => format!("{prefix}{KEY_SEPARATOR}{key}"),
                        })
                    }))
                })
            }
        }
    }
}

impl Absent {
    /// The keys as ranges, each as text with the number of its keys.
    fn ranges(&self) -> Box<dyn Iterator<Item = (String, u64)> + '_> {
        let text = |(first, last, count): (String, String, u64)| match count {
            1 => (quoted(&first), 1),
            _ => (format!("{}{RANGE_SEPARATOR}{}", quoted(&first), quoted(&last)), count),
        };
        match self {
            Self::Of(partitions, subset) => {
                Box::new(partitions.key_ranges(subset).map(|range| (range.to_text(), range.count.into())))
            }
            _ => match self.span() {
                Some(span) => Box::new(std::iter::once(text(span))),
                None => Box::new(self.keys().map(|key| (quoted(&key), 1))),
            },
        }
    }

    /// The first key, the last key and their number, if they are one range (of a product: one rectangle).
    fn span(&self) -> Option<(String, String, u64)> {
        match self {
            Self::Keys(_) => None,
            Self::Of(partitions, subset) => {
                let (first, last) = (subset.first()?, subset.last()?);
                let whole = u64::from(last - first) + 1 == subset.len();
                whole.then(|| Some((partitions.key(first)?, partitions.key(last)?, subset.len())))?
            }
            Self::Windows { line, spec, kept } => {
                let key = |index| line.tick(WindowLayer::Kept, index).map(|tick| spec.format.key(&tick));
                Some((key(kept.start)?, key(kept.end.checked_sub(1)?)?, self.count()))
            }
            Self::Product(sides) => {
                let spans: Option<Vec<_>> = sides
                    .iter()
                    .map(|side| {
                        let mut parts = side.iter().filter(|part| part.count() > 0);
                        parts.next().filter(|_| parts.next().is_none())?.span()
                    })
                    .collect();
                let spans = spans?;
                let join = |keys: Vec<&str>| keys.join(&KEY_SEPARATOR.to_string());
                let first = join(spans.iter().map(|(first, _, _)| first.as_str()).collect());
                Some((first, join(spans.iter().map(|(_, last, _)| last.as_str()).collect()), self.count()))
            }
        }
    }
}

impl Missing {
    /// Whether everything that is required exists.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// How many partitions are missing; one that is required twice may count twice.
    pub fn count(&self) -> u64 {
        self.parts.iter().map(|(_, absent)| absent.count()).fold(0, u64::saturating_add)
    }

    /// What shall happen: `error` if any part of it is an error, else `wait`.
    pub fn policy(&self) -> MissingPolicy {
        let error = self.parts.iter().any(|(policy, _)| *policy == MissingPolicy::Error);
        if error { MissingPolicy::Error } else { MissingPolicy::Wait }
    }

    /// The keys that are missing, one at a time; one that is required twice may come twice.
    pub fn keys(&self) -> impl Iterator<Item = String> + '_ {
        self.parts.iter().flat_map(|(_, absent)| absent.keys())
    }

    /// What is missing as text for people: up to `limit` ranges, and how much was left out.
    pub fn to_text(&self, limit: usize) -> String {
        let ranges = self.parts.iter().flat_map(|(_, absent)| absent.ranges());
        let shown: Vec<(String, u64)> = ranges.take(limit).collect();
        // Counted, not spelled: there may be more keys than anybody lives to see.
        let told = shown.iter().fold(0u64, |told, (_, count)| told.saturating_add(*count));
        let left = self.count().saturating_sub(told);
        let mut text = shown.into_iter().map(|(text, _)| text).collect::<Vec<_>>().join(", ");
        if left > 0 {
            text.push_str(&format!(" and {left} more"));
        }
        text
    }

    /// Notes what is missing, unless the policy does not care.
    pub(crate) fn note(&mut self, policy: MissingPolicy, absent: Absent) {
        if policy != MissingPolicy::Skip && absent.count() > 0 {
            self.parts.push((policy, absent));
        }
    }

    /// What is missing on one side of a product, by policy.
    pub(crate) fn into_parts(self) -> Vec<(MissingPolicy, Absent)> {
        self.parts
    }
}
