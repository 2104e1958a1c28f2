//! Which windows exist, and what their keys are.

use crate::common::{definition, errors, keys, refused, selected, space};

fn error(space: &backstitch_proto::partition::Partitions, key: &str) -> String {
    space.ordinal(key).expect_err("no such partition").to_string()
}

#[test]
fn a_window_exists_from_the_instant_it_is_complete() {
    let yaml = "{kind: daily, start: 2024-01-01}";
    assert!(keys(&space(yaml, "2024-01-01T23:59:59Z")).is_empty());
    assert_eq!(keys(&space(yaml, "2024-01-02T00:00:00Z")), ["2024-01-01"]);
}

#[test]
fn the_first_window_begins_at_the_first_tick_from_start_on() {
    let first = |yaml: &str| keys(&space(yaml, "2024-06-01T00:00:00Z"))[0].clone();
    assert_eq!(first("{kind: daily, start: '2024-01-01T05:00'}"), "2024-01-02");
    assert_eq!(first("{kind: weekly, start: 2024-01-01}"), "2024-01-07");
    assert_eq!(first("{kind: weekly, start: 2024-01-01, day_offset: 1}"), "2024-01-01");
    assert_eq!(first("{kind: monthly, start: 2024-01-15}"), "2024-02-01");
    assert_eq!(first("{kind: monthly, start: 2024-01-15, day_offset: 31}"), "2024-01-31");
}

#[test]
fn months_without_the_day_are_skipped() {
    let yaml = "{kind: monthly, start: 2024-01-01, day_offset: 31}";
    assert_eq!(keys(&space(yaml, "2024-07-31T00:00:00Z")), ["2024-01-31", "2024-03-31", "2024-05-31"]);
}

#[test]
fn end_offset_adds_windows_beyond_the_complete_ones() {
    let count = |offset: i32| {
        let yaml = format!("{{kind: daily, start: 2024-01-01, end_offset: {offset}}}");
        space(&yaml, "2024-01-04T12:00:00Z").len()
    };
    assert_eq!((count(-4), count(-1), count(0), count(1), count(3)), (0, 2, 3, 4, 6));
}

#[test]
fn end_offset_does_not_bring_the_first_window_early() {
    // Dagster lists 2024-01-01 already on the day before.
    let yaml = "{kind: daily, start: 2024-01-01, end_offset: 1}";
    assert!(keys(&space(yaml, "2023-12-31T10:00:00Z")).is_empty());
    assert_eq!(keys(&space(yaml, "2024-01-01T00:00:00Z")), ["2024-01-01"]);
    let two_ahead = "{kind: daily, start: 2024-01-01, end_offset: 2}";
    assert_eq!(keys(&space(two_ahead, "2023-12-31T10:00:00Z")), ["2024-01-01"]);
}

#[test]
fn an_end_in_the_past_bounds_every_end_offset() {
    for offset in [-1, 0, 1] {
        let yaml = format!("{{kind: daily, start: 2024-01-01, end: 2024-01-04, end_offset: {offset}}}");
        assert_eq!(space(&yaml, "2024-06-01T00:00:00Z").len(), 3);
    }
}

#[test]
fn no_window_ends_after_the_end() {
    // Dagster lists the first window even then.
    let yaml = "{kind: monthly, start: 2023-10-10, end: 2023-11-25}";
    assert!(space(yaml, "2027-12-27T18:13:00Z").is_empty());
}

#[test]
fn excluded_windows_leave_their_neighbours_as_they_are() {
    let yaml = "{kind: daily, start: 2024-01-01, exclude: ['0 0 * * sat,sun', 2024-01-03]}";
    let days = space(yaml, "2024-01-10T00:00:00Z");
    assert_eq!(
        keys(&days),
        ["2024-01-01", "2024-01-02", "2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09"]
    );
    let friday = days.window(days.ordinal("2024-01-05").expect("exists")).expect("has a window");
    assert_eq!((friday.end - friday.start).num_hours(), 24);
    assert!(error(&days, "2024-01-06").contains("excluded"));
}

#[test]
fn an_excluded_today_does_not_bring_tomorrow() {
    // Dagster issue 33551.
    let yaml = "{kind: daily, start: 2024-01-01, end_offset: 1, exclude: [2024-01-05]}";
    assert_eq!(keys(&space(yaml, "2024-01-05T12:00:00Z")).last().map(String::as_str), Some("2024-01-04"));
}

#[test]
fn a_range_between_excluded_ends_stays_inside_of_them() {
    // Dagster answers with the first key behind the range.
    let days =
        space("{kind: daily, start: 2024-01-01, exclude: ['0 0 * * sat,sun']}", "2024-01-20T00:00:00Z");
    assert!(selected(&days, "2024-01-06...2024-01-07").is_empty());
    assert_eq!(selected(&days, "2024-01-06...2024-01-08"), ["2024-01-08"]);
    assert!(refused(&days, "2024-01-07...2024-01-06").contains("reversed"));
    assert!(refused(&days, "2024-01-08...2024-01-06").contains("reversed"));
}

#[test]
fn a_calendar_is_a_cadence_whose_friday_runs_to_monday() {
    let yaml = "{kind: calendar, start: 2024-01-01, calendar: {weekdays: mon-fri, except: [2024-01-01]}}";
    let days = space(yaml, "2024-01-09T00:00:00Z");
    assert_eq!(keys(&days), ["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08"]);
    let friday = days.window(3).expect("has a window");
    assert_eq!((friday.end - friday.start).num_hours(), 72);
}

#[test]
fn a_listed_calendar_ends_with_its_last_day() {
    let yaml = "{kind: calendar, start: 2024-01-01, calendar: {days: [2024-01-05, 2024-01-02, 2024-01-09]}}";
    assert_eq!(keys(&space(yaml, "2030-01-01T00:00:00Z")), ["2024-01-02", "2024-01-05"]);
    assert!(space(yaml, "2024-01-04T00:00:00Z").is_empty());
}

#[test]
fn an_excluded_calendar_takes_out_every_window_of_its_days() {
    let yaml = "{kind: hourly, start: 2024-01-01, exclude: [{calendar: {days: [2024-01-01]}}]}";
    assert_eq!(keys(&space(yaml, "2024-01-02T02:00:00Z")), ["2024-01-02-00:00", "2024-01-02-01:00"]);
}

#[test]
fn a_named_calendar_is_bound_by_the_project() {
    let mut named = definition("{kind: calendar, start: 2024-01-01, calendar: nyse}");
    let unbound = named.validate().expect_err("nobody defined it");
    assert!(unbound[0].to_string().contains("calendar \"nyse\" is not defined"), "{}", unbound[0]);
    let text = "# trading days\n2024-01-02\n\n2024-01-03 # a comment\n2024-01-04\n";
    let nyse = backstitch_proto::partition::Calendar::default().with_file_text(text);
    named.bind_calendars(&[("nyse".to_owned(), nyse)].into()).expect("defined now");
    named.validate().expect("valid now");
}

#[test]
fn a_time_key_has_one_spelling() {
    let days = space("{kind: daily, start: 2024-01-01}", "2024-02-01T00:00:00Z");
    assert!(error(&days, "2024-1-5").contains("did you mean \"2024-01-05\"?"));
    assert!(
        error(&days, "yesterday").contains("look like \"2024-01-01\"")
            || error(&days, "yesterday").contains("2024-01-01")
    );
    assert!(error(&days, "2024-02-30").contains("2024-01-01"));
}

#[test]
fn a_key_between_two_windows_is_no_key() {
    // Dagster accepts both of these.
    let hours = space("{kind: hourly, start: 2024-01-01}", "2024-01-02T00:00:00Z");
    assert!(error(&hours, "2024-01-01-00:30").contains("nearest: 2024-01-01-00:00, 2024-01-01-01:00"));
    let weeks = space("{kind: weekly, start: 2024-01-01}", "2024-03-01T00:00:00Z");
    assert!(error(&weeks, "2024-01-08").contains("nearest: 2024-01-07, 2024-01-14"));
}

#[test]
fn keys_outside_of_what_exists_say_on_which_side() {
    let days = space("{kind: daily, start: 2024-01-01, end: 2024-03-01}", "2024-02-01T12:00:00Z");
    assert!(error(&days, "2023-12-31").contains("before the first one, \"2024-01-01\""));
    assert!(
        error(&days, "2024-02-01").contains("not complete yet (the last one that exists is \"2024-01-31\")")
    );
    assert!(error(&days, "2024-03-01").contains("behind the end"));
    assert!(refused(&days, "2024-01-30...2099-01-01").contains("behind the end"));
}

#[test]
fn formats_that_cannot_tell_windows_apart_are_refused() {
    let coarse = |yaml: &str| errors(yaml).first().cloned().unwrap_or_default();
    assert!(coarse("{kind: daily, start: 2024-01-01, format: '%Y-%m'}").contains("begin in the same day"));
    assert!(
        coarse("{kind: hourly, start: 2024-01-01, format: '%Y-%m-%d'}").contains("begin in the same hour")
    );
    assert!(
        coarse("{kind: cron, cron: '*/5 * * * *', start: 2024-01-01, format: '%Y-%m-%d %H'}")
            .contains("minute")
    );
    assert!(coarse("{kind: monthly, start: 2024-01-01, format: '%Y'}").contains("begin in the same month"));
    assert!(coarse("{kind: daily, start: 2024-01-01, format: '%m-%d'}").contains("too coarse"));
    assert_eq!(coarse("{kind: monthly, start: 2024-01-01, format: '%Y-%m'}"), "");
    assert_eq!(coarse("{kind: weekly, start: 2024-01-01, format: '%G-W%V'}"), "");
    assert_eq!(coarse("{kind: daily, start: 2024-01-01, format: '%Y%j'}"), "");
}

#[test]
fn formats_with_a_space_at_an_end_are_refused() {
    for format in [" %Y-%m-%d", "%Y-%m-%d ", "\u{a0}%Y-%m-%d"] {
        let all = errors(&format!("{{kind: daily, start: 2024-01-01, format: '{format}'}}")).concat();
        assert!(all.contains("it begins or ends with a space, which no partition key may"), "{all}");
    }
    assert_eq!(errors("{kind: daily, start: 2024-01-01, format: '%d %B %Y'}"), [""; 0]);
}

#[test]
fn the_year_of_a_week_does_not_tell_years_apart() {
    // The first days of 2020 and of 2021 both lie in weeks of 2020.
    let yearly = |format: &str| {
        errors(&format!("{{kind: cron, cron: '@yearly', start: 2019-01-01, format: '{format}'}}")).concat()
    };
    assert!(yearly("%G").contains("begin in the same year"), "{}", yearly("%G"));
    assert_eq!((yearly("%Y"), yearly("%G-W%V")), (String::new(), String::new()));
}

#[test]
fn years_of_two_digits_name_a_century_and_no_more() {
    let error = |fields: &str| errors(&format!("{{kind: daily, format: '%y-%m-%d', {fields}}}")).concat();
    let said = "name the years 1969 to 2068 and no others";
    assert!(error("start: 1960-01-01").contains(said), "{}", error("start: 1960-01-01"));
    assert!(error("start: 2024-01-01, end: 2070-01-01").contains(said));
    assert!(error("start: 2070-01-01").contains(said));
    assert_eq!(error("start: 1969-01-01, end: 2069-01-01"), "");
    // Without an end there are windows up to the last year that has a name.
    let days = space("{kind: daily, format: '%y-%m-%d', start: 2068-12-30}", "2070-01-01T00:00:00Z");
    assert_eq!(keys(&days), ["68-12-30", "68-12-31"]);
}

#[test]
fn times_that_clocks_move_into_one_hour_need_minutes_in_their_keys() {
    // On the day of the gap 02:30 happens at 03:00, half an hour before 03:30.
    let twice = |format: &str| {
        format!(
            "{{kind: cron, cron: '30 2,3 * * *', start: 2024-03-10, timezone: America/New_York, format: '{format}'}}"
        )
    };
    let all = errors(&twice("%Y-%m-%d-%H")).concat();
    assert!(all.contains("begin in the same minute"), "{all}");
    let times = space(&twice("%Y-%m-%d-%H:%M"), "2024-03-11T06:30:00Z");
    assert_eq!(keys(&times), ["2024-03-10-03:00", "2024-03-10-03:30"]);
    let full = "{kind: cron, cron: '0 2,3 * * *', start: 2024-03-10, timezone: America/New_York, format: '%Y-%m-%d-%H'}";
    assert_eq!(keys(&space(full, "2024-03-11T07:30:00Z")), ["2024-03-10-03", "2024-03-11-02"]);
}

#[test]
fn a_listed_calendar_is_judged_by_all_of_its_days() {
    let error = |days: &str, format: &str| {
        let calendar = format!("{{days: [{days}]}}");
        errors(&format!("{{kind: calendar, calendar: {calendar}, start: 1990-01-01, format: '{format}'}}"))
            .concat()
    };
    for days in ["1995-06-01, 1995-06-02, 1995-07-01", "2031-06-01, 2031-06-02, 2031-07-01"] {
        assert!(error(days, "%Y-%m").contains("too coarse"), "{days}: {}", error(days, "%Y-%m"));
    }
    assert_eq!(error("1995-06-01, 1996-07-01, 2031-06-01", "%Y"), "");
}

#[test]
fn coarse_formats_name_their_one_window() {
    let weeks =
        space("{kind: weekly, start: 2024-01-01, day_offset: 1, format: '%G-W%V'}", "2024-01-29T00:00:00Z");
    assert_eq!(keys(&weeks), ["2024-W01", "2024-W02", "2024-W03", "2024-W04"]);
    assert_eq!(weeks.ordinal("2024-W03"), Ok(2));
    let months =
        space("{kind: monthly, start: 2024-01-01, day_offset: 15, format: '%B %Y'}", "2024-05-01T00:00:00Z");
    assert_eq!(keys(&months), ["January 2024", "February 2024", "March 2024"]);
    assert_eq!(months.ordinal("March 2024"), Ok(2));
}

#[test]
fn ten_million_windows_are_counted_not_listed() {
    let minutes = space("{kind: cron, cron: '* * * * *', start: 2005-01-01}", "2024-01-10T00:00:00Z");
    assert_eq!(minutes.len(), 10_005_120);
    assert_eq!(minutes.key(10_005_119).as_deref(), Some("2024-01-09-23:59"));
    assert_eq!(minutes.ordinal("2024-01-09-23:59"), Ok(10_005_119));
}
