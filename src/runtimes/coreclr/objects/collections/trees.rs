//! Trees: sorted collections, and immutable ones.

use crate::model::{Gap, Known};
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::objects::elements::{Elements, Rule, keyed};
use crate::runtimes::coreclr::objects::values::Values;

pub(super) const RULES: &[(&str, Rule)] = &[
    ("System.Collections.Generic.SortedSet", |values, set, to| {
        walk(set.reference("root")?, &PLAIN, &mut |node| Ok(add(values, node, "Item", to)))
    }),
    ("System.Collections.Generic.SortedDictionary", |values, map, to| {
        let Some(set) = map.reference("_set")? else { return Ok(()) };
        walk(set.reference("root")?, &PLAIN, &mut |node| pair(values, node, "Item", to))
    }),
    ("System.Collections.Immutable.ImmutableList", immutable),
    ("System.Collections.Immutable.ImmutableSortedSet", immutable),
    ("System.Collections.Immutable.ImmutableSortedDictionary", |values, map, to| {
        walk(map.reference("_root")?, &IMMUTABLE, &mut |node| {
            Ok(to.add(values, || keyed(values.named(node, "_key"), values.named(node, "_value"))))
        })
    }),
    ("System.Collections.Immutable.ImmutableDictionary", |values, map, to| {
        buckets(map, &mut |part, field| pair(values, part, field, to))
    }),
    ("System.Collections.Immutable.ImmutableHashSet", |values, set, to| {
        buckets(set, &mut |part, field| Ok(add(values, part, field, to)))
    }),
];

/// Deepest tree: one that is balanced has fewer levels than its number of elements has bits, twice at most.
const MAX_DEPTH: usize = 128;
/// Nodes that are visited, at most.
const MAX_NODES: u32 = 1 << 20;

/// Fields of a node.
struct Links {
    left: &'static str,
    right: &'static str,
    /// Whether a tree that has nothing is a node without links. Source: ImmutableList_1.Node.cs, IsEmpty.
    has_empty: bool,
}

const PLAIN: Links = Links { left: "Left", right: "Right", has_empty: false };
const IMMUTABLE: Links = Links { left: "_left", right: "_right", has_empty: true };

/// Visits the nodes of a tree in its order, until one says that no more are wanted.
fn walk<'a>(
    root: Option<Instance<'a>>,
    links: &Links,
    visit: &mut dyn FnMut(&Instance<'a>) -> Known<bool>,
) -> Known<()> {
    let mut above = Vec::new();
    let mut next = root;
    for _ in 0..MAX_NODES {
        while let Some(node) = next {
            next = node.reference(links.left)?;
            if links.has_empty && next.is_none() {
                break;
            }
            if above.len() >= MAX_DEPTH {
                return Err(Gap::Corrupt(format!("the tree around {} is too deep", node.at)));
            }
            above.push(node);
        }
        let Some(node) = above.pop() else { return Ok(()) };
        if !visit(&node)? {
            return Ok(());
        }
        next = node.reference(links.right)?;
    }
    Err(Gap::Unsupported(format!("trees of more than {MAX_NODES} nodes")))
}

fn immutable(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    walk(object.reference("_root")?, &IMMUTABLE, &mut |node| Ok(add(values, node, "_key", to)))
}

/// Nodes by hash, each with one element and a tree of those of the same hash. `visit` is told what holds an element, and in which field.
fn buckets(object: &Instance<'_>, visit: &mut dyn FnMut(&Instance<'_>, &str) -> Known<bool>) -> Known<()> {
    walk(object.reference("_root")?, &IMMUTABLE, &mut |node| {
        let bucket = node.inner("_value")?;
        let mut goes_on = visit(&bucket, "_firstValue")?;
        if goes_on {
            walk(bucket.reference("_additionalElements")?, &IMMUTABLE, &mut |node| {
                goes_on = visit(node, "_key")?;
                Ok(goes_on)
            })?;
        }
        Ok(goes_on)
    })
}

fn add(values: &Values<'_>, part: &Instance<'_>, field: &str, to: &mut Elements) -> bool {
    to.add(values, || values.named(part, field))
}

/// Adds the `KeyValuePair` in a field.
fn pair(values: &Values<'_>, part: &Instance<'_>, field: &str, to: &mut Elements) -> Known<bool> {
    let pair = part.inner(field)?;
    Ok(to.add(values, || keyed(values.named(&pair, "key"), values.named(&pair, "value"))))
}
