//! The runtimes that are told apart, and one that was recognised in a process.

use schemars::JsonSchema;
use serde::Serialize;

/// The runtimes that are told apart, those that run a program's code before those that a program holds beside its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeKind {
    /// .NET with a JIT: CoreCLR.
    Dotnet,
    /// .NET compiled ahead of time.
    DotnetNativeaot,
    /// A Java virtual machine: HotSpot.
    Jvm,
    /// Mono.
    Mono,
    /// Node.js.
    Node,
    /// CPython.
    Python,
    /// Ruby: MRI.
    Ruby,
    /// PHP.
    Php,
    /// Erlang and Elixir: BEAM.
    Erlang,
    /// Perl.
    Perl,
    /// Lua.
    Lua,
    /// LuaJIT.
    Luajit,
    /// Go.
    Go,
    /// None of these.
    Native,
    /// Its executable or its mappings cannot be read.
    Unknown,
}

impl RuntimeKind {
    /// As it is written for people.
    pub fn words(self) -> &'static str {
        match self {
            RuntimeKind::Dotnet => ".NET",
            RuntimeKind::DotnetNativeaot => ".NET AOT",
            RuntimeKind::Jvm => "JVM",
            RuntimeKind::Mono => "Mono",
            RuntimeKind::Node => "Node",
            RuntimeKind::Python => "Python",
            RuntimeKind::Ruby => "Ruby",
            RuntimeKind::Php => "PHP",
            RuntimeKind::Erlang => "Erlang/ERTS",
            RuntimeKind::Perl => "Perl",
            RuntimeKind::Lua => "Lua",
            RuntimeKind::Luajit => "LuaJIT",
            RuntimeKind::Go => "Go",
            RuntimeKind::Native => "native",
            RuntimeKind::Unknown => "?",
        }
    }

    /// What of it this program does not read.
    pub fn not_read(self) -> &'static [&'static str] {
        match self {
            RuntimeKind::DotnetNativeaot => &["monitors", "tasks"],
            RuntimeKind::Jvm => &["Java frames", "Java monitors"],
            RuntimeKind::Mono => &["managed frames", "monitors"],
            RuntimeKind::Node => &["JavaScript frames", "promises"],
            RuntimeKind::Python => &["Python frames", "Python locks"],
            RuntimeKind::Ruby => &["Ruby frames", "Ruby mutexes", "fibers"],
            RuntimeKind::Php => &["PHP frames"],
            RuntimeKind::Erlang => &["Erlang processes", "their mailboxes"],
            RuntimeKind::Perl => &["Perl frames"],
            RuntimeKind::Lua | RuntimeKind::Luajit => &["Lua frames"],
            RuntimeKind::Go => &["goroutines that no thread runs", "channels", "Go mutexes"],
            // Of one that cannot be read, or not all of it, the findings say so.
            RuntimeKind::Dotnet => &[],
            RuntimeKind::Native | RuntimeKind::Unknown => &[],
        }
    }

    /// Whether its code can wait for something that no wait of a thread shows: then a calm look at the threads says
    /// nothing.
    pub fn hides_waits(self) -> bool {
        match self {
            // One interpreter on one thread: what it waits for is what its thread waits for.
            RuntimeKind::Php | RuntimeKind::Perl | RuntimeKind::Lua | RuntimeKind::Luajit => false,
            RuntimeKind::Native | RuntimeKind::Unknown => false,
            _ => true,
        }
    }
}

/// A runtime that was recognised in a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecognisedRuntime {
    /// Which.
    pub kind: RuntimeKind,
    /// Its version; `None` where it could not be found.
    pub version: Option<String>,
    /// What it was recognised by, in words.
    pub evidence: String,
    /// Why it is taken not to run: its library is there, but the process never started it. `None` where it runs, and
    /// where that is not known.
    pub idle: Option<String>,
    /// Whether what this program reads of its kind is read here; not where the dump lacks what that needs.
    pub is_read: bool,
}

impl RecognisedRuntime {
    /// What of it is not read.
    pub fn not_read(&self) -> &'static [&'static str] {
        match self.kind {
            RuntimeKind::Dotnet if !self.is_read => &["managed frames", "monitors", "tasks"],
            kind => kind.not_read(),
        }
    }

    /// `JVM 17.0.15`.
    pub fn name(&self) -> String {
        match &self.version {
            Some(version) => format!("{} {version}", self.kind.words()),
            None => self.kind.words().to_owned(),
        }
    }

    /// Whether its code may wait for something that no thread's wait shows.
    pub fn hides_waits(&self) -> bool {
        self.idle.is_none() && self.kind.hides_waits()
    }
}
