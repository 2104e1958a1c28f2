//! The law that ties the two directions of a mapping together, on random pairs of definitions.

use backstitch_proto::mapping::{Mapper, PartitionMapping, infer, validate};
use backstitch_proto::partition::{PartitionSubset, Partitions};
use proptest::prelude::*;

use crate::common::{definition, mapping};
use crate::laws::{resolve, windows};

/// Definitions on both sides and a mapping; `None` to infer it.
fn pairs() -> impl Strategy<Value = (String, String, Option<String>)> {
    let time = || windows().prop_map(|(yaml, _)| yaml);
    let offsets = (-3i32..3, 0i32..3).prop_map(|(start, more)| {
        format!("{{kind: time_window, start_offset: {start}, end_offset: {}, missing: wait}}", start + more)
    });
    let keys = || {
        prop::sample::subsequence(vec!["us", "eu", "fr", "de", "jp"], 1..5)
            .prop_map(|keys| format!("{{kind: static, keys: [{}]}}", keys.join(", ")))
    };
    let cells = move |up: String, keys: String, sparse: bool| {
        let except = if sparse { ", except: [{region: 'u*', date: '2024-02-*'}]" } else { "" };
        format!("{{kind: multi, dimensions: {{date: {up}, region: {keys}}}{except}}}")
    };
    let single = prop_oneof![
        (time(), time()).prop_map(|(up, down)| (up, down, None)),
        (time(), time(), offsets).prop_map(|(up, down, mapping)| (up, down, Some(mapping))),
        (time(), time()).prop_map(|(up, down)| (up, down, Some("{kind: identity}".to_owned()))),
        (time(), time()).prop_map(|(up, down)| (
            up,
            down,
            Some("{kind: time_window, missing: wait}".to_owned())
        )),
        (time(), -1..3i32).prop_map(|(one, more)| {
            let later = format!("{}, end_offset: {more}", one.split(", end_offset").next().unwrap_or(&one));
            (one, format!("{later}}}"), Some("{kind: identity, missing: wait}".to_owned()))
        }),
        time().prop_map(|one| (
            one.clone(),
            one,
            Some("{kind: time_window, start_offset: -1, end_offset: -1}".to_owned())
        )),
        (keys(), keys()).prop_map(|(up, down)| (up, down, None)),
        (keys(), time()).prop_map(|(up, down)| (up, down, Some("{kind: last}".to_owned()))),
        (time(), keys()).prop_map(|(up, down)| (up, down, Some("{kind: all}".to_owned()))),
        (keys(), Just("{kind: unpartitioned}".to_owned())).prop_map(|(up, down)| (up, down, None)),
        (Just("{kind: unpartitioned}".to_owned()), time()).prop_map(|(up, down)| (up, down, None)),
    ];
    let multi = (time(), time(), keys(), keys(), any::<bool>(), 0..9u8).prop_map(move |(a, b, k, l, sparse, shape)| {
        match shape {
            0 => (cells(a, k, sparse), b, None),
            1 => (a, cells(b, k, sparse), None),
            2 => (cells(a, k, sparse), cells(b, l, !sparse), None),
            3 => (cells(a, k, sparse), l, Some("{kind: dimension, dimension: region}".to_owned())),
            4 => (cells(a, k.clone(), sparse), format!("{{kind: multi, dimensions: {{zone: {k}, when: {b}, area: {l}}}}}"),
                Some("{kind: multi, dimensions: {date: {dimension: when, mapping: {kind: time_window, start_offset: -1, \
                     missing: wait}}, region: {dimension: area}}}".to_owned())),
            5 => (cells(a, k, sparse), cells(b, l, sparse),
                Some("{kind: multi, dimensions: {date: {keys: ['2024-01-02']}, region: {}}}".to_owned())),
            _ => (cells(a.clone(), k, sparse), cells(a, l, sparse),
                Some(format!("{{kind: identity, missing: {}}}", ["error", "skip", "wait"][usize::from(shape % 3)]))),
        }
    });
    prop_oneof![3 => single, 2 => multi]
}

/// Dates near each other, so that windows meet: the year of every start becomes 2024.
fn near(yaml: &str) -> String {
    let mut near = String::new();
    for (index, part) in yaml.split("start: ").enumerate() {
        if index == 0 {
            near.push_str(part);
        } else {
            near.push_str("start: 2024-0");
            near.push_str(&(part.len() % 3 + 1).to_string());
            near.push_str(&part[7..]);
        }
    }
    near
}

fn sample(space: &Partitions, seed: u32, out_of: u32) -> PartitionSubset {
    let chosen =
        (0..space.len()).filter(|o| (o.wrapping_add(seed)).wrapping_mul(2_654_435_761) >> 8 & 0xff < out_of);
    chosen.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn both_directions_are_one_relation((up, down, written) in pairs(), seed in any::<u32>()) {
        let now = "2024-04-09T11:00:00Z".parse().expect("a time");
        let (up, down) = (definition(&near(&up)), definition(&near(&down)));
        let mapping = match written {
            Some(yaml) => mapping(&yaml),
            None => match infer(&up, &down) {
                Ok(mapping) => mapping,
                Err(_) => return Ok(()),
            },
        };
        let valid = validate(&mapping, &up, &down);
        let (up, down) = (resolve(&up, now), resolve(&down, now));
        let mapper = match (&valid, Mapper::new(&mapping, &up, &down)) {
            (Ok(()), Ok(mapper)) => mapper,
            // A pinned key may be no window of this cadence.
            (Err(_), Err(_)) => return Ok(()),
            // Keys of two cadences may never be the same.
            (Err(problem), Ok(mapper)) if matches!(mapping, PartitionMapping::Identity { .. }) => {
                prop_assert!(mapper.upstream_of(&down.all()).subset.is_empty(), "{}", problem);
                return Ok(());
            }
            (valid, bound) => return Err(TestCaseError::fail(format!("{valid:?}, {:?}", bound.err()))),
        };

        // The relation itself, one pair at a time, over samples of both sides.
        let step = |space: &Partitions| (space.len() as usize / 60).max(1);
        let ups: Vec<u32> = (0..up.len()).step_by(step(&up)).collect();
        for d in (0..down.len()).step_by(step(&down)) {
            let needs = mapper.upstream_of(&PartitionSubset::from_ordinals([d])).subset;
            for &u in &ups {
                let needed_by = mapper.downstream_of(&PartitionSubset::from_ordinals([u]));
                prop_assert_eq!(needs.contains(u), needed_by.contains(d), "u={:?} d={:?}", up.key(u), down.key(d));
            }
        }

        // Distribution over union, on subsets of different density.
        let (a, b) = (sample(&down, seed, 100), sample(&down, seed ^ 0x55, 3));
        let both = mapper.upstream_of(&a.union(&b)).subset;
        prop_assert_eq!(both, mapper.upstream_of(&a).subset.union(&mapper.upstream_of(&b).subset));
        let (a, b) = (sample(&up, seed, 100), sample(&up, seed ^ 0x55, 3));
        let both = mapper.downstream_of(&a.union(&b));
        prop_assert_eq!(both, mapper.downstream_of(&a).union(&mapper.downstream_of(&b)));
    }

    #[test]
    fn a_subset_needs_what_its_members_need((up, down, written) in pairs(), seed in any::<u32>()) {
        let now = "2024-04-09T11:00:00Z".parse().expect("a time");
        let (up, down) = (definition(&near(&up)), definition(&near(&down)));
        let Ok(mapping) = written.map_or_else(|| infer(&up, &down), |yaml| Ok(mapping(&yaml))) else { return Ok(()) };
        let (up, down) = (resolve(&up, now), resolve(&down, now));
        let Ok(mapper) = Mapper::new(&mapping, &up, &down) else { return Ok(()) };
        let chosen = sample(&down, seed, 20);
        let chosen: PartitionSubset = chosen.iter().take(60).collect();
        let together = mapper.upstream_of(&chosen);
        let mut apart = PartitionSubset::new();
        let mut missing = std::collections::BTreeSet::new();
        for d in chosen.iter() {
            let one = mapper.upstream_of(&PartitionSubset::from_ordinals([d]));
            apart |= &one.subset;
            missing.extend(one.missing.keys());
        }
        prop_assert_eq!(&together.subset, &apart);
        let all: std::collections::BTreeSet<String> = together.missing.keys().collect();
        prop_assert_eq!(&all, &missing);
        // What is missing does not exist.
        for key in all {
            prop_assert!(up.ordinal(&key).is_err(), "{} exists", key);
        }
    }

    #[test]
    fn who_is_blocked_is_who_misses_something_and_who_waits_does_so_until_it_exists(
        (up, down, written) in pairs(), seed in any::<u32>()
    ) {
        let now = "2024-04-09T11:00:00Z".parse().expect("a time");
        let (up, down) = (definition(&near(&up)), definition(&near(&down)));
        let Ok(mapping) = written.map_or_else(|| infer(&up, &down), |yaml| Ok(mapping(&yaml))) else { return Ok(()) };
        let down = resolve(&down, now);
        let nothing_exists = resolve(&up, now).is_empty();
        let Ok(mapper) = Mapper::new(&mapping, &resolve(&up, now), &down) else { return Ok(()) };
        let chosen: PartitionSubset = sample(&down, seed, 40).iter().rev().take(60).collect();
        let blocked = mapper.blocked(&chosen);
        let mut all = blocked.refused.clone();
        for tasks in blocked.waiting.values() {
            prop_assert!(!all.intersects(tasks) && !tasks.is_empty());
            all |= tasks;
        }
        for d in chosen.iter() {
            let misses = !mapper.upstream_of(&PartitionSubset::from_ordinals([d])).missing.is_empty();
            prop_assert_eq!(all.contains(d), misses, "{:?}", down.key(d));
        }
        for (instant, tasks) in &blocked.waiting {
            prop_assert!(*instant > now);
            for (moment, free) in [(*instant, true), (*instant - chrono::Duration::seconds(1), false)] {
                // What an offset reaches beyond the last window is missing only while there is no window at all, so such
                // a wait can become needless before it ends.
                if !free && nothing_exists {
                    continue;
                }
                let Ok(later) = Mapper::new(&mapping, &resolve(&up, moment), &down) else { return Ok(()) };
                for d in tasks.iter() {
                    let missing = later.upstream_of(&PartitionSubset::from_ordinals([d])).missing;
                    prop_assert_eq!(missing.is_empty(), free, "{:?} at {}", down.key(d), moment);
                }
            }
        }
    }
}
