//! Whether every slot is taken by something long.
//!
//! Then nothing more is taken in until a slot is free: what waited here would be kept from idle workers. A few
//! milliseconds to ask the broker again are nothing beside tasks that long.

use tokio::sync::{Semaphore, watch};

/// Said by dispatches, heard by the intakes.
#[derive(Debug, Default)]
pub(crate) struct Fullness(watch::Sender<bool>);

impl Fullness {
    /// A dispatch has waited for a slot in vain.
    pub(crate) fn note_full(&self, slots: &Semaphore) {
        self.0.send_replace(true);
        // One that became free at this moment has said so already, and nobody would say it again.
        if slots.available_permits() > 0 {
            self.note_free_slot();
        }
    }

    /// A slot was given back.
    pub(crate) fn note_free_slot(&self) {
        self.0.send_if_modified(std::mem::take);
    }

    /// Whether deliveries should stop, and whether they should go on.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}
