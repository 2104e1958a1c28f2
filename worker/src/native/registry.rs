//! The native functions of a worker, by asset.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::{AssetError, BatchOutcome, Context, IntoBatchOutcome, IntoOutcome, Materialization};

/// A call that is going on.
pub(super) type Call<T> = Pin<Box<dyn Future<Output = Result<T, AssetError>> + Send>>;

/// A registered function.
pub(super) enum Function {
    /// Takes one partition.
    One(Box<dyn Fn(Context) -> Call<Materialization> + Send + Sync>),
    /// Takes up to `batch_size` partitions.
    Batch(Box<dyn Fn(Context) -> Call<BatchOutcome> + Send + Sync>),
}

/// Functions by the name of their asset.
#[derive(Debug, Default)]
pub(crate) struct Registry(HashMap<String, Function>);

impl Registry {
    /// Registers a function for one partition; the last one of an asset counts.
    pub(crate) fn insert<F, Fut>(&mut self, asset: String, function: F)
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoOutcome> + Send + 'static,
    {
        let call = move |context| -> Call<Materialization> {
            let future = function(context);
            Box::pin(async move { future.await.into_outcome() })
        };
        self.0.insert(asset, Function::One(Box::new(call)));
    }

    /// Registers a function for a batch.
    pub(crate) fn insert_batch<F, Fut>(&mut self, asset: String, function: F)
    where
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoBatchOutcome> + Send + 'static,
    {
        let call = move |context| -> Call<BatchOutcome> {
            let future = function(context);
            Box::pin(async move { future.await.into_batch_outcome() })
        };
        self.0.insert(asset, Function::Batch(Box::new(call)));
    }

    /// Whether the function of `asset` takes one partition.
    pub(crate) fn takes_one(&self, asset: &str) -> bool {
        matches!(self.get(asset), Some(Function::One(_)))
    }

    pub(super) fn get(&self, asset: &str) -> Option<&Function> {
        self.0.get(asset)
    }

    /// Names of the assets, sorted.
    pub(crate) fn assets(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.keys().cloned().collect();
        names.sort_unstable();
        names
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One(_) => "One",
            Self::Batch(_) => "Batch",
        })
    }
}
