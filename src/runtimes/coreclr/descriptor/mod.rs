//! How the runtime's structures are laid out, by the runtime's own description: the contract descriptor.
//!
//! Input: the descriptor's JSON, from the dump (.NET 9 and later export it) or from a bundled file of the same form. Output: offsets of
//! members and places of global variables, by the names that the runtime gives them. Specification: dotnet/runtime
//! docs/design/datacontracts/contract-descriptor.md and data_descriptor.md, "compact" form.

mod exported;
mod json;

pub use self::exported::Exported;
pub use self::json::Descriptor;

use crate::model::{Gap, Known};

/// The bundled descriptor of one major version: what the dump's own lacks, and all of it where the dump has none. Its
/// pointers are indexes into `g_dacTable`.
// Source: measured on 8.0.33, 9.0.1 to 9.0.22 and 10.0.9 to 10.0.14, linux-x64; what 9 and 10 describe themselves is as they
// describe it. The order of the table is that of dotnet/runtime src/coreclr/inc/dacvars.h of each release.
const BUNDLED: [(u32, &str); 3] = [
    (8, include_str!("../layouts/8.json")),
    (9, include_str!("../layouts/9.json")),
    (10, include_str!("../layouts/10.json")),
];

/// That of a major version; `None` where there is none.
pub fn bundled(major: u32) -> Option<Descriptor> {
    let (_, json) = BUNDLED.iter().find(|(version, _)| *version == major)?;
    Descriptor::parse(json.as_bytes()).ok()
}

/// The descriptors of a runtime: its own, then the bundled one.
#[derive(Debug, Default)]
pub struct Layout {
    /// The dump's own.
    pub own: Option<Descriptor>,
    /// That of its major version.
    pub bundled: Option<Descriptor>,
}

impl Layout {
    /// A member's place in its type, in bytes.
    pub fn offset(&self, kind: &str, member: &str) -> Known<u64> {
        let both = self.own.iter().chain(&self.bundled);
        let found = both.filter_map(|descriptor| descriptor.offset(kind, member)).next();
        found.map(u64::from).ok_or_else(|| Gap::NoLayout(format!("{kind}.{member} of this version of .NET")))
    }

    /// A global constant; `None` where neither tells it.
    pub fn value(&self, name: &str) -> Option<u64> {
        self.own.iter().chain(&self.bundled).find_map(|descriptor| descriptor.value(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bundled_descriptor_is_read() {
        // As dotnet/runtime src/coreclr/vm/threads.h of each release lays it out: Id, LinkNext.
        for (major, id, link) in [(8, 32, 232), (9, 16, 112), (10, 16, 112)] {
            let bundled = bundled(major).unwrap();
            assert_eq!(bundled.offset("Thread", "Id"), Some(id), "{major}");
            assert_eq!(bundled.offset("Thread", "LinkNext"), Some(link), "{major}");
            assert!(bundled.pointers().any(|(name, _)| name == "ThreadStore"), "{major}");
        }
        assert!(bundled(7).is_none());
    }

    #[test]
    fn no_bundled_descriptor_has_a_type_twice() {
        // Of two the reader keeps the last.
        for (major, json) in BUNDLED {
            let names: Vec<&str> =
                json.lines().filter_map(|line| line.split_once("\":{")).map(|(name, _)| name).collect();
            let unique: std::collections::BTreeSet<&&str> = names.iter().collect();
            assert!(names.len() > 50 && unique.len() == names.len(), "{major}: {names:?}");
            assert_eq!(bundled(major).unwrap().offset("Frame", "Next"), Some(8), "{major}");
        }
    }

    #[test]
    fn the_dumps_own_word_goes_first_and_what_neither_tells_is_a_gap() {
        let own = Descriptor::parse(br#"{"version":0,"types":{"Thread":{"Id":99}},"globals":{}}"#).unwrap();
        let layout = Layout { own: Some(own), bundled: bundled(9) };
        assert_eq!(layout.offset("Thread", "Id"), Ok(99));
        assert_eq!(layout.offset("Thread", "OSId"), Ok(296));
        assert!(matches!(layout.offset("Thread", "Nothing"), Err(Gap::NoLayout(_))));
        assert!(matches!(Layout::default().offset("Thread", "Id"), Err(Gap::NoLayout(_))));
    }
}
