//! By what a runtime is recognised: the names of its libraries, the symbols and texts of the files that hold it.
//!
//! Shared by `ps`, which looks at live processes, and by the reading of dumps. Files are hostile: they are read within limits, and nothing
//! in them is run.

pub mod code;
mod file;
mod go;
pub mod version;

use std::path::Path;

pub use file::{Found, Marks, NAMES, of_exports};

use crate::model::RuntimeKind;

/// A library that tells a runtime by its name: the file's name begins so.
const LIBRARIES: &[(&str, RuntimeKind)] = &[
    ("libcoreclr.so", RuntimeKind::Dotnet),
    ("libjvm.so", RuntimeKind::Jvm),
    ("libnode.so", RuntimeKind::Node),
    ("libpython", RuntimeKind::Python),
    ("libruby", RuntimeKind::Ruby),
    ("libphp", RuntimeKind::Php),
    ("libperl.so", RuntimeKind::Perl),
    ("libluajit-", RuntimeKind::Luajit),
    ("liblua", RuntimeKind::Lua),
    ("libmonosgen-2.0.so", RuntimeKind::Mono),
    ("libmono-2.0.so", RuntimeKind::Mono),
];

/// Levels from `libjvm.so` up to the folder with the file `release`: `lib/server` since 9, `jre/lib/amd64/server` before.
pub const RELEASE_LEVELS: std::ops::RangeInclusive<usize> = 3..=5;

/// The runtime that a mapped file of this name holds.
pub fn library(file_name: &[u8]) -> Option<RuntimeKind> {
    let is = |(prefix, _): &&(&str, RuntimeKind)| file_name.starts_with(prefix.as_bytes());
    let (prefix, kind) = LIBRARIES.iter().find(is)?;
    let rest = file_name.get(prefix.len()..)?;
    let whole = prefix.ends_with(".so") || is_version(rest);
    whole.then_some(*kind)
}

/// What may follow such a beginning: `3.11.so.1.0`, `3.so`, `-3.1.so.3.1`, `.so.5`, not `-helper.so`.
fn is_version(rest: &[u8]) -> bool {
    let number = rest.strip_prefix(b"-").unwrap_or(rest);
    // `3.11d.so` is a debug build, `3.13t.so` one without the global lock.
    let is_number = number.first().is_some_and(u8::is_ascii_digit) && memchr::memmem::find(number, b".so").is_some();
    is_number || rest.starts_with(b".so")
}

/// The runtime that an executable of this name usually is: a guess for where its file is not at hand.
pub fn executable(file_name: &str) -> Option<RuntimeKind> {
    let is = |stem: &str| {
        let rest = file_name.strip_prefix(stem)?;
        rest.chars().all(|letter| letter.is_ascii_digit() || matches!(letter, '.' | '-')).then_some(())
    };
    [
        ("node", RuntimeKind::Node),
        ("python", RuntimeKind::Python),
        ("ruby", RuntimeKind::Ruby),
        ("php", RuntimeKind::Php),
        ("php-fpm", RuntimeKind::Php),
        ("beam.smp", RuntimeKind::Erlang),
        ("perl", RuntimeKind::Perl),
        ("lua", RuntimeKind::Lua),
        ("luajit", RuntimeKind::Luajit),
        ("java", RuntimeKind::Jvm),
        ("mono-sgen", RuntimeKind::Mono),
        ("dotnet", RuntimeKind::Dotnet),
    ]
    .into_iter()
    .find_map(|(stem, kind)| is(stem).map(|()| kind))
}

/// The version of a runtime's library, and where it was found. `marks`: those of its file, where that is at hand.
pub fn library_version(kind: RuntimeKind, path: &Path, marks: Option<&Marks>) -> (Option<String>, &'static str) {
    if let Some(version) = (kind == RuntimeKind::Dotnet).then(|| version::in_framework_path(path)).flatten() {
        return (Some(version), "the folder's name is the version");
    }
    if let Some(version) = marks.and_then(|marks| marks.version(kind)) {
        let source = match kind {
            RuntimeKind::Python => "the version is its symbol Py_Version",
            RuntimeKind::Ruby => "the version is its symbol ruby_version",
            _ => "the version is in its bytes",
        };
        return (Some(version.to_owned()), source);
    }
    match version::in_library_name(kind, path) {
        Some(version) => (Some(version), "the version is in its name"),
        None => (None, "its version was not found"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_known_by_its_name_and_not_by_one_that_begins_so() {
        for (name, kind) in [
            ("libcoreclr.so", Some(RuntimeKind::Dotnet)),
            ("libjvm.so", Some(RuntimeKind::Jvm)),
            ("libnode.so.108", Some(RuntimeKind::Node)),
            ("libpython3.11.so.1.0", Some(RuntimeKind::Python)),
            ("libpython3.13t.so.1.0", Some(RuntimeKind::Python)),
            ("libpython-helper.so", None),
            ("libruby-3.1.so.3.1.2", Some(RuntimeKind::Ruby)),
            ("libperl.so.5.36", Some(RuntimeKind::Perl)),
            ("libluajit-5.1.so.2", Some(RuntimeKind::Luajit)),
            ("liblua5.4.so.0", Some(RuntimeKind::Lua)),
            ("libluabind.so", None),
            ("libphp8.2.so", Some(RuntimeKind::Php)),
            ("libphprotect.so", None),
            ("libc.so.6", None),
        ] {
            assert_eq!(library(name.as_bytes()), kind, "{name}");
        }
    }

    #[test]
    fn an_executable_is_guessed_by_its_whole_name() {
        for (name, kind) in [
            ("python3.11", Some(RuntimeKind::Python)),
            ("node", Some(RuntimeKind::Node)),
            ("beam.smp", Some(RuntimeKind::Erlang)),
            ("php-fpm8.2", Some(RuntimeKind::Php)),
            ("nodebusy", None),
            ("pythonic", None),
            ("javac", None),
        ] {
            assert_eq!(executable(name), kind, "{name}");
        }
    }
}
