//! `backstitch chaos`: plays simulated histories of the engine in which everything goes wrong, and says whether the
//! invariants held. It needs no project and no server, and touches none.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Result;
use backstitch_coordinator::sim::{Faults, History, Played, Seeds, trace};
use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use crate::display::{OutputArgs, number, plural, print, print_json};
use crate::exit::Exit;

/// Time between two words of progress: on a terminal they replace each other, in a log they would pile up.
const TERMINAL_EVERY: Duration = Duration::from_millis(200);
const LOG_EVERY: Duration = Duration::from_secs(10);

#[derive(Args, Debug)]
pub(crate) struct ChaosArgs {
    /// Histories to play
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Seed of the first; the others follow. Without it: a random one, which is printed
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    #[command(flatten)]
    output: OutputArgs,
}

/// What the histories came to, for programs.
#[derive(Serialize)]
struct Report {
    first_seed: u64,
    seeds: u64,
    tasks: u64,
    steps: u64,
    seconds: f64,
    seeds_per_second: f64,
    /// The lowest seed in which an invariant was violated.
    failed_seed: Option<u64>,
    violations: Vec<String>,
    /// The steps of the history that failed, or of the only one.
    trace: Vec<String>,
}

impl ChaosArgs {
    pub(crate) fn run(self) -> Result<Exit> {
        // Short enough to be read out over a desk.
        let first = self.seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0 >> 32);
        if self.seed.is_none() {
            eprintln!("seeds from {first} on");
        }
        let seeds = Seeds { first, count: self.seeds };
        let progress = Progress::start(self.seeds);
        let mut played = seeds.play(&Faults::ALL, |done| progress.note(done));
        progress.end();
        let failed_seed = played.failed.as_ref().map(|history| history.seed);
        // Who asks for one seed wants to read it, whatever its end.
        let shown =
            played.failed.take().or_else(|| (self.seeds == 1).then(|| Box::new(trace(first, &Faults::ALL))));
        if self.output.json() {
            print_json(&report(first, &played, failed_seed, shown.as_deref()))?;
        } else {
            if let Some(history) = &shown {
                print(&history.to_string())?;
            }
            print(&summary(&played, failed_seed))?;
        }
        Ok(verdict(failed_seed))
    }
}

fn verdict(failed_seed: Option<u64>) -> Exit {
    if failed_seed.is_none() { Exit::Done } else { Exit::Failed }
}

fn report(first_seed: u64, played: &Played, failed_seed: Option<u64>, shown: Option<&History>) -> Report {
    Report {
        first_seed,
        seeds: played.histories,
        tasks: played.tasks,
        steps: played.steps,
        seconds: played.elapsed.as_secs_f64(),
        seeds_per_second: played.per_second(),
        failed_seed,
        violations: shown
            .map_or_else(Vec::new, |history| history.violations.iter().map(ToString::to_string).collect()),
        trace: shown.map_or_else(Vec::new, |history| history.trace.clone()),
    }
}

fn summary(played: &Played, failed_seed: Option<u64>) -> String {
    let counts = format!(
        "{}, {}, {}, {:.1} s, {:.0} seeds a second",
        plural(played.histories, "seed"),
        plural(played.tasks, "task"),
        plural(played.steps, "step"),
        played.elapsed.as_secs_f64(),
        played.per_second()
    );
    match failed_seed {
        None => format!("{counts}: all invariants hold."),
        Some(seed) => format!(
            "{counts}: an invariant is violated.\nreplay it with: backstitch chaos --seeds 1 --seed {seed}"
        ),
    }
}

/// How many histories have been played, on standard error.
struct Progress {
    of: u64,
    terminal: bool,
    said: Mutex<Instant>,
}

impl Progress {
    fn start(of: u64) -> Self {
        Self { of, terminal: std::io::stderr().is_terminal(), said: Mutex::new(Instant::now()) }
    }

    fn note(&self, done: u64) {
        // Whoever finds somebody else speaking has nothing to add.
        let Ok(mut said) = self.said.try_lock() else { return };
        let every = if self.terminal { TERMINAL_EVERY } else { LOG_EVERY };
        if said.elapsed() < every {
            return;
        }
        *said = Instant::now();
        let line = format!("{} of {} seeds", number(done), number(self.of));
        // Progress that cannot be shown is no reason to stop.
        _ = match self.terminal {
            true => write!(std::io::stderr(), "\r{line} "),
            false => writeln!(std::io::stderr(), "{line}"),
        };
    }

    fn end(self) {
        if self.terminal {
            _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use backstitch_coordinator::engine::Violation;
    use backstitch_coordinator::sim::Happened;

    use super::*;

    /// Two of a thousand seeds from 40 on were played, and the second violated an invariant.
    fn failed() -> (Played, History) {
        let history = History {
            seed: 41,
            tasks: 70,
            steps: 3,
            happened: Happened::default(),
            violations: vec![Violation {
                invariant: "LIMIT",
                what: "pool p: 3 of 2 slots are taken".to_owned(),
            }],
            trace: vec!["       5 ms  run 1 is submitted".to_owned()],
        };
        let played = Played {
            histories: 2,
            tasks: 100,
            steps: 1_300,
            happened: Happened::default(),
            elapsed: Duration::from_millis(500),
            failed: None,
        };
        (played, history)
    }

    #[test]
    fn a_seed_that_failed_is_shown_with_its_steps_its_violation_and_how_to_play_it_again() {
        let (played, history) = failed();
        let told = history.to_string();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(
            lines,
            [
                "       5 ms  run 1 is submitted",
                "violated LIMIT: pool p: 3 of 2 slots are taken",
                "seed 41: 70 tasks, 3 steps, 1 violation"
            ]
        );
        assert_eq!(
            summary(&played, Some(history.seed)),
            "2 seeds, 100 tasks, 1,300 steps, 0.5 s, 4 seeds a second: an invariant is violated.\n\
             replay it with: backstitch chaos --seeds 1 --seed 41"
        );
        assert_eq!(verdict(Some(history.seed)), Exit::Failed);
    }

    #[test]
    fn programs_are_told_which_seed_failed_and_why() {
        let (played, history) = failed();
        let told =
            serde_json::to_value(report(40, &played, Some(history.seed), Some(&history))).expect("JSON");
        assert_eq!(
            told,
            serde_json::json!({
                "first_seed": 40,
                "seeds": 2,
                "tasks": 100,
                "steps": 1_300,
                "seconds": 0.5,
                "seeds_per_second": 4.0,
                "failed_seed": 41,
                "violations": ["LIMIT: pool p: 3 of 2 slots are taken"],
                "trace": ["       5 ms  run 1 is submitted"],
            })
        );
    }

    #[test]
    fn seeds_that_hold_are_told_in_one_line() {
        let (played, _) = failed();
        let told = summary(&played, None);
        assert!(told.ends_with("4 seeds a second: all invariants hold.") && !told.contains('\n'), "{told}");
        assert_eq!(verdict(None), Exit::Done);
    }
}
