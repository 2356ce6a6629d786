//! Runtimes that are in the target, understood or not: each with its version and what it was recognised by.
//!
//! Input: the target's modules, their files, the names in them. Output: [`RecognisedRuntime`]s. The marks are those of [`crate::marks`]; where
//! a module's file is not at hand, its name is taken for what it says.

use std::path::Path;

use rustc_hash::FxHashMap;

use crate::capture::Role;
use crate::marks::{self, Marks, NAMES, version};
use crate::model::{RecognisedRuntime, RuntimeKind};
use crate::runtimes::Runtimes;
use crate::target::{Module, Target};

/// Every runtime in the target, once each, the one that runs its code first. `read`: those of which the structures are read.
pub fn recognise(target: &Target, read: &Runtimes) -> Vec<RecognisedRuntime> {
    let mut found: Vec<RecognisedRuntime> = Vec::new();
    let mut push = |runtime: RecognisedRuntime| {
        if found.iter().all(|known| known.kind != runtime.kind) {
            found.push(runtime);
        }
    };
    for module in &target.modules {
        let of_module = match module.mapped.role {
            Role::Library => of_library(target, module).into_iter().collect(),
            Role::Executable => of_executable(target, module),
        };
        of_module.into_iter().for_each(&mut push);
    }
    found.sort_by_key(|runtime| runtime.kind);
    for runtime in &mut found {
        runtime.is_read = read.kinds().any(|kind| kind == runtime.kind);
        if runtime.version.is_none() {
            runtime.version = read.version_of(runtime.kind);
        }
    }
    found
}

fn of_library(target: &Target, module: &Module) -> Option<RecognisedRuntime> {
    let path = module.mapped.path.as_deref()?;
    let Some(kind) = marks::library(module.file_name()?.as_bytes()) else { return go_library(target, module, path) };
    let marks = marks_of(module);
    let (version, source) = marks::library_version(kind, Path::new(path), marks.as_ref());
    let idle = never_started(target, kind, module, marks.as_ref(), version.as_deref());
    Some(RecognisedRuntime { kind, version, evidence: format!("maps {path}; {source}"), idle, is_read: false })
}

/// A library written in Go, or a plug-in: it brings Go's runtime along.
fn go_library(target: &Target, module: &Module, path: &str) -> Option<RecognisedRuntime> {
    // Only what has the section: the data of every library would have to be searched.
    module.elf().filter(|elf| elf.go_table().is_some())?;
    let marks = marks_of(module)?;
    let version = marks.version(RuntimeKind::Go).map(str::to_owned).or_else(|| go_version(target, module));
    let evidence = format!("maps {path}, which was made by Go");
    marks.is_go().then_some(RecognisedRuntime { kind: RuntimeKind::Go, version, evidence, idle: None, is_read: false })
}

fn of_executable(target: &Target, module: &Module) -> Vec<RecognisedRuntime> {
    let path = module.mapped.path.as_deref();
    let named = |kind| version::in_executable_name(kind, Path::new(path?));
    let runtime = |kind, version: Option<String>, evidence: String| RecognisedRuntime {
        kind,
        version: version.or_else(|| named(kind)),
        evidence,
        idle: None,
        is_read: false,
    };
    if let Some(marks) = marks_of(module) {
        let of_file = marks.of_executable().into_iter();
        return of_file
            .map(|found| {
                let version =
                    found.version.or_else(|| (found.kind == RuntimeKind::Go).then(|| go_version(target, module))?);
                runtime(found.kind, version, format!("its executable {}", found.evidence))
            })
            .collect();
    }
    // Small dumps hold what a program exports, and not its file.
    let of_exports = marks::of_exports(|name| module.symbols().lookup(name).is_some());
    let exported: Vec<RecognisedRuntime> =
        of_exports.map(|(kind, evidence)| runtime(kind, None, format!("its executable {evidence}"))).collect();
    if !exported.is_empty() {
        return exported;
    }
    let guessed = module.file_name().and_then(marks::executable);
    // `java` and `dotnet` only load the library that is the runtime.
    let guessed = guessed.filter(|kind| !matches!(kind, RuntimeKind::Jvm | RuntimeKind::Dotnet));
    let by_name = guessed.map(|kind| {
        let name = module.file_name().unwrap_or_default();
        runtime(kind, None, format!("its executable is named {name}, and the file is not at hand"))
    });
    by_name.into_iter().collect()
}

/// The marks of a module's file, or of what the dump holds of it.
fn marks_of(module: &Module) -> Option<Marks> {
    let elf = module.elf()?;
    let defined: FxHashMap<_, _> =
        NAMES.iter().filter_map(|name| Some((*name, module.symbols().lookup(name)?.svma))).collect();
    Some(Marks::new(elf, defined))
}

/// Go before 1.18 keeps pointers in its build information; the variable that they lead to is a string's pointer and length.
// Source: Go src/runtime/extern.go, buildVersion; src/cmd/link, "runtime.buildVersion".
fn go_version(target: &Target, module: &Module) -> Option<String> {
    const LONGEST: u64 = 64;
    let at = module.addr(module.symbols().lookup("runtime.buildVersion")?.svma)?;
    let (text, len) = (target.memory.ptr(at).ok()?, target.memory.u64(at.plus(8)?).ok()?);
    let text = target.memory.slice(text, len.min(LONGEST)).ok()?;
    version::leading(text.strip_prefix(b"go")?)
}

/// Why a mapped library's runtime is taken for one that was never started. `None` where it was, and where that cannot be told.
fn never_started(
    target: &Target,
    kind: RuntimeKind,
    module: &Module,
    marks: Option<&Marks>,
    version: Option<&str>,
) -> Option<String> {
    match kind {
        // Both start threads of their own with the first one that runs their code: collectors, compilers, finalizers.
        RuntimeKind::Jvm | RuntimeKind::Dotnet if target.capture.threads.len() == 1 => {
            Some("the process has a single thread, and this runtime starts more".to_owned())
        }
        RuntimeKind::Python => {
            let state = module.addr(marks?.symbol("_PyRuntime")?)?;
            let initialized = state.plus(python_initialized(version?)?)?;
            (target.memory.u32(initialized).ok()? == 0).then(|| "Py_IsInitialized() would be 0".to_owned())
        }
        _ => None,
    }
}

/// Bytes from `_PyRuntime` to the `int` that `Py_IsInitialized` returns.
// Source: CPython Include/internal/pycore_runtime.h, struct pyruntimestate, of 3.7, 3.8 to 3.10, 3.11 and 3.12. Since 3.13 offsets for
// debuggers, whose number changes, stand before it.
fn python_initialized(version: &str) -> Option<u64> {
    let mut parts = version.split('.');
    let (major, minor) = (parts.next()?, parts.next()?);
    match (major, minor) {
        ("3", "7") => Some(0),
        ("3", "8" | "9" | "10") => Some(12),
        ("3", "11" | "12") => Some(16),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::python_initialized;

    #[test]
    fn the_flag_of_python_stands_where_its_headers_put_it() {
        assert_eq!(python_initialized("3.7.16"), Some(0));
        assert_eq!(python_initialized("3.9"), Some(12));
        assert_eq!(python_initialized("3.11.2"), Some(16));
        assert_eq!(python_initialized("3.13.0"), None);
        assert_eq!(python_initialized("3"), None);
    }
}
