//! What of asynchronous work could not be read: how much of each kind, and why the first of it.

use crate::runtimes::coreclr::unread::Unread;

/// What could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Segments of the heap that were not walked to their ends.
    pub segments: Unread,
    /// Objects whose class, and tasks whose state, could not be read.
    pub tasks: Unread,
    /// Tasks of which it is not known what goes on with them.
    pub continuations: Unread,
    /// Methods whose state machine could not be read.
    pub machines: Unread,
    /// Whether there is more than was looked at.
    pub is_cut: bool,
}

impl Gaps {
    pub(in crate::runtimes::coreclr) fn join(&mut self, more: Gaps) {
        self.segments.join(more.segments);
        self.tasks.join(more.tasks);
        self.continuations.join(more.continuations);
        self.machines.join(more.machines);
        self.is_cut |= more.is_cut;
    }

    /// In words, each kind once; empty where all was read.
    pub fn words(&self) -> Vec<String> {
        let kinds = [
            (&self.segments, "segments of the heap cannot be walked to their ends: objects behind are missing"),
            (&self.tasks, "tasks cannot be read"),
            (&self.continuations, "tasks: what goes on with them cannot be read"),
            (&self.machines, "methods: their state cannot be read"),
        ];
        let of_kind = |(unread, words): (&Unread, &str)| {
            let why = unread.why.as_ref()?;
            Some(format!("{} {words}: {why}", unread.count))
        };
        let cut = "there are more tasks, or ways between them, than are looked at".to_owned();
        kinds.into_iter().filter_map(of_kind).chain(self.is_cut.then_some(cut)).collect()
    }
}
