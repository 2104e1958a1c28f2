//! Many histories at once: one thread per processor, each with a seed of its own.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Faults, Happened, History, play, trace};

/// Histories of consecutive seeds.
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    /// The first seed.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// What many histories came to.
#[derive(Clone, Debug)]
pub struct Played {
    /// Histories that were played.
    pub histories: u64,
    /// Tasks of all their runs.
    pub tasks: u64,
    /// Steps of all of them.
    pub steps: u64,
    /// The faults of all of them.
    pub happened: Happened,
    /// How long it took.
    pub elapsed: Duration,
    /// The history of the lowest seed in which an invariant was violated, with its trace.
    pub failed: Option<Box<History>>,
}

impl Played {
    /// Histories per second.
    pub fn per_second(&self) -> f64 {
        self.histories as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }
}

impl Seeds {
    /// Plays them all, or up to the first that fails. `progress` is told after each how many there have been.
    pub fn play(self, faults: &Faults, progress: impl Fn(u64) + Sync) -> Played {
        self.play_each(|seed| play(seed, faults), |seed| trace(seed, faults), progress)
    }

    /// `quick` plays a seed; `readable` plays it again, when it failed, to be read.
    pub(super) fn play_each(
        self,
        quick: impl Fn(u64) -> History + Sync,
        readable: impl Fn(u64) -> History,
        progress: impl Fn(u64) + Sync,
    ) -> Played {
        let begun = Instant::now();
        let [taken, histories, tasks, steps] = [const { AtomicU64::new(0) }; 4];
        let lowest: Mutex<Option<u64>> = Mutex::new(None);
        let happened: Mutex<Happened> = Mutex::default();
        let play_some = || {
            loop {
                // Seeds are taken in order and a failure stops the taking, so no lower seed is left unplayed.
                let at = taken.fetch_add(1, Ordering::Relaxed);
                let failed = || *lowest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if at >= self.count || failed().is_some() {
                    return;
                }
                let seed = self.first.wrapping_add(at);
                let history = quick(seed);
                tasks.fetch_add(history.tasks, Ordering::Relaxed);
                steps.fetch_add(history.steps, Ordering::Relaxed);
                let mut all = happened.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                all.add(&history.happened);
                drop(all);
                progress(histories.fetch_add(1, Ordering::Relaxed) + 1);
                if !history.violations.is_empty() {
                    let mut lowest = lowest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    *lowest = Some(lowest.map_or(at, |known| known.min(at)));
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
                scope.spawn(play_some);
            }
        });
        let elapsed = begun.elapsed();
        let lowest = lowest.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Played {
            histories: histories.into_inner(),
            tasks: tasks.into_inner(),
            steps: steps.into_inner(),
            happened: happened.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner),
            elapsed,
            failed: lowest.map(|at| Box::new(readable(self.first.wrapping_add(at)))),
        }
    }
}
