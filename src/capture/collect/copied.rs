//! What is known of the copy of a process (`--mode fork`), as the process that reads it tells its guard.

use std::io::{self, Write};

/// A copy that may have to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copied {
    /// The process that was copied.
    pub(super) parent: u32,
    /// Its copy, by its id in our PID namespace.
    pub(super) pid: i32,
    /// The copy's id in the process's own namespace.
    pub(super) inner: u64,
    /// Where the process has a `syscall` instruction.
    pub(super) at: u64,
}

impl Copied {
    /// Tells the guard of it.
    pub(super) fn tell(self, mut guard: impl Write) -> io::Result<()> {
        let Copied { parent, pid, inner, at } = self;
        guard.write_all(format!("{parent} {pid} {inner} {at}\n").as_bytes())
    }

    /// What [`Copied::tell`] wrote; `None` for a line that is not whole.
    pub(super) fn parse(text: &str) -> Option<Copied> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        let copied = Copied {
            parent: words.next()?.parse().ok()?,
            pid: words.next()?.parse().ok()?,
            inner: words.next()?.parse().ok()?,
            at: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(copied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_line_is_believed() {
        let line = "4711 4712 12 140000\n";
        assert_eq!(Copied::parse(line), Some(Copied { parent: 4711, pid: 4712, inner: 12, at: 140_000 }));
        for len in 0..line.len() {
            assert_eq!(Copied::parse(&line[..len]), None, "cut at {len}");
        }
        assert_eq!(Copied::parse("4711 4712 12 140000 1\n"), None);
        assert_eq!(Copied::parse("4711 4712 12 -1\n"), None);
    }
}
