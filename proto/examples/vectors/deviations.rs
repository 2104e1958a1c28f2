//! Cases that we answer differently on purpose, by id and by rule.

use std::collections::BTreeMap;

use crate::cases::{Case, Difference};
use crate::errata;

/// The list, with reasons.
pub(crate) struct Deviations<'a> {
    by_id: BTreeMap<&'a str, &'a str>,
    by_rule: BTreeMap<&'a str, &'a str>,
}

impl<'a> Deviations<'a> {
    /// Reads `ID REASON` and `rule NAME REASON` lines; blank lines and `#` comments aside.
    pub(crate) fn read(text: &'a str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (mut by_id, mut by_rule) = (BTreeMap::new(), BTreeMap::new());
        for (first, rest) in lines.filter_map(|line| line.split_once(char::is_whitespace)) {
            match (first, rest.split_once(char::is_whitespace)) {
                ("rule", Some((name, reason))) => by_rule.insert(name, reason),
                _ => by_id.insert(first, rest),
            };
        }
        Self { by_id, by_rule }
    }

    /// Why a case that differs is skipped, if it is on the list.
    pub(crate) fn reason(&self, case: &Case, difference: &Difference) -> Option<&'a str> {
        if let Some(reason) = self.by_id.get(case.id.as_str()) {
            return Some(reason);
        }
        self.by_rule.get(rule(case, difference)?).copied()
    }
}

/// The known error of the reference that gives exactly the expected answer.
fn rule(case: &Case, difference: &Difference) -> Option<&'static str> {
    if let Some((definition, now, answers)) = case.about_keys() {
        let is = |keys: Option<Vec<String>>| keys.is_some_and(|keys| answers(&keys));
        return match () {
            () if is(errata::early_first_window(definition, now)) => Some("early-first-window"),
            () if is(errata::offset_over_excluded(definition, now)) => Some("offset-over-excluded"),
            () => None,
        };
    }
    let (question, missing) = (case.about_mapping()?, difference.missing.as_ref()?);
    let expected = &question.upstream_of.missing;
    match () {
        () if errata::missing_parts(expected.whole(), missing) => Some("missing-part"),
        () if errata::existing_too(question, missing).is_some_and(|keys| expected.is(&keys)) => {
            Some("existing-is-missing")
        }
        () if errata::begun_before(question, missing).iter().any(|keys| expected.is(keys)) => {
            Some("begun-before")
        }
        () => None,
    }
}
