//! Words and numbers as people read them.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// `1485` as `1,485`.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 task`, `1,485 tasks`.
pub(crate) fn plural(n: u64, thing: &str) -> String {
    format!("{} {thing}{}", number(n), if n == 1 { "" } else { "s" })
}

/// `430 ms`, `4.3 s`, `42 s`, `2 min 5 s`, `3 h 20 min`.
pub(crate) fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..=9 => format!("{:.1} s", time.as_secs_f64()),
        10..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", number(seconds / 3600), seconds % 3600 / 60),
    }
}

/// To the second, in UTC.
pub(crate) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The first line of what may be many, and no longer than `limit` characters. Control characters, which a program
/// may well have printed, do not reach the terminal.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let clean: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= limit {
        return clean;
    }
    let mut cut: String = clean.chars().take(limit.saturating_sub(3)).collect();
    cut.push_str("...");
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!([0, 7, 999, 1_000, 1_234_567].map(number), ["0", "7", "999", "1,000", "1,234,567"]);
        assert_eq!([plural(1, "task"), plural(1_485, "task")], ["1 task", "1,485 tasks"]);
    }

    #[test]
    fn times_have_the_precision_that_their_size_deserves() {
        let shown = |ms| elapsed(Duration::from_millis(ms));
        assert_eq!([shown(430), shown(42_900), shown(125_000)], ["430 ms", "42 s", "2 min 5 s"]);
        assert_eq!(shown(12_000_000), "3 h 20 min");
    }

    #[test]
    fn what_a_program_printed_stays_one_harmless_line() {
        assert_eq!(one_line("\n oops\nat line 3", 80), "oops");
        assert_eq!(one_line("\u{1b}[2Jgone", 80), " [2Jgone");
        assert_eq!(one_line("abcdefghij", 8), "abcde...");
    }
}
