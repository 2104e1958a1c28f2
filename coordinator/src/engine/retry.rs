//! What a task may spend besides its retries, and the chance that its policy asks for.

use backstitch_proto::id::RunId;

/// Attempts that a task may lose with its worker before it counts as the cause. They are apart from
/// `max_retries`: a machine that dies is not the task's fault, but a task that kills three machines is.
pub const LOSSES_MAX: u16 = 3;

/// Losses after which a task is on probation: one more and it is the cause.
pub(super) const PROBATION_LOSSES: u16 = LOSSES_MAX - 1;

/// A number in `[0, 1)` that is spread over tasks and attempts but the same in every replay: the engine owns no
/// random source.
pub(super) fn jitter_chance(run: RunId, asset: usize, ordinal: u32, attempt: u16) -> f64 {
    let (high, low) = run.0.as_u64_pair();
    let mut x =
        high ^ low.rotate_left(17) ^ ((asset as u64) << 48) ^ (u64::from(ordinal) << 16) ^ u64::from(attempt);
    // The finaliser of splitmix64.
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    // 53 bits are what an f64 holds exactly.
    (x >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_of_neighbouring_tasks_are_spread_over_the_whole_range() {
        let run = RunId(uuid::Uuid::from_u128(1));
        let chances: Vec<f64> = (0..1_000).map(|task| jitter_chance(run, 0, task, 1)).collect();
        let mean = chances.iter().sum::<f64>() / 1_000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        assert!(chances.iter().all(|chance| (0.0..1.0).contains(chance)));
        assert_eq!(chances[7], jitter_chance(run, 0, 7, 1));
    }
}
