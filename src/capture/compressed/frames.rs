//! The content of the frames of a zstd file, one after the other; skippable frames are skipped (`pzstd` writes them).
//!
//! Zeros, of which cores are full, stand in blocks of four bytes for 128 KiB each. Only the first of a run are
//! unpacked, as many as what follows may refer to; of the rest it is said how many they are. A frame's checksum covers
//! them all the same: they are hashed, as many as the size of the file allows. Specification: RFC 8878.

use std::error::Error;
use std::hash::Hasher;
use std::io;

use ruzstd::decoding::BlockDecodingStrategy::UptoBlocks;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use twox_hash::XxHash64;

use super::{MAX_BYTES, Next, Stream};

/// Largest window that a frame may ask for (`zstd -19` uses 8 MiB, `--ultra` and `--long` up to 128 MiB).
const MAX_WINDOW: u64 = 128 << 20;
/// Largest content of a block. Source: section 3.1.1.2.4, Block_Maximum_Size.
const MAX_BLOCK: u64 = 128 << 10;
/// Bytes of a block of one repeated byte: its header and that byte.
const REPEATED: usize = 4;
/// Zeros that are passed over and hashed in a file of any size, and for each of its bytes. Of memory that programs use
/// there are far fewer for a byte; a file of zeros alone has 32,768.
const MIN_HASHED: u64 = 4 << 30;
const HASHED_RATIO: u64 = 1024;
/// Zeros that are hashed before they are handed out, which takes some 10 ms: a job can be cancelled then.
const STEP: u64 = 64 << 20;
/// Zeros that are hashed at once.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// The frames that are left.
pub(super) struct Frames<'a> {
    rest: &'a [u8],
    decoder: FrameDecoder,
    /// The frame that is begun.
    frame: Option<Frame>,
    /// Zeros that may still be hashed.
    hashable: u64,
    /// Whether a frame had more of them.
    unchecked: bool,
    /// Why nothing more can be unpacked; told once what was unpacked before is handed out.
    broken: Option<io::Error>,
}

/// A frame that is begun.
struct Frame {
    header: Header,
    /// The length of its content, where the frame states it.
    stated: Option<u64>,
    /// Bytes of it that were handed out.
    length: u64,
    /// Of these, where the frame has a checksum.
    hash: Option<XxHash64>,
    /// Zeros that the decoder put out last.
    zeros: u64,
    /// The run of zeros that stands next.
    run: Run,
    /// Zeros that were passed over and are handed out next: the decoder holds none but zeros, or nothing any more.
    passed: u64,
}

/// What the start of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    /// How far back a block may refer to; `None` where it may to all of the frame.
    window: Option<u64>,
    /// Whether the length of the content is stated.
    is_sized: bool,
    has_checksum: bool,
}

/// Blocks of zeros, one behind the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Run {
    /// Compressed and decompressed bytes.
    packed: usize,
    zeros: u64,
    /// Whether the frame ends with them.
    is_last: bool,
}

impl<'a> Frames<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Frames<'a> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        let most = (bytes.len() as u64).saturating_mul(HASHED_RATIO);
        let hashable = most.clamp(MIN_HASHED, MAX_BYTES);
        Frames { rest: bytes, decoder, frame: None, hashable, unchecked: false, broken: None }
    }

    /// Begins the next frame; `None` at the end of the file.
    fn next_frame(&mut self) -> io::Result<Option<Frame>> {
        while !self.rest.is_empty() {
            let header = header(self.rest);
            match self.decoder.init(&mut self.rest) {
                Ok(()) => {
                    let stated = header.is_sized.then(|| self.decoder.content_size());
                    let hash = header.has_checksum.then(|| XxHash64::with_seed(0));
                    let run = Run::default();
                    return Ok(Some(Frame { header, stated, length: 0, hash, zeros: 0, run, passed: 0 }));
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skip = usize::try_from(length).unwrap_or(usize::MAX);
                    self.rest = self.rest.get(skip..).ok_or(io::ErrorKind::UnexpectedEof)?;
                }
                Err(why) => return Err(refused(why)),
            }
        }
        Ok(None)
    }

    /// Unpacks the next block, or passes over zeros.
    fn advance(&mut self, frame: &mut Frame) -> io::Result<()> {
        if frame.run.packed == 0 {
            frame.run = run(self.rest, frame.header);
        }
        let run = frame.run;
        if frame.stated.is_some_and(|stated| frame.length.saturating_add(run.zeros) > stated) {
            return Err(io::Error::other("a frame has more content than it states"));
        }
        if run.is_last {
            // Nothing that follows refers to what is in the decoder: an empty block ends it.
            let trailer = self.rest.get(run.packed..).unwrap_or_default();
            let checksum = trailer.get(..if frame.header.has_checksum { 4 } else { 0 });
            let checksum = checksum.ok_or(io::ErrorKind::UnexpectedEof)?;
            let end = [EMPTY_LAST_BLOCK.as_slice(), checksum].concat();
            self.decoder.decode_blocks(end.as_slice(), UptoBlocks(1)).map_err(refused)?;
            self.rest = trailer.get(checksum.len()..).unwrap_or_default();
            (frame.run, frame.passed) = (Run::default(), run.zeros);
            return Ok(());
        }
        if run.packed > 0 && frame.header.window.is_some_and(|window| frame.zeros >= window) {
            self.rest = self.rest.get(run.packed..).unwrap_or_default();
            (frame.run, frame.passed) = (Run::default(), run.zeros);
            return Ok(());
        }
        let size = repeated_zero(self.rest, frame.header).map_or(0, |(size, _)| size);
        self.decoder.decode_blocks(&mut self.rest, UptoBlocks(1)).map_err(refused)?;
        frame.zeros = if run.packed > 0 { frame.zeros.saturating_add(size) } else { 0 };
        frame.run.packed = run.packed.saturating_sub(REPEATED);
        frame.run.zeros = run.zeros.saturating_sub(size);
        Ok(())
    }

    /// Hands out zeros that were passed over: a step of them where they are hashed, else all.
    fn zeros(&mut self, frame: &mut Frame) -> u64 {
        let step = if frame.hash.is_some() { frame.passed.min(STEP) } else { frame.passed };
        match (&mut frame.hash, self.hashable.checked_sub(step)) {
            (None, _) => {}
            (Some(hash), Some(left)) => {
                self.hashable = left;
                hash_zeros(hash, step);
            }
            (Some(_), None) => (frame.hash, self.unchecked) = (None, true),
        }
        frame.passed = frame.passed.saturating_sub(step);
        frame.length = frame.length.saturating_add(step);
        step
    }
}

fn hash_zeros(hash: &mut XxHash64, zeros: u64) {
    let mut left = usize::try_from(zeros).unwrap_or(usize::MAX);
    while left > 0 {
        let len = left.min(ZEROS.len());
        hash.write(ZEROS.get(..len).unwrap_or_default());
        left = left.saturating_sub(len);
    }
}

impl Frame {
    /// Fails where the checksum or the length that the frame states are not those of its content.
    fn check(&self, stated: Option<u32>) -> io::Result<()> {
        // The lower half of it. Source: section 3.1.1, Content_Checksum.
        let found = self.hash.as_ref().map(|hash| hash.finish() & u64::from(u32::MAX));
        match (stated, found) {
            (Some(stated), Some(found)) if u64::from(stated) != found => {
                Err(io::Error::other("the checksum differs, its content is damaged"))
            }
            _ if self.stated.is_some_and(|stated| stated != self.length) => {
                Err(io::Error::other("a frame has content of another length than it states"))
            }
            _ => Ok(()),
        }
    }
}

impl Stream for Frames<'_> {
    fn next(&mut self, buffer: &mut [u8]) -> io::Result<Next> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.next_frame()? {
                    Some(frame) => frame,
                    None => return Ok(Next::Bytes(0)),
                },
            };
            let len = io::Read::read(&mut self.decoder, buffer)?;
            if len > 0 {
                if let Some(hash) = &mut frame.hash {
                    hash.write(buffer.get(..len).unwrap_or_default());
                }
                frame.length = frame.length.saturating_add(len as u64);
                self.frame = Some(frame);
                return Ok(Next::Bytes(len));
            }
            if let Some(why) = self.broken.take() {
                return Err(why);
            }
            if frame.passed > 0 {
                let zeros = self.zeros(&mut frame);
                self.frame = Some(frame);
                return Ok(Next::Zeros(zeros));
            }
            if self.decoder.is_finished() {
                frame.check(self.decoder.get_checksum_from_data())?;
                continue;
            }
            if let Err(why) = self.advance(&mut frame) {
                // The decoder holds back as much as later blocks may refer to, up to its window: an end makes it give
                // that. If it cannot, the reason is the first one all the same.
                let end = [EMPTY_LAST_BLOCK.as_slice(), &[0; 4]].concat();
                if self.decoder.decode_blocks(end.as_slice(), UptoBlocks(1)).is_err() {
                    return Err(why);
                }
                self.broken = Some(why);
            }
            self.frame = Some(frame);
        }
    }

    fn left(&self) -> usize {
        self.rest.len()
    }

    fn unchecked(&self) -> bool {
        self.unchecked
    }
}

/// Why the decoder stops. The end of the file it tells in the words of the part that it was reading.
fn refused(why: FrameDecoderError) -> io::Error {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&why);
    while let Some(inner) = cause {
        if inner.downcast_ref::<io::Error>().is_some_and(|inner| inner.kind() == io::ErrorKind::UnexpectedEof) {
            return io::ErrorKind::UnexpectedEof.into();
        }
        cause = inner.source();
    }
    io::Error::other(why)
}

/// Last_Block, Raw_Block, no bytes. Source: section 3.1.1.2.
const EMPTY_LAST_BLOCK: [u8; 3] = [1, 0, 0];

/// What the start of a frame says; the decoder refuses what is none. Source: section 3.1.1.1.
fn header(frame: &[u8]) -> Header {
    // Behind the magic number the Frame_Header_Descriptor: bits 6 and 7 Frame_Content_Size_flag, bit 5
    // Single_Segment_flag, bit 2 Content_Checksum_flag. Where there is no single segment the Window_Descriptor follows:
    // the exponent in the upper five bits, eighths of it in the lower. Where there is one, or the first flag is not 0,
    // the size of the content is stated.
    let descriptor = frame.get(4).copied().unwrap_or_default();
    let is_single = descriptor & (1 << 5) != 0;
    let window = frame.get(5).filter(|_| !is_single).map(|byte| {
        let base = 1u64 << (10 + (byte >> 3));
        base.saturating_add((base / 8).saturating_mul(u64::from(byte & 7)))
    });
    Header { window, is_sized: is_single || descriptor >> 6 != 0, has_checksum: descriptor & (1 << 2) != 0 }
}

/// The size of a block that repeats one zero, and whether it is the last one; `None` for another block. Source: section 3.1.1.2.
fn repeated_zero(blocks: &[u8], header: Header) -> Option<(u64, bool)> {
    let &[first, second, third, 0, ..] = blocks else { return None };
    let word = u32::from_le_bytes([first, second, third, 0]);
    // Block_Type 1, RLE_Block, in bits 1 and 2.
    let size = u64::from(word >> 3);
    let most = header.window.map_or(MAX_BLOCK, |window| window.min(MAX_BLOCK));
    ((word >> 1) & 3 == 1 && size <= most).then_some((size, word & 1 == 1))
}

/// The run of zeros that stands first.
fn run(mut blocks: &[u8], header: Header) -> Run {
    let mut run = Run::default();
    while let Some((size, is_last)) = repeated_zero(blocks, header) {
        run.packed = run.packed.saturating_add(REPEATED);
        run.zeros = run.zeros.saturating_add(size);
        run.is_last = is_last;
        if is_last {
            break;
        }
        blocks = blocks.get(REPEATED..).unwrap_or_default();
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of a stream: its content, how many zeros of it were passed over, and why it ended early.
    fn unpack(packed: &[u8]) -> (Vec<u8>, u64, Option<String>) {
        let (mut content, mut passed) = (Vec::new(), 0u64);
        let mut frames = Frames::new(packed);
        let mut buffer = vec![0; 100_000];
        loop {
            match frames.next(&mut buffer) {
                Ok(Next::Bytes(0)) => return (content, passed, None),
                Ok(Next::Bytes(len)) => content.extend(&buffer[..len]),
                Ok(Next::Zeros(zeros)) => {
                    passed += zeros;
                    content.resize(content.len() + usize::try_from(zeros).expect("it fits"), 0);
                }
                Err(why) => return (content, passed, Some(why.to_string())),
            }
        }
    }

    /// By the reference implementation, in one frame: the level, whether the size is stated, whether there is a checksum.
    fn pack(content: &[u8], level: i32, is_sized: bool, has_checksum: bool) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), level).expect("an encoder");
        encoder.include_checksum(has_checksum).expect("a flag");
        if is_sized {
            encoder.set_pledged_src_size(Some(content.len() as u64)).expect("a size");
        }
        io::Write::write_all(&mut encoder, content).expect("packed");
        encoder.finish().expect("packed")
    }

    /// Text, so many zeros, text that refers to what is before the zeros, as many zeros, text.
    fn content(zeros: usize) -> Vec<u8> {
        let text: Vec<u8> =
            (0..75_000u32).flat_map(|word| (word / 3).wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let zeros = vec![0; zeros];
        [text.as_slice(), &zeros, &text[..200_000], &zeros, &text[7..]].concat()
    }

    #[test]
    fn whatever_is_passed_over_the_content_is_the_same() {
        let kinds = [(true, true), (false, true), (false, false)];
        // The windows of levels 1 and 3 are 512 KiB and 2 MiB.
        for (level, window, zeros) in
            [(1, 1 << 19, 0), (1, 1 << 19, 1), (1, 1 << 19, 100_000), (1, 1 << 19, 4 << 20), (3, 2 << 20, 4 << 20)]
        {
            let content = content(zeros);
            for (is_sized, has_checksum) in kinds {
                let (found, passed, why) = unpack(&pack(&content, level, is_sized, has_checksum));
                assert_eq!(why, None, "level {level}, {zeros} zeros");
                assert!(found == content, "level {level}, {zeros} zeros, {passed} passed over");
                // Twice; beside the window, and the blocks that are zero in a part only.
                let least = 2 * (zeros as u64).saturating_sub(window + 2 * MAX_BLOCK);
                assert!(passed >= least, "level {level}: {passed} of {zeros} twice");
            }
        }
    }

    #[test]
    fn zeros_at_the_end_are_passed_over_whatever_the_window_is() {
        let content = [b"a few bytes".as_slice(), &vec![0; 3 << 20]].concat();
        for has_checksum in [true, false] {
            let packed = pack(&content, 1, true, has_checksum);
            let (found, passed, why) = unpack(&[packed.as_slice(), &packed].concat());
            assert_eq!(why, None);
            assert!(found == content.repeat(2) && passed >= 5 << 20, "{passed} of 6 MiB");
        }
    }

    #[test]
    fn a_checksum_covers_zeros_that_were_passed_over() {
        let content = [b"a few bytes".as_slice(), &vec![0; 3 << 20]].concat();
        let mut packed = pack(&content, 1, true, true);
        let last = packed.len() - 5;
        // The last block's byte that is repeated; then one that repeats less of it.
        packed[last] = 1;
        let (_, _, why) = unpack(&packed);
        assert!(why.is_some_and(|why| why.contains("checksum")), "another byte is repeated");
        packed[last] = 0;
        packed[last - 2] ^= 1;
        let (_, passed, why) = unpack(&packed);
        assert!(why.is_some_and(|why| why.contains("checksum")) && passed > 0, "fewer zeros are repeated");
    }

    #[test]
    fn what_was_unpacked_before_a_cut_is_handed_out_whatever_the_window_is() {
        // All of it is within the window of level 3, which the decoder holds back.
        let content = content(1000);
        for has_checksum in [true, false] {
            let packed = pack(&content, 3, false, has_checksum);
            let (found, _, why) = unpack(&packed[..packed.len() * 3 / 4]);
            assert!(why.is_some(), "it is cut");
            assert!(found.len() as u64 >= MAX_BLOCK, "at least a block: {} of {} bytes", found.len(), content.len());
            assert!(content.starts_with(&found), "it begins as the content does");
        }
    }

    #[test]
    fn a_stream_that_is_cut_or_damaged_anywhere_ends_with_a_reason_or_is_whole() {
        let content = [b"a few bytes".as_slice(), &vec![0; 300 << 10], b"and more"].concat();
        let packed = pack(&content, 1, false, true);
        assert!(packed.len() < 400, "{} bytes", packed.len());
        for len in 1..packed.len() {
            let (found, _, why) = unpack(&packed[..len]);
            assert!(why.is_some(), "cut at {len}: {} bytes", found.len());
        }
        for at in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x55;
            let (found, _, why) = unpack(&damaged);
            assert!(why.is_some() || found == content || at < 9, "damage at {at}: {} bytes", found.len());
        }
    }

    #[test]
    fn headers_and_runs_are_those_of_the_specification() {
        let magic = [0x28, 0xb5, 0x2f, 0xfd];
        let of = |bytes: &[u8]| header(&[&magic, bytes].concat());
        // 2^(10 + 7) bytes and three eighths of it.
        assert_eq!(
            of(&[0x04, 7 << 3 | 3]),
            Header { window: Some((128 << 10) / 8 * 11), is_sized: false, has_checksum: true }
        );
        assert_eq!(of(&[0x20, 0xff]), Header { window: None, is_sized: true, has_checksum: false });
        assert_eq!(of(&[0x40, 0]), Header { window: Some(1 << 10), is_sized: true, has_checksum: false });
        let header = Header { window: Some(1 << 20), is_sized: false, has_checksum: false };
        // Size 16 in bits 3 and up: 0x80; type 1 in bits 1 and 2: 0x02; the last has bit 0.
        let blocks = [0x82, 0, 0, 0, 0x83, 0, 0, 0, 0x82, 0, 0, 0];
        assert_eq!(run(&blocks, header), Run { packed: 8, zeros: 32, is_last: true });
        assert_eq!(run(&[0x82, 0, 0, 1], header), Run::default(), "another byte");
        assert_eq!(run(&[0x80, 0, 0, 0], header), Run::default(), "no repetition");
        assert_eq!(run(&[0x82, 0, 0], header), Run::default(), "cut");
        // 2 MiB less one byte is more than a block may hold.
        assert_eq!(run(&[0xfa, 0xff, 0xff, 0], header), Run::default());
    }

    /// A frame with a window of 128 KiB and a checksum that is wrong: so many blocks of 128 KiB of zeros each, then an
    /// empty last one.
    fn zeros(blocks: usize, stated: Option<u64>) -> Vec<u8> {
        // Frame_Content_Size_flag 3: eight bytes behind the Window_Descriptor.
        let descriptor = if stated.is_some() { 0xc4 } else { 0x04 };
        let size = stated.map(u64::to_le_bytes).unwrap_or_default();
        let size = if stated.is_some() { size.as_slice() } else { &[] };
        // 128 KiB in bits 3 and up: 0x100000; type 1 in bits 1 and 2.
        let blocks = [0x02, 0, 0x10, 0].repeat(blocks);
        [&[0x28, 0xb5, 0x2f, 0xfd, descriptor, 7 << 3], size, &blocks, &EMPTY_LAST_BLOCK, b"sum?"].concat()
    }

    /// How many zeros are passed over, the most at once, and why it ended early.
    fn passed(frames: &mut Frames<'_>) -> (u64, u64, Option<String>) {
        let (mut all, mut most) = (0u64, 0);
        let mut buffer = vec![0; 1 << 18];
        loop {
            match frames.next(&mut buffer) {
                Ok(Next::Bytes(0)) => return (all, most, None),
                Ok(Next::Bytes(_)) => {}
                Ok(Next::Zeros(zeros)) => (all, most) = (all + zeros, most.max(zeros)),
                Err(why) => return (all, most, Some(why.to_string())),
            }
        }
    }

    #[test]
    fn hashed_zeros_are_handed_out_in_steps_and_their_number_is_limited() {
        // The first fills the window and is unpacked, 192 MiB are passed over.
        let packed = zeros(1 + (192 << 3), None);
        let mut frames = Frames::new(&packed);
        let (all, most, why) = passed(&mut frames);
        assert_eq!((all, most), (192 << 20, 64 << 20));
        assert!(why.is_some_and(|why| why.contains("checksum")) && !frames.unchecked());
        let mut frames = Frames { hashable: 100 << 20, ..Frames::new(&packed) };
        let (all, most, why) = passed(&mut frames);
        assert_eq!(
            (all, most, why),
            (192 << 20, 64 << 20, None),
            "the checksum is not held against what was not hashed"
        );
        assert!(frames.unchecked() && frames.hashable == 36 << 20);
    }

    #[test]
    fn what_may_be_hashed_follows_from_the_size_of_the_file() {
        let of = |len: usize| Frames::new(&vec![0; len]).hashable;
        assert_eq!((of(100), of(5 << 20), of(80 << 20)), (4 << 30, 5 << 30, 64 << 30));
    }

    #[test]
    fn a_frame_with_more_zeros_than_it_states_is_refused_before_they_are_hashed() {
        // 32 GiB of zeros.
        let packed = zeros(1 << 18, Some(1 << 20));
        let mut frames = Frames::new(&packed);
        let before = frames.hashable;
        let (all, _, why) = passed(&mut frames);
        assert!(why.is_some_and(|why| why.contains("more content than it states")));
        assert_eq!((all, frames.hashable), (0, before));
    }

    #[test]
    fn a_frame_with_less_content_than_it_states_is_damaged() {
        let mut packed = zeros(1, Some(1 << 20));
        // Without Content_Checksum_flag and checksum.
        packed[4] ^= 0x04;
        packed.truncate(packed.len() - 4);
        let (_, _, why) = passed(&mut Frames::new(&packed));
        assert!(why.is_some_and(|why| why.contains("another length than it states")));
    }

    #[test]
    fn only_the_end_of_the_file_is_told_as_such() {
        let packed = pack(b"a few bytes", 1, true, true);
        let kind = |packed: &[u8]| {
            let (mut frames, mut buffer) = (Frames::new(packed), vec![0; 100]);
            loop {
                match frames.next(&mut buffer) {
                    Ok(Next::Bytes(0)) => return None,
                    Ok(_) => {}
                    Err(why) => return Some(why.kind()),
                }
            }
        };
        assert_eq!(kind(&packed), None);
        for len in 1..packed.len() {
            assert_eq!(kind(&packed[..len]), Some(io::ErrorKind::UnexpectedEof), "cut at {len}");
        }
        // The last byte of the checksum, behind which nothing is left.
        let mut damaged = packed.clone();
        *damaged.last_mut().expect("bytes") ^= 1;
        assert_eq!(kind(&damaged), Some(io::ErrorKind::Other));
    }
}
