//! What may be spent on one target in all: a limit for each frame is none for a stack of a hundred thousand.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{Gap, Known};

/// An amount that is used up.
pub(super) struct Budget {
    spent: AtomicU64,
    all: u64,
    of: &'static str,
}

impl Budget {
    /// So much; `of` says in words what it is an amount of.
    pub(super) const fn of(all: u64, of: &'static str) -> Budget {
        Budget { spent: AtomicU64::new(0), all, of }
    }

    /// Takes an amount; a gap once they are more than there is.
    pub(super) fn take(&self, amount: u64) -> Known<()> {
        let spent = self.spent.fetch_add(amount.min(self.all), Ordering::Relaxed);
        if spent <= self.all.saturating_sub(amount) && amount <= self.all {
            return Ok(());
        }
        // Not what it was too much for, and no wrapping around.
        self.spent.fetch_sub(amount.min(self.all), Ordering::Relaxed);
        Err(Gap::Corrupt(format!("more than {} {}", self.all, self.of)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_given_and_no_more() {
        let budget = Budget::of(10, "bytes");
        assert!(budget.take(4).is_ok() && budget.take(6).is_ok());
        assert_eq!(budget.take(1), Err(Gap::Corrupt("more than 10 bytes".to_owned())));
        let budget = Budget::of(10, "bytes");
        assert!(budget.take(11).is_err() && budget.take(u64::MAX).is_err());
        assert!(budget.take(10).is_ok(), "what was refused is not used up");
    }
}
