//! What of asynchronous work could not be read: how much of each kind, and why the first of it.

use crate::runtimes::coreclr::heap::Unsearched;
use crate::runtimes::coreclr::unread::Unread;

/// What could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// What of the heap was not searched.
    pub heap: Unsearched,
    /// Objects whose class could not be read.
    pub classes: Unread,
    /// Tasks whose state, or what else ends them, could not be read.
    pub tasks: Unread,
    /// Tasks of which it is not known what goes on with them.
    pub continuations: Unread,
    /// Methods whose state machine could not be read.
    pub machines: Unread,
    /// Whether there is more than was looked at.
    pub is_cut: bool,
}

impl Gaps {
    /// Adds those of a segment. What of the heap was not searched is added by itself.
    pub(in crate::runtimes::coreclr) fn join(&mut self, more: Gaps) {
        self.classes.join(more.classes);
        self.tasks.join(more.tasks);
        self.continuations.join(more.continuations);
        self.machines.join(more.machines);
        self.is_cut |= more.is_cut;
    }

    /// In words, each kind once; empty where all was read.
    pub fn words(&self) -> Vec<String> {
        let kinds = [
            (&self.classes, "objects of the heap have a class that cannot be read: tasks may be among them"),
            (&self.tasks, "tasks cannot be read"),
            (&self.continuations, "tasks: what goes on with them cannot be read"),
            (&self.machines, "methods: their state cannot be read"),
        ];
        let cut = "there are more tasks, or ways between them, than are looked at".to_owned();
        let kinds = kinds.into_iter().filter_map(|(unread, words)| unread.words(words));
        self.heap.words().into_iter().chain(kinds).chain(self.is_cut.then_some(cut)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Gap;

    #[test]
    fn each_kind_is_told_for_itself_with_its_number() {
        let mut gaps = Gaps::default();
        assert!(gaps.words().is_empty());
        let gap = |what: &str| Gap::NotRecorded(what.to_owned());
        gaps.classes.add(&gap("a"));
        gaps.classes.add(&gap("b"));
        gaps.tasks.add(&gap("c"));
        gaps.is_cut = true;
        let classes =
            "2 objects of the heap have a class that cannot be read: tasks may be among them: not recorded: a";
        let cut = "there are more tasks, or ways between them, than are looked at";
        assert_eq!(gaps.words(), [classes, "1 tasks cannot be read: not recorded: c", cut]);
    }
}
