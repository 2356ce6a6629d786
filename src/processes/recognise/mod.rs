//! Which runtime a process runs, from its mappings, its executable's bytes and files beside its libraries.
//!
//! Files are opened through `/proc/PID/exe` and beneath `/proc/PID/root`, so that they are the process's own, in its container too. They
//! are hostile: opened as regular files only, read within limits, and nothing in them is run.

mod files;
mod go;
mod marks;
mod version;

use std::path::{Path, PathBuf};

use procfs::process::Process as ProcDir;

use super::process::{Runtime, RuntimeKind};
use super::read;
use crate::report::sanitize::lossy;
use marks::Marks;
pub(super) use marks::Memo;

/// A library that tells a runtime by its name: the file's name begins so.
const LIBRARIES: &[(&[u8], RuntimeKind)] = &[
    (b"libcoreclr.so", RuntimeKind::Dotnet),
    (b"libjvm.so", RuntimeKind::Jvm),
    (b"libnode.so", RuntimeKind::Node),
    (b"libpython", RuntimeKind::Python),
];

/// Levels from `libjvm.so` up to the folder with the file `release`: `lib/server` since 9, `jre/lib/amd64/server` before.
const RELEASE_LEVELS: std::ops::RangeInclusive<usize> = 3..=5;

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

/// The first mapped library of each runtime.
// Source: proc_pid_maps(5). Before the path a line holds no slash, and a newline in a path is written `\012`.
fn libraries(maps: &[u8]) -> Vec<(RuntimeKind, PathBuf)> {
    use std::os::unix::ffi::OsStrExt;
    let mut found: Vec<(RuntimeKind, PathBuf)> = Vec::new();
    for line in maps.split(|byte| *byte == b'\n') {
        let Some(last) = memchr::memrchr(b'/', line) else { continue };
        let leaf = line.get(last.saturating_add(1)..).unwrap_or_default();
        let Some((_, kind)) = LIBRARIES.iter().find(|(name, _)| leaf.starts_with(name)) else { continue };
        if *kind == RuntimeKind::Python && !is_libpython(leaf) || found.iter().any(|(known, _)| known == kind) {
            continue;
        }
        if let Some(path) = memchr::memchr(b'/', line).and_then(|first| line.get(first..)) {
            let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
            found.push((*kind, Path::new(std::ffi::OsStr::from_bytes(path)).to_owned()));
        }
    }
    found
}

/// `libpython3.11.so.1.0`, `libpython3.so`, not a library that happens to begin so.
fn is_libpython(leaf: &[u8]) -> bool {
    let rest = leaf.strip_prefix(b"libpython").unwrap_or_default();
    let version = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    // `3.11d.so` is a debug build, `3.13t.so` one without the global lock.
    version > 0 && memchr::memmem::find(rest, b"so").is_some()
}

fn of_library(dir: &ProcDir, kind: RuntimeKind, path: &Path, memo: &Memo) -> Runtime {
    let shown = {
        use std::os::unix::ffi::OsStrExt;
        lossy(path.as_os_str().as_bytes())
    };
    let marks = || files::open_beneath_root(dir, path).and_then(|file| memo.marks(&file)).ok();
    let (version, source) = match kind {
        RuntimeKind::Dotnet => match version::in_framework_path(path) {
            Some(version) => (Some(version), "the folder's name is the version"),
            None => (marks().and_then(|marks| marks.coreclr.clone()), "the version is in its bytes"),
        },
        RuntimeKind::Jvm => (java_release(dir, path), "the version is in the file release of its home"),
        RuntimeKind::Node => (marks().and_then(|marks| marks.node.clone()), "the version is in its bytes"),
        _ => match marks().and_then(|marks| marks.python.clone()) {
            Some(version) => (Some(version), "the version is its symbol Py_Version"),
            None => (version::in_python_name(path), "the version is in its name"),
        },
    };
    let source = version.as_ref().map_or("; its version was not found", |_| source);
    let joint = if source.starts_with(';') { "" } else { "; " };
    Runtime { kind, version, evidence: format!("maps {shown}{joint}{source}") }
}

/// `JAVA_VERSION` of the JDK that a `libjvm.so` belongs to.
fn java_release(dir: &ProcDir, library: &Path) -> Option<String> {
    RELEASE_LEVELS.filter_map(|levels| library.ancestors().nth(levels)).find_map(|home| {
        let file = files::open_beneath_root(dir, &home.join("release")).ok()?;
        version::in_java_release(&String::from_utf8_lossy(&read::bounded(file).ok()?))
    })
}

fn of_executable(dir: &ProcDir, marks: &Marks) -> Vec<Runtime> {
    let mut found = Vec::new();
    let mut push = |kind, version: Option<String>, evidence: &str| {
        found.push(Runtime { kind, version, evidence: format!("its executable {evidence}") });
    };
    if marks.has("DotNetRuntimeInfo") {
        push(RuntimeKind::Dotnet, marks.coreclr.clone(), "exports DotNetRuntimeInfo: a single-file program");
    }
    if marks.has("DotNetRuntimeDebugHeader") {
        push(RuntimeKind::DotnetNativeaot, marks.nativeaot.clone(), "exports DotNetRuntimeDebugHeader");
    }
    if marks.has("_ZN4node5StartEiPPc") {
        push(RuntimeKind::Node, marks.node.clone(), "exports node::Start; the version is in its bytes");
    }
    if marks.has("Py_GetVersion") {
        let version = marks.python.clone().or_else(|| {
            let path = dir.exe().ok()?;
            version::in_python_name(&path)
        });
        push(RuntimeKind::Python, version, "exports Py_GetVersion");
    }
    if let Some(go) = &marks.go {
        push(RuntimeKind::Go, go.clone(), "holds Go build information");
    }
    found
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
            7f0000008000-7f0000009000 r--p 00000000 08:01 45   /usr/lib/libpython3.11.so.1.0\n";
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
