//! A model of a coordinator process: an engine, and what the process owes to the world around it.

use std::collections::VecDeque;
use std::sync::Arc;

use backstitch_proto::id::{DispatchId, Epoch, RunId};
use backstitch_proto::message::{Dispatch, Report};

use super::user::Request;
use crate::engine::{Effect, Engine, Sealed};

/// A coordinator process that leads, or believes that it does.
///
/// It dies between any two of its effects: with a batch that is not committed, with a commit that nobody told it
/// about, with effects that are committed and not performed, with messages that are not confirmed, with reports that
/// are not acknowledged.
pub(super) struct SimLeader {
    pub(super) epoch: Epoch,
    engine: Engine,
    /// The engine has changed since it was looked at last.
    touched: bool,
    /// The engine has not changed since it was sealed: the batch holds all that it knows.
    pub(super) sealed_whole: bool,
    /// When its last batch was sealed, milliseconds of the world's clock.
    pub(super) sealed_ms: u64,
    /// What users asked for since the last seal, and inside the commit under way: unacknowledged.
    pub(super) asked: Vec<(RunId, Request)>,
    pub(super) asked_sealed: Vec<(RunId, Request)>,
    /// The commit under way.
    pub(super) committing: Option<Sealed>,
    /// Reports that the engine has seen since the last seal, and those inside the commit under way: unacknowledged.
    pub(super) unsealed: Vec<Report>,
    pub(super) sealed: Vec<Report>,
    /// Committed, and not performed yet.
    pub(super) owed: VecDeque<Effect>,
    /// Messages whose confirm is awaited.
    pub(super) unconfirmed: Vec<Unconfirmed>,
    /// It stands still.
    pub(super) standstill: Option<Standstill>,
    /// It knows that its term is over.
    pub(super) deposed: bool,
}

/// The time in which a leader does nothing, milliseconds of the world's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standstill {
    pub(super) since_ms: u64,
    pub(super) until_ms: u64,
}

/// A message that was handed to the broker.
pub(super) struct Unconfirmed {
    pub(super) dispatch: Arc<Dispatch>,
    /// The broker has it, and will say so.
    pub(super) arrived: bool,
}

impl SimLeader {
    pub(super) fn new(epoch: Epoch, engine: Engine) -> Self {
        Self {
            epoch,
            engine,
            touched: true,
            sealed_whole: false,
            sealed_ms: 0,
            asked: Vec::new(),
            asked_sealed: Vec::new(),
            committing: None,
            unsealed: Vec::new(),
            sealed: Vec::new(),
            owed: VecDeque::new(),
            unconfirmed: Vec::new(),
            standstill: None,
            deposed: false,
        }
    }

    /// To ask.
    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// To change.
    pub(super) fn engine_mut(&mut self) -> &mut Engine {
        self.touched = true;
        self.sealed_whole = false;
        &mut self.engine
    }

    /// Whether the engine may have changed since this was asked last. What did not change was checked already.
    pub(super) fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.committing.is_none() && self.unsealed.is_empty()
    }

    /// The reports that the broker delivers again when this process is gone.
    pub(super) fn unacknowledged(&mut self) -> impl Iterator<Item = Report> {
        std::mem::take(&mut self.sealed).into_iter().chain(std::mem::take(&mut self.unsealed))
    }

    /// The id of a dispatch whose confirm is awaited.
    pub(super) fn unconfirmed_id(&self, at: usize) -> DispatchId {
        self.unconfirmed[at].dispatch.id
    }
}
