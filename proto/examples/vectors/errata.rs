//! Known errors of the reference, done again: each function answers as the reference does where it errs.
//!
//! A case is only skipped when the wrong answer is the expected one, key by key, so that no other difference hides
//! behind a rule.

use std::collections::BTreeSet;

use backstitch_proto::mapping::{Mapper, infer};
use backstitch_proto::partition::{NoDynamicKeys, Partitions, PartitionsDefinition, TimeWindow};
use chrono::{DateTime, TimeZone, Utc};

use crate::cases::MappingQuestion;

/// Lists the first window of a definition before it is complete: behind `end`, or where `end_offset` does not reach
/// yet. `None` when windows exist.
pub(crate) fn early_first_window(
    definition: &PartitionsDefinition,
    now: DateTime<Utc>,
) -> Option<Vec<String>> {
    let unbounded = resolve(&unbounded(definition, None), far())?;
    if !resolve(definition, now)?.is_empty() {
        return None;
    }
    Some(match unbounded.dimensions().find(|(_, dimension)| dimension.is_time()) {
        None => vec![unbounded.key(0)?],
        Some((name, dimension)) => {
            let subset = unbounded.parse(&format!("{name}=\"{}\"", dimension.key(0)?)).ok()?;
            unbounded.keys(&subset).collect()
        }
    })
}

/// Applies `end_offset` to the windows that are left by `exclude`, so that the day behind an excluded today exists.
pub(crate) fn offset_over_excluded(
    definition: &PartitionsDefinition,
    now: DateTime<Utc>,
) -> Option<Vec<String>> {
    if let PartitionsDefinition::Multi(multi) = definition {
        let whole = |dimension| {
            let space = resolve(dimension, now)?;
            Some(space.keys(&space.all()).collect())
        };
        let sides: Option<Vec<Vec<String>>> = multi
            .dimensions
            .values()
            .map(|dimension| offset_over_excluded(dimension, now).or_else(|| whole(dimension)))
            .collect();
        let mut sides = sides?.into_iter();
        let first = sides.next()?;
        return Some(sides.fold(first, |keys, side| {
            keys.iter().flat_map(|key| side.iter().map(move |part| format!("{key}|{part}"))).collect()
        }));
    }
    let PartitionsDefinition::TimeWindow(windows) = definition else { return None };
    if windows.exclude.is_empty() || windows.end_offset == 0 {
        return None;
    }
    let mut plain = windows.clone();
    plain.end_offset = 0;
    let complete = resolve(&PartitionsDefinition::TimeWindow(plain.clone()), now)?.len();
    // Bounded by `end` as before.
    let all = resolve(&PartitionsDefinition::TimeWindow(plain), far())?;
    let len = complete.checked_add_signed(windows.end_offset).unwrap_or(0).min(all.len());
    (0..len).map(|ordinal| all.key(ordinal)).collect()
}

/// Names a missing cell of a multi upstream by the one part that is missing. Ours are whole keys, and each of its
/// keys is a part of one of them.
pub(crate) fn missing_parts(expected: &[String], missing: &[String]) -> bool {
    let is_part =
        |part: &String| missing.iter().any(|key| key.contains('|') && key.split('|').any(|p| p == part));
    !expected.is_empty() && expected.iter().all(is_part)
}

/// Where the requirement begins before the first upstream window and ends behind the last, names those that exist as
/// missing too.
pub(crate) fn existing_too(question: &MappingQuestion, missing: &[String]) -> Option<Vec<String>> {
    let (upstream, downstream) = (question.upstream.as_ref()?, question.downstream.as_ref()?);
    let mapping = match &question.mapping {
        Some(mapping) => mapping.clone(),
        None => infer(upstream, downstream).ok()?,
    };
    let (upstream, downstream) = (resolve(upstream, question.now)?, resolve(downstream, question.now)?);
    let mapper = Mapper::new(&mapping, &upstream, &downstream).ok()?;
    let asked: Option<_> =
        question.upstream_of.keys.as_ref()?.iter().map(|key| downstream.ordinal(key).ok()).collect();
    let existing = mapper.upstream_of(&asked?).subset;
    let both: BTreeSet<String> = upstream.keys(&existing).chain(missing.iter().cloned()).collect();
    Some(both.into_iter().collect())
}

/// For a downstream window that ends before the upstream begins, leaves out the upstream window that has begun
/// before it; for a set of windows if all of them do (one answer), or for each that does (the other).
pub(crate) fn begun_before(question: &MappingQuestion, missing: &[String]) -> Vec<Vec<String>> {
    begun_before_by_window(question, missing).unwrap_or_default()
}

fn begun_before_by_window(question: &MappingQuestion, missing: &[String]) -> Option<Vec<Vec<String>>> {
    let upstream = question.upstream.as_ref()?;
    let begin = resolve(&unbounded(upstream, None), far())?.window(0)?.start;
    let line = resolve(&unbounded(upstream, Some("1990-01-01")), far())?;
    let downstream = resolve(question.downstream.as_ref()?, question.now)?;
    let window = |space: &Partitions, key: &String| space.window(space.ordinal(key).ok()?);
    let asked: Option<Vec<TimeWindow>> =
        question.upstream_of.keys.as_ref()?.iter().map(|key| window(&downstream, key)).collect();
    let asked = asked?;
    let all_before = asked.iter().all(|window| window.end <= begin);
    let answer = |cut: &dyn Fn(&TimeWindow) -> bool| {
        let needed = |key: &&String| {
            window(&line, key).is_some_and(|up| {
                asked.iter().any(|down| {
                    up.start < down.end && down.start < up.end && (!cut(down) || up.start >= down.start)
                })
            })
        };
        missing.iter().filter(needed).cloned().collect()
    };
    Some(vec![answer(&|_| all_before), answer(&|down| down.end <= begin)])
}

fn far() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2100, 1, 1, 0, 0, 0).single().unwrap_or_default()
}

fn resolve(definition: &PartitionsDefinition, now: DateTime<Utc>) -> Option<Partitions> {
    definition.resolve(now, &NoDynamicKeys).ok()
}

/// The same windows without an end, and perhaps from an earlier start.
fn unbounded(definition: &PartitionsDefinition, start: Option<&str>) -> PartitionsDefinition {
    let mut definition = definition.clone();
    match &mut definition {
        PartitionsDefinition::TimeWindow(windows) => {
            windows.end = None;
            windows.end_offset = 0;
            if let Some(start) = start {
                windows.start = start.to_owned();
            }
        }
        PartitionsDefinition::Multi(multi) => {
            multi.dimensions.values_mut().for_each(|dimension| *dimension = unbounded(dimension, start));
        }
        _ => {}
    }
    definition
}
