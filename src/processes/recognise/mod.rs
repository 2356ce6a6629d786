//! Which runtime a process runs, from its mappings, its executable's bytes and files beside its libraries.
//!
//! Files are opened through `/proc/PID/exe` and beneath `/proc/PID/root`, so that they are the process's own, in its
//! container too. They are hostile: opened as regular files only, read within limits, and nothing in them is run.

mod files;
mod memo;

use std::path::{Path, PathBuf};

use procfs::process::Process as ProcDir;

use super::process::Runtime;
use super::read;
use crate::marks::{self, Marks, version};
use crate::model::RuntimeKind;
use crate::report::sanitize::lossy;
pub(super) use memo::Memo;

/// The runtimes of a process, the one that runs its code first; `native` where there is none.
pub(super) fn runtimes(dir: &ProcDir, memo: &Memo) -> Vec<Runtime> {
    let maps = match read::file(dir, "maps") {
        Ok(maps) => maps,
        Err(error) => return vec![unknown(&format!("its mappings cannot be read: {error}"))],
    };
    let mut found: Vec<Runtime> =
        libraries(&maps).iter().map(|(kind, path)| of_library(dir, *kind, path, memo)).collect();
    let executable = read::open(dir, "exe").and_then(|file| memo.marks(&file));
    match executable {
        Ok(marks) => {
            for runtime in of_executable(dir, &marks) {
                if found.iter().all(|known| known.kind != runtime.kind) {
                    found.push(runtime);
                }
            }
        }
        Err(error) if found.is_empty() => found.push(unknown(&format!("its executable cannot be read: {error}"))),
        Err(_) => {}
    }
    found.sort_by_key(|runtime| runtime.kind);
    if found.is_empty() {
        let evidence = "no runtime's library is mapped and the executable bears no runtime's mark".to_owned();
        found.push(Runtime { kind: RuntimeKind::Native, version: None, evidence });
    }
    found
}

fn unknown(why: &str) -> Runtime {
    Runtime { kind: RuntimeKind::Unknown, version: None, evidence: why.to_owned() }
}

/// The first library of each runtime whose code is mapped to be run. A file that is only read (a debugger, this program over a dump of
/// such a process) makes no runtime.
// Source: proc_pid_maps(5): range, then access as `r-xp`. Before the path a line holds no slash, and a newline in a path is written `\012`.
fn libraries(maps: &[u8]) -> Vec<(RuntimeKind, PathBuf)> {
    use std::os::unix::ffi::OsStrExt;
    let mut found: Vec<(RuntimeKind, PathBuf)> = Vec::new();
    for line in maps.split(|byte| *byte == b'\n') {
        let Some(last) = memchr::memrchr(b'/', line) else { continue };
        let leaf = line.get(last.saturating_add(1)..).unwrap_or_default();
        let Some(kind) = marks::library(leaf) else { continue };
        let runs = line.split(|byte| *byte == b' ').nth(1).is_some_and(|access| access.get(2) == Some(&b'x'));
        if !runs {
            continue;
        }
        if found.iter().any(|(known, _)| *known == kind) {
            continue;
        }
        if let Some(path) = memchr::memchr(b'/', line).and_then(|first| line.get(first..)) {
            let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
            found.push((kind, Path::new(std::ffi::OsStr::from_bytes(path)).to_owned()));
        }
    }
    found
}

fn of_library(dir: &ProcDir, kind: RuntimeKind, path: &Path, memo: &Memo) -> Runtime {
    let shown = {
        use std::os::unix::ffi::OsStrExt;
        lossy(path.as_os_str().as_bytes())
    };
    if let Some(version) = (kind == RuntimeKind::Jvm).then(|| java_release(dir, path)).flatten() {
        let evidence = format!("maps {shown}; the version is in the file release of its home");
        return Runtime { kind, version: Some(version), evidence };
    }
    let marks = files::open_beneath_root(dir, path).and_then(|file| memo.marks(&file)).ok();
    let (version, source) = marks::library_version(kind, path, marks.as_deref());
    Runtime { kind, version, evidence: format!("maps {shown}; {source}") }
}

/// `JAVA_VERSION` of the JDK that a `libjvm.so` belongs to.
fn java_release(dir: &ProcDir, library: &Path) -> Option<String> {
    marks::RELEASE_LEVELS.filter_map(|levels| library.ancestors().nth(levels)).find_map(|home| {
        let file = files::open_beneath_root(dir, &home.join("release")).ok()?;
        version::in_java_release(&String::from_utf8_lossy(&read::bounded(file).ok()?))
    })
}

fn of_executable(dir: &ProcDir, marks: &Marks) -> Vec<Runtime> {
    let named = |kind| version::in_executable_name(kind, &dir.exe().ok()?);
    marks
        .of_executable()
        .into_iter()
        .map(|found| Runtime {
            kind: found.kind,
            version: found.version.or_else(|| named(found.kind)),
            evidence: format!("its executable {}", found.evidence),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_in_mappings_by_the_files_name() {
        let maps =
            b"7f0000000000-7f0000001000 r-xp 00000000 08:01 42                         /opt/my app/libcoreclr.so\n\
            7f0000002000-7f0000003000 r-xp 00000000 08:01 43   /usr/lib/jvm/x/lib/server/libjvm.so (deleted)\n\
            7f0000004000-7f0000005000 rw-p 00000000 00:00 0\n\
            7f0000006000-7f0000007000 r--p 00000000 08:01 44   /usr/lib/libcoreclr.so.d/other.so\n\
            7f0000008000-7f0000009000 r--p 00000000 08:01 45   /usr/lib/libpython-helper.so\n\
            7f0000008000-7f0000009000 r--p 00000000 08:01 45   /usr/lib/libpython3.11.so.1.0\n\
            7f0000009000-7f000000a000 r-xp 00001000 08:01 45   /usr/lib/libpython3.11.so.1.0\n\
            7f000000a000-7f000000b000 r--p 00000000 08:01 46   /usr/lib/libruby-3.1.so.3.1.2\n";
        let found = libraries(maps);
        assert_eq!(
            found,
            [
                (RuntimeKind::Dotnet, PathBuf::from("/opt/my app/libcoreclr.so")),
                (RuntimeKind::Jvm, PathBuf::from("/usr/lib/jvm/x/lib/server/libjvm.so")),
                (RuntimeKind::Python, PathBuf::from("/usr/lib/libpython3.11.so.1.0")),
            ]
        );
    }
}
