//! Reads the messages file while the child writes it.
//!
//! The file is a regular one, as the protocol has it, so nothing tells a reader of new bytes portably: the tail
//! looks every [`INTERVAL`] while the child lives and once more, to the end, after it has gone.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use super::lines::Lines;
use super::session::Session;
use crate::limits::PIPES_LINE_BYTES;

/// Time between two looks at the file. Messages end up in the attempt's record, which nobody reads sooner.
pub(crate) const INTERVAL: Duration = Duration::from_millis(50);

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// A messages file that is being read, and the session that understands it.
#[derive(Debug)]
pub(crate) struct Tail {
    file: File,
    lines: Lines,
    session: Session,
}

impl Tail {
    /// Opens the file at its beginning.
    pub(crate) fn open(path: &Path, session: Session) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, lines: Lines::new(PIPES_LINE_BYTES), session })
    }

    /// Reads what is there by now.
    pub(crate) fn catch_up(&mut self) {
        let Self { file, lines, session } = self;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match file.read(&mut chunk) {
                Ok(0) => return,
                Ok(read) => lines.feed(&chunk[..read], |line| session.line(line)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    session.warn(&format!("reading the Dagster Pipes messages failed: {error}"));
                    return;
                }
            }
        }
    }

    /// Reads to the end; nobody writes any more.
    pub(crate) fn finish(mut self) -> Session {
        self.catch_up();
        let Self { mut lines, mut session, .. } = self;
        lines.finish(|line| session.line(line));
        session.finish();
        session
    }
}
