//! A thousand threads on one screen: equal stacks are one, with their count, and nobody is lost.

use std::collections::BTreeMap;

use serde_json::Value;
use support::{dump, dumpscope};

/// Threads at or below the nodes whose function is one of the program's waits, by that function.
fn counts<'a>(node: &'a Value, groups: &serde_json::Map<String, Value>, found: &mut BTreeMap<&'a str, u64>) {
    let function = node["function"].as_str().unwrap_or("");
    if let Some(name) = function.split('(').next().filter(|name| groups.contains_key(*name)) {
        *found.entry(name).or_default() += node["count"].as_u64().expect("a count");
        return;
    }
    for child in node["children"].as_array().into_iter().flatten() {
        counts(child, groups, found);
    }
}

fn tids(node: &Value) -> Vec<u64> {
    let own = node["tids"].as_array().into_iter().flatten().filter_map(Value::as_u64);
    let below = node["children"].as_array().into_iter().flatten().flat_map(tids);
    own.chain(below).collect()
}

#[test]
fn a_thousand_threads_merge_into_the_groups_of_the_source() {
    let dump = dump("threads1000", "small");
    let output = dumpscope!("analyze", dump.core(), "--offline", "--json", "-c", "parallelstacks").expect_status(0);
    let data = output.data("parallelstacks");
    let roots = data["roots"].as_array().expect("roots");
    let expected = dump.expected();
    let groups = expected.json()["groups"].as_object().expect("groups");
    let mut found = BTreeMap::new();
    roots.iter().for_each(|root| counts(root, groups, &mut found));
    let wanted: BTreeMap<&str, u64> =
        groups.iter().map(|(name, count)| (name.as_str(), count.as_u64().expect("a count"))).collect();
    assert_eq!(found, wanted);

    let mut shown: Vec<u64> = roots.iter().flat_map(tids).collect();
    shown.sort_unstable();
    shown.dedup();
    let truth = dump.truth();
    assert_eq!(shown, truth.threads("*").iter().map(|(_, tid)| *tid).collect::<Vec<_>>());

    let text = dumpscope!("analyze", dump.core(), "--offline", "-c", "parallelstacks").expect_status(0).stdout;
    assert!(text.lines().count() < 60, "{} lines:\n{text}", text.lines().count());
    assert!(text.lines().any(|line| line.contains("599") && line.contains("shop::lookup")), "{text}");
}
