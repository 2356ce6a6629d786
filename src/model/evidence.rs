//! How a lock's owner is known. The set is open: a runtime that learns it in a way of its own says so beside the code that does.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// How the owner is known: a fixed word for scripts, `inferred:…` where it was inferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// The word, in kebab-case, without `inferred:`.
    pub word: &'static str,
    /// Whether the owner follows from something beside the lock's own record.
    pub inferred: bool,
    /// What it was inferred from, as a sentence, where the word needs one.
    pub because: Option<&'static str>,
}

impl Evidence {
    /// The owner field of the lock's structure.
    pub const OWNER_FIELD: Evidence = Evidence::recorded("owner-field");
    /// Held by readers, which are counted and not named.
    pub const READER_COUNT: Evidence = Evidence::recorded("reader-count");
    /// As many readers as the lock counts were found, by the code that took it or by what points to it.
    pub const ALL_READERS: Evidence = Evidence::inferred("all-readers");
    /// Fewer readers than the lock counts were found so.
    pub const SOME_READERS: Evidence = Evidence::inferred("some-readers");
    /// The owner field holds an id of no thread of the dump.
    pub const OWNER_GONE: Evidence = Evidence::recorded("owner-gone");
    /// One thread's live stack holds the lock's address, and it does not wait for it.
    pub const STACK_SCAN: Evidence = Evidence::inferred("stack-scan");
    /// The lock was found, or is named, by a module's file that may be another build's.
    pub const UNVERIFIED_FILE: Evidence = Evidence::inferred("unverified-file");
    /// Only the wait was seen: a system call or a frame.
    pub const WAIT: Evidence = Evidence::recorded("wait");

    /// What the lock itself records, or that it records nothing.
    pub const fn recorded(word: &'static str) -> Evidence {
        Evidence { word, inferred: false, because: None }
    }

    /// What was concluded from something else.
    pub const fn inferred(word: &'static str) -> Evidence {
        Evidence { word, inferred: true, because: None }
    }

    /// The same with a sentence that explains it.
    pub const fn because(self, because: &'static str) -> Evidence {
        Evidence { because: Some(because), ..self }
    }
}

/// The fixed word: `owner-field`, `inferred:stack-scan`.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.inferred { "inferred:" } else { "" }, self.word)
    }
}

impl Serialize for Evidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Evidence {
    fn schema_name() -> Cow<'static, str> {
        "Evidence".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "How the owner is known; begins with `inferred:` where it was inferred. Others may come.",
            "examples": ["owner-field", "futex-word", "reader-count", "owner-gone", "wait", "inferred:stack-scan"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Evidence;

    #[test]
    fn what_is_inferred_says_so_in_its_word() {
        assert_eq!(Evidence::OWNER_FIELD.to_string(), "owner-field");
        assert_eq!(Evidence::STACK_SCAN.to_string(), "inferred:stack-scan");
    }
}
