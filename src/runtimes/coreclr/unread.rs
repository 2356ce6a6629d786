//! How many of a kind could not be read, and why the first of them.

use crate::model::Gap;

/// How many of a kind could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// How many.
    pub count: u64,
    /// Why the first; `None` where there is none.
    pub why: Option<Gap>,
}

impl Unread {
    pub(super) fn add(&mut self, gap: &Gap) {
        self.add_many(1, gap);
    }

    pub(super) fn add_many(&mut self, count: u64, gap: &Gap) {
        self.count = self.count.saturating_add(count);
        if self.why.is_none() {
            self.why = Some(gap.clone());
        }
    }

    pub(super) fn join(&mut self, more: Unread) {
        self.count = self.count.saturating_add(more.count);
        self.why = self.why.take().or(more.why);
    }

    pub(super) fn extend<'a>(&mut self, gaps: impl IntoIterator<Item = &'a Gap>) {
        gaps.into_iter().for_each(|gap| self.add(gap));
    }

    /// How many, what is not known of them, and why; `None` where there is none.
    pub(super) fn words(&self, what: &str) -> Option<String> {
        self.why.as_ref().map(|why| format!("{} {what}: {why}", self.count))
    }
}
