//! News that go into one report.

use std::collections::HashMap;

use backstitch_broker::Acker;
use backstitch_proto::id::{DispatchId, WorkerId};
use backstitch_proto::message::{DispatchReport, Outcome, Report, TraceContext};
use tokio::sync::{mpsc, oneshot};

use crate::limits::outcome_bytes;

/// Size at which a report is sent without waiting for more, in bytes. With the largest piece of news on top it is far
/// below the limit of a message, and what a coordinator holds of them at once is some dozen megabytes.
const REPORT_BYTES: usize = 256 << 10;

/// Outcomes at which a report is sent without waiting for more: as many as a dispatch carries. One transaction of the
/// ledger takes the outcomes of a report whole, and larger ones would make those waiting for it wait longer.
const REPORT_OUTCOMES: usize = 1_000;

/// One piece of news about one dispatch.
#[derive(Debug)]
pub(crate) struct News {
    /// What is reported; `None` when everything has been.
    pub(crate) report: Option<DispatchReport>,
    /// What happens once the report is confirmed.
    pub(crate) after: After,
}

/// What happens after the confirm.
#[derive(Debug)]
pub(crate) enum After {
    /// Nothing.
    Nothing,
    /// Somebody waits for it.
    Tell(oneshot::Sender<()>),
    /// The dispatch is settled: its deliveries are acknowledged.
    Settle(DispatchId),
    /// This delivery, which was never held, is acknowledged.
    Ack(Acker),
}

/// News that wait for being sent.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    dispatches: Vec<DispatchReport>,
    /// Where the outcomes of a dispatch are among them.
    places: HashMap<DispatchId, usize>,
    after: Vec<After>,
    bytes: usize,
    outcomes: usize,
}

impl Batch {
    /// Adds `first` and what waits behind it, until it is full.
    pub(crate) fn fill(&mut self, first: News, waiting: &mut mpsc::Receiver<News>) {
        self.push(first);
        while !self.is_full()
            && let Ok(next) = waiting.try_recv()
        {
            self.push(next);
        }
    }

    /// Adds news.
    pub(crate) fn push(&mut self, News { report, after }: News) {
        if !matches!(after, After::Nothing) {
            self.after.push(after);
        }
        match report {
            Some(DispatchReport::Outcomes { dispatch, trace, outcomes }) => {
                self.add_outcomes(dispatch, trace, outcomes);
            }
            Some(other) => {
                self.bytes += FIXED_BYTES;
                self.dispatches.push(other);
            }
            None => {}
        }
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.dispatches.is_empty() && self.after.is_empty()
    }

    /// Waiting for more is not worth it.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= REPORT_BYTES || self.outcomes >= REPORT_OUTCOMES || self.after.len() >= REPORT_OUTCOMES
    }

    /// The report, and what follows its confirm. Leaves an empty batch.
    pub(crate) fn take(&mut self, worker: WorkerId) -> (Report, Vec<After>) {
        let Self { dispatches, after, .. } = std::mem::take(self);
        (Report { worker, dispatches }, after)
    }

    /// All outcomes of a dispatch share one entry, even if other dispatches reported in between. Order holds: `Started`
    /// comes before all of them, `Returned` after.
    fn add_outcomes(&mut self, id: DispatchId, trace: Option<TraceContext>, mut new: Vec<Outcome>) {
        self.bytes += FIXED_BYTES + new.iter().map(outcome_bytes).sum::<usize>();
        self.outcomes += new.len();
        let place = *self.places.entry(id).or_insert(self.dispatches.len());
        match self.dispatches.get_mut(place) {
            Some(DispatchReport::Outcomes { outcomes, .. }) => outcomes.append(&mut new),
            _ => self.dispatches.push(DispatchReport::Outcomes { dispatch: id, trace, outcomes: new }),
        }
    }
}

/// An entry without its outcomes, in bytes, at its longest.
const FIXED_BYTES: usize = 48;

/// Splits outcomes so that each piece of news is about the size of a report at most.
pub(crate) fn pieces(outcomes: Vec<Outcome>) -> Vec<Vec<Outcome>> {
    let mut pieces: Vec<Vec<Outcome>> = Vec::new();
    let mut room = 0;
    for outcome in outcomes {
        let bytes = outcome_bytes(&outcome);
        match pieces.last_mut() {
            Some(piece) if bytes <= room => piece.push(outcome),
            _ => {
                pieces.push(vec![outcome]);
                room = REPORT_BYTES;
            }
        }
        room = room.saturating_sub(bytes);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use backstitch_proto::message::{Message, Output, Verdict};

    use super::*;

    fn outcome(printed: usize) -> Outcome {
        Outcome {
            ordinal: u32::MAX,
            started_us: i64::MAX,
            finished_us: i64::MAX,
            verdict: Verdict::Succeeded,
            metadata: Vec::new(),
            data_version: None,
            checks: Vec::new(),
            output: Some(Output { text: "x".repeat(printed), omitted_bytes: u64::MAX }),
        }
    }

    fn news(id: u64, outcomes: Vec<Outcome>) -> News {
        let report = DispatchReport::Outcomes { dispatch: DispatchId(id), trace: None, outcomes };
        News { report: Some(report), after: After::Settle(DispatchId(id)) }
    }

    #[test]
    fn the_outcomes_of_a_dispatch_become_one_entry_whoever_reports_in_between() {
        let mut batch = Batch::default();
        for id in [1, 1, 2, 1] {
            batch.push(news(id, vec![outcome(0)]));
        }
        let (report, after) = batch.take(WorkerId(uuid::Uuid::nil()));
        assert_eq!((report.dispatches.len(), after.len()), (2, 4));
        assert!(batch.is_empty());
    }

    #[test]
    fn a_report_is_full_by_count_and_by_size() {
        let mut batch = Batch::default();
        batch.push(news(1, vec![outcome(0); REPORT_OUTCOMES - 1]));
        assert!(!batch.is_full());
        batch.push(news(1, vec![outcome(0)]));
        assert!(batch.is_full());
        let mut batch = Batch::default();
        batch.push(news(1, vec![outcome(REPORT_BYTES)]));
        assert!(batch.is_full());
    }

    #[test]
    fn what_waits_goes_into_one_report_only_until_that_is_full() {
        let (sender, mut waiting) = mpsc::channel(64);
        for id in 0..64 {
            sender.try_send(news(id, vec![outcome(REPORT_BYTES)])).unwrap();
        }
        let mut batch = Batch::default();
        batch.fill(news(64, vec![outcome(REPORT_BYTES / 2)]), &mut waiting);
        let (report, _) = batch.take(WorkerId(uuid::Uuid::nil()));
        assert_eq!((report.dispatches.len(), waiting.len()), (2, 63));
        assert!(report.encode().is_ok());
    }

    #[test]
    fn the_estimate_of_a_report_is_never_below_its_size() {
        let mut batch = Batch::default();
        batch.push(news(u64::MAX, vec![outcome(300); 500]));
        let bytes = batch.bytes;
        let (report, _) = batch.take(WorkerId(uuid::Uuid::max()));
        assert!(report.encode().unwrap().len() <= bytes + FIXED_BYTES);
    }

    #[test]
    fn the_outcomes_of_a_large_batch_are_split_and_keep_their_order() {
        let outcomes: Vec<Outcome> = (0..100).map(|n| Outcome { ordinal: n, ..outcome(64 << 10) }).collect();
        let pieces = pieces(outcomes.clone());
        assert!(pieces.len() > 5 && pieces.iter().all(|piece| piece.len() <= 16));
        assert_eq!(pieces.concat(), outcomes);
    }
}
