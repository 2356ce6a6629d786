//! Stacks that are alike, as one: the same methods at the same awaits, which wait for the same.

use rustc_hash::FxHashMap;

use super::answer::{FrameRow, StackRow};
use crate::model::Addr;

/// Most first. Addresses and threads are those of the first of them, and of all.
pub(super) fn of(stacks: Vec<StackRow>) -> Vec<StackRow> {
    let mut places: FxHashMap<Key, usize> = FxHashMap::default();
    let mut all: Vec<StackRow> = Vec::new();
    for stack in stacks {
        let place = *places.entry(key(&stack)).or_insert(all.len());
        match all.get_mut(place) {
            Some(known) => {
                known.count = known.count.saturating_add(stack.count);
                known.threads.extend(stack.threads);
                known.threads.sort_unstable();
                known.threads.dedup();
                known.awaits.address = known.awaits.address.filter(|address| stack.awaits.address == Some(*address));
            }
            None => all.push(stack),
        }
    }
    all.sort_by_key(|stack| std::cmp::Reverse(stack.count));
    all
}

/// What makes stacks alike. A class that has no name is told by its object.
type Key = (&'static str, Option<String>, Vec<(Result<std::sync::Arc<str>, Addr>, Option<i32>)>);

fn key(stack: &StackRow) -> Key {
    let frame = |frame: &FrameRow| (frame.type_name.clone().ok_or(frame.address), frame.state);
    (stack.awaits.kind, stack.awaits.name.clone(), stack.frames.iter().map(frame).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tid;
    use crate::views::coreclr::dumpasync::answer::AwaitedRow;

    fn stack(at: u64, name: &str, state: i32, tid: u32) -> StackRow {
        let frame = FrameRow {
            address: Addr(at),
            type_name: Some(name.into()),
            method: None,
            state: Some(state),
            status: None,
            file: None,
            line: None,
            fields: None,
            unread: None,
        };
        let awaits = AwaitedRow { kind: "task", address: Some(Addr(at + 8)), name: None };
        StackRow { count: 1, frames: vec![frame], awaits, threads: vec![Tid(tid)] }
    }

    #[test]
    fn the_same_methods_at_the_same_awaits_are_one() {
        let all =
            of(vec![stack(0x10, "A", 0, 1), stack(0x20, "B", 0, 2), stack(0x30, "B", 0, 1), stack(0x40, "B", 1, 1)]);
        let told: Vec<_> =
            all.iter().map(|stack| (stack.count, stack.frames[0].address, stack.threads.len())).collect();
        assert_eq!(told, [(2, Addr(0x20), 2), (1, Addr(0x10), 1), (1, Addr(0x40), 1)]);
        assert_eq!(all[0].awaits.address, None);
    }
}
