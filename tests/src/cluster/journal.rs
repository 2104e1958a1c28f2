//! What really ran, as the tasks themselves say: the witness beside the ledger.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

/// What happened to one execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Begin,
    End,
    /// It failed, or was told to stop before its end.
    Stop,
}

/// One execution of a task: asset, partition and dispatch.
pub type Execution = (String, String, u64);

/// A line that a task has written.
#[derive(Clone, Debug)]
struct Line {
    event: Event,
    execution: Execution,
    run: String,
    /// By the clock of [`Journal::now_s`].
    at_s: f64,
}

/// What really ran, in the order in which it happened.
#[derive(Debug, Default)]
pub struct Journal(Vec<Line>);

impl Journal {
    /// What `task.sh` has written.
    pub(super) fn read(text: &str) -> Result<Self> {
        Ok(Self(text.lines().map(line).collect::<Result<_>>()?))
    }

    /// Lines so far: a place to read on from.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing has run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What happened after the first `lines` of it.
    #[must_use]
    pub fn after(mut self, lines: usize) -> Self {
        Self(self.0.split_off(lines.min(self.0.len())))
    }

    /// What happened in this run.
    #[must_use]
    pub fn of_run(&self, run: &str) -> Self {
        Self(self.0.iter().filter(|line| line.run == run).cloned().collect())
    }

    /// What happened before the first execution of `asset` began; absent while none has.
    #[must_use]
    pub fn before(mut self, asset: &str) -> Option<Self> {
        let begins = |line: &Line| line.event == Event::Begin && line.execution.0 == asset;
        let first = self.0.iter().position(begins)?;
        self.0.truncate(first);
        Some(self)
    }

    /// Executions that have begun.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.begins().count()
    }

    fn begins(&self) -> impl Iterator<Item = &Line> {
        self.0.iter().filter(|line| line.event == Event::Begin)
    }

    /// Executions of `asset` that have begun.
    #[must_use]
    pub fn begun_of(&self, asset: &str) -> usize {
        self.begins().filter(|line| line.execution.0 == asset).count()
    }

    /// Executions of this run that failed or were stopped before their end.
    #[must_use]
    pub fn stopped_of(&self, run: &str) -> usize {
        self.0.iter().filter(|line| line.event == Event::Stop && line.run == run).count()
    }

    /// How often an execution has come to its end: a dispatch that is delivered to two workers has two of them.
    #[must_use]
    pub fn ends(&self) -> usize {
        self.0.iter().filter(|line| line.event == Event::End).count()
    }

    /// Executions that have come to their end.
    #[must_use]
    pub fn ended(&self) -> BTreeSet<&Execution> {
        self.0.iter().filter(|line| line.event == Event::End).map(|line| &line.execution).collect()
    }

    /// When executions began of tasks that had begun before in the same run, by the clock of [`now_s`](Self::now_s).
    #[must_use]
    pub fn begun_again_s(&self) -> Vec<f64> {
        let mut begun = BTreeSet::new();
        let again = self.begins().filter(|Line { execution: (asset, partition, _), run, .. }| {
            let is_first = begun.insert((run, asset, partition));
            !is_first
        });
        again.map(|line| line.at_s).collect()
    }

    /// How long it took from the first begin until so many executions had come to their end, seconds; absent while
    /// fewer have.
    #[must_use]
    pub fn until_ends_s(&self, ends: usize) -> Option<f64> {
        let first = self.begins().next()?;
        let last = self.0.iter().filter(|line| line.event == Event::End).nth(ends.checked_sub(1)?)?;
        Some(last.at_s - first.at_s)
    }

    /// The time by which tasks write: since the machine was started, seconds.
    ///
    /// # Errors
    /// When the machine does not say.
    pub fn now_s() -> Result<f64> {
        let uptime = std::fs::read_to_string("/proc/uptime").context("reading the clock of the machine")?;
        uptime.split(' ').next().context("a number of seconds")?.parse().context("a number of seconds")
    }

    /// The most executions that ran at the same instant, of those that `count`; a dispatch that two workers execute at
    /// once is two of them. One that is killed with its worker leaves no end, so a test that kills workers leaves such
    /// executions out.
    #[must_use]
    pub fn most_at_once(&self, count: impl Fn(&Execution) -> bool) -> usize {
        let (mut running, mut at_once, mut most) = (BTreeMap::new(), 0_usize, 0);
        for line in self.0.iter().filter(|line| count(&line.execution)) {
            let copies = running.entry(&line.execution).or_insert(0_usize);
            match line.event {
                Event::Begin => (*copies, at_once) = (*copies + 1, at_once + 1),
                // The rest began before the first line that is looked at.
                Event::End | Event::Stop if *copies > 0 => (*copies, at_once) = (*copies - 1, at_once - 1),
                Event::End | Event::Stop => {}
            }
            most = most.max(at_once);
        }
        most
    }

    /// Without what was executed of a copy of a dispatch, beside it or after it: an execution is what there is from its
    /// first begin to its first end. After that its outcome may have been recorded, and its place in a pool may have
    /// been another's.
    #[must_use]
    pub fn without_copies(mut self) -> Self {
        let (mut running, mut ended) = (BTreeSet::new(), BTreeSet::new());
        self.0.retain(|Line { event, execution, .. }| {
            if ended.contains(execution) {
                return false;
            }
            match event {
                Event::Begin => return running.insert(execution.clone()),
                Event::Stop => _ = running.remove(execution),
                Event::End => _ = ended.insert(execution.clone()),
            }
            true
        });
        self
    }

    /// ORDER: `downstream` began in no run before the same partition of `upstream` had ended in it, if that was part
    /// of the run.
    ///
    /// # Errors
    /// When it did.
    pub fn order(&self, upstream: &str, downstream: &str) -> Result<()> {
        let (mut begun, mut ended, mut early) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for Line { event, execution: (asset, partition, _), run, .. } in &self.0 {
            let task = (run, partition);
            match event {
                Event::Begin if asset == downstream && !ended.contains(&task) => _ = early.insert(task),
                Event::Begin if asset == upstream => _ = begun.insert(task),
                Event::End if asset == upstream => _ = ended.insert(task),
                _ => {}
            }
        }
        // What was up to date before the run is not part of it.
        let early: Vec<_> = early.intersection(&begun).collect();
        ensure!(
            early.is_empty(),
            "{downstream} began before what it needs of {upstream} had ended: {early:?}"
        );
        Ok(())
    }
}

fn line(line: &str) -> Result<Line> {
    let [event, asset, partition, _attempt, dispatch, run, at_s] = *line.split(' ').collect::<Vec<_>>()
    else {
        bail!("a strange line in the journal: {line:?}");
    };
    let event = match event {
        "begin" => Event::Begin,
        "end" => Event::End,
        _ => Event::Stop,
    };
    // An asset without partitions has one task, whose key is empty.
    let partition = if partition == "-" { "" } else { partition };
    Ok(Line {
        event,
        execution: (asset.to_owned(), partition.to_owned(), dispatch.parse()?),
        run: run.to_owned(),
        at_s: at_s.parse()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines without their times: each is a second after the one before.
    fn journal(lines: &str) -> Result<Journal> {
        let lines = lines.split('|').enumerate();
        let lines: Vec<String> = lines.map(|(number, line)| format!("{line} {number}.00")).collect();
        Journal::read(&lines.join("\n"))
    }

    #[test]
    fn an_execution_counts_from_its_begin_to_its_end() -> Result<()> {
        let journal =
            journal("begin a x 1 1 r|begin a y 1 2 r|end a x 1 1 r|begin b z 1 3 r|stopped a y 1 2 r")?;
        assert_eq!(journal.most_at_once(|_| true), 2);
        assert_eq!(journal.most_at_once(|(asset, _, _)| asset == "b"), 1);
        assert_eq!((journal.begun(), journal.begun_of("a"), journal.ended().len()), (3, 2, 1));
        assert_eq!((journal.until_ends_s(1), journal.until_ends_s(2)), (Some(2.0), None));
        assert_eq!(journal.before("b").map(|before| before.begun()), Some(2));
        Ok(())
    }

    #[test]
    fn copies_of_an_execution_count_at_once_unless_they_are_left_out() -> Result<()> {
        let journal =
            journal("begin a x 1 1 r|begin a x 1 1 r|end a x 1 1 r|begin a y 1 2 r|begin a x 1 1 r")?;
        assert_eq!(journal.most_at_once(|_| true), 3);
        let journal = journal.without_copies();
        assert_eq!((journal.begun(), journal.most_at_once(|_| true)), (2, 1));
        Ok(())
    }

    #[test]
    fn an_execution_that_was_stopped_may_begin_again_and_is_no_copy() -> Result<()> {
        let journal = journal("begin a x 1 1 r|stopped a x 1 1 r|begin a x 1 1 r|end a x 1 1 r")?;
        assert_eq!(journal.most_at_once(|_| true), 1);
        assert_eq!(journal.without_copies().begun(), 2);
        Ok(())
    }

    #[test]
    fn an_end_whose_begin_is_not_looked_at_takes_nothing_away() -> Result<()> {
        let journal = journal("begin a x 1 1 r|begin a y 1 2 r|end a x 1 1 r|begin a z 1 3 r")?;
        assert_eq!(journal.after(1).most_at_once(|_| true), 2);
        Ok(())
    }

    #[test]
    fn an_execution_begins_again_if_it_is_of_the_same_task_and_run() -> Result<()> {
        let journal =
            journal("begin a x 1 1 r|begin a y 1 2 r|begin a x 1 3 s|end a x 1 1 r|begin a x 1 4 r")?;
        assert_eq!(journal.begun_again_s(), [4.0]);
        Ok(())
    }

    #[test]
    fn what_begins_before_its_upstream_of_the_same_run_has_ended_is_found() -> Result<()> {
        let sound = "begin u x 1 1 r|end u x 1 1 r|begin d x 1 2 r";
        journal(sound)?.order("u", "d")?;
        // Another run, which only has the downstream asset.
        journal(&format!("{sound}|begin d x 1 3 s"))?.order("u", "d")?;
        for early in
            ["begin u x 1 1 r|begin d x 1 2 r|end u x 1 1 r", "begin d x 1 2 r|begin u x 1 1 r|end u x 1 1 r"]
        {
            assert!(journal(early)?.order("u", "d").is_err(), "{early}");
        }
        let of_another_run = journal(&format!("{sound}|begin u x 1 3 s|begin d x 1 4 s|end u x 1 3 s"))?;
        assert!(of_another_run.order("u", "d").is_err());
        Ok(())
    }
}
