//! `backstitch verify`: recounts the ledger, asks the leader for its own view, looks at what waits at the broker, and
//! says what contradicts the invariants. It changes nothing, and so it does not lead a ledger that nobody leads.

mod broker;

use std::collections::BTreeSet;

use anyhow::Result;
use backstitch_coordinator::ledger::{AuditReport, Ledger};
use backstitch_coordinator::service;
use backstitch_proto::definition::PROJECT_FILE;
use clap::Args;
use serde::Serialize;

use self::broker::BrokerReport;
use crate::display::{OutputArgs, plural, print, print_json};
use crate::exit::Exit;
use crate::project::Project;
use crate::settings::{self, BrokerArgs, Place, PlaceArgs};
use crate::source::{self, Ask, Server};

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

/// What was looked at, and what was found.
#[derive(Serialize)]
struct Verified {
    /// The recount; absent where only a coordinator was asked.
    ledger: Option<AuditReport>,
    /// What the leader sees; absent where none was asked.
    leader: Option<Vec<String>>,
    /// Where the last leader that the ledger names was reached, if it does not answer or leads no more.
    silent_leader: Option<String>,
    /// Live runs that should have a leader, of whom nothing is heard.
    unattended_runs: u64,
    /// What waits at the broker; absent where none is named, or where the ledger is not at hand.
    broker: Option<BrokerReport>,
}

impl VerifyArgs {
    pub(crate) async fn run(self) -> Result<Exit> {
        let verified = match self.place.place()? {
            Place::Server(url) => Verified {
                ledger: None,
                leader: Some(Server::new(&url)?.violations().await?),
                silent_leader: None,
                unattended_runs: 0,
                broker: None,
            },
            Place::Database(address) => {
                let ledger = source::open(&address).await?;
                let mut verified = audit(ledger.as_ref()).await?;
                // Coordinators are services: one of them leads at any time.
                verified.expect_a_leader();
                if let Some(url) = self.broker.broker(&self.place.project)? {
                    verified.broker = Some(broker::audit(&url, &self.queues()?, ledger.as_ref()).await?);
                }
                verified
            }
            // The embedded broker lives and dies with its process, and a run may wait for the next one; but one that
            // says that it leads has to answer.
            Place::Own => {
                let mut verified = audit(source::own(&self.place).await?.as_ref()).await?;
                if verified.silent_leader.is_some() {
                    verified.expect_a_leader();
                }
                verified
            }
        };
        if self.output.json() {
            print_json(&verified)?;
        } else {
            print(&verified.to_text())?;
        }
        Ok(if verified.holds() { Exit::Done } else { Exit::Failed })
    }

    /// The worker queues of the project; the default one where there is no project.
    fn queues(&self) -> Result<BTreeSet<String>> {
        let dir = settings::project_dir(&self.place.project);
        Ok(match dir.join(PROJECT_FILE).exists() {
            true => Project::load(&dir)?.definitions.worker_queues(),
            false => BTreeSet::from(["default".to_owned()]),
        })
    }
}

async fn audit(ledger: &dyn Ledger) -> Result<Verified> {
    let report = service::audit(ledger).await?;
    let leader = match source::leader_of(ledger).await? {
        Some(leader) => Some(leader.violations().await?),
        None => None,
    };
    let named = ledger.leader().await?.filter(|named| leader.is_none() && !named.api_address.is_empty());
    Ok(Verified {
        ledger: Some(report),
        leader,
        silent_leader: named.map(|leader| leader.api_address),
        unattended_runs: 0,
        broker: None,
    })
}

impl Verified {
    /// LIVE: runs that are live have a leader who answers.
    fn expect_a_leader(&mut self) {
        let live_runs = self.ledger.as_ref().map_or(0, |report| report.live_runs);
        self.unattended_runs = if self.leader.is_none() { live_runs } else { 0 };
    }

    fn holds(&self) -> bool {
        self.unattended_runs == 0
            && self.ledger.as_ref().is_none_or(|report| report.findings.is_empty())
            && self.leader.as_ref().is_none_or(Vec::is_empty)
            && self.broker.as_ref().is_none_or(|report| report.findings.is_empty())
    }

    fn to_text(&self) -> String {
        let mut lines = Vec::new();
        if let Some(report) = &self.ledger {
            lines.extend(
                report.findings.iter().map(|found| {
                    format!("{}: {} ({})", found.invariant, found.what, plural(found.rows, "row"))
                }),
            );
            if report.unread_runs != 0 {
                lines.push(format!(
                    "{} not held against their plans: a later version made them, or their definitions are damaged",
                    plural(report.unread_runs, "run")
                ));
            }
            lines.push(format!(
                "ledger: {} and {} recounted, {}",
                plural(report.attempts, "attempt"),
                plural(report.materialized, "materialization"),
                plural(report.live_runs, "live run")
            ));
        } else {
            lines.push("ledger: not looked at; name it with --database-url".to_owned());
        }
        match (&self.leader, &self.silent_leader) {
            (Some(found), _) => {
                lines.extend(found.iter().cloned());
                lines.push(format!("leader: {}", plural(found.len() as u64, "violation")));
            }
            (None, Some(url)) => {
                lines.push(format!("leader: {url} does not answer, or leads no more: not looked at"));
            }
            (None, None) => lines.push("leader: nobody leads".to_owned()),
        }
        if self.unattended_runs != 0 {
            lines.push(format!(
                "LIVE: {}, and nobody who leads answers: start a coordinator (`backstitch backfill` on the ledger of a \
                 project), or verify again if one just takes over",
                plural(self.unattended_runs, "live run")
            ));
        }
        if let Some(report) = &self.broker {
            lines.extend(report.findings.iter().cloned());
            lines.push(format!(
                "broker: {} waiting, {}",
                plural(report.waiting, "message"),
                plural(report.dead_letters, "dead letter")
            ));
        }
        let verdict = match (self.holds(), &self.silent_leader) {
            (false, _) => "Invariants are violated.",
            (true, Some(_)) => "What was looked at holds.",
            (true, None) => "All invariants hold.",
        };
        lines.push(verdict.to_owned());
        lines.join("\n")
    }
}
