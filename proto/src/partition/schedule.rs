//! The next ticks of a cron expression, by the same rules that partitions follow.
//!
//! Schedules and partitions must agree about when a day begins on the day clocks change; so they ask
//! the same timeline.

use chrono::{DateTime, Utc};

use super::civil::{Day, day_of_wall};
use super::cron::{Cron, CronError};
use super::sequence::{Exclusions, Rule, Sequence};
use super::timeline::{Layer, MARGIN_DAYS, Timeline, last_day};
use super::zone::Zone;

/// Why there are no ticks.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// The expression is wrong.
    #[error("cron expression {expression:?}")]
    Cron {
        /// As written.
        expression: String,
        /// Why.
        #[source]
        problem: CronError,
    },
    /// The zone is unknown.
    #[error("time zone {name:?} is not in the bundled IANA database")]
    UnknownZone {
        /// As written.
        name: String,
    },
}

/// The first `count` ticks at or after an instant; fewer only where the calendar ends.
pub fn next_cron_ticks(
    expression: &str,
    timezone: &str,
    from: DateTime<Utc>,
    count: usize,
) -> Result<Vec<DateTime<Utc>>, ScheduleError> {
    let cron = Cron::parse(expression)
        .map_err(|problem| ScheduleError::Cron { expression: expression.to_owned(), problem })?;
    let zone =
        Zone::named(timezone).ok_or_else(|| ScheduleError::UnknownZone { name: timezone.to_owned() })?;
    let sequence = Sequence { zone, rule: Rule::of_cron(&cron), exclusions: Exclusions::default() };
    // A tick at a fraction of a second behind `from`'s second does not exist: ticks are on whole minutes.
    let from = from.timestamp() + i64::from(from.timestamp_subsec_nanos() > 0);
    let first: Day = day_of_wall(sequence.zone.wall_at(from)) - MARGIN_DAYS;
    let mut ahead: Day = 32;
    loop {
        let last = first.saturating_add(ahead).min(last_day());
        let line = Timeline::new(&sequence, first, last);
        let begin = line.rank(Layer::All, from);
        let found = usize::try_from(line.count(Layer::All) - begin).unwrap_or(usize::MAX);
        if found >= count || last == last_day() {
            let ticks =
                (begin..line.count(Layer::All)).take(count).filter_map(|index| line.tick(Layer::All, index));
            return Ok(ticks.filter_map(|tick| DateTime::from_timestamp(tick.instant, 0)).collect());
        }
        ahead = ahead.saturating_mul(4);
    }
}
