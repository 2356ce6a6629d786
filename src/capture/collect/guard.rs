//! The copy of a process (`--mode fork`) is ended where the process of ours that reads it is killed before it could: the kernel kills the
//! copy then, but only its parent, the process that was copied, can reap it.
//!
//! The reading process tells another one of the copy through a pipe; when the reading process has been killed, that one reaps the copy as
//! it would have done.

use std::io::{self, Read, Write};

use super::fork;
use super::live::Live;

/// Most that is read from the pipe: as many copies as a watch makes, four numbers each.
const MAX_TOLD: u64 = 1 << 20;

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
}

/// Ends the last copy that was told of, where it is there still. For the guard, when the process that told it was killed.
pub fn end_copy(told: impl Read) {
    let mut text = String::new();
    // Whatever was told before it broke counts.
    let _ = told.take(MAX_TOLD).read_to_string(&mut text);
    let Some(copied) = text.split_inclusive('\n').filter_map(parse).next_back() else { return };
    // The copy may be gone, and its id another's: it is a child of the process, or it is none of ours.
    if let Ok(live) = Live::open(copied.parent)
        && fork::is_child(&live, copied.pid)
    {
        fork::end(&live, copied);
    }
}

fn parse(text: &str) -> Option<Copied> {
    let mut words = text.strip_suffix('\n')?.split(' ');
    let copied = Copied {
        parent: words.next()?.parse().ok()?,
        pid: words.next()?.parse().ok()?,
        inner: words.next()?.parse().ok()?,
        at: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some(copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_line_is_believed() {
        let line = "4711 4712 12 140000\n";
        assert_eq!(parse(line), Some(Copied { parent: 4711, pid: 4712, inner: 12, at: 140_000 }));
        for len in 0..line.len() {
            assert_eq!(parse(&line[..len]), None, "cut at {len}");
        }
        assert_eq!(parse("4711 4712 12 140000 1\n"), None);
        assert_eq!(parse("4711 4712 12 -1\n"), None);
    }
}
