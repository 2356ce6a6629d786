//! A fixture's variant, made by `fixtures/make` when it is not there yet.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Expected, Truth};

/// The repository's root.
pub fn repository() -> &'static Path {
    // This crate's manifest is at tests/support.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("tests/support is two folders below the root")
}

/// Where the recipes put what they make: `target/fixtures`, or `$DUMPSCOPE_FIXTURES`.
pub fn fixtures_dir() -> PathBuf {
    std::env::var_os("DUMPSCOPE_FIXTURES").map_or_else(|| repository().join("target/fixtures"), PathBuf::from)
}

/// One variant of a fixture, dumped.
#[derive(Debug, Clone)]
pub struct Dump {
    name: String,
    dir: PathBuf,
}

impl Dump {
    /// The folder with everything the recipe left.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The core file.
    pub fn core(&self) -> PathBuf {
        self.dir.join("core")
    }

    /// The executable that ran, at the path the core records.
    pub fn exe(&self) -> PathBuf {
        self.dir.join("exe")
    }

    /// What the process said of itself, thread ids in the core's numbering: where the recipe left a `tids.json` (a core
    /// taken from outside a PID namespace), the process's own are translated by it.
    pub fn truth(&self) -> Truth {
        let truth = Truth::parse(&self.text("truth.json"));
        if self.dir.join("tids.json").exists() { truth.renumbered(&self.text("tids.json")) } else { truth }
    }

    /// What the process wrote to standard error, abort messages for instance.
    pub fn stderr(&self) -> String {
        self.text("stderr.txt")
    }

    /// What the source dictates.
    pub fn expected(&self) -> Expected {
        Expected::of(&self.name)
    }

    fn text(&self, file: &str) -> String {
        let path = self.dir.join(file);
        let bytes = std::fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Builds, runs and dumps a variant, or finds it already made for this state of the sources.
pub fn dump(name: &str, variant: &str) -> Dump {
    Dump { name: name.to_owned(), dir: make(&[name, variant]) }
}

/// Builds a variant's executable without running it, and returns its folder.
pub fn build(name: &str, variant: &str) -> PathBuf {
    make(&["--build", name, variant])
}

/// Runs the script; its last line of output is the variant's folder.
fn make(arguments: &[&str]) -> PathBuf {
    let script = repository().join("fixtures/make");
    let output = Command::new(&script)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|why| panic!("{}: {why}", script.display()));
    let said = String::from_utf8_lossy(&output.stdout);
    match said.lines().last() {
        Some(dir) if output.status.success() => PathBuf::from(dir),
        _ => panic!("fixtures/make {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)),
    }
}
