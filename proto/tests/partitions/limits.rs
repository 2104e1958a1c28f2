//! What lies at a limit works, what lies behind it is refused.

use backstitch_proto::mapping::{WINDOW_OFFSET_MAX, validate};
use backstitch_proto::partition::{EXCLUDING_CRONS_MAX, SELECTION_BYTES_MAX};

use crate::common::{definition, errors, keys, mapping, refused, selected, space};

#[test]
fn sixty_four_expressions_exclude_and_a_sixty_fifth_is_refused() {
    let excluding = |count: usize| {
        // One minute of the day each.
        let crons: Vec<String> = (0..count).map(|n| format!("'{} {} * * *'", n % 60, n / 60)).collect();
        format!("{{kind: cron, cron: '* * * * *', start: 2024-01-01, exclude: [{}]}}", crons.join(", "))
    };
    assert_eq!(errors(&excluding(EXCLUDING_CRONS_MAX)), Vec::<String>::new());
    let minutes = space(&excluding(EXCLUDING_CRONS_MAX), "2024-01-02T00:00:00Z");
    assert_eq!(minutes.len(), 24 * 60 - 64);
    assert_eq!(keys(&minutes)[0], "2024-01-01-01:04");
    let all = errors(&excluding(EXCLUDING_CRONS_MAX + 1));
    assert_eq!(all, ["exclude: 65 excluding cron expressions; the limit is 64: combine them into lists"]);
}

#[test]
fn years_have_four_digits() {
    let first = space("{kind: monthly, start: 1000-01-01, end: 1000-03-01}", "2024-01-01T00:00:00Z");
    assert_eq!(keys(&first), ["1000-01-01", "1000-02-01"]);
    // The last day closes the last window.
    let last = space("{kind: daily, start: 9998-12-29, end: 9998-12-31T12:00}", "9999-06-01T00:00:00Z");
    assert_eq!(keys(&last), ["9998-12-29", "9998-12-30"]);
    assert_eq!(last.ordinal("9998-12-30"), Ok(1));
    for (start, end) in
        [("0999-12-31", "2024-01-01"), ("2024-01-01", "9999-01-01"), ("9999-01-01", "9999-02-01")]
    {
        let all = errors(&format!("{{kind: daily, start: '{start}', end: '{end}'}}"));
        assert!(
            all.iter().any(|error| error.contains("1000") && error.contains("9998")),
            "{start} {end}: {all:?}"
        );
    }
}

#[test]
fn a_selection_may_have_a_mebibyte_and_no_more() {
    let days = space("{kind: daily, start: 2024-01-01}", "2024-02-01T00:00:00Z");
    let list = "2024-01-05,".repeat(SELECTION_BYTES_MAX / 11);
    let padded =
        |bytes: usize| format!("{}{}", " ".repeat(bytes - list.len() + 1), list.trim_end_matches(','));
    assert_eq!(padded(SELECTION_BYTES_MAX).len(), 1 << 20);
    assert_eq!(selected(&days, &padded(SELECTION_BYTES_MAX)), ["2024-01-05"]);
    let error = refused(&days, &padded(SELECTION_BYTES_MAX + 1));
    assert!(error.contains("1048577") && error.contains("1048576"), "{error}");
}

#[test]
fn a_separator_of_dimensions_may_stand_in_a_format_but_not_in_that_of_a_dimension() {
    let days = "{kind: daily, start: 2024-01-01, format: '%Y|%m|%d'}";
    assert_eq!(keys(&space(days, "2024-01-02T00:00:00Z")), ["2024|01|01"]);
    let cells =
        format!("{{kind: multi, dimensions: {{date: {days}, region: {{kind: static, keys: [us]}}}}}}");
    let all = errors(&cells);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].starts_with("dimensions.date.format: ") && all[0].contains("contains '|'"), "{all:?}");
}

#[test]
fn several_dimensions_may_have_keys_with_offsets() {
    let hours = "{kind: hourly, start: 2024-11-03, timezone: America/New_York, format: '%Y-%m-%dT%H:%M%z'}";
    let quarters = "{kind: cron, cron: '*/30 * * * *', start: 2024-04-07, timezone: Australia/Lord_Howe, end: 2024-04-07T03:00, \
                    format: '%H:%M %Y-%m-%d %z'}";
    let yaml = format!("{{kind: multi, primary: there, dimensions: {{here: {hours}, there: {quarters}}}}}");
    assert_eq!(definition(&yaml).validate(), Ok(()));
    let cells = space(&yaml, "2024-11-03T08:00:00Z");
    let all = keys(&cells);
    assert_eq!(all.len(), 4 * 7);
    assert_eq!(all[7 + 3], "2024-11-03T01:00-0400|01:30 2024-04-07 +1100");
    assert_eq!(all[14 + 4], "2024-11-03T01:00-0500|01:30 2024-04-07 +1030");
    for (ordinal, key) in (0u32..).zip(&all) {
        assert_eq!(cells.ordinal(key), Ok(ordinal), "{key}");
        assert_eq!(selected(&cells, key), [key.as_str()]);
    }
    assert_eq!(selected(&cells, "here=*-0500 & there=01:30*").len(), 4);
}

#[test]
fn windows_are_moved_by_a_hundred_thousand_at_most() {
    let days = definition("{kind: daily, start: 2024-01-01}");
    let judged = |offset: i32| {
        let written =
            mapping(&format!("{{kind: time_window, start_offset: -{offset}, end_offset: {offset}}}"));
        validate(&written, &days, &days).map_err(|error| error.to_string())
    };
    assert_eq!(judged(WINDOW_OFFSET_MAX), Ok(()));
    assert_eq!(
        judged(WINDOW_OFFSET_MAX + 1).unwrap_err(),
        "start_offset -100001 is outside -100000 to 100000"
    );
}
