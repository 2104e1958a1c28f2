//! Every way to get a project wrong, with the sentence that it is answered with.

use super::said;

#[test]
fn an_unknown_dependency_is_told_with_its_place_and_the_nearest_name() {
    let text = "\
assets:
  hourly_temp:
    command: [make, hourly]
  daily_temp:
    deps: [hourly_tmp]
";
    assert_eq!(
        said(text),
        ["backstitch.yaml:5:12: asset \"daily_temp\" depends on \"hourly_tmp\", which is not defined \
          (did you mean \"hourly_temp\"?)"]
    );
}

#[test]
fn all_problems_of_all_assets_are_told_at_once_in_the_order_of_the_file() {
    let text = "\
assets:
  a:
    comand: [make, a]
    timeout: 30
    retries: {max_retries: three, backof: linear}
  b:
    deps: [c, {aset: a}, {asset: a, maping: {}}]
    batch_size: 0
    priority: high
  1st:
    command: [make]
  d: [make]
polls:
  db: 3
pools:
  db: -1
";
    assert_eq!(
        said(text),
        [
            "backstitch.yaml:3:5: asset \"a\": unknown field \"comand\" (did you mean \"command\"?)",
            "backstitch.yaml:4:14: asset \"a\": timeout: duration \"30\" has no unit (did you mean \"30s\"?)",
            "backstitch.yaml:5:28: asset \"a\": retries.max_retries: expected a whole number, 0 or more, found the \
             text \"three\"",
            "backstitch.yaml:5:35: asset \"a\": retries: unknown field \"backof\" (did you mean \"backoff\"?)",
            "backstitch.yaml:7:12: asset \"b\" depends on \"c\", which is not defined",
            "backstitch.yaml:7:16: asset \"b\": deps[1]: unknown field \"aset\" (did you mean \"asset\"?)",
            "backstitch.yaml:7:37: asset \"b\": deps[1]: unknown field \"maping\" (did you mean \"mapping\"?)",
            "backstitch.yaml:8:17: asset \"b\": batch_size: expected a whole number, 1 or more, found the number 0",
            "backstitch.yaml:9:15: asset \"b\": priority: expected a whole number, found the text \"high\"",
            "backstitch.yaml:10:3: asset name \"1st\" must start with a letter or `_` and have only letters, digits \
             and `_ . / -` (found '1')",
            "backstitch.yaml:12:6: asset \"d\": expected a mapping, found a list",
            "backstitch.yaml:13:1: unknown field \"polls\" (did you mean \"pools\"?)",
            "backstitch.yaml:16:7: pool \"db\": expected a whole number, 1 or more, found the number -1",
        ]
    );
}

#[test]
fn names_written_twice_are_told_with_the_first_place() {
    let text = "\
assets:
  a:
    command: [one]
    command: [two]
  b: {}
  a: {}
jobs:
  j: {select: a, config: {x: 1, x: 2}}
assets: {}
";
    assert_eq!(
        said(text),
        [
            "backstitch.yaml:4:5: asset \"a\": \"command\" is given twice (first at line 3)",
            "backstitch.yaml:6:3: asset \"a\" is defined twice (first at line 2)",
            "backstitch.yaml:8:30: job \"j\": config x: none of the selected assets has a field \"x\"",
            "backstitch.yaml:8:33: job \"j\": \"x\" is given twice (first at line 8)",
            "backstitch.yaml:9:1: \"assets\" is given twice (first at line 1)",
        ]
    );
}

#[test]
fn cycles_are_shown_whole() {
    let text = "\
assets:
  a: {deps: [source, b]}
  b: {deps: [c]}
  c: {deps: [a]}
  source: {}
  down: {deps: [c]}
  me: {deps: [me]}
";
    assert_eq!(
        said(text),
        [
            "backstitch.yaml:2:22: cyclic dependency: asset \"a\" depends on \"b\", which depends on \"c\", which \
             depends on \"a\"",
            "backstitch.yaml:7:15: asset \"me\" depends on itself: that needs a mapping to its earlier partitions \
             only ({kind: time_window, start_offset: -1, end_offset: -1})",
        ]
    );
}

#[test]
fn references_to_what_is_not_there_are_told_with_the_nearest_name() {
    let text = "\
pools: {warehouse: 4}
queues: {heavy: {}}
partitions:
  days: {kind: static, keys: [a]}
assets:
  a:
    pool: warehose
    queue: hevy
    partitions: day
    deps: [b, b]
  b: {pool: {name: warehouse, slots: 5}, queue: default}
";
    assert_eq!(
        said(text),
        [
            "backstitch.yaml:7:11: asset \"a\": pool: pool \"warehose\" is not defined (did you mean \
             \"warehouse\"?)",
            "backstitch.yaml:8:12: asset \"a\": queue: queue \"hevy\" is not defined (did you mean \"heavy\"?)",
            "backstitch.yaml:9:17: asset \"a\": partitions: partitions definition \"day\" is not defined (did you \
             mean \"days\"?)",
            "backstitch.yaml:10:15: asset \"a\" depends on \"b\" twice",
            "backstitch.yaml:11:38: asset \"b\": pool.slots: takes 5 slots of pool \"warehouse\", which has only 4: \
             it could never run",
        ]
    );
}

#[test]
fn config_schemas_that_contradict_themselves_are_refused() {
    let text = "\
assets:
  a:
    command: [make]
    config:
      days: {type: int, default: three}
      unit: {type: str, values: [C, F], default: K}
      ratio: {type: float, values: [1, high]}
      2nd: {type: int}
      UNIT: {type: str}
      kind: {type: integer}
      empty: {default: 3}
      none: {type: bool, values: []}
";
    assert_eq!(
        said(text),
        [
            "backstitch.yaml:5:34: asset \"a\": config.days.default: expected a whole number, found \"three\"",
            "backstitch.yaml:6:7: asset \"a\": config.unit: differs from \"UNIT\" only in upper and lower case",
            "backstitch.yaml:6:50: asset \"a\": config.unit.default: expected one of \"C\", \"F\", found \"K\"",
            "backstitch.yaml:7:40: asset \"a\": config.ratio.values[1]: expected a number, found \"high\"",
            "backstitch.yaml:8:7: asset \"a\": config.2nd: a config field's name has at most 64 letters, digits and \
             `_`, and no digit first",
            "backstitch.yaml:10:20: asset \"a\": config.kind.type: \"integer\" is not one of int, float, str, bool",
            "backstitch.yaml:11:7: asset \"a\": config.empty: field \"type\" is missing",
            "backstitch.yaml:12:34: asset \"a\": config.none.values: is empty: no value would be allowed",
        ]
    );
}

#[test]
fn commands_that_could_never_start_are_refused() {
    let text = "\
assets:
  a:
    command: make everything
  b:
    command: []
    env: {1X: a, BACKSTITCH_RUN_ID: b, OK: {a: b}}
  c:
    env: {A: b}
  d:
    command: [make, \"a\\0b\", {x: y}]
  e:
    command:
";
    assert_eq!(
        said(text),
        [
            "backstitch.yaml:3:14: asset \"a\": command: expected a list, found the text \"make everything\"",
            "backstitch.yaml:5:14: asset \"b\": command: has no program: its first item is the program to start",
            "backstitch.yaml:6:15: asset \"b\": env.1X: an environment variable's name has only letters, digits and \
             `_`, and no digit first",
            "backstitch.yaml:6:37: asset \"b\": env.BACKSTITCH_RUN_ID: names that start with BACKSTITCH_ are set by \
             Backstitch",
            "backstitch.yaml:6:40: asset \"b\": env.OK: expected a text, found a mapping",
            "backstitch.yaml:8:5: asset \"c\": env: is for commands, and this asset has none",
            "backstitch.yaml:10:21: asset \"d\": command[1]: has a NUL character, which no program can be given",
            "backstitch.yaml:10:29: asset \"d\": command[2]: expected a text, found a mapping",
            "backstitch.yaml:12:5: asset \"e\": command: expected a value, found nothing (leave the field out)",
        ]
    );
}

#[test]
fn placeholders_that_could_have_no_value_are_refused() {
    let text = "\
assets:
  whole:
    command: [make, \"{{partition_key}}\", \"{{window.start}}\", \"{{config.unti}}\", \"{{ asset }}\"]
    config: {unit: {type: str, default: C}}
  listed:
    partitions: {kind: static, keys: [a, b]}
    command: [make, \"{{partition_key}}\", \"{{window.end}}\", \"{{dimension.city}}\"]
    env: {KEY: \"{{partition_kye}}\"}
  batched:
    partitions: {kind: static, keys: [a, b]}
    batch_size: 10
    command: [make, \"{{partition_key}}\", \"{{run_id}}\"]
";
    assert_eq!(
        said(text),
        [
            "backstitch.yaml:3:21: asset \"whole\": command[1]: {{partition_key}}: the asset has no partitions",
            "backstitch.yaml:3:42: asset \"whole\": command[2]: {{window.start}}: the asset has no partitions",
            "backstitch.yaml:3:62: asset \"whole\": command[3]: {{config.unti}}: the asset has no config field \
             \"unti\" (did you mean \"unit\"?)",
            "backstitch.yaml:3:81: asset \"whole\": command[4]: placeholders have no spaces: write {{asset}}",
            "backstitch.yaml:7:42: asset \"listed\": command[2]: {{window.end}}: the partitions have no time window",
            "backstitch.yaml:7:60: asset \"listed\": command[3]: {{dimension.city}}: the partitions have no \
             dimension \"city\"",
            "backstitch.yaml:8:16: asset \"listed\": env.KEY: unknown placeholder {{partition_kye}} (did you mean \
             \"partition_key\"?); a literal is written with a space, as in `{ {`",
            "backstitch.yaml:12:21: asset \"batched\": command[1]: {{partition_key}} stands for one partition, but \
             batch_size is 10: read BACKSTITCH_PARTITION_KEYS",
        ]
    );
}

#[test]
fn retries_batches_and_timeouts_out_of_range_are_refused() {
    let text = "\
assets:
  a:
    retries: {max_retries: 1001, delay: 2m, max_delay: 1m}
    timeout: 0s
    batch_size: 1001
  b:
    retries: {backoff: exponential, delay: 0s, jitter: ful}
    grace: -1s
";
    assert_eq!(
        said(text),
        [
            "backstitch.yaml:3:28: asset \"a\": retries.max_retries: must be at most 1000",
            "backstitch.yaml:3:41: asset \"a\": retries.delay: 2m is longer than max_delay, which is 1m",
            "backstitch.yaml:4:14: asset \"a\": timeout: must be longer than nothing (leave it out for no limit)",
            "backstitch.yaml:5:17: asset \"a\": batch_size: must be at most 1000",
            "backstitch.yaml:7:24: asset \"b\": retries.backoff: has nothing to grow from: delay is 0",
            "backstitch.yaml:7:56: asset \"b\": retries.jitter: \"ful\" is not one of none, full, plus_minus (did \
             you mean \"full\"?)",
            "backstitch.yaml:8:12: asset \"b\": grace: duration \"-1s\" is negative",
        ]
    );
}

#[test]
fn jobs_must_select_something_and_set_what_is_there() {
    let text = "\
assets:
  a:
    command: [make]
    config: {days: {type: int}}
  b: {}
jobs:
  one: {select: \"a, bb+\"}
  two: {select: a, config: {days: three, dys: 1, b.days: 2}}
  three: {}
";
    assert_eq!(
        said(text),
        [
            "backstitch.yaml:7:17: job \"one\": select: asset \"bb\" is not defined",
            "backstitch.yaml:8:35: job \"two\": config days: expected a whole number, found \"three\"",
            "backstitch.yaml:8:47: job \"two\": config dys: none of the selected assets has a field \
             \"dys\" (did you mean \"days\"?)",
            "backstitch.yaml:8:58: job \"two\": config b.days: asset \"b\" is not among the selected \
             assets",
            "backstitch.yaml:9:3: job \"three\": field \"select\" is missing",
        ]
    );
}

#[test]
fn an_asset_that_could_not_be_read_is_not_missed_by_others() {
    let text = "\
partitions: {days: {kind: daly}}
assets:
  a: [oops]
  b: {deps: [a], partitions: days, command: [make, \"{{window.start}}\"]}
  c: {deps: [b]}
jobs: {j: {select: a}}
";
    let said = said(text);
    assert_eq!(said.len(), 2, "{said:#?}");
    assert_eq!(said[1], "backstitch.yaml:3:6: asset \"a\": expected a mapping, found a list");
}

#[test]
fn a_text_that_is_no_yaml_is_told_with_the_place_where_it_stops_being_some() {
    let said = said("assets:\n  a: {deps: [b}\n");
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("backstitch.yaml:2:13: not valid YAML: "), "{said:?}");
}

#[test]
fn hostile_files_are_refused_and_not_expanded() {
    let too_large = "#".repeat(crate::definition::limits::FILE_BYTES_MAX + 1);
    assert_eq!(
        said(&too_large),
        ["backstitch.yaml: the file has 4194305 bytes, more than the limit of 4194304"]
    );
    let bomb = (1..12).fold("a0: &a0 [x]\n".to_owned(), |text, level| {
        let uses = vec![format!("*a{}", level - 1); 10].join(", ");
        format!("{text}a{level}: &a{level} [{uses}]\n")
    });
    assert!(said(&bomb)[0].contains("not valid YAML"), "{:?}", said(&bomb));
    assert!(said(&"[".repeat(10_000))[0].contains("not valid YAML"));
    assert!(said("a: 1\n---\nb: 2\n")[0].contains("not valid YAML"));
}

#[test]
fn no_more_than_a_hundred_problems_are_shown() {
    let text =
        (0..150).fold("assets:\n".to_owned(), |text, n| format!("{text}  a{n}: {{deps: [gone{n}x]}}\n"));
    let said = said(&text);
    assert_eq!(said.len(), 101);
    assert_eq!(said[100], "... and 50 more");
}

#[test]
fn bad_zones_crons_and_keys_are_told_where_they_stand() {
    let text = "\
partitions:
  days: {kind: daily, start: 2024-01-01, timezone: Europe/Madird}
  ticks: {kind: cron, cron: 61 * * * *, start: 2024-01-01}
  reversed: {kind: daily, start: 2024-02-01, end: 2024-01-01}
  typo: {kind: daily, strat: 2024-01-01}
  foreign: {kind: static, keys: [a], start: 2024-01-01}
assets:
  a:
    partitions:
      kind: multi
      dimensions:
        city: {kind: static, keys: [x, y, x]}
        date: {kind: daily, start: soon}
  b: {partitions: days, deps: [a]}
";
    assert_eq!(
        said(text),
        [
            "backstitch.yaml:2:52: partitions \"days\": timezone: time zone \"Europe/Madird\" is not in the IANA \
             database DATABASE (did you mean \"Europe/Madrid\"?)"
                .replace("DATABASE", crate::partition::zone_database_version())
                .as_str(),
            "backstitch.yaml:3:29: partitions \"ticks\": cron: cron expression \"61 * * * *\": minute \"61\" is not \
             valid: it takes 0 to 59, with lists 1,2, ranges 1-2, steps */2",
            "backstitch.yaml:4:51: partitions \"reversed\": end: end 2024-01-01 is not after start 2024-02-01: there \
             would never be a partition",
            "backstitch.yaml:5:23: partitions \"typo\": unknown field \"strat\" (did you mean \"start\"?)",
            "backstitch.yaml:6:3: partitions \"foreign\": the field `start` does not belong to partitions of kind \
             static; remove it",
            "backstitch.yaml:12:36: asset \"a\": partitions.dimensions.city.keys: partition key \"x\" is listed \
             twice; remove one of them",
            "backstitch.yaml:13:36: asset \"a\": partitions.dimensions.date.start: \"soon\" is not a time; write a \
             date (2024-01-31), a local time (2024-01-31T06:00) or an instant (2024-01-31T06:00:00Z)",
        ]
    );
}

#[test]
fn mappings_that_cannot_be_are_told_with_what_could() {
    let text = "\
partitions:
  days: {kind: daily, start: 2024-01-01}
  cities: {kind: static, keys: [x, y]}
assets:
  daily: {partitions: days}
  by_city: {partitions: cities, deps: [daily]}
  wrong: {partitions: cities, deps: [{asset: daily, mapping: {kind: identity}}]}
  self_now: {partitions: days, deps: [{asset: self_now, mapping: {kind: time_window, start_offset: -1}}]}
  unknown: {partitions: days, deps: [{asset: daily, mapping: {kind: identical}}]}
";
    assert_eq!(
        said(text),
        [
            "backstitch.yaml:6:40: asset \"by_city\" depends on \"daily\": no mapping can be inferred from daily \
             (upstream) to static (downstream) partitions; write one: all, last, specific (named upstream keys), or \
             make one side multi with the other's partitions as a dimension",
            "backstitch.yaml:7:53: asset \"wrong\" depends on \"daily\": mapping identity cannot relate daily \
             (upstream) to static (downstream) partitions; their keys are of different nature; use all, last or \
             specific",
            "backstitch.yaml:8:39: asset \"self_now\" depends on itself: that needs a mapping to its earlier \
             partitions only ({kind: time_window, start_offset: -1, end_offset: -1})",
            "backstitch.yaml:9:69: asset \"unknown\": deps[0].mapping.kind: \"identical\" is not one of identity, \
             all, last, specific, static, time_window, dimension, multi (did you mean \"identity\"?)",
        ]
    );
}
