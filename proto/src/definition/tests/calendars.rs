//! Calendars of a project: where their days come from, where they go, and every way to get one wrong.

use super::said;
use crate::{
    definition::{Asset, AssetPartitions, Definitions, Problems, limits::CALENDAR_DAYS_BOUND_MAX},
    partition::{CALENDAR_DAYS_MAX, Calendar, NoDynamicKeys},
};

/// A Friday, the Monday after it, a Tuesday, and a day that closes the last window.
const TRADING_DAYS: &str =
    "# trading days\n2024-01-05\n2024-01-08 # after the weekend\n\n2024-01-09\n2024-01-10\n";

const EXCHANGE: &str = "\
calendars:
  exchange: {file: days/exchange.txt}
  holidays: {days: [2024-01-08]}
partitions:
  sessions: {kind: calendar, calendar: exchange, start: 2024-01-01}
assets:
  prices: {partitions: sessions}
  orders:
    partitions: {kind: daily, start: 2024-01-07, end: 2024-01-10, exclude: [{calendar: holidays}]}
  trades:
    partitions:
      kind: multi
      dimensions:
        session: {kind: calendar, calendar: exchange, start: 2024-01-01}
        region: {kind: static, keys: [eu]}
";

fn read(text: &str, days: &str) -> Result<Definitions, Problems> {
    Definitions::from_yaml_with_files("backstitch.yaml", text, &mut |file| match file {
        "days/exchange.txt" => Ok(days.to_owned()),
        _ => Err("there is no such file".to_owned()),
    })
}

fn said_with_days(text: &str, days: &str) -> Vec<String> {
    let problems = read(text, days).expect_err("something is wrong").to_string();
    problems.lines().map(ToOwned::to_owned).collect()
}

fn keys(definitions: &Definitions, asset: &str) -> Vec<String> {
    let definition = definitions.partitions_of(asset).expect("an asset");
    let now = "2030-01-01T00:00:00Z".parse().expect("an instant");
    let partitions = definition.resolve(now, &NoDynamicKeys).expect("resolvable");
    partitions.keys(&partitions.all()).collect()
}

#[test]
fn the_days_of_a_file_are_window_boundaries_and_named_days_are_exclusions() {
    let definitions = read(EXCHANGE, TRADING_DAYS).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(keys(&definitions, "prices"), ["2024-01-05", "2024-01-08", "2024-01-09"]);
    assert_eq!(keys(&definitions, "orders"), ["2024-01-07", "2024-01-09"]);
    assert_eq!(keys(&definitions, "trades"), ["eu|2024-01-05", "eu|2024-01-08", "eu|2024-01-09"]);
}

#[test]
fn the_calendars_in_the_reference_are_right() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/project-file.md");
    let reference = std::fs::read_to_string(path).expect("the reference");
    let block = |fence: &str| {
        let (_, from_block) = reference.split_once(fence).expect("the block");
        from_block.split_once("```").expect("its end").0.to_owned()
    };
    let days = block("```text\n# days/exchange.txt\n");
    let definitions =
        read(&block("```yaml calendars\n"), &days).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(keys(&definitions, "prices"), ["2024-01-04", "2024-01-05", "2024-01-08"]);
    assert_eq!(keys(&definitions, "stock_count")[0], "2024-01-02");
}

#[test]
fn pinned_definitions_carry_the_days_and_need_neither_file_nor_name() {
    let definitions = read(EXCHANGE, TRADING_DAYS).unwrap();
    let pinned = serde_json::to_string(&definitions).unwrap();
    assert!(pinned.contains("2024-01-05") && !pinned.contains("exchange"), "{pinned}");
    let unpinned: Definitions = serde_json::from_str(&pinned).unwrap();
    assert_eq!(unpinned, definitions);
    assert_eq!(unpinned.fingerprint(), definitions.fingerprint());
    assert_eq!(keys(&unpinned, "prices"), keys(&definitions, "prices"));
}

#[test]
fn the_fingerprint_sees_the_days_of_a_file_and_not_its_comments() {
    let fingerprint = |days: &str| read(EXCHANGE, days).unwrap().fingerprint();
    let before = fingerprint(TRADING_DAYS);
    assert_eq!(before, fingerprint("2024-01-05\n2024-01-08\n2024-01-09\n2024-01-10"));
    assert_ne!(before, fingerprint("2024-01-05\n2024-01-09\n2024-01-10\n"));
}

#[test]
fn a_calendar_in_rust_gives_the_same_definitions_as_in_a_file() {
    let text = EXCHANGE.split("  orders:").next().unwrap();
    let inline = serde_json::json!({"kind": "calendar", "calendar": "exchange", "start": "2024-01-01"});
    let built = Definitions::builder()
        .calendar("exchange", Calendar::default().with_file_text(TRADING_DAYS))
        .partitions("sessions", serde_json::from_value(inline).unwrap())
        .asset(
            "prices",
            Asset {
                partitions: Some(AssetPartitions::Named("sessions".parse().unwrap())),
                ..Asset::default()
            },
        )
        .build()
        .unwrap();
    assert_eq!(built, read(text, TRADING_DAYS).unwrap());
}

#[test]
fn a_calendar_that_is_not_defined_is_told_where_it_is_named_with_the_nearest_name() {
    let text = "\
calendars:
  holidays: {weekdays: sat}
partitions:
  sessions: {kind: calendar, calendar: nyse, start: 2024-01-01}
assets:
  a:
    partitions: {kind: daily, start: 2024-01-01, exclude: [2024-01-03, {calendar: holydays}]}
  b: {partitions: sessions, deps: [a]}
";
    assert_eq!(
        said(text),
        [
            "backstitch.yaml:4:40: partitions \"sessions\": calendar: calendar \"nyse\" is not defined",
            "backstitch.yaml:7:83: asset \"a\": partitions.exclude[1].calendar: calendar \"holydays\" is not defined \
             (did you mean \"holidays\"?)",
        ]
    );
}

#[test]
fn every_wrong_calendar_is_told_once_and_not_where_it_is_used() {
    let text = "\
calendars:
  dates: {days: [2024-01-05, 2024-13-01, soon]}
  weekdays: {weekdays: mon-fry}
  both: {days: [2024-01-05], weekdays: mon}
  empty: {}
  spelled: {dayz: [2024-01-05]}
  1st: {weekdays: mon}
partitions:
  p: {kind: calendar, calendar: dates, start: 2024-01-01}
  q: {kind: daily, start: 2024-01-01, exclude: [{calendar: spelled}]}
assets:
  a: {partitions: p}
  b: {partitions: q, deps: [a]}
";
    assert_eq!(
        said(text),
        [
            "backstitch.yaml:2:30: calendar \"dates\": days[1]: \"2024-13-01\" is not a date; write 2024-01-31",
            "backstitch.yaml:2:42: calendar \"dates\": days[2]: \"soon\" is not a date; write 2024-01-31",
            "backstitch.yaml:3:24: calendar \"weekdays\": weekdays: weekdays \"mon-fry\" are not valid; write them as \
             in cron, such as mon-fri",
            "backstitch.yaml:4:3: calendar \"both\": give either days or weekdays in a calendar, not both; except goes \
             with weekdays",
            "backstitch.yaml:5:3: calendar \"empty\": the calendar has no days; give days, weekdays or file",
            "backstitch.yaml:6:13: calendar \"spelled\": unknown field \"dayz\" (did you mean \"days\"?)",
            "backstitch.yaml:7:3: calendar name \"1st\" must start with a letter or `_` and have only letters, digits \
             and `_ . / -` (found '1')",
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_told_where_it_is_named_and_nobody_else_is_blamed() {
    let text = EXCHANGE.replace("days/exchange.txt", "days/nyse.txt");
    assert_eq!(
        said_with_days(&text, TRADING_DAYS),
        [
            "backstitch.yaml:2:20: calendar \"exchange\": file: reading \"days/nyse.txt\": there is no such file"
        ]
    );
    assert_eq!(
        said(EXCHANGE),
        [
            "backstitch.yaml:2:20: calendar \"exchange\": file: reading \"days/exchange.txt\": this project has no files \
          beside it"
        ]
    );
}

#[test]
fn a_wrong_line_of_a_file_is_told_with_its_number() {
    let begin = "backstitch.yaml:2:20: calendar \"exchange\": file: ";
    assert_eq!(
        said_with_days(EXCHANGE, "# days\n2024-01-05\n\n01/08/2024 # a Monday\n2024-01-99\n"),
        [format!("{begin}days/exchange.txt:4: \"01/08/2024\" is not a date; write 2024-01-31")]
    );
    assert_eq!(
        said_with_days(EXCHANGE, "# nothing\n"),
        [format!("{begin}\"days/exchange.txt\" has no dates; write one a line")]
    );
    let long = "2024-01-05\n".repeat(CALENDAR_DAYS_MAX + 1);
    assert_eq!(
        said_with_days(EXCHANGE, &long),
        [format!("{begin}\"days/exchange.txt\": the calendar has 262145 days; the limit is 262144")]
    );
}

#[test]
fn a_file_belongs_to_a_calendar_with_a_name() {
    let text = "assets: {a: {partitions: {kind: calendar, start: 2024-01-01, calendar: {file: days.txt}}}}";
    assert_eq!(
        said(text),
        [
            "backstitch.yaml:1:62: asset \"a\": partitions.calendar: a calendar in a file needs a name: define \
          \"days.txt\" under calendars and name it here"
        ]
    );
    let unread = Calendar { file: Some("days.txt".to_owned()), ..Calendar::default() };
    assert_eq!(
        Definitions::builder().calendar("c", unread).build().unwrap_err().to_string(),
        "calendar \"c\": file: the calendar's file \"days.txt\" has not been loaded"
    );
}

#[test]
fn a_small_project_cannot_ask_for_more_days_than_fit() {
    const DAYS: usize = 8192;
    let days = "2024-01-05\n".repeat(DAYS);
    let uses = CALENDAR_DAYS_BOUND_MAX / DAYS + 1;
    let asset =
        |number| format!("  a{number}: {{partitions: {{kind: calendar, calendar: c, start: 2024-01-01}}}}\n");
    let assets: String = (0..uses).map(asset).collect();
    let text = format!("calendars: {{c: {{file: days/exchange.txt}}}}\nassets:\n{assets}");
    let said = said_with_days(&text, &days);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("1056768 days of calendars in all, more than the limit of 1048576"), "{said:?}");
    assert!(said[0].starts_with("backstitch.yaml:1:"), "{said:?}");
}
