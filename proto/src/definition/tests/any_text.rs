//! Whatever the text: an answer, and never a panic.

use proptest::prelude::*;

use crate::definition::{Definitions, Project, selection::Selection, template::Template};

/// A project that uses most of the language.
const PROJECT: &str = "\
partitions:
  days: {kind: daily, start: 2024-01-01, timezone: Europe/Madrid}
pools: {db: 4}
assets:
  raw: &raw
    partitions: days
    command: [sh, -c, \"echo {{partition_key}} {{window.start}} {{config.n}}\"]
    config: {n: {type: int, default: 3, values: [1, 2, 3]}}
    retries: {max_retries: 3, delay: 1s, backoff: linear}
    pool: {name: db, slots: 2}
  daily:
    <<: *raw
    deps: [raw, {asset: daily, mapping: {kind: time_window, start_offset: -1, end_offset: -1}}]
jobs:
  all_of_it: {select: '+daily', config: {n: 2}}
";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_project_text_is_answered(text in "\\PC{0,200}") {
        let _ = Definitions::from_yaml("any", &text);
    }

    #[test]
    fn a_project_with_a_piece_torn_out_and_another_put_in_is_answered_at_some_place(
        (from, length) in (0..PROJECT.len(), 0..40usize),
        piece in "[a-z{}\\[\\]:,&*'\"\n -]{0,12}",
    ) {
        // The project is ASCII, so every index is between two characters.
        let until = (from + length).min(PROJECT.len());
        let text = format!("{}{piece}{}", &PROJECT[..from], &PROJECT[until..]);
        if let Err(problems) = Definitions::from_yaml("torn", &text) {
            prop_assert!(problems.iter().count() > 0);
            for problem in problems.iter() {
                prop_assert!(!problem.message.is_empty());
                if let Some(at) = problem.position {
                    prop_assert!(at.line as usize <= text.lines().count() + 1, "{problem:?}");
                }
            }
        }
    }

    #[test]
    fn any_selection_is_answered(text in "[a-z+*:=, ]{0,40}") {
        let _ = text.parse::<Selection>().map(|selection| selection.resolve(&Project::default()));
    }

    #[test]
    fn any_template_is_answered_and_shows_its_literals(text in "[a-z{}. _]{0,40}") {
        if let Ok(template) = text.parse::<Template>()
            && template.placeholders().next().is_none()
        {
            let filled = crate::definition::template::render(&template, &Default::default());
            prop_assert_eq!(filled, Ok(text));
        }
    }
}

#[test]
fn the_torn_project_is_right_before_it_is_torn() {
    assert_eq!(super::said(PROJECT), [""; 0]);
}
