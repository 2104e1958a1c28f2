//! A small file system, to be filled to its last byte.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A file system of a few megabytes. It is gone with this value.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// `None` where we may not mount one.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn mount(megabytes: u32) -> Result<Option<Self>> {
        if !nix::unistd::Uid::effective().is_root() {
            return Ok(None);
        }
        let folder = tempfile::Builder::new().prefix("backstitch-disk-").tempdir()?;
        let size = format!("size={megabytes}m,mode=0755");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status()?;
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))?;
        Ok(mounted.success().then_some(Self { folder }))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves so much room, and not a byte if that is 0.
    ///
    /// # Errors
    /// When there is not even room for a file.
    pub fn fill_but(&self, megabytes: u32) -> Result<()> {
        let mut ballast = fs::File::create(self.ballast())?;
        let block = vec![0; 64 * 1024];
        while self.free_bytes()? > u64::from(megabytes) << 20 && ballast.write_all(&block).is_ok() {}
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64> {
        let room = nix::sys::statvfs::statvfs(self.path()).context("looking for room on a disk")?;
        Ok(room.blocks_available() * room.fragment_size())
    }

    /// Gives back what [`fill_but`](Self::fill_but) took.
    ///
    /// # Errors
    /// When it took nothing.
    pub fn empty(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("removing the ballast")
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that is still ending has files open.
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}
