//! The private folder of one execution: what the child is told and where it reports. Removed when it is dropped.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::task::spawn_blocking;

use super::capture::Capture;
use super::metadata_file::{FILE_BYTES, parse};
use crate::execution::Execution;
use crate::pipes::context::{context, context_param, messages_param};
use crate::pipes::session::{Reported, Session};
use crate::pipes::tail::Tail;

/// The folder and the reader of what the child reports.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    tail: Tail,
    capture: Capture,
}

impl Scratch {
    /// Writes what the child needs to find before it starts.
    pub(crate) async fn create(execution: &Execution<'_>, capture: Capture) -> io::Result<Self> {
        let context = context(execution.dispatch, execution.tasks);
        let session = Session::new(&execution.dispatch.asset, capture.clone());
        blocking(move || {
            let folder = tempfile::Builder::new().prefix("backstitch-").tempdir()?;
            fs::write(context_path(folder.path()), context.to_string())?;
            fs::write(messages_path(folder.path()), "")?;
            let tail = Tail::open(&messages_path(folder.path()), session)?;
            Ok(Self { folder, tail, capture })
        })
        .await
    }

    /// Where the child may write `name=value` lines.
    pub(crate) fn metadata_path(&self) -> PathBuf {
        self.folder.path().join("metadata")
    }

    /// Value of the variable that leads to the context.
    pub(crate) fn context_param(&self) -> String {
        context_param(&context_path(self.folder.path()))
    }

    /// Value of the variable that leads to the messages file.
    pub(crate) fn messages_param(&self) -> String {
        messages_param(&messages_path(self.folder.path()))
    }

    /// Reads the messages that are there by now.
    pub(crate) async fn catch_up(mut self) -> io::Result<Self> {
        blocking(move || {
            self.tail.catch_up();
            Ok(self)
        })
        .await
    }

    /// Everything that the child reported. It is gone; so is the folder after this.
    pub(crate) async fn finish(self) -> io::Result<Session> {
        blocking(move || {
            let Self { folder, tail, capture } = self;
            let mut session = tail.finish();
            let text = read_metadata(&folder.path().join("metadata"));
            let (entries, warnings) = parse(&text);
            merge(&mut session.reported, entries);
            for warning in warnings {
                capture.line(&format!("[backstitch] WARNING {warning}"));
            }
            Ok(session)
        })
        .await
    }
}

/// An entry of the file replaces one of the same name that came through Pipes: there is one value per name.
fn merge(reported: &mut Reported, entries: Vec<(String, backstitch_proto::message::MetadataValue)>) {
    reported.metadata.retain(|(name, _)| !entries.iter().any(|(newer, _)| newer == name));
    reported.metadata.extend(entries);
}

/// The file is there only if the child made it.
fn read_metadata(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = fs::File::open(path) {
        // What was read before an error is still good.
        let _ = file.take(FILE_BYTES).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn context_path(folder: &Path) -> PathBuf {
    folder.join("context.json")
}

fn messages_path(folder: &Path) -> PathBuf {
    folder.join("messages")
}

async fn blocking<T: Send + 'static>(act: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(act).await.map_err(io::Error::other)?
}
