//! raw -> clean -> daily -> monthly, and clean -> export.

use super::*;
use crate::definition::Definitions;

fn definitions() -> Definitions {
    let text = "\
assets:
  raw: {group: ingest}
  clean: {deps: [raw], group: ingest, tags: {team: weather}}
  daily: {deps: [clean], group: reports, tags: {team: weather, tier: gold}}
  monthly: {deps: [daily], group: reports}
  export: {deps: [clean]}
";
    Definitions::from_yaml("backstitch.yaml", text).unwrap()
}

fn select(text: &str) -> Result<String, String> {
    let selected = text
        .parse::<Selection>()
        .and_then(|selection| selection.resolve(definitions().project()))
        .map_err(|errors| errors.to_string())?;
    Ok(selected.iter().map(AssetName::as_str).collect::<Vec<_>>().join(" "))
}

#[test]
fn every_form_selects_what_it_says() {
    for (text, selected) in [
        ("daily", "daily"),
        ("*", "clean daily export monthly raw"),
        ("+daily", "clean daily"),
        ("daily+", "daily monthly"),
        ("++daily", "clean daily raw"),
        ("*daily", "clean daily raw"),
        ("clean*", "clean daily export monthly"),
        ("clean++", "clean daily export monthly"),
        ("+clean+", "clean daily export raw"),
        ("*daily*", "clean daily monthly raw"),
        ("raw,export", "export raw"),
        ("raw export , daily", "daily export raw"),
        ("group:reports", "daily monthly"),
        ("+group:reports", "clean daily monthly"),
        ("tag:team=weather", "clean daily"),
        ("tag:tier", "daily"),
        ("tag:tier=gold, raw", "daily raw"),
    ] {
        assert_eq!(select(text), Ok(selected.to_owned()), "{text}");
    }
}

#[test]
fn what_selects_nothing_is_told_with_the_nearest_name() {
    for (text, message) in [
        ("", "the selection is empty (`*` selects every asset)"),
        (" , ", "the selection is empty (`*` selects every asset)"),
        ("dayly", "asset \"dayly\" is not defined (did you mean \"daily\"?)"),
        ("weather", "asset \"weather\" is not defined"),
        ("group:report", "no asset is in group \"report\" (did you mean \"reports\"?)"),
        ("tag:team=wether", "no asset has the tag \"team=wether\" (did you mean \"team=weather\"?)"),
        ("tag:teem", "no asset has the tag \"teem\" (did you mean \"team\"?)"),
        ("group:", "\"group:\" is not a selection: there is nothing behind the `:`"),
        ("owner:x", "\"owner:x\" is not a selection: before a `:` stands `group` or `tag`"),
        ("+", "\"+\" is not a selection: there is no asset between the `+` and `*`"),
        ("+++daily", "\"+++daily\" is not a selection: `+` is one level, `++` or `*` is every level"),
        ("da*ly", "\"da*ly\" is not a selection: `+` and `*` stand before or behind a name"),
    ] {
        assert_eq!(select(text), Err(message.to_owned()), "{text}");
    }
}

#[test]
fn all_broken_terms_are_told_at_once() {
    assert_eq!(
        select("dayly, raw, exprt"),
        Err("asset \"dayly\" is not defined (did you mean \"daily\"?)\n\
             asset \"exprt\" is not defined (did you mean \"export\"?)"
            .to_owned())
    );
}

#[test]
fn definitions_select_in_the_order_of_making() {
    let selected = definitions().select("*monthly, export").unwrap();
    let names: Vec<&str> = selected.iter().map(AssetName::as_str).collect();
    assert_eq!(names, ["raw", "clean", "daily", "export", "monthly"]);
}
