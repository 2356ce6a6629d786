//! The two truths about a fixture: what the process said (`truth.json`) and what its source dictates (`expected.json`).
//! Their keys are described in `fixtures/README.md`.

use serde_json::Value;

use crate::repository;

/// The address that a JSON string such as `"0x7f12"` states.
pub fn as_address(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

/// The line a fixture writes once it is at rest.
#[derive(Debug, Clone)]
pub struct Truth(Value);

impl Truth {
    /// Reads the line. Anything before it (a program may print) is skipped.
    pub fn parse(text: &str) -> Truth {
        let line = text.lines().find(|line| line.starts_with("{\"ready\":true"));
        let line = line.unwrap_or_else(|| panic!("the fixture wrote no truth line, but {text:?}"));
        Truth(serde_json::from_str(line).expect("the truth line is JSON"))
    }

    /// The same with each thread id replaced by what `tids` (a JSON object, id to id) says.
    #[must_use]
    pub fn renumbered(mut self, tids: &str) -> Truth {
        let tids: Value = serde_json::from_str(tids).expect("tids.json is JSON");
        for tid in self.0["threads"].as_object_mut().into_iter().flat_map(|threads| threads.values_mut()) {
            let outside = tids[tid.to_string()].as_u64();
            *tid = Value::from(outside.unwrap_or_else(|| panic!("no thread {tid} in {tids}")));
        }
        self
    }

    /// The process id as the process itself sees it.
    pub fn pid(&self) -> u64 {
        self.0["pid"].as_u64().expect("the truth line has a pid")
    }

    /// The tid of a thread, by its logical name.
    pub fn tid(&self, thread: &str) -> u64 {
        self.0["threads"][thread].as_u64().unwrap_or_else(|| panic!("no thread {thread} in {}", self.0["threads"]))
    }

    /// The address of a lock object, by its logical name.
    pub fn lock(&self, lock: &str) -> u64 {
        as_address(&self.0["locks"][lock]).unwrap_or_else(|| panic!("no lock {lock} in {}", self.0["locks"]))
    }

    /// Another address or number that the fixture published.
    pub fn value(&self, name: &str) -> u64 {
        as_address(&self.0["values"][name]).unwrap_or_else(|| panic!("no value {name} in {}", self.0["values"]))
    }

    /// All logical names of threads that `pattern` stands for (a trailing `*` matches any rest), with their tids, by tid.
    pub fn threads(&self, pattern: &str) -> Vec<(&str, u64)> {
        let all = self.0["threads"].as_object().expect("the truth line has threads");
        let named = all.iter().filter_map(|(name, tid)| Some((name.as_str(), tid.as_u64()?)));
        let mut found: Vec<_> = named.filter(|(name, _)| matches(pattern, name)).collect();
        found.sort_by_key(|(_, tid)| *tid);
        found
    }

    /// The logical name of a thread.
    pub fn name_of(&self, tid: u64) -> Option<&str> {
        self.threads("*").into_iter().find(|(_, known)| *known == tid).map(|(name, _)| name)
    }
}

/// Whether `name` is `pattern`, or starts with what stands before the pattern's final `*`.
fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// A fixture's `expected.json`.
#[derive(Debug, Clone)]
pub struct Expected(Value);

impl Expected {
    /// Reads `fixtures/NAME/expected.json`.
    pub fn of(name: &str) -> Expected {
        let path = repository().join("fixtures").join(name).join("expected.json");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        Expected(serde_json::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display())))
    }

    /// The whole document.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// Threads by the pattern of their logical names, with what is expected of each.
    pub fn threads(&self) -> Vec<(&str, &Value)> {
        self.members("threads")
    }

    /// Locks by logical name, with what is expected of each.
    pub fn locks(&self) -> Vec<(&str, &Value)> {
        self.members("locks")
    }

    /// What is expected of one variant.
    pub fn variant(&self, variant: &str) -> &Value {
        &self.0["variants"][variant]
    }

    fn members(&self, key: &str) -> Vec<(&str, &Value)> {
        self.0[key].as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_with_a_star_stands_for_every_name_with_that_start() {
        let truth = Truth::parse("{\"ready\":true,\"pid\":9,\"threads\":{\"pool-2\":12,\"pool-1\":11,\"main\":9}}");
        assert_eq!(truth.threads("pool-*"), [("pool-1", 11), ("pool-2", 12)]);
        assert_eq!(truth.threads("pool"), []);
        assert_eq!(truth.name_of(9), Some("main"));
    }

    #[test]
    fn thread_ids_of_a_namespace_are_translated() {
        let truth = Truth::parse("{\"ready\":true,\"pid\":7,\"threads\":{\"main\":7}}").renumbered("{\"7\":4711}");
        assert_eq!(truth.tid("main"), 4711);
    }

    #[test]
    fn addresses_are_read_from_hexadecimal_strings_only() {
        assert_eq!(as_address(&Value::from("0x7f00")), Some(0x7f00));
        assert_eq!(as_address(&Value::from("7f00")), None);
        assert_eq!(as_address(&Value::from(7)), None);
    }
}
