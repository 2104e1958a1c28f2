//! What a native function says when it fails.

use std::any::Any;
use std::error::Error;
use std::fmt::{self, Display};

/// Why a partition could not be materialized.
///
/// `?` makes one of any [`Error`], with its chain of causes as detail. Like `anyhow::Error` it is therefore no
/// [`Error`] itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetError {
    pub(super) message: String,
    pub(super) detail: Option<String>,
    pub(super) retryable: bool,
}

impl AssetError {
    /// A failure with a message for people. It may be retried.
    pub fn new(message: impl Display) -> Self {
        // The alternate form of an `anyhow::Error` holds its causes.
        Self { message: format!("{message:#}"), detail: None, retryable: true }
    }

    /// The same failure, never to be retried: the input is wrong and will be.
    #[must_use]
    pub fn permanent(self) -> Self {
        Self { retryable: false, ..self }
    }

    /// The same failure with detail for people, a backtrace for instance.
    #[must_use]
    pub fn with_detail(self, detail: impl Display) -> Self {
        Self { detail: Some(detail.to_string()), ..self }
    }

    /// Whatever a function returned as its error.
    pub(super) fn of<E: Display + Send + 'static>(error: E) -> Self {
        // One of our own keeps what it knows beyond its text.
        match (&error as &dyn Any).downcast_ref::<Self>() {
            Some(own) => own.clone(),
            None => Self::new(error),
        }
    }
}

impl Display for AssetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for AssetError {
    fn from(error: E) -> Self {
        let causes: Vec<String> =
            std::iter::successors(error.source(), |&cause| cause.source()).map(ToString::to_string).collect();
        let detail = (!causes.is_empty()).then(|| format!("caused by: {}", causes.join("\ncaused by: ")));
        Self { message: error.to_string(), detail, retryable: true }
    }
}
