//! Programs compiled while the tests run, and the answers of other tools about them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use symbols::{Elf, FileBytes};

/// The path of a program's source.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name)
}

/// Runs a tool and gives its standard output. `package` is the Debian package to install where it is missing.
pub(crate) fn run(tool: &str, package: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    let output = Command::new(tool)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {tool}: {error}; install it with: apt-get install {package}"));
    assert!(output.status.success(), "{tool} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Compiles `source` with these options into `directory/name`.
pub(crate) fn compile(
    compiler: &str,
    package: &str,
    source: &Path,
    directory: &Path,
    name: &str,
    options: &[&str],
) -> PathBuf {
    let output = directory.join(name);
    let mut arguments: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
    arguments.extend([source.as_os_str(), OsStr::new("-o"), output.as_os_str()]);
    run(compiler, package, arguments);
    output
}

/// The same with g++.
pub(crate) fn cpp(name: &str, directory: &Path, options: &[&str]) -> PathBuf {
    compile("g++", "g++", &source(name), directory, "program", options)
}

/// Opens an ELF file.
pub(crate) fn open(path: &Path) -> Arc<Elf> {
    let bytes = FileBytes::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Arc::new(Elf::parse_at(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The symbols that `nm` lists: address, size (0 if unknown), type letter, name.
pub(crate) fn nm(path: &Path, option: &str) -> Vec<(u64, u64, char, String)> {
    let text =
        run("nm", "binutils", [OsStr::new("--defined-only"), OsStr::new("-S"), OsStr::new(option), path.as_os_str()]);
    let mut symbols = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
        let (size, rest) = match fields.as_slice() {
            [_, size, kind, name] => (hex(size), (kind, name)),
            [_, kind, name] => (0, (kind, name)),
            _ => continue,
        };
        symbols.push((hex(fields[0]), size, rest.0.chars().next().unwrap(), rest.1.to_string()));
    }
    symbols
}

/// Compiles a Rust program; legacy name mangling needs an option that only nightly compilers take without this variable.
pub(crate) fn rust(name: &str, directory: &Path, options: &[&str]) -> PathBuf {
    let output = directory.join("program");
    let status = Command::new("rustc")
        .env("RUSTC_BOOTSTRAP", "1")
        .args(options)
        .arg(source(name))
        .arg("-o")
        .arg(&output)
        .status()
        .unwrap_or_else(|error| panic!("cannot run rustc: {error}; install it from https://rustup.rs"));
    assert!(status.success(), "rustc failed");
    output
}
