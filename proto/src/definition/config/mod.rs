//! Run config: what an asset lets its runs set, and what a run sets.

mod field;
mod resolve;

pub(crate) use self::resolve::misfits;
pub use self::{
    field::{ConfigField, ConfigType},
    resolve::{ConfigError, ConfigErrors, ResolvedConfig, RunConfig, resolve},
};

#[cfg(test)]
mod tests;
