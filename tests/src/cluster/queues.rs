//! What is in the queues, by their own leaders: the statistics of a quorum queue are seconds old.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use backstitch_proto::message::{REPORT_QUEUE, task_queue};

use super::{Cluster, PATIENCE};
use crate::rabbitmq::RabbitMq;
use crate::wait::{must_become, wait_for};

/// Messages of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// That no consumer has been given.
    pub ready: u64,
    /// That a consumer has been given and has not acknowledged.
    pub unacknowledged: u64,
}

impl Depth {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u64 {
        self.ready + self.unacknowledged
    }
}

impl Cluster {
    /// What is in `queue` now.
    ///
    /// # Errors
    /// When there is no such quorum queue, or when it has no leader now.
    pub async fn depth(&self, queue: &str) -> Result<Depth> {
        let depth = self.depths().await?.remove(queue);
        let depth = depth.with_context(|| format!("there is no quorum queue {queue}"))?;
        depth.with_context(|| format!("{queue} has no leader"))
    }

    /// The number of the private broker node that leads `queue`: all that is done to the queue goes through it.
    ///
    /// # Errors
    /// When no node leads it now.
    pub async fn node_that_leads(&self, queue: &str) -> Result<usize> {
        let said = self.broker.eval(|host| leader_question(host, queue)).await?;
        self.node_called(&said).with_context(|| format!("no node of ours leads {queue}: {said}"))
    }

    /// The number of the private broker node that holds `queue`, which is not replicated.
    ///
    /// # Errors
    /// When no node holds it now.
    pub async fn node_that_holds(&self, queue: &str) -> Result<usize> {
        let said = self.broker.eval(|host| home_question(host, queue)).await?;
        self.node_called(&said).with_context(|| format!("no node of ours holds {queue}: {said}"))
    }

    fn node_called(&self, said: &str) -> Option<usize> {
        let name = said.trim().trim_matches('\'');
        self.broker.nodes.iter().position(|node| node.is_called(name))
    }

    /// Waits until the messages of `queue` are as wanted.
    ///
    /// # Errors
    /// When they do not become so.
    pub async fn until_depth(&self, queue: &str, wanted: impl Fn(Depth) -> bool) -> Result<Depth> {
        let mut last = None;
        let waited = wait_for("the messages of a queue", PATIENCE, async || {
            last = Some(self.depth(queue).await);
            last.as_ref()?.as_ref().ok().copied().filter(|depth| wanted(*depth))
        });
        waited.await.with_context(|| format!("{queue}, at last: {last:?}"))
    }

    /// Waits until the queues of tasks and reports hold nothing. Dead letters stay where they are.
    pub(super) async fn until_no_message_of_work(&self) -> Result<()> {
        until_empty(async || self.depths().await).await
    }

    /// Every quorum queue. One that has no leader, as for a while after its node was killed, has no depth.
    async fn depths(&self) -> Result<BTreeMap<String, Option<Depth>>> {
        parse(&self.broker.eval(question).await?)
    }
}

/// As every audit of a [`Cluster`] does, for a test that has a node and no cluster: waits until its queues of tasks and
/// reports hold nothing.
///
/// # Errors
/// When they still hold something.
pub async fn until_no_message_of_work(node: &RabbitMq) -> Result<()> {
    until_empty(async || parse(&node.ctl(["eval", &question("/")]).await?)).await
}

async fn until_empty(depths: impl AsyncFn() -> Result<BTreeMap<String, Option<Depth>>>) -> Result<()> {
    let mut last = None;
    let empty = must_become("the queues are not empty", PATIENCE, async || {
        last = Some(depths().await);
        let depths = last.as_ref()?.as_ref().ok()?;
        let mut of_work = depths.iter().filter(|(name, _)| is_of_work(name));
        let is_empty = of_work.all(|(_, depth)| depth.is_some_and(|depth| depth.total() == 0));
        // An answer without it is not of our queues.
        (depths.contains_key(REPORT_QUEUE) && is_empty).then_some(())
    });
    empty.await.with_context(|| format!("the last that was seen of them: {last:?}"))
}

fn is_of_work(queue: &str) -> bool {
    queue == REPORT_QUEUE || (queue.starts_with(&task_queue("")) && !queue.contains(".dead"))
}

/// What gives the Erlang name of the node that leads a quorum queue of this virtual host.
fn leader_question(host: &str, queue: &str) -> String {
    format!("{} {{ok, _, {{_, Node}}}} = ra:members(amqqueue:get_pid(Q)), Node.", lookup(host, queue))
}

/// The same of the node of a queue that is not replicated.
fn home_question(host: &str, queue: &str) -> String {
    format!("{} node(amqqueue:get_pid(Q)).", lookup(host, queue))
}

fn lookup(host: &str, queue: &str) -> String {
    format!("{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{host}\">>, queue, <<\"{queue}\">>)),")
}

/// What gives name, ready and unacknowledged messages of every quorum queue of this virtual host.
fn question(host: &str) -> String {
    format!(
        "[begin Count = fun(Of) -> \
         case ra:leader_query(amqqueue:get_pid(Q), Of, 2000) of {{ok, {{_, N}}, _}} -> N; _ -> unknown end end, \
         {{element(4, amqqueue:get_name(Q)), Count(fun rabbit_fifo:query_messages_ready/1), \
         Count(fun rabbit_fifo:query_messages_checked_out/1)}} end || \
         Q <- rabbit_amqqueue:list(<<\"{host}\">>), amqqueue:get_type(Q) =:= rabbit_quorum_queue]."
    )
}

/// Reads `[{{<<"name">>,1,2}},...]`, which may go over several lines.
fn parse(answer: &str) -> Result<BTreeMap<String, Option<Depth>>> {
    let answer: String = answer.split_whitespace().collect();
    let queue = |text: &str| {
        let (name, counts) = text.split_once("\">>,")?;
        let counts = counts.split_once('}')?.0;
        if counts.contains("unknown") {
            return Some((name.to_owned(), None));
        }
        let (ready, unacknowledged) = counts.split_once(',')?;
        let depth = Depth { ready: ready.parse().ok()?, unacknowledged: unacknowledged.parse().ok()? };
        Some((name.to_owned(), Some(depth)))
    };
    let queues = answer.split("{<<\"").skip(1).map(queue).collect::<Option<_>>();
    queues.with_context(|| format!("no depths of queues: {answer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_a_broker_is_read_over_several_lines() -> Result<()> {
        assert!(parse("[]\n")?.is_empty());
        let depths = parse("[{<<\"a.dead\">>,0,0},\n {<<\"b\">>,\n  1,\n  23}]\n")?;
        assert_eq!(depths["b"], Some(Depth { ready: 1, unacknowledged: 23 }));
        assert_eq!(depths.len(), 2);
        assert_eq!(parse("[{<<\"a\">>,0,unknown}]")?["a"], None);
        assert!(parse("[{<<\"a\">>,down,0}]").is_err());
        Ok(())
    }
}
