//! What every ledger keeps. A property's name is the sentence that it proves.

mod commits;
mod reads;
mod wide;

pub(crate) use commits::*;
pub(crate) use reads::*;
pub(crate) use wide::*;
