//! "Did you mean": the nearest known word to a mistyped one.

/// The candidate nearest to `given`, unless nothing is near enough to be a typing mistake.
///
/// Damerau-Levenshtein, because swapped letters are the commonest slip; one edit is forgiven for every
/// three characters, so short words do not match everything.
pub(crate) fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = given.to_lowercase();
    let allowed = folded.chars().count() / 3;
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &candidate.to_lowercase()), candidate))
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// ` (did you mean "x"?)`, or nothing.
pub(crate) fn did_you_mean<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, candidates).map_or_else(String::new, |word| format!(" (did you mean {word:?}?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_slip_finds_its_word_and_a_different_word_finds_nothing() {
        let known = ["hourly_temp", "daily_temp", "report"];
        assert_eq!(nearest("hourly_tmp", known), Some("hourly_temp"));
        assert_eq!(nearest("Dialy_temp", known), Some("daily_temp"));
        assert_eq!(nearest("x", known), None);
        assert_eq!(did_you_mean("weather", known), "");
    }
}
