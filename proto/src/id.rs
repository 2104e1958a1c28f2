//! Typed identifiers. Each is a newtype, so that a run can never be passed where a worker is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// One run. A version 7 UUID: ids sort by submission time, and the ledger's history is sliced by that time.
    RunId
);
uuid_id!(
    /// One life of one worker process. A worker that restarts is another worker.
    WorkerId
);

/// A term of leadership of the coordinator. Every write to the ledger carries it; a deposed leader's write fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One dispatch, and the fencing token of every task in it.
///
/// The epoch of the leader that made it is in the upper bits, a sequence in the lower, so ids grow in the order
/// of their making and two leaders can never make the same one.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DispatchId(pub u64);

/// Bits of a [`DispatchId`] that count within one epoch: a trillion dispatches per leader, eight million leaders,
/// and the whole still fits a signed 64-bit column.
const SEQUENCE_BITS: u32 = 40;

impl DispatchId {
    /// The id before the first of `epoch`.
    pub fn before_first_of(epoch: Epoch) -> Self {
        Self(u64::from(epoch.0) << SEQUENCE_BITS)
    }

    /// The id that follows this one within the same epoch.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The term of leadership in which this dispatch was made.
    pub fn epoch(self) -> Epoch {
        // A u64 shifted right by 40 bits always fits 24 bits.
        Epoch((self.0 >> SEQUENCE_BITS) as u32)
    }
}

impl fmt::Display for DispatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch(), self.0 & ((1 << SEQUENCE_BITS) - 1))
    }
}

impl fmt::Debug for DispatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DispatchId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dispatch_ids_of_a_later_epoch_are_greater_than_all_of_an_earlier_one() {
        let last_of_first = DispatchId(DispatchId::before_first_of(Epoch(2)).0 - 1);
        assert_eq!(last_of_first.epoch(), Epoch(1));
        assert!(DispatchId::before_first_of(Epoch(2)).next() > last_of_first);
        assert_eq!(DispatchId::before_first_of(Epoch(7)).next().to_string(), "7.1");
    }
}
