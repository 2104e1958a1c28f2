//! What happens after a failure: how often, and after which wait.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::definition::duration::HumanDuration;

/// A retry policy. The default retries nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retries {
    /// How many more attempts a failed task gets.
    pub max_retries: u32,
    /// The wait before the first retry.
    pub delay: HumanDuration,
    /// How the wait grows.
    pub backoff: Backoff,
    /// How the wait is spread, so that tasks that failed together do not return together.
    pub jitter: Jitter,
    /// The longest wait.
    pub max_delay: HumanDuration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            max_retries: 0,
            delay: HumanDuration::from_secs(1),
            backoff: Backoff::Constant,
            jitter: Jitter::None,
            max_delay: HumanDuration::from_secs(60 * 60),
        }
    }
}

/// How the wait grows from retry to retry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// Always `delay`.
    #[default]
    Constant,
    /// `delay`, twice `delay`, three times `delay`.
    Linear,
    /// `delay`, twice `delay`, four times `delay`.
    Exponential,
}

/// How the wait is spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Not at all.
    #[default]
    None,
    /// Anywhere between nothing and the whole wait.
    Full,
    /// The wait, up to one `delay` sooner or later.
    PlusMinus,
}

impl Retries {
    /// Whether nothing was said about retries.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The wait before retry number `retry` (from 1), never more than `max_delay`.
    ///
    /// `chance` is a random number in `[0, 1)`, drawn by the caller: this crate has no source of randomness.
    pub fn delay_before(&self, retry: u32, chance: f64) -> Duration {
        let delay_secs = self.delay.get().as_secs_f64();
        let factor = match self.backoff {
            Backoff::Constant => 1.0,
            Backoff::Linear => f64::from(retry),
            // 2^63 delays are past every limit; the clamp keeps the power finite.
            Backoff::Exponential => 2f64.powi(retry.saturating_sub(1).min(63).cast_signed()),
        };
        let max_secs = self.max_delay.get().as_secs_f64();
        let wait_secs = (delay_secs * factor).min(max_secs);
        let chance = chance.clamp(0.0, 1.0);
        let spread_secs = match self.jitter {
            Jitter::None => wait_secs,
            Jitter::Full => wait_secs * chance,
            Jitter::PlusMinus => wait_secs + delay_secs * (2.0 * chance - 1.0),
        };
        Duration::from_secs_f64(spread_secs.clamp(0.0, max_secs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits_secs(backoff: Backoff, jitter: Jitter, chance: f64) -> Vec<f64> {
        let retries = Retries {
            max_retries: 5,
            delay: HumanDuration::from_secs(2),
            backoff,
            jitter,
            max_delay: HumanDuration::from_secs(10),
        };
        (1..=5).map(|retry| retries.delay_before(retry, chance).as_secs_f64()).collect()
    }

    #[test]
    fn waits_grow_as_the_backoff_says_and_stop_at_the_longest() {
        assert_eq!(waits_secs(Backoff::Constant, Jitter::None, 0.5), [2.0, 2.0, 2.0, 2.0, 2.0]);
        assert_eq!(waits_secs(Backoff::Linear, Jitter::None, 0.5), [2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(waits_secs(Backoff::Exponential, Jitter::None, 0.5), [2.0, 4.0, 8.0, 10.0, 10.0]);
    }

    #[test]
    fn jitter_spreads_the_wait_within_its_bounds() {
        assert_eq!(waits_secs(Backoff::Linear, Jitter::Full, 0.0), [0.0; 5]);
        assert_eq!(waits_secs(Backoff::Linear, Jitter::Full, 0.5), [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(waits_secs(Backoff::Linear, Jitter::PlusMinus, 0.0), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(waits_secs(Backoff::Linear, Jitter::PlusMinus, 1.0), [4.0, 6.0, 8.0, 10.0, 10.0]);
    }

    #[test]
    fn the_thousandth_exponential_wait_is_still_a_number() {
        let retries = Retries { backoff: Backoff::Exponential, ..Retries::default() };
        assert_eq!(retries.delay_before(u32::MAX, 0.0), Duration::from_secs(3600));
    }
}
