//! Progress of a run, on standard error: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use backstitch_coordinator::engine::Counts;
use backstitch_coordinator::ledger::RunStatus;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::pace::Pace;
use super::text::{elapsed, number};

/// Time between two plain lines: often enough to see that it lives, seldom enough for a log.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Less than this is not worth announcing.
const WORTH_SAYING: Duration = Duration::from_secs(1);

/// The bar that is on the terminal, for logs to step around.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Progress that is shown.
pub(crate) struct Progress {
    pace: Pace,
    surface: Surface,
}

enum Surface {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Progress {
    /// Shows nothing yet.
    pub(crate) fn start() -> Self {
        let surface = if std::io::stderr().is_terminal() {
            let bar = bar();
            shown(Some(bar.clone()));
            Surface::Bar(bar)
        } else {
            Surface::Lines { last: Instant::now() }
        };
        Self { pace: Pace::default(), surface }
    }

    /// How often it is worth looking.
    pub(crate) fn every(&self) -> Duration {
        match self.surface {
            Surface::Bar(_) => Duration::from_millis(100),
            Surface::Lines { .. } => Duration::from_millis(500),
        }
    }

    /// Shows where a run stands.
    pub(crate) fn show(&mut self, counts: Counts, status: RunStatus) {
        let now = Instant::now();
        self.pace.note(now, counts.terminal());
        let line = line(counts, status, &self.pace);
        match &mut self.surface {
            Surface::Bar(bar) => {
                bar.set_length(counts.targeted);
                bar.set_position(counts.terminal());
                bar.set_message(line);
                bar.tick();
            }
            Surface::Lines { last } if now.duration_since(*last) >= LINE_EVERY => {
                *last = now;
                eprintln!("{line}");
            }
            Surface::Lines { .. } => {}
        }
    }

    /// Says something without disturbing the bar.
    pub(crate) fn say(&self, text: &str) {
        match &self.surface {
            Surface::Bar(bar) => bar.println(text),
            Surface::Lines { .. } => eprintln!("{text}"),
        }
    }

    /// Takes the bar away: what follows says more.
    pub(crate) fn end(self) {
        if let Surface::Bar(bar) = self.surface {
            shown(None);
            bar.finish_and_clear();
        }
    }
}

fn shown(bar: Option<ProgressBar>) {
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// Standard error for logs: a line does not end up in the middle of the bar.
pub(crate) struct AroundProgress;

impl Write for AroundProgress {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let bar = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let write = || std::io::stderr().lock().write(bytes);
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().lock().flush()
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // The template is a constant: either it is always right or the first test says so.
    if let Ok(style) = ProgressStyle::with_template("{bar:32.green} {percent:>3}%  {msg}") {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar
}

/// Where a run stands, in a line.
fn line(counts: Counts, status: RunStatus, pace: &Pace) -> String {
    let mut line = format!("{} of {} tasks", number(counts.terminal()), number(counts.targeted));
    if let Some(rate) = pace.per_second() {
        line.push_str(&if rate < 10.0 { format!(", {rate:.1}/s") } else { format!(", {rate:.0}/s") });
    }
    for (count, state) in
        [(counts.failed, "failed"), (counts.skipped, "skipped"), (counts.cancelled, "cancelled")]
    {
        if count > 0 {
            line.push_str(&format!(", {} {state}", number(count)));
        }
    }
    match (status, pace.time_for(counts.targeted - counts.terminal())) {
        (RunStatus::Paused, _) => line.push_str(", paused"),
        (RunStatus::Cancelling, _) => line.push_str(", cancelling"),
        (_, Some(left)) if left >= WORTH_SAYING => line.push_str(&format!(", about {} left", elapsed(left))),
        _ => {}
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_done_how_fast_and_how_long_it_will_take() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.note(start, 0);
        let counts =
            Counts { targeted: 1_485, succeeded: 99, failed: 1, waiting: 1_385, ..Counts::default() };
        assert_eq!(line(counts, RunStatus::Running, &pace), "100 of 1,485 tasks, 1 failed");
        pace.note(start + Duration::from_secs(2), 100);
        let full = "100 of 1,485 tasks, 50/s, 1 failed, about 27 s left";
        assert_eq!(line(counts, RunStatus::Running, &pace), full);
        assert_eq!(line(counts, RunStatus::Paused, &pace), "100 of 1,485 tasks, 50/s, 1 failed, paused");
    }

    #[test]
    fn the_template_of_the_bar_is_valid() {
        assert!(ProgressStyle::with_template("{bar:32.green} {percent:>3}%  {msg}").is_ok());
    }
}
