//! The day the clocks change.

use backstitch_proto::partition::next_cron_ticks;

use crate::common::{at, keys, refused, selected, space};

fn window(space: &backstitch_proto::partition::Partitions, key: &str) -> (String, String) {
    let ordinal = space.ordinal(key).unwrap_or_else(|error| panic!("{error}"));
    let window = space.window(ordinal).expect("a time partition has a window");
    let text = |time: chrono::DateTime<chrono::Utc>| time.format("%m-%dT%H:%M").to_string();
    (text(window.start), text(window.end))
}

#[test]
fn a_skipped_hour_does_not_exist() {
    let hours =
        space("{kind: hourly, start: 2024-03-10, timezone: America/New_York}", "2024-03-10T12:00:00Z");
    assert_eq!(
        keys(&hours)[..4],
        ["2024-03-10-00:00", "2024-03-10-01:00", "2024-03-10-03:00", "2024-03-10-04:00"]
    );
    assert_eq!(window(&hours, "2024-03-10-01:00"), ("03-10T06:00".into(), "03-10T07:00".into()));
    let error = hours.ordinal("2024-03-10-02:00").expect_err("it was skipped").to_string();
    assert!(error.contains("clocks in America/New_York skip that time"), "{error}");
    assert!(error.contains("2024-03-10-03:00"), "{error}");
}

#[test]
fn the_second_of_two_equal_hours_carries_its_offset() {
    let hours =
        space("{kind: hourly, start: 2024-11-03, timezone: America/New_York}", "2024-11-04T05:00:00Z");
    assert_eq!(hours.len(), 25);
    assert_eq!(
        keys(&hours)[..4],
        ["2024-11-03-00:00", "2024-11-03-01:00", "2024-11-03-01:00-0500", "2024-11-03-02:00"]
    );
    assert_eq!(window(&hours, "2024-11-03-01:00"), ("11-03T05:00".into(), "11-03T06:00".into()));
    assert_eq!(window(&hours, "2024-11-03-01:00-0500"), ("11-03T06:00".into(), "11-03T07:00".into()));
    // The first one has one spelling only, and it is the short one.
    let error = hours.ordinal("2024-11-03-01:00-0400").expect_err("not canonical").to_string();
    assert!(error.contains("did you mean \"2024-11-03-01:00\"?"), "{error}");
}

#[test]
fn a_range_may_begin_in_the_first_and_end_in_the_second_of_two_equal_hours() {
    let hours =
        space("{kind: hourly, start: 2024-11-03, timezone: America/New_York}", "2024-11-04T05:00:00Z");
    assert_eq!(
        selected(&hours, "2024-11-03-01:00...2024-11-03-01:00-0500"),
        ["2024-11-03-01:00", "2024-11-03-01:00-0500"]
    );
    assert!(refused(&hours, "2024-11-03-01:00-0500...2024-11-03-01:00").contains("reversed"));
    assert_eq!(selected(&hours, "2024-11-03-01:*"), ["2024-11-03-01:00", "2024-11-03-01:00-0500"]);
}

#[test]
fn excluding_a_local_time_that_repeats_takes_out_both() {
    let hours = |exclude: &str| {
        let yaml = format!(
            "{{kind: hourly, start: 2024-11-03, timezone: America/New_York, exclude: ['{exclude}'], end: '2024-11-03T03:00'}}"
        );
        keys(&space(&yaml, "2024-11-04T05:00:00Z"))
    };
    let (first, second) = ("2024-11-03-01:00", "2024-11-03-01:00-0500");
    assert_eq!(hours("2024-11-03T01:00"), ["2024-11-03-00:00", "2024-11-03-02:00"]);
    // An instant is one of the two.
    assert_eq!(hours("2024-11-03T05:00:00Z"), ["2024-11-03-00:00", second, "2024-11-03-02:00"]);
    assert_eq!(hours("2024-11-03T06:00:00Z"), ["2024-11-03-00:00", first, "2024-11-03-02:00"]);
    // A fixed time happens the second time.
    let days = "{kind: daily, start: 2024-11-02, hour_offset: 1, minute_offset: 30, timezone: America/New_York, \
                exclude: ['2024-11-03T01:30']}";
    assert_eq!(keys(&space(days, "2024-11-05T12:00:00Z")), ["2024-11-02", "2024-11-04"]);
}

#[test]
fn an_end_that_repeats_is_the_first_of_the_two() {
    let hours = |end: &str| {
        let yaml = format!("{{kind: hourly, start: 2024-11-03, timezone: America/New_York, end: '{end}'}}");
        keys(&space(&yaml, "2024-11-04T05:00:00Z")).len()
    };
    assert_eq!(
        (hours("2024-11-03T01:00"), hours("2024-11-03T06:00:00Z"), hours("2024-11-03T02:00")),
        (1, 2, 3)
    );
}

#[test]
fn a_format_with_an_offset_needs_no_suffix() {
    let yaml = "{kind: hourly, start: 2024-11-03, timezone: America/New_York, format: '%Y-%m-%dT%H:%M%z'}";
    let hours = space(yaml, "2024-11-03T08:00:00Z");
    assert_eq!(
        keys(&hours),
        ["2024-11-03T00:00-0400", "2024-11-03T01:00-0400", "2024-11-03T01:00-0500", "2024-11-03T02:00-0500"]
    );
}

#[test]
fn half_hours_repeat_in_order_of_time() {
    let yaml = "{kind: cron, cron: '*/30 * * * *', start: 2024-11-03, timezone: America/New_York}";
    let halves = space(yaml, "2024-11-03T08:00:00Z");
    assert_eq!(
        keys(&halves)[2..7],
        [
            "2024-11-03-01:00",
            "2024-11-03-01:30",
            "2024-11-03-01:00-0500",
            "2024-11-03-01:30-0500",
            "2024-11-03-02:00"
        ]
    );
}

#[test]
fn a_daily_tick_in_a_gap_moves_to_its_end() {
    let yaml =
        "{kind: daily, start: 2024-03-09, hour_offset: 2, minute_offset: 30, timezone: America/New_York}";
    let days = space(yaml, "2024-03-12T12:00:00Z");
    assert_eq!(keys(&days), ["2024-03-09", "2024-03-10", "2024-03-11"]);
    assert_eq!(window(&days, "2024-03-10"), ("03-10T07:00".into(), "03-11T06:30".into()));
}

#[test]
fn an_ambiguous_daily_tick_takes_the_second_time() {
    let yaml =
        "{kind: daily, start: 2024-11-02, hour_offset: 1, minute_offset: 30, timezone: America/New_York}";
    let days = space(yaml, "2024-11-05T12:00:00Z");
    assert_eq!(window(&days, "2024-11-03"), ("11-03T06:30".into(), "11-04T06:30".into()));
}

#[test]
fn several_ticks_a_day_follow_the_rule_for_fixed_times() {
    let ticks = |cron: &str, from: &str| {
        let ticks = next_cron_ticks(cron, "America/New_York", at(from), 3).expect("valid");
        ticks.iter().map(|tick| tick.format("%m-%dT%H:%M").to_string()).collect::<Vec<_>>()
    };
    // 02:00 is skipped and moves to 03:00; 01:30 repeats and happens once, the second time.
    assert_eq!(ticks("0 */2 * * *", "2024-03-10T05:00:00Z"), ["03-10T05:00", "03-10T07:00", "03-10T08:00"]);
    assert_eq!(ticks("30 1,3 * * *", "2024-11-03T04:00:00Z"), ["11-03T06:30", "11-03T08:30", "11-04T06:30"]);
}

#[test]
fn two_ticks_in_one_gap_are_one() {
    let ticks =
        next_cron_ticks("0,30 2 * * *", "America/New_York", at("2024-03-10T00:00:00Z"), 3).expect("valid");
    let ticks: Vec<_> = ticks.iter().map(|tick| tick.format("%m-%dT%H:%M").to_string()).collect();
    assert_eq!(ticks, ["03-10T07:00", "03-11T06:00", "03-11T06:30"]);
}

#[test]
fn lord_howe_moves_its_clocks_by_half_an_hour() {
    // Dagster's hourly keys drift by half an hour from here on.
    let spring = "{kind: hourly, start: 2024-10-06, timezone: Australia/Lord_Howe}";
    let hours = space(spring, "2024-10-06T00:00:00Z");
    assert_eq!(
        keys(&hours)[..4],
        ["2024-10-06-00:00", "2024-10-06-01:00", "2024-10-06-03:00", "2024-10-06-04:00"]
    );
    assert_eq!(window(&hours, "2024-10-06-01:00"), ("10-05T14:30".into(), "10-05T16:00".into()));
    let autumn = "{kind: cron, cron: '*/15 * * * *', start: 2024-04-07, timezone: Australia/Lord_Howe}";
    let quarters = space(autumn, "2024-04-06T20:00:00Z");
    assert_eq!(
        selected(&quarters, "2024-04-07-01:*"),
        [
            "2024-04-07-01:00",
            "2024-04-07-01:15",
            "2024-04-07-01:30",
            "2024-04-07-01:45",
            "2024-04-07-01:30+1030",
            "2024-04-07-01:45+1030"
        ]
    );
}

#[test]
fn the_day_that_apia_never_had_is_no_partition() {
    let days = space("{kind: daily, start: 2011-12-28, timezone: Pacific/Apia}", "2012-01-03T00:00:00Z");
    assert_eq!(keys(&days)[..4], ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"]);
    assert_eq!(window(&days, "2011-12-29"), ("12-29T10:00".into(), "12-30T10:00".into()));
    assert!(days.ordinal("2011-12-30").expect_err("never happened").to_string().contains("skip"));
}

#[test]
fn a_day_may_begin_at_one_in_the_morning() {
    // Midnight was skipped in São Paulo: the day's window begins with the day.
    let days = space("{kind: daily, start: 2018-11-04, timezone: America/Sao_Paulo}", "2018-11-06T12:00:00Z");
    assert_eq!(keys(&days), ["2018-11-04", "2018-11-05"]);
    assert_eq!(window(&days, "2018-11-04"), ("11-04T03:00".into(), "11-05T02:00".into()));
}

#[test]
fn a_gap_that_ends_at_midnight_keeps_the_day_under_its_own_name() {
    // Nuuk jumps from 23:00 on 30 March to midnight.
    let yaml = "{kind: daily, start: 2024-03-29, hour_offset: 23, minute_offset: 30, timezone: America/Nuuk}";
    let days = space(yaml, "2024-04-02T12:00:00Z");
    assert_eq!(keys(&days)[..3], ["2024-03-29", "2024-03-30", "2024-03-31"]);
    assert_eq!(window(&days, "2024-03-30"), ("03-31T01:00".into(), "04-01T00:30".into()));
}

#[test]
fn zones_off_the_full_hour_tick_on_their_own_hours() {
    let hours = space("{kind: hourly, start: 2024-01-01, timezone: Asia/Kolkata}", "2024-01-01T00:00:00Z");
    assert_eq!(window(&hours, "2024-01-01-00:00"), ("12-31T18:30".into(), "12-31T19:30".into()));
}
