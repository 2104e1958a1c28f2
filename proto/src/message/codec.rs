//! Bytes to messages and back.
//!
//! An envelope of four bytes comes first: `B`, `S`, the kind, the version of that kind. The body follows in
//! bincode (little endian, varints). The envelope never changes, so a reader can always say what it cannot read.
//!
//! Input is hostile until proven otherwise: length prefixes are checked against the bytes that are there before
//! anything is allocated, trailing bytes are an error, and no recursive type is on the wire.

use bincode::config::Config;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{Control, Dispatch, Heartbeat, Report};

/// Largest body in bytes. A dispatch of 1,000 tasks with the longest keys fits several times over.
pub const BODY_BYTES_MAX: usize = 8 << 20;

const MAGIC: [u8; 2] = *b"BS";
const ENVELOPE_BYTES: usize = 4;

/// A type that travels as a message of its own.
pub trait Message: Serialize + DeserializeOwned {
    /// Byte that marks the kind.
    const KIND: u8;
    /// Version that is written, and the only one there is. A second one is read beside the first for as long as golden
    /// bytes of the first stand, and written once every worker and coordinator reads it.
    const VERSION: u8;
    /// Name for errors and headers.
    const NAME: &'static str;

    /// The message as bytes.
    ///
    /// # Errors
    /// When the body would be larger than [`BODY_BYTES_MAX`].
    fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = vec![MAGIC[0], MAGIC[1], Self::KIND, Self::VERSION];
        bincode::serde::encode_into_std_write(self, &mut bytes, wire())
            .map_err(|source| EncodeError::Body { name: Self::NAME, source })?;
        if bytes.len() > BODY_BYTES_MAX + ENVELOPE_BYTES {
            return Err(EncodeError::TooLarge { name: Self::NAME, bytes: bytes.len() });
        }
        Ok(bytes)
    }

    /// The message in `bytes`.
    ///
    /// # Errors
    /// When the bytes are not exactly one message of this kind in a version that is known here.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let [magic_0, magic_1, kind, version, body @ ..] = bytes else {
            return Err(DecodeError::NotOurs);
        };
        if [*magic_0, *magic_1] != MAGIC {
            return Err(DecodeError::NotOurs);
        }
        if *kind != Self::KIND {
            return Err(DecodeError::Kind { expected: Self::NAME, found: *kind });
        }
        if *version != Self::VERSION {
            return Err(DecodeError::Version { name: Self::NAME, known: Self::VERSION, found: *version });
        }
        if body.len() > BODY_BYTES_MAX {
            return Err(DecodeError::TooLarge { name: Self::NAME, bytes: body.len() });
        }
        let (message, used) = bincode::serde::decode_from_slice(body, wire())
            .map_err(|source| DecodeError::Body { name: Self::NAME, source })?;
        if used != body.len() {
            return Err(DecodeError::Trailing { name: Self::NAME, bytes: body.len() - used });
        }
        Ok(message)
    }
}

impl Message for Dispatch {
    const KIND: u8 = 1;
    const VERSION: u8 = 1;
    const NAME: &'static str = "dispatch";
}

impl Message for Report {
    const KIND: u8 = 2;
    const VERSION: u8 = 1;
    const NAME: &'static str = "report";
}

impl Message for Heartbeat {
    const KIND: u8 = 3;
    const VERSION: u8 = 1;
    const NAME: &'static str = "heartbeat";
}

impl Message for Control {
    const KIND: u8 = 4;
    const VERSION: u8 = 1;
    const NAME: &'static str = "control";
}

/// A message could not be written.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// A value has no wire form.
    #[error("encoding a {name}")]
    Body {
        /// The kind of message.
        name: &'static str,
        /// The cause.
        #[source]
        source: bincode::error::EncodeError,
    },
    /// The message is over the limit.
    #[error("a {name} of {bytes} bytes is over the limit of {BODY_BYTES_MAX}")]
    TooLarge {
        /// The kind of message.
        name: &'static str,
        /// Its size.
        bytes: usize,
    },
}

/// Bytes could not be read as a message. Never worth a retry: the same bytes give the same error.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// The envelope is missing.
    #[error("not a Backstitch message")]
    NotOurs,
    /// Another kind of message is in this place.
    #[error("a message of kind {found} where a {expected} was expected")]
    Kind {
        /// What belongs here.
        expected: &'static str,
        /// What was found.
        found: u8,
    },
    /// The sender speaks a version that is not known here.
    #[error(
        "a {name} of version {found}, where this program knows version {known}: run versions that know each other"
    )]
    Version {
        /// The kind of message.
        name: &'static str,
        /// The version known here.
        known: u8,
        /// The version found.
        found: u8,
    },
    /// The body is over the limit.
    #[error("a {name} of {bytes} bytes is over the limit of {BODY_BYTES_MAX}")]
    TooLarge {
        /// The kind of message.
        name: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// The body is damaged.
    #[error("decoding a {name}")]
    Body {
        /// The kind of message.
        name: &'static str,
        /// The cause.
        #[source]
        source: bincode::error::DecodeError,
    },
    /// Bytes are left over after the message.
    #[error("a {name} is followed by {bytes} more bytes")]
    Trailing {
        /// The kind of message.
        name: &'static str,
        /// How many.
        bytes: usize,
    },
}

/// An error with its causes, for places that keep only text.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The limit makes bincode check every length prefix before it allocates.
fn wire() -> impl Config {
    bincode::config::standard().with_limit::<BODY_BYTES_MAX>()
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
