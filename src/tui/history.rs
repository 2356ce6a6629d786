//! What was typed at the `:` prompt, kept for each dump: one line a command, `$XDG_STATE_HOME/dumpscope/history-KEY`.
//!
//! A convenience: where nothing can be read or written, nothing is said. Files are the user's own (0600), never reached through a
//! link, and replaced whole, so that two screens over one dump leave a file that is whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::settings::user_directory;

/// Lines that are kept.
const MOST: usize = 500;
/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 256 << 10;
/// Files that are kept, of the dumps that were opened last.
const FILES: usize = 100;

/// The lines of one dump.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    folder: Option<PathBuf>,
    name: String,
    /// The oldest first.
    pub(super) lines: Vec<String>,
}

impl History {
    /// What was typed over this dump before: a file, told by its path and size.
    pub(super) fn of_file(path: &Path) -> History {
        let whole = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let size = fs::metadata(&whole).map(|metadata| metadata.len()).unwrap_or_default();
        History::load(user_directory("XDG_STATE_HOME", ".local/state"), &(whole, size))
    }

    /// What was typed over what has no file: live processes share one history.
    pub(super) fn named(name: &str) -> History {
        History::load(user_directory("XDG_STATE_HOME", ".local/state"), &name)
    }

    fn load(state: Option<PathBuf>, key: &impl Hash) -> History {
        let mut hasher = twox_hash::XxHash64::with_seed(0);
        key.hash(&mut hasher);
        let folder = state.map(|state| state.join("dumpscope"));
        let name = format!("history-{:016x}", hasher.finish());
        let lines = folder.as_ref().and_then(|folder| read(&folder.join(&name))).unwrap_or_default();
        History { folder, name, lines }
    }

    /// Adds a line; says whether the file is to be written. What begins with a blank is not kept, as shells have it.
    pub(super) fn add(&mut self, line: &str) -> bool {
        if line.starts_with(' ') || self.lines.last().is_some_and(|last| last == line) {
            return false;
        }
        self.lines.push(line.to_owned());
        let surplus = self.lines.len().saturating_sub(MOST);
        self.lines.drain(..surplus);
        true
    }

    /// Writes the file.
    pub(super) fn save(&self) {
        // A home that cannot be written to is no reason to fail, and none to speak.
        let _ = self.write();
    }

    fn write(&self) -> std::io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        if !fs::symlink_metadata(folder)?.is_dir() {
            return Ok(());
        }
        let temporary = folder.join(format!("{}.{}", self.name, std::process::id()));
        let written = (|| {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all((self.lines.join("\n") + "\n").as_bytes())?;
            fs::rename(&temporary, folder.join(&self.name))
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        forget_oldest(folder);
        written
    }
}

fn read(path: &Path) -> Option<Vec<String>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file: File = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.is_file() || !ours || metadata.len() > MAX_FILE {
        return None;
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).ok()?;
    let plain = |line: &&str| !line.trim().is_empty() && !line.chars().any(char::is_control);
    let mut lines: Vec<String> = text.lines().filter(plain).map(str::to_owned).collect();
    lines.drain(..lines.len().saturating_sub(MOST));
    Some(lines)
}

/// Removes the files of dumps that were not opened for longest.
fn forget_oldest(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut files: Vec<(i64, PathBuf)> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("history-"))
        .filter_map(|entry| Some((entry.metadata().ok()?.mtime(), entry.path())))
        .collect();
    files.sort();
    for (_, path) in files.iter().take(files.len().saturating_sub(FILES)) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn lines_come_back_for_the_same_dump_and_are_the_users_own() {
        let home = tempfile::tempdir().unwrap();
        let state = || Some(home.path().join("state"));
        let mut history = History::load(state(), &"a");
        history.add("threads");
        history.save();
        history.add("threads");
        history.save();
        history.add(" locks");
        history.save();
        history.add("stack -all");
        history.save();
        assert_eq!(History::load(state(), &"a").lines, ["threads", "stack -all"]);
        assert!(History::load(state(), &"b").lines.is_empty());
        let file = home.path().join("state/dumpscope").join(&history.name);
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_link_is_neither_followed_nor_written_through() {
        let home = tempfile::tempdir().unwrap();
        let victim = home.path().join("victim");
        fs::write(&victim, "secret\n").unwrap();
        let mut history = History::load(Some(home.path().to_owned()), &"a");
        fs::create_dir(home.path().join("dumpscope")).unwrap();
        std::os::unix::fs::symlink(&victim, home.path().join("dumpscope").join(&history.name)).unwrap();
        assert!(History::load(Some(home.path().to_owned()), &"a").lines.is_empty());
        history.add("threads");
        history.save();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "secret\n");
        assert_eq!(History::load(Some(home.path().to_owned()), &"a").lines, ["threads"]);
    }

    #[test]
    fn a_home_that_cannot_be_written_to_keeps_lines_for_this_time_alone() {
        let mut history = History::load(Some("/proc/nowhere".into()), &"a");
        history.add("threads");
        history.save();
        assert_eq!(history.lines, ["threads"]);
        assert!(History::load(Some("/proc/nowhere".into()), &"a").lines.is_empty());
    }

    #[test]
    fn the_history_is_bounded() {
        let home = tempfile::tempdir().unwrap();
        let mut history = History::load(Some(home.path().to_owned()), &"a");
        for number in 0..MOST.saturating_add(20) {
            history.lines.push(number.to_string());
        }
        history.add("last");
        history.save();
        let lines = History::load(Some(home.path().to_owned()), &"a").lines;
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (MOST, Some("last")));
    }
}
