//! The project: a folder with `backstitch.yaml` in it, and the calendar files that it names.
//!
//! A project file may come from anywhere, and what a calendar file holds turns up in messages; so only files inside of
//! the project's folder are opened, links followed, and no more of one is read than a calendar may have.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use backstitch_proto::definition::limits::CALENDAR_FILE_BYTES_MAX;
use backstitch_proto::definition::{Definitions, PROJECT_FILE};

use crate::exit::Invalid;

/// A project whose definitions hold together.
pub(crate) struct Project {
    /// Its folder.
    pub(crate) dir: PathBuf,
    /// What it defines.
    pub(crate) definitions: Arc<Definitions>,
}

impl Project {
    /// Reads and checks the project in `dir`.
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(PROJECT_FILE);
        // As people would type it: problems begin with this.
        let shown = path.strip_prefix(".").unwrap_or(&path).display().to_string();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                let problem = format!("there is no {shown}: name the project's folder with --project DIR");
                return Err(Invalid::one(problem).into());
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return Err(Invalid::one(format!("{shown} is not UTF-8 text")).into());
            }
            Err(error) => return Err(error).with_context(|| format!("reading {shown}")),
        };
        let definitions =
            Definitions::from_yaml_with_files(&shown, &text, &mut |file| read_calendar(dir, file))
                .map_err(Invalid::Definitions)?;
        Ok(Self { dir: dir.to_owned(), definitions: Arc::new(definitions) })
    }
}

/// The text of a calendar file of the project in `dir`, or the reason why there is none.
fn read_calendar(dir: &Path, file: &str) -> Result<String, String> {
    let relative = Path::new(file);
    let within = |component| matches!(component, Component::Normal(_) | Component::CurDir);
    if !relative.components().all(within) {
        return Err("name a file in the project's folder, without `..` and relative to it".to_owned());
    }
    let said = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => "there is no such file".to_owned(),
        _ => error.to_string(),
    };
    let path = dir.join(relative).canonicalize().map_err(said)?;
    if !path.starts_with(dir.canonicalize().map_err(said)?) {
        return Err("it is a link that leads out of the project's folder".to_owned());
    }
    // Opening a pipe would wait for somebody to write to it.
    if !path.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    // One more than the limit, to tell a file at the limit from a longer one.
    let most = CALENDAR_FILE_BYTES_MAX as u64 + 1;
    File::open(&path).and_then(|opened| opened.take(most).read_to_end(&mut bytes)).map_err(said)?;
    if bytes.len() > CALENDAR_FILE_BYTES_MAX {
        return Err(format!("it has more than the limit of {CALENDAR_FILE_BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, write};
    use std::os::unix::fs::symlink;

    use super::*;

    /// What loading the project in `dir` says, after its path.
    fn said(dir: &Path) -> String {
        let error = Project::load(dir).err().expect("something is wrong").to_string();
        error.strip_prefix(&format!("{}/", dir.display())).unwrap_or(&error).to_owned()
    }

    fn project(file: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        create_dir(dir.path().join("days")).expect("a folder");
        let text = format!("calendars:\n  exchange: {{file: {file}}}\nassets: {{a: {{}}}}\n");
        write(dir.path().join(PROJECT_FILE), text).expect("a file");
        dir
    }

    #[test]
    fn a_calendar_file_is_found_beside_the_project_file() {
        let dir = project("days/exchange.txt");
        write(dir.path().join("days/exchange.txt"), "2024-01-05\n").expect("a file");
        Project::load(dir.path()).expect("a project");
    }

    #[test]
    fn a_missing_calendar_file_is_told_with_its_position() {
        assert_eq!(
            said(project("days/exchange.txt").path()),
            "backstitch.yaml:2:20: calendar \"exchange\": file: reading \"days/exchange.txt\": there is no such file"
        );
    }

    #[test]
    fn no_file_outside_of_the_project_is_opened() {
        for file in ["/etc/hostname", "../exchange.txt", "days/../../exchange.txt"] {
            let said = said(project(file).path());
            assert!(said.ends_with("without `..` and relative to it"), "{file}: {said}");
        }
        let (dir, outside) = (project("days/exchange.txt"), project("none"));
        symlink(outside.path().join(PROJECT_FILE), dir.path().join("days/exchange.txt")).expect("a link");
        assert!(said(dir.path()).ends_with("it is a link that leads out of the project's folder"));
    }

    #[test]
    fn a_calendar_file_is_a_text_of_limited_size() {
        let dir = project("days");
        assert!(said(dir.path()).ends_with("it is not a file"), "{}", said(dir.path()));
        let dir = project("days/exchange.txt");
        write(dir.path().join("days/exchange.txt"), [0xFF]).expect("a file");
        assert!(said(dir.path()).ends_with("it is not UTF-8 text"), "{}", said(dir.path()));
        write(dir.path().join("days/exchange.txt"), " ".repeat(CALENDAR_FILE_BYTES_MAX + 1)).expect("a file");
        assert!(said(dir.path()).ends_with("more than the limit of 4194304 bytes"), "{}", said(dir.path()));
    }
}
