//! Laws of spaces, on random definitions.

use backstitch_proto::partition::{
    NoDynamicKeys, PartitionSubset, Partitions, PartitionsDefinition, StoredSubset,
};
use chrono::{DateTime, Utc};
use proptest::prelude::*;

use crate::common::definition;

pub(crate) const ZONES: [&str; 8] = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Nuuk",
    "America/Havana",
];

/// Any date from 2010 to 2026.
fn date() -> impl Strategy<Value = String> {
    (2010..2027, 1..=12, 1..=28).prop_map(|(y, m, d)| format!("{y}-{m:02}-{d:02}"))
}

fn cadence() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..60).prop_map(|m| format!("kind: hourly, minute_offset: {m}")),
        (0..24, 0..60).prop_map(|(h, m)| format!("kind: daily, hour_offset: {h}, minute_offset: {m}")),
        (0..7, 0..24).prop_map(|(d, h)| format!("kind: weekly, day_offset: {d}, hour_offset: {h}")),
        (1..=31, 0..24).prop_map(|(d, h)| format!("kind: monthly, day_offset: {d}, hour_offset: {h}")),
        prop::sample::select(vec![
            "*/20 1-4 * * *",
            "0 0 * * 1-5",
            "30 2 L * *",
            "0 0 1 * 1",
            "15 */3 * jan-jun 2#1"
        ])
        .prop_map(|cron| format!("kind: cron, cron: '{cron}'")),
        Just("kind: calendar, calendar: {weekdays: mon-fri, except: [2024-01-01]}".to_owned()),
    ]
}

fn exclude() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(String::new()),
        1 => Just(", exclude: ['* * * * sat,sun']".to_owned()),
        1 => date().prop_map(|day| format!(", exclude: [{{calendar: {{days: [{day}]}}}}, '{day}T00:00', '0 */5 * * *']")),
    ]
}

/// A time-window definition and a time at which a few hundred windows of it exist.
pub(crate) fn windows() -> impl Strategy<Value = (String, DateTime<Utc>)> {
    (cadence(), prop::sample::select(ZONES.to_vec()), date(), exclude(), -2..3i32, 1u32..400).prop_map(
        |(cadence, zone, start, exclude, end_offset, days)| {
            let days =
                if cadence.contains("hourly") || cadence.contains("*/") { days.min(40) } else { days * 3 };
            let yaml =
                format!("{{{cadence}, start: {start}, timezone: {zone}, end_offset: {end_offset}{exclude}}}");
            let begin: DateTime<Utc> = format!("{start}T07:11:00Z").parse().expect("a time");
            (yaml, begin + chrono::Duration::days(i64::from(days)))
        },
    )
}

fn regions() -> impl Strategy<Value = String> {
    (1usize..6).prop_map(|n| {
        format!("{{kind: static, keys: [{}]}}", ["us", "eu", "fr", "a b", "all"][..n].join(", "))
    })
}

/// Any definition, and a time.
pub(crate) fn definitions() -> impl Strategy<Value = (PartitionsDefinition, DateTime<Utc>)> {
    let now = || "2024-03-12T00:00:00Z".parse::<DateTime<Utc>>().expect("a time");
    let multi = (windows(), regions(), regions(), any::<bool>()).prop_map(|((time, now), r, s, sparse)| {
        let cells = if sparse { ", except: [{b: us, c: us}]" } else { "" };
        (format!("{{kind: multi, dimensions: {{b: {r}, a: {time}, c: {s}}}{cells}}}"), now)
    });
    prop_oneof![
        4 => windows(),
        1 => regions().prop_map(move |yaml| (yaml, now())),
        2 => multi,
    ]
    .prop_map(|(yaml, now)| (definition(&yaml), now))
}

pub(crate) fn resolve(definition: &PartitionsDefinition, now: DateTime<Utc>) -> Partitions {
    definition.resolve(now, &NoDynamicKeys).unwrap_or_else(|error| panic!("{definition:?}: {error}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn keys_and_ordinals_are_inverse((definition, now) in definitions()) {
        prop_assert_eq!(definition.validate(), Ok(()));
        let space = resolve(&definition, now);
        let mut seen = std::collections::HashSet::new();
        for ordinal in (0..space.len()).step_by(space.len() as usize / 500 + 1) {
            let key = space.key(ordinal).expect("below len");
            prop_assert_eq!(space.ordinal(&key), Ok(ordinal));
            prop_assert!(seen.insert(key));
        }
        prop_assert_eq!(space.key(space.len()), None);
    }

    #[test]
    fn windows_follow_each_other((yaml, now) in windows()) {
        let definition = definition(&yaml);
        let space = resolve(&definition, now);
        let excluding = yaml.contains("exclude");
        for ordinal in 1..space.len().min(2_000) {
            let (before, window) = (space.window(ordinal - 1).expect("exists"), space.window(ordinal).expect("exists"));
            prop_assert!(window.start < window.end);
            prop_assert!(before.end == window.start || excluding && before.end < window.start);
        }
    }

    #[test]
    fn a_space_only_grows_at_its_end((yaml, now) in windows(), days in 1i64..100) {
        let definition = definition(&yaml);
        let (early, late) = (resolve(&definition, now), resolve(&definition, now + chrono::Duration::days(days)));
        prop_assert!(early.len() <= late.len());
        prop_assert_eq!(early.fingerprint(), late.fingerprint());
        for ordinal in (0..early.len()).step_by(early.len() as usize / 50 + 1) {
            prop_assert_eq!(early.key(ordinal), late.key(ordinal));
            prop_assert_eq!(early.window(ordinal), late.window(ordinal));
        }
    }

    #[test]
    fn subsets_survive_text_and_storage((definition, now) in definitions(), seed in 0u32..1000) {
        let space = resolve(&definition, now);
        let chosen: backstitch_proto::partition::PartitionSubset =
            (0..space.len()).filter(|o| (o.wrapping_mul(2_654_435_761) >> 7 ^ seed) % 5 < 3).take(400).collect();
        if !chosen.is_empty() {
            let text = space.format_ranges(&chosen, usize::MAX);
            prop_assert_eq!(space.parse(&text), Ok(chosen.clone()), "{}", text);
        }
        let stored = StoredSubset::from_bytes(&StoredSubset::new(&space, chosen.clone()).to_bytes()).expect("our own bytes");
        prop_assert_eq!(stored.into_subset(&space).expect("same space"), chosen);
    }

    #[test]
    fn blocks_tile_an_interval_and_read_back((definition, now) in definitions(), from in any::<u32>(), len in any::<u32>()) {
        let space = resolve(&definition, now);
        let from = from % space.len().max(1);
        let to = from + len % (space.len() - from).max(1);
        let mut next = from;
        for block in space.blocks(from..=to) {
            prop_assert_eq!(*block.ordinals.start(), next);
            next = block.ordinals.end() + 1;
            let ordinals = PartitionSubset::from_range(*block.ordinals.start()..next);
            prop_assert_eq!(space.parse(&block.selection), Ok(ordinals), "{}", block.selection);
        }
        prop_assert_eq!(next, space.len().min(to + 1));
    }

    #[test]
    fn carrying_over_agrees_with_looking_up_every_key(
        (a, now) in definitions(), (b, _) in definitions(), same in any::<bool>()
    ) {
        let old = resolve(&a, now);
        let b = if same { moved(&a) } else { b };
        let new = resolve(&b, now);
        let chosen = (0..old.len()).filter(|o| o % 3 != 0).take(3_000).collect();
        let over = old.carry_over(&chosen, &new);
        for ordinal in chosen.iter() {
            let key = old.key(ordinal).expect("exists");
            match new.ordinal(&key) {
                Ok(counterpart) => prop_assert!(over.subset.contains(counterpart) && !over.lost.contains(ordinal)),
                Err(_) => prop_assert!(over.lost.contains(ordinal)),
            }
        }
        prop_assert_eq!(over.subset.len() + over.lost.len(), chosen.len());
    }

    #[test]
    fn a_pattern_selects_the_keys_that_look_like_it(
        (yaml, now) in windows(), at in any::<u32>(), cuts in prop::collection::vec((0..24usize, 0..12usize), 1..4)
    ) {
        let space = resolve(&definition(&yaml), now);
        prop_assume!(!space.is_empty());
        let mut pattern: Vec<char> = space.key(at % space.len()).expect("below len").chars().collect();
        for (from, count) in cuts {
            let from = from.min(pattern.len());
            let to = (from + count).min(pattern.len());
            pattern.splice(from..to, ['*']);
        }
        let text: String = pattern.iter().collect();
        let expected: backstitch_proto::partition::PartitionSubset = (0..space.len())
            .filter(|&ordinal| looks_like(&pattern, &space.key(ordinal).expect("below len").chars().collect::<Vec<_>>()))
            .collect();
        prop_assert!(!expected.is_empty());
        prop_assert_eq!(space.parse(&text), Ok(expected), "{}", text);
    }

    #[test]
    fn the_selection_reader_never_panics(text in "[ -~é\\t]{0,60}") {
        for space in [
            resolve(&definition("{kind: daily, start: 2024-01-01}"), "2024-03-12T00:00:00Z".parse().expect("a time")),
            resolve(&definition("{kind: multi, dimensions: {a: {kind: static, keys: [x, y]}, b: {kind: static, keys: [z]}}}"),
                "2024-03-12T00:00:00Z".parse().expect("a time")),
        ] {
            if let Err(error) = space.parse(&text) {
                prop_assert!(error.span.end <= text.len().max(error.span.start));
                prop_assert!(text.is_char_boundary(error.span.start));
            }
        }
    }

    #[test]
    fn the_selection_reader_never_panics_on_its_own_words(
        words in prop::collection::vec(prop::sample::select(vec![
            "2024-01-05", "a", "b", "a=", "...", "*", ",", "&", "!", "(", ")", "\"", "latest:3", "all", " ", "x|z", "|",
        ]), 0..14)
    ) {
        let text = words.concat();
        let yaml = "{kind: multi, dimensions: {a: {kind: static, keys: [x, y]}, b: {kind: static, keys: [z]}}}";
        let _ = resolve(&definition(yaml), "2024-03-12T00:00:00Z".parse().expect("a time")).parse(&text);
    }

    #[test]
    fn cron_and_formats_and_times_never_panic(text in "[ -~é]{0,24}") {
        let mut any = definition("{kind: cron, cron: '0 0 * * *', start: 2024-01-01}");
        if let PartitionsDefinition::TimeWindow(windows) = &mut any {
            windows.cadence = backstitch_proto::partition::Cadence::Cron { cron: text.clone() };
            windows.format = Some(text.clone());
            windows.end = Some(text.clone());
            windows.timezone = Some(text);
        }
        let _ = any.validate();
    }
}

/// Whether a key matches a pattern, by the definition of a wildcard.
fn looks_like(pattern: &[char], key: &[char]) -> bool {
    match pattern {
        [] => key.is_empty(),
        ['*', rest @ ..] => (0..=key.len()).any(|taken| looks_like(rest, &key[taken..])),
        [c, rest @ ..] => key.first() == Some(c) && looks_like(rest, &key[1..]),
    }
}

/// The same definition with another start.
fn moved(definition: &PartitionsDefinition) -> PartitionsDefinition {
    let mut definition = definition.clone();
    if let PartitionsDefinition::TimeWindow(windows) = &mut definition {
        windows.start = "2016-02-29".to_owned();
    }
    definition
}
