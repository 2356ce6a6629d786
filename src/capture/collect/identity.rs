//! Which process an id means, over more than one capture, and whether its files are those that we see.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use procfs::process::Stat;
use symbols::{Elf, FileBytes};

use super::deleted::DELETED;
use super::live::read;
use crate::error::Error;

/// A process: its id and when it began, which together no other process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// In our PID namespace.
    pub pid: u32,
    /// In clock ticks since the machine started. Source: proc(5), `stat` field 22.
    start_time: u64,
}

impl Identity {
    /// The process that was seen under this id, started at this time (clock ticks since the machine started).
    pub fn new(pid: u32, start_time: u64) -> Identity {
        Identity { pid, start_time }
    }

    /// The process that has this id now.
    pub fn of(pid: u32) -> Result<Identity, Error> {
        let stat: Stat = read(pid, "stat").map_err(|_| Error::Failed(format!("there is no process {pid}")))?;
        Ok(Identity { pid, start_time: stat.starttime })
    }

    /// Fails where the process has ended, also where another one has its id by now.
    pub fn check(self) -> Result<(), Error> {
        match Identity::of(self.pid) {
            Ok(now) if now == self => Ok(()),
            Ok(_) => Err(Error::Failed(format!("process {} has ended; another process has its id now", self.pid))),
            Err(_) => Err(Error::Failed(format!("process {} has ended", self.pid))),
        }
    }

    /// Its program's file, where that is at no path any more.
    pub fn deleted_program(self) -> Option<Elf> {
        let path = PathBuf::from(format!("/proc/{}/exe", self.pid));
        let is_deleted = fs::read_link(&path).ok()?.as_os_str().as_bytes().ends_with(DELETED);
        let bytes = is_deleted.then(|| FileBytes::open(&path).ok())??;
        Elf::parse_at(&path, bytes).ok()
    }

    /// Whether it sees other files than we do: in a container, or below another root. False where that cannot be told.
    pub fn has_other_files(self) -> bool {
        let link = |of: &str, what: &str| fs::read_link(format!("/proc/{of}/{what}")).ok();
        let pid = self.pid.to_string();
        let differs = |what| match (link("self", what), link(&pid, what)) {
            (Some(ours), Some(theirs)) => ours != theirs,
            _ => false,
        };
        differs("ns/mnt") || differs("root")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_and_sees_its_own_files() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.check().is_ok());
        assert!(!own.has_other_files());
        let earlier = Identity { start_time: own.start_time - 1, ..own };
        assert!(earlier.check().unwrap_err().to_string().contains("another process has its id now"));
    }
}
