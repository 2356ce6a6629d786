//! What was thrown or happened, in the words of the runtime that tells it. The set is open: each runtime defines its own kinds beside the
//! code that reads them, and nothing else lists them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// A kind of exception. Two are the same if all that is said of them is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExceptionKind {
    /// The word for scripts, in kebab-case: `rust-panic`. No two kinds have the same.
    pub word: &'static str,
    /// What it is among those of all runtimes.
    pub family: ExceptionFamily,
    /// What a verdict calls one that ended the process: `uncaught`, `panic`, `fatal error`.
    pub title: &'static str,
    /// What the one that is nested in it is to it: `caused by`, `it followed an earlier panic`.
    pub inner: &'static str,
    /// Whose stack its frames are, where they may be another's than the thread's: `the goroutine's stack`.
    pub apart: Option<&'static str>,
    /// What the number that its runtime gives it is called: `HResult`.
    pub code: &'static str,
}

/// What an exception is among those of all runtimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExceptionFamily {
    /// A signal of the kernel's: SIGSEGV, SIGFPE …
    Signal,
    /// An object that was thrown, and that somebody may catch.
    Exception,
    /// A panic, or a fatal error that a runtime states itself.
    Panic,
    /// The program, or its library, gave up.
    Abort,
    /// A condition did not hold that the program had stated.
    Assertion,
    /// The language gave the program up without an exception.
    Terminate,
}

impl ExceptionKind {
    /// A kind whose frames are the thread's, and that is called as its cause by what nests it.
    pub const fn new(word: &'static str, family: ExceptionFamily, title: &'static str) -> ExceptionKind {
        ExceptionKind { word, family, title, inner: "caused by", apart: None, code: "code" }
    }
}

impl Serialize for ExceptionKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word)
    }
}

impl JsonSchema for ExceptionKind {
    fn schema_name() -> Cow<'static, str> {
        "ExceptionKind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "What was thrown or happened, in the word of the runtime that tells it. Others may come; `family` tells what it is among all.",
            "examples": ["signal", "cxx", "abort", "assertion", "rust-panic", "go-panic", "go-fatal", "terminate", "dotnet", "dotnet-fail-fast", "dotnet-fatal-error"],
        })
    }
}
