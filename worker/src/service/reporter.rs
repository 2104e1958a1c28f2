//! The one road on which news leave the worker.
//!
//! While a report is on its way the next one collects; when none is, the next leaves at once. So an idle worker
//! reports without delay and a busy one in large batches, and nobody chose an interval. What follows a confirm
//! follows it in the order of the reports: when a dispatch is settled, everything said of it before is safe.
//!
//! A report that the broker did not confirm is published again, for as long as the worker lives. Meanwhile the
//! queue of news fills up, and the slots wait in front of it: memory stays bounded.

use std::sync::Arc;
use std::time::Duration;

use backstitch_broker::{Acker, BrokerError, Outgoing, Publisher, Target};
use backstitch_proto::id::DispatchId;
use backstitch_proto::message::{
    DispatchReport, Message, Outcome, REPORT_QUEUE, Report, ReturnReason, TraceContext,
};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::Shared;
use super::batch::{After, Batch, News, pieces};
use crate::trace;

/// News that wait in front of the reporter. Beyond it slots wait: the reporter's own batch is the buffer.
pub(super) const NEWS_MAX: usize = 64;

/// Reports that may be unconfirmed at once: enough to keep a broker busy that takes a few milliseconds for each.
const UNCONFIRMED_MAX: usize = 8;

/// First pause after a failed publication.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Longest pause after failed publications.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Where news are handed in.
#[derive(Clone, Debug)]
pub(crate) struct Reporter(pub(super) mpsc::Sender<News>);

impl Reporter {
    /// Says that execution is about to begin; returns when that is confirmed.
    pub(crate) async fn started(&self, dispatch: DispatchId) {
        let (tell, told) = oneshot::channel();
        self.send(Some(DispatchReport::Started { dispatch }), After::Tell(tell)).await;
        // An error means that the reporter is gone, and with it the worker.
        let _ = told.await;
    }

    /// Says how tasks ended.
    pub(crate) async fn outcomes(
        &self,
        dispatch: DispatchId,
        trace: Option<TraceContext>,
        outcomes: Vec<Outcome>,
    ) {
        for outcomes in pieces(outcomes) {
            self.send(Some(DispatchReport::Outcomes { dispatch, trace, outcomes }), After::Nothing).await;
        }
    }

    /// Gives the unreported tasks of a held dispatch back.
    pub(crate) async fn returned(&self, dispatch: DispatchId, reason: ReturnReason) {
        self.send(Some(DispatchReport::Returned { dispatch, reason }), After::Settle(dispatch)).await;
    }

    /// Gives a dispatch back that was never held.
    pub(crate) async fn refused(&self, dispatch: DispatchId, reason: ReturnReason, acker: Acker) {
        self.send(Some(DispatchReport::Returned { dispatch, reason }), After::Ack(acker)).await;
    }

    /// Nothing more is to be said of a held dispatch.
    pub(crate) async fn settled(&self, dispatch: DispatchId) {
        self.send(None, After::Settle(dispatch)).await;
    }

    async fn send(&self, report: Option<DispatchReport>, after: After) {
        // The reporter ends last; should it have panicked, the deliveries stay unacknowledged and come again.
        let _ = self.0.send(News { report, after }).await;
    }
}

/// Sends reports until `closing` is cancelled and everything is confirmed.
pub(super) async fn run(
    shared: Arc<Shared>,
    publisher: Arc<dyn Publisher>,
    mut news: mpsc::Receiver<News>,
    closing: CancellationToken,
) {
    let mut batch = Batch::default();
    let mut unconfirmed = FuturesOrdered::new();
    let mut open = true;
    loop {
        if !batch.is_empty()
            && (unconfirmed.is_empty() || (batch.is_full() && unconfirmed.len() < UNCONFIRMED_MAX))
        {
            let (report, after) = batch.take(shared.id);
            let publisher = Arc::clone(&publisher);
            unconfirmed.push_back(async move {
                let confirmed = publish(&*publisher, &report).await;
                (confirmed, after)
            });
        }
        tokio::select! {
            biased;
            Some((confirmed, after)) = unconfirmed.next() => if confirmed { follow_up(&shared, after).await },
            first = news.recv(), if open && !batch.is_full() => match first {
                Some(first) => batch.fill(first, &mut news),
                None => open = false,
            },
            () = closing.cancelled(), if open && !news.is_closed() => news.close(),
            else => if batch.is_empty() { return },
        }
    }
}

/// Publishes until it is confirmed, or until there is nothing to wait for. `false`: the broker was closed.
async fn publish(publisher: &dyn Publisher, report: &Report) -> bool {
    if report.dispatches.is_empty() {
        return true;
    }
    let body = match report.encode() {
        Ok(body) => body,
        Err(error) => {
            // Cannot be as long as the estimates hold. Its dispatches are no longer listed in heartbeats then, and the
            // coordinator sends them again.
            error!(
                error = &error as &dyn std::error::Error,
                "a report cannot be written; its outcomes are lost"
            );
            return true;
        }
    };
    let headers = trace::headers(report.dispatches.iter().find_map(|report| match report {
        DispatchReport::Outcomes { trace, .. } => *trace,
        _ => None,
    }));
    let mut pause = PAUSE_MIN;
    loop {
        let outgoing = Outgoing {
            target: Target::Queue(REPORT_QUEUE.to_owned()),
            body: body.clone(),
            headers: headers.clone(),
            message_id: uuid::Uuid::new_v4().to_string(),
            persistent: true,
        };
        let error: Box<dyn std::error::Error + Send + Sync> = match publisher.publish(outgoing).await {
            Ok(confirm) => match confirm.await {
                Ok(()) => return true,
                Err(unconfirmed) => unconfirmed.into(),
            },
            Err(BrokerError::Closed) => return false,
            Err(error) => error.into(),
        };
        warn!(
            error = &*error as &(dyn std::error::Error + 'static),
            "a report was not confirmed and is sent again"
        );
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Acts on a confirmed report.
async fn follow_up(shared: &Shared, after: Vec<After>) {
    let mut ackers = Vec::new();
    for after in after {
        match after {
            After::Nothing => {}
            // Whoever waited may have been told to stop.
            After::Tell(tell) => drop(tell.send(())),
            After::Settle(dispatch) => {
                ackers.extend(shared.table().settle(dispatch));
                shared.changed.notify_one();
            }
            After::Ack(acker) => ackers.push(acker),
        }
    }
    // What could not be acknowledged comes again, and is then known as a duplicate.
    let _ = Acker::ack_all(ackers).await;
}
