//! A core from a pipe into a file: pages of zeros become holes, and limits end it early.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustix::time::Timespec;

/// Bytes read at once; a pipe holds 64 KiB unless it is widened.
const BUFFER: usize = 1 << 20;
/// Blocks that are left out when they hold nothing but zeros.
const BLOCK: usize = 4096;

/// What ends a copy before its input does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cap {
    /// Length of the file, bytes.
    pub(super) bytes: u64,
    /// Bytes of it that take room.
    pub(super) data: u64,
    /// The time after which no more is read.
    pub(super) until: Option<Instant>,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file's length, holes included.
    pub bytes: u64,
    /// Bytes of it that were zeros and take no room.
    pub holes: u64,
    /// Why it ends before the core does; `None` where it is whole.
    pub stopped: Option<Stop>,
}

/// Why a core was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The file would have grown beyond its limit.
    Size,
    /// The file system would have less free than is to be kept.
    Space,
    /// It took too long.
    Time,
}

impl Stop {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Stop::Size => "the size limit was reached",
            Stop::Space => "the file system's free space was used up to what is kept",
            Stop::Time => "the time limit was reached",
        }
    }
}

/// Where a core comes from.
pub trait Source: Read {
    /// Waits until a read will not block; false where `until` came first.
    fn wait(&mut self, until: Option<Instant>) -> io::Result<bool>;
}

/// The kernel may keep a pipe open without writing: while it waits for a page of a file on a network, say.
impl Source for File {
    fn wait(&mut self, until: Option<Instant>) -> io::Result<bool> {
        let Some(until) = until else { return Ok(true) };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let time = Timespec::try_from(left).map_err(io::Error::other)?;
            let mut waited = [PollFd::new(&*self, PollFlags::IN)];
            match rustix::event::poll(&mut waited, Some(&time)) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Copies until the input ends or a limit is reached.
pub(super) fn copy(input: &mut impl Source, file: &File, cap: Cap) -> io::Result<Written> {
    let mut buffer = vec![0; BUFFER];
    let mut written = Written { bytes: 0, holes: 0, stopped: None };
    loop {
        let (filled, is_late) = fill(input, &mut buffer, cap.until)?;
        if filled == 0 && !is_late {
            break;
        }
        let room = usize::try_from(cap.bytes.saturating_sub(written.bytes)).unwrap_or(usize::MAX);
        let part = buffer.get(..filled.min(room)).unwrap_or_default();
        for block in part.chunks(BLOCK) {
            let length = u64::try_from(block.len()).map_err(io::Error::other)?;
            if block.iter().all(|byte| *byte == 0) {
                written.holes = written.holes.saturating_add(length);
            } else if written.bytes.saturating_sub(written.holes).saturating_add(length) > cap.data {
                written.stopped = Some(Stop::Space);
                break;
            } else {
                file.write_all_at(block, written.bytes)?;
            }
            written.bytes = written.bytes.checked_add(length).ok_or(io::ErrorKind::FileTooLarge)?;
        }
        if written.stopped.is_some() {
            break;
        }
        if filled > room {
            written.stopped = Some(Stop::Size);
            break;
        }
        if is_late {
            written.stopped = Some(Stop::Time);
            break;
        }
    }
    // Zeros at the end are a hole too, which only the length tells.
    file.set_len(written.bytes)?;
    Ok(written)
}

/// Reads until the buffer is full, the input ends or the time is over; how much, and whether it is over.
fn fill(input: &mut impl Source, buffer: &mut [u8], until: Option<Instant>) -> io::Result<(usize, bool)> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        if !input.wait(until)? {
            return Ok((filled, true));
        }
        match input.read(rest) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok((filled, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    /// Bytes that are there at once.
    impl<T: Read> Source for io::Take<T> {
        fn wait(&mut self, until: Option<Instant>) -> io::Result<bool> {
            Ok(until.is_none_or(|until| Instant::now() < until))
        }
    }

    fn copied(bytes: &[u8], cap: u64) -> (Written, Vec<u8>, u64) {
        let file = tempfile::tempfile().unwrap();
        let written = copy(&mut bytes.take(u64::MAX), &file, Cap { bytes: cap, data: u64::MAX, until: None }).unwrap();
        let mut back = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut back, 0).unwrap();
        (written, back, file.metadata().unwrap().blocks() * 512)
    }

    #[test]
    fn zeros_take_no_room_and_read_back() {
        let mut bytes = vec![0; 3 << 20];
        bytes[5] = 1;
        bytes[2 << 20] = 2;
        let (written, back, used) = copied(&bytes, u64::MAX);
        assert!(back == bytes);
        assert_eq!(written, Written { bytes: 3 << 20, holes: (3 << 20) - 8192, stopped: None });
        assert!(used <= 64 << 10, "{used} bytes are used");
    }

    #[test]
    fn a_core_is_cut_at_the_limit_exactly() {
        let bytes: Vec<u8> = (0..10_000u32).map(|at| at.to_le_bytes()[0] | 1).collect();
        for cap in [0, 1, 4095, 4096, 4097, 9_999] {
            let (written, back, _) = copied(&bytes, cap);
            assert_eq!((written.bytes, written.stopped), (cap, Some(Stop::Size)));
            assert_eq!(back, bytes[..usize::try_from(cap).unwrap()]);
        }
        assert_eq!(copied(&bytes, 10_000).0.stopped, None);
    }

    #[test]
    fn holes_do_not_count_against_the_free_space() {
        let mut bytes = vec![0; 1 << 20];
        bytes[4096..12_288].fill(1);
        let file = tempfile::tempfile().unwrap();
        let cap = |data| Cap { bytes: u64::MAX, data, until: None };
        assert_eq!(copy(&mut bytes.as_slice().take(u64::MAX), &file, cap(8192)).unwrap().stopped, None);
        let written = copy(&mut bytes.as_slice().take(u64::MAX), &file, cap(8191)).unwrap();
        assert_eq!(written, Written { bytes: 8192, holes: 4096, stopped: Some(Stop::Space) });
    }

    #[test]
    fn time_ends_a_core_that_does_not() {
        let file = tempfile::tempfile().unwrap();
        let cap = Cap { bytes: u64::MAX, data: u64::MAX, until: Some(Instant::now()) };
        let written = copy(&mut io::repeat(7).take(u64::MAX), &file, cap).unwrap();
        assert_eq!((written.bytes, written.stopped), (0, Some(Stop::Time)));
    }
}
