//! From what was written to what it means: every word checked, every number in range.
//!
//! A [`Compiled`] definition does not depend on the time: two definitions that mean the same compile
//! to equal values, whatever their spelling (`timezone: UTC` or none, `@daily` or `0 0 * * *`).

use std::ops::Range;
use std::sync::Arc;

use super::civil::{DAY_MINUTES, midnight};
use super::cron::{Cron, CronDays, first_of_month};
use super::days::Days;
use super::definition::{
    Cadence, Cells, Exclude, MultiPartitions, PartitionsDefinition, StaticPartitions, TimeWindowPartitions,
};
use super::error::{DefinitionError, DefinitionProblem};
use super::format::{KeyFormat, SHORT_YEARS};
use super::keys::{
    KEY_BYTES_MAX, KEY_SEPARATOR, KeyList, MULTI_KEY_BYTES_MAX, check_dimension_key, check_key,
};
use super::sequence::{Exclusions, Rule, Sequence};
use super::when::When;
use super::zone::{Zone, zone_database_version, zone_names};

/// Fewest dimensions of a multi definition: with one it would be that dimension.
pub const MIN_DIMENSIONS: usize = 2;
/// Most dimensions of a multi definition. Keys of eight dimensions are already hard to read.
pub const DIMENSIONS_MAX: usize = 8;
/// Largest distance of `end_offset`. A year of hours is 8,760; beyond that it is a typing error.
pub const END_OFFSET_MAX: i32 = 100_000;
/// Most cron expressions in `exclude`: one bit each in the classification of days.
pub const EXCLUDING_CRONS_MAX: usize = 64;

/// A definition with everything understood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Compiled {
    Unpartitioned,
    Static(KeyList),
    Time(Arc<TimeSpec>),
    Multi(MultiSpec),
    Dynamic(String),
}

/// A time-window definition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TimeSpec {
    pub(crate) sequence: Sequence,
    /// Instant at or after which the first window begins.
    pub(crate) start: i64,
    /// Instant at or before which the last window ends.
    pub(crate) end: Option<i64>,
    pub(crate) end_offset: i32,
    pub(crate) format: KeyFormat,
}

/// A multi definition; dimensions in the order of their names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MultiSpec {
    pub(crate) dimensions: Vec<(String, Compiled)>,
    /// Index of the primary dimension.
    pub(crate) primary: usize,
    pub(crate) only: Vec<Cells>,
    pub(crate) except: Vec<Cells>,
}

type Errors = Vec<DefinitionError>;

impl PartitionsDefinition {
    /// Understands the definition, or says everything that is wrong with it.
    pub(crate) fn compile(&self) -> Result<Compiled, Errors> {
        match self {
            Self::Unpartitioned => Ok(Compiled::Unpartitioned),
            Self::Static(list) => Ok(Compiled::Static(list.keys.clone())),
            Self::TimeWindow(windows) => Ok(Compiled::Time(Arc::new(compile_windows(windows)?))),
            Self::Multi(multi) => Ok(Compiled::Multi(compile_multi(multi)?)),
            Self::Dynamic(set)
                if (1..=KEY_BYTES_MAX).contains(&set.name.len()) && !set.name.contains(char::is_control) =>
            {
                Ok(Compiled::Dynamic(set.name.clone()))
            }
            Self::Dynamic(_) => Err(vec![DefinitionError::new(
                "name",
                DefinitionProblem::DynamicName { limit: KEY_BYTES_MAX },
            )]),
        }
    }

    /// Checks the definition; reports everything that is wrong with it at once.
    pub fn validate(&self) -> Result<(), Vec<DefinitionError>> {
        let mut errors = self.check_keys(false);
        match self.compile() {
            Err(more) => errors.extend(more),
            Ok(compiled) => errors.extend(check_meaning(self, &compiled)),
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn check_keys(&self, in_dimension: bool) -> Errors {
        match self {
            Self::Static(list) => check_static(list, in_dimension),
            Self::Multi(multi) => multi
                .dimensions
                .iter()
                .flat_map(|(name, dimension)| under_dimension(name, dimension.check_keys(true)))
                .collect(),
            _ => Vec::new(),
        }
    }
}

fn under_dimension(name: &str, errors: Errors) -> impl Iterator<Item = DefinitionError> {
    let parent = format!("dimensions.{name}");
    errors.into_iter().map(move |error| error.under(&parent))
}

fn check_static(list: &StaticPartitions, in_dimension: bool) -> Errors {
    let check = if in_dimension { check_dimension_key } else { check_key };
    let mut errors: Errors = (0..)
        .zip(list.keys.iter())
        .filter_map(|(index, key): (usize, _)| Some((index, check(key).err()?)))
        .map(|(index, invalid)| {
            DefinitionError::new(format!("keys[{index}]"), DefinitionProblem::Key(invalid))
        })
        .collect();
    errors.extend(
        list.keys
            .duplicates()
            .map(|key| DefinitionError::new("keys", DefinitionProblem::DuplicateKey { key: key.to_owned() })),
    );
    if list.keys.is_empty() {
        errors.push(DefinitionError::new("keys", DefinitionProblem::NoKeys));
    }
    errors
}

impl Compiled {
    /// Bytes of the longest key, as far as the definition knows its keys.
    fn longest_key(&self) -> usize {
        match self {
            Self::Static(keys) => keys.longest(),
            Self::Time(spec) => spec.format.longest(),
            // Known when it is resolved, and checked again then.
            Self::Dynamic(_) | Self::Unpartitioned | Self::Multi(_) => 0,
        }
    }
}

/// Checks the length of multi keys, given the longest key of each dimension.
pub(crate) fn check_key_lengths<'a>(
    dimensions: impl Iterator<Item = (&'a str, usize)> + Clone,
) -> Result<(), DefinitionError> {
    let separators = dimensions.clone().count().saturating_sub(1) * KEY_SEPARATOR.len_utf8();
    let bytes = dimensions.clone().map(|(_, longest)| longest).sum::<usize>() + separators;
    if bytes <= MULTI_KEY_BYTES_MAX {
        return Ok(());
    }
    let parts: Vec<String> = dimensions.map(|(name, longest)| format!("{name} {longest}")).collect();
    let (parts, limit) = (parts.join(", "), MULTI_KEY_BYTES_MAX);
    Err(DefinitionError::new("dimensions", DefinitionProblem::MultiKeysTooLong { bytes, parts, limit }))
}

/// What can only be judged once the words are understood.
fn check_meaning(definition: &PartitionsDefinition, compiled: &Compiled) -> Errors {
    match (definition, compiled) {
        (PartitionsDefinition::TimeWindow(windows), Compiled::Time(spec)) => check_format(windows, spec),
        (PartitionsDefinition::Multi(multi), Compiled::Multi(spec)) => {
            let dimensions = multi.dimensions.iter().zip(&spec.dimensions);
            let mut errors: Errors = dimensions
                .flat_map(|((name, definition), (_, compiled))| {
                    under_dimension(name, check_meaning(definition, compiled))
                })
                .collect();
            errors.extend(super::cells::check_cells(spec));
            let parts =
                spec.dimensions.iter().map(|(name, compiled)| (name.as_str(), compiled.longest_key()));
            errors.extend(check_key_lengths(parts).err());
            errors
        }
        _ => Vec::new(),
    }
}

fn check_format(windows: &TimeWindowPartitions, spec: &TimeSpec) -> Errors {
    let needed = spec.sequence.rule.resolution();
    let format = windows.format.clone().unwrap_or_default();
    if !spec.format.tells_apart(needed) {
        let (unit, example) = needed.hint();
        return vec![DefinitionError::new(
            "format",
            DefinitionProblem::FormatTooCoarse { format, unit, example },
        )];
    }
    let named = short_years(&spec.sequence.zone);
    let within = named.contains(&spec.start) && spec.end.is_none_or(|end| end <= named.end);
    if spec.format.has_short_year() && !within {
        let (first, last) = (*SHORT_YEARS.start(), *SHORT_YEARS.end());
        let problem = DefinitionProblem::FormatShortYear { format, first, last };
        return vec![DefinitionError::new("format", problem)];
    }
    Vec::new()
}

/// The instants of the years that two digits name.
fn short_years(zone: &Zone) -> Range<i64> {
    let new_year = |year| zone.first_instant_at(midnight(first_of_month(year, 1)));
    new_year(*SHORT_YEARS.start())..new_year(SHORT_YEARS.end() + 1)
}

fn compile_windows(windows: &TimeWindowPartitions) -> Result<TimeSpec, Errors> {
    let mut errors = Vec::new();
    let mut note = |path: &str, problem| errors.push(DefinitionError::new(path, problem));

    let name = windows.timezone.as_deref().unwrap_or("UTC");
    let zone = Zone::named(name);
    if zone.is_none() {
        note("timezone", unknown_zone(name));
    }
    let rule = match compile_cadence(&windows.cadence) {
        Ok(rule) => Some(rule),
        Err(more) => {
            more.into_iter().for_each(|(path, problem)| note(path, problem));
            None
        }
    };
    let pattern = windows.format.as_deref().unwrap_or(default_format(&windows.cadence));
    let format = KeyFormat::parse(pattern);
    if let Err(problem) = &format {
        note("format", DefinitionProblem::Format { format: pattern.to_owned(), problem: problem.clone() });
    }
    if windows.end_offset.abs() > END_OFFSET_MAX {
        let (low, high) = (i64::from(-END_OFFSET_MAX), i64::from(END_OFFSET_MAX));
        note("end_offset", DefinitionProblem::OutOfRange { value: i64::from(windows.end_offset), low, high });
    }
    let start = When::parse(&windows.start).map_err(|problem| note("start", problem)).ok();
    let end = windows.end.as_deref().map(|end| When::parse(end).map_err(|problem| note("end", problem)));
    let utc_only = zone.clone().or_else(|| Zone::named("UTC"));
    let exclusions = utc_only.map(|zone| compile_exclusions(&windows.exclude, &zone));
    let exclusions = exclusions.transpose().map_err(|more| errors.extend(more)).ok().flatten();

    let (Some(zone), Some(rule), Ok(format), Some(start), Some(exclusions)) =
        (zone, rule, format, start, exclusions)
    else {
        return Err(errors);
    };
    let start = start.instant(&zone);
    let end = end.and_then(Result::ok).map(|end| end.instant(&zone));
    // Without an end, years of two digits end with the last that they name: the next would be taken for the first.
    let end = end.or_else(|| format.has_short_year().then(|| short_years(&zone).end));
    if let (Some(end), Some(written)) = (end, &windows.end)
        && end <= start
    {
        let problem =
            DefinitionProblem::EndBeforeStart { start: windows.start.clone(), end: written.clone() };
        errors.push(DefinitionError::new("end", problem));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let sequence = Sequence { zone, rule, exclusions };
    Ok(TimeSpec { sequence, start, end, end_offset: windows.end_offset, format })
}

fn unknown_zone(name: &str) -> DefinitionProblem {
    let near = zone_names().map(|known| (strsim::damerau_levenshtein(&known, name), known)).min();
    let nearest = near.filter(|(distance, _)| *distance <= name.len().max(3) / 3).map(|(_, known)| known);
    DefinitionProblem::UnknownZone { name: name.to_owned(), nearest, version: zone_database_version() }
}

/// The keys that a cadence has when no format is given, as in Dagster.
fn default_format(cadence: &Cadence) -> &'static str {
    match cadence {
        Cadence::Hourly { .. } | Cadence::Cron { .. } => "%Y-%m-%d-%H:%M",
        Cadence::Daily { .. }
        | Cadence::Weekly { .. }
        | Cadence::Monthly { .. }
        | Cadence::Calendar { .. } => "%Y-%m-%d",
    }
}

fn compile_cadence(cadence: &Cadence) -> Result<Rule, Vec<(&'static str, DefinitionProblem)>> {
    let mut errors = Vec::new();
    let mut within = |path, value: u32, low: u32, high: u32| {
        if !(low..=high).contains(&value) {
            let (value, low, high) = (i64::from(value), i64::from(low), i64::from(high));
            errors.push((path, DefinitionProblem::OutOfRange { value, low, high }));
        }
        value
    };
    let mut time = |hour: u32, minute: u32| -> Arc<[u16]> {
        let (hour, minute) = (within("hour_offset", hour, 0, 23), within("minute_offset", minute, 0, 59));
        // Values out of range are reported and never used.
        [(hour.min(23) * 60 + minute.min(59)) as u16].into()
    };
    let fixed = |days, minutes| Rule { days, minutes, elapsed: false };
    let rule = match cadence {
        Cadence::Hourly { minute_offset } => {
            let minute = time(0, *minute_offset)[0];
            let minutes = (0..DAY_MINUTES / 60).map(|hour| hour * 60 + minute).collect();
            Rule { days: Days::Pattern(CronDays::EVERY), minutes, elapsed: true }
        }
        Cadence::Daily { hour_offset, minute_offset } => {
            fixed(Days::Pattern(CronDays::EVERY), time(*hour_offset, *minute_offset))
        }
        Cadence::Weekly { day_offset, hour_offset, minute_offset } => {
            let minutes = time(*hour_offset, *minute_offset);
            let day = within("day_offset", *day_offset, 0, 6).min(6) as u8;
            fixed(Days::Pattern(CronDays::weekly(day)), minutes)
        }
        Cadence::Monthly { day_offset, hour_offset, minute_offset } => {
            let minutes = time(*hour_offset, *minute_offset);
            let day = within("day_offset", *day_offset, 1, 31).clamp(1, 31) as u8;
            fixed(Days::Pattern(CronDays::monthly(day)), minutes)
        }
        Cadence::Cron { cron } => match Cron::parse(cron) {
            Ok(cron) => Rule::of_cron(&cron),
            Err(problem) => {
                let expression = cron.clone();
                return Err(vec![("cron", DefinitionProblem::Cron { expression, problem })]);
            }
        },
        Cadence::Calendar { calendar, hour_offset, minute_offset } => {
            let minutes = time(*hour_offset, *minute_offset);
            match calendar.compile() {
                Ok(days) => fixed(days, minutes),
                Err(problem) => {
                    errors.push(("calendar", DefinitionProblem::Calendar(problem)));
                    return Err(errors);
                }
            }
        }
    };
    if errors.is_empty() { Ok(rule) } else { Err(errors) }
}

fn compile_exclusions(exclude: &[Exclude], zone: &Zone) -> Result<Exclusions, Errors> {
    let mut exclusions = Exclusions::default();
    let mut errors = Vec::new();
    for (index, item) in exclude.iter().enumerate() {
        let outcome = match item {
            // Five fields or an @name; a time has at most two words.
            Exclude::When(text) if text.trim().starts_with('@') || text.split_whitespace().count() > 2 => {
                let expression = text.clone();
                Cron::parse(text)
                    .map(|cron| exclusions.rules.push(Rule::of_cron(&cron)))
                    .map_err(|problem| DefinitionProblem::Cron { expression, problem })
            }
            Exclude::When(text) => {
                When::parse(text).map(|when| exclusions.instants.extend(when.instants(zone)))
            }
            Exclude::On(days) => days
                .calendar
                .compile()
                .map(|days| exclusions.days.push(days))
                .map_err(DefinitionProblem::Calendar),
        };
        if let Err(problem) = outcome {
            errors.push(DefinitionError::new(format!("exclude[{index}]"), problem));
        }
    }
    if exclusions.rules.len() > EXCLUDING_CRONS_MAX {
        let problem = DefinitionProblem::TooManyExclusions {
            count: exclusions.rules.len(),
            limit: EXCLUDING_CRONS_MAX,
        };
        errors.push(DefinitionError::new("exclude", problem));
    }
    exclusions.instants.sort_unstable();
    exclusions.instants.dedup();
    if errors.is_empty() { Ok(exclusions) } else { Err(errors) }
}

fn compile_multi(multi: &MultiPartitions) -> Result<MultiSpec, Errors> {
    let mut errors = Vec::new();
    let count = multi.dimensions.len();
    if !(MIN_DIMENSIONS..=DIMENSIONS_MAX).contains(&count) {
        let problem = DefinitionProblem::DimensionCount { count, low: MIN_DIMENSIONS, high: DIMENSIONS_MAX };
        errors.push(DefinitionError::new("dimensions", problem));
    }
    let mut dimensions = Vec::with_capacity(count);
    for (name, dimension) in &multi.dimensions {
        let note = |problem| DefinitionError::new(format!("dimensions.{name}"), problem);
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            errors.push(note(DefinitionProblem::DimensionName { name: name.clone() }));
        }
        match dimension {
            PartitionsDefinition::Multi(_) | PartitionsDefinition::Unpartitioned => {
                errors.push(note(DefinitionProblem::DimensionKind { kind: dimension.kind() }));
            }
            _ => match dimension.compile() {
                Ok(compiled) => {
                    if let Compiled::Time(spec) = &compiled
                        && spec.format.contains(KEY_SEPARATOR)
                    {
                        let key = spec.format.example();
                        let problem = DefinitionProblem::Key(super::keys::InvalidKey::Separator { key });
                        errors.push(DefinitionError::new(format!("dimensions.{name}.format"), problem));
                    }
                    dimensions.push((name.clone(), compiled));
                }
                Err(more) => errors.extend(under_dimension(name, more)),
            },
        }
    }
    let known = || multi.dimensions.keys().cloned().collect::<Vec<_>>().join(", ");
    let unknown = |name: &String| DefinitionProblem::UnknownDimension { name: name.clone(), known: known() };
    if let Some(primary) = multi.primary.as_ref().filter(|name| !multi.dimensions.contains_key(*name)) {
        errors.push(DefinitionError::new("primary", unknown(primary)));
    }
    for (field, list) in [("only", &multi.only), ("except", &multi.except)] {
        for (index, cells) in list.iter().enumerate() {
            let strangers = cells.keys().filter(|name| !multi.dimensions.contains_key(*name));
            errors.extend(
                strangers.map(|name| DefinitionError::new(format!("{field}[{index}]"), unknown(name))),
            );
        }
    }
    if !multi.only.is_empty() && !multi.except.is_empty() {
        errors.push(DefinitionError::new("", DefinitionProblem::OnlyAndExcept));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let primary = match &multi.primary {
        Some(name) => dimensions.iter().position(|(known, _)| known == name),
        None => only_time_dimension(&dimensions),
    };
    let (only, except) = (multi.only.clone(), multi.except.clone());
    Ok(MultiSpec { primary: primary.unwrap_or(0), dimensions, only, except })
}

/// The one dimension that is made of time windows, if there is exactly one.
pub(crate) fn only_time_dimension(dimensions: &[(String, Compiled)]) -> Option<usize> {
    let mut times = dimensions.iter().enumerate().filter(|(_, (_, d))| matches!(d, Compiled::Time(_)));
    match (times.next(), times.next()) {
        (Some((index, _)), None) => Some(index),
        _ => None,
    }
}
