//! The content of the frames of a zstd file, one after the other; skippable frames are skipped (`pzstd` writes them).
//!
//! Zeros, of which cores are full, stand in blocks of four bytes for 128 KiB each. Only the first of a run are unpacked, as many as what
//! follows may refer to; of the rest it is said how many they are. A frame's checksum covers them all the same. Specification: RFC 8878.

use std::hash::Hasher;
use std::io;

use ruzstd::decoding::BlockDecodingStrategy::UptoBlocks;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use twox_hash::XxHash64;

use super::{Next, Stream};

/// Largest window that a frame may ask for (`zstd -19` uses 8 MiB, `--ultra` and `--long` up to 128 MiB).
const MAX_WINDOW: u64 = 128 << 20;
/// Largest content of a block. Source: section 3.1.1.2.4, Block_Maximum_Size.
const MAX_BLOCK: u64 = 128 << 10;
/// Bytes of a block of one repeated byte: its header and that byte.
const REPEATED: usize = 4;
/// Zeros that are hashed at once.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// The frames that are left.
pub(super) struct Frames<'a> {
    rest: &'a [u8],
    decoder: FrameDecoder,
    /// The frame that is begun.
    frame: Option<Frame>,
    /// Why nothing more can be unpacked; told once what was unpacked before is handed out.
    broken: Option<io::Error>,
}

/// A frame that is begun.
struct Frame {
    header: Header,
    /// Of its content so far, where it has a checksum.
    hash: Option<XxHash64>,
    /// Zeros that the decoder put out last.
    zeros: u64,
    /// The run of zeros that stands next.
    run: Run,
    /// Zeros behind what is in the decoder, with which the frame ends.
    end: u64,
}

/// What the start of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    /// How far back a block may refer to; `None` where it may to all of the frame.
    window: Option<u64>,
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
        Frames { rest: bytes, decoder, frame: None, broken: None }
    }

    /// Begins the next frame; `None` at the end of the file.
    fn next_frame(&mut self) -> io::Result<Option<Frame>> {
        while !self.rest.is_empty() {
            let header = header(self.rest);
            match self.decoder.init(&mut self.rest) {
                Ok(()) => {
                    let hash = header.has_checksum.then(|| XxHash64::with_seed(0));
                    return Ok(Some(Frame { header, hash, zeros: 0, run: Run::default(), end: 0 }));
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skip = usize::try_from(length).unwrap_or(usize::MAX);
                    self.rest = self.rest.get(skip..).ok_or(io::ErrorKind::UnexpectedEof)?;
                }
                Err(why) => return Err(io::Error::other(why)),
            }
        }
        Ok(None)
    }

    /// Unpacks the next block, or passes over zeros: how many of them.
    fn advance(&mut self, frame: &mut Frame) -> io::Result<Option<u64>> {
        if frame.run.packed == 0 {
            frame.run = run(self.rest, frame.header);
        }
        let run = frame.run;
        if run.is_last {
            // Nothing that follows refers to what is in the decoder: an empty block ends it.
            let trailer = self.rest.get(run.packed..).unwrap_or_default();
            let checksum = trailer.get(..if frame.header.has_checksum { 4 } else { 0 });
            let checksum = checksum.ok_or(io::ErrorKind::UnexpectedEof)?;
            let end = [EMPTY_LAST_BLOCK.as_slice(), checksum].concat();
            self.decoder.decode_blocks(end.as_slice(), UptoBlocks(1)).map_err(io::Error::other)?;
            self.rest = trailer.get(checksum.len()..).unwrap_or_default();
            (frame.run, frame.end) = (Run::default(), run.zeros);
            return Ok(None);
        }
        if run.packed > 0 && frame.header.window.is_some_and(|window| frame.zeros >= window) {
            self.rest = self.rest.get(run.packed..).unwrap_or_default();
            frame.run = Run::default();
            return Ok(Some(run.zeros));
        }
        let size = repeated_zero(self.rest, frame.header).map_or(0, |(size, _)| size);
        self.decoder.decode_blocks(&mut self.rest, UptoBlocks(1)).map_err(io::Error::other)?;
        frame.zeros = if run.packed > 0 { frame.zeros.saturating_add(size) } else { 0 };
        frame.run.packed = run.packed.saturating_sub(REPEATED);
        frame.run.zeros = run.zeros.saturating_sub(size);
        Ok(None)
    }
}

impl Frame {
    fn add_zeros(&mut self, zeros: u64) {
        let Some(hash) = &mut self.hash else { return };
        let mut left = usize::try_from(zeros).unwrap_or(usize::MAX);
        while left > 0 {
            let len = left.min(ZEROS.len());
            hash.write(ZEROS.get(..len).unwrap_or_default());
            left = left.saturating_sub(len);
        }
    }

    /// Fails where the checksum that the frame states is not that of its content.
    fn check(&self, stated: Option<u32>) -> io::Result<()> {
        // The lower half of it. Source: section 3.1.1, Content_Checksum.
        let found = self.hash.as_ref().map(|hash| hash.finish() & u64::from(u32::MAX));
        match (stated, found) {
            (Some(stated), Some(found)) if u64::from(stated) != found => {
                Err(io::Error::other("the checksum differs, its content is damaged"))
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
                self.frame = Some(frame);
                return Ok(Next::Bytes(len));
            }
            if let Some(why) = self.broken.take() {
                return Err(why);
            }
            if self.decoder.is_finished() {
                let zeros = std::mem::take(&mut frame.end);
                if zeros > 0 {
                    frame.add_zeros(zeros);
                    self.frame = Some(frame);
                    return Ok(Next::Zeros(zeros));
                }
                frame.check(self.decoder.get_checksum_from_data())?;
                continue;
            }
            let passed = match self.advance(&mut frame) {
                Ok(passed) => passed,
                Err(why) => {
                    // The decoder holds back as much as later blocks may refer to, up to its window: an end makes it give that.
                    let end = [EMPTY_LAST_BLOCK.as_slice(), &[0; 4]].concat();
                    self.decoder.decode_blocks(end.as_slice(), UptoBlocks(1)).map_err(io::Error::other)?;
                    self.broken = Some(why);
                    None
                }
            };
            if let Some(zeros) = passed {
                frame.add_zeros(zeros);
            }
            self.frame = Some(frame);
            if let Some(zeros) = passed {
                return Ok(Next::Zeros(zeros));
            }
        }
    }

    fn left(&self) -> usize {
        self.rest.len()
    }
}

/// Last_Block, Raw_Block, no bytes. Source: section 3.1.1.2.
const EMPTY_LAST_BLOCK: [u8; 3] = [1, 0, 0];

/// What the start of a frame says; the decoder refuses what is none. Source: section 3.1.1.1.
fn header(frame: &[u8]) -> Header {
    // Behind the magic number the Frame_Header_Descriptor: bit 5 Single_Segment_flag, bit 2 Content_Checksum_flag. Where there is no single
    // segment the Window_Descriptor follows: the exponent in the upper five bits, eighths of it in the lower.
    let descriptor = frame.get(4).copied().unwrap_or_default();
    let window = frame.get(5).filter(|_| descriptor & (1 << 5) == 0).map(|byte| {
        let base = 1u64 << (10 + (byte >> 3));
        base.saturating_add((base / 8).saturating_mul(u64::from(byte & 7)))
    });
    Header { window, has_checksum: descriptor & (1 << 2) != 0 }
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
        assert_eq!(of(&[0x04, 7 << 3 | 3]), Header { window: Some((128 << 10) / 8 * 11), has_checksum: true });
        assert_eq!(of(&[0x20, 0xff]), Header { window: None, has_checksum: false });
        let header = Header { window: Some(1 << 20), has_checksum: false };
        // Size 16 in bits 3 and up: 0x80; type 1 in bits 1 and 2: 0x02; the last has bit 0.
        let blocks = [0x82, 0, 0, 0, 0x83, 0, 0, 0, 0x82, 0, 0, 0];
        assert_eq!(run(&blocks, header), Run { packed: 8, zeros: 32, is_last: true });
        assert_eq!(run(&[0x82, 0, 0, 1], header), Run::default(), "another byte");
        assert_eq!(run(&[0x80, 0, 0, 0], header), Run::default(), "no repetition");
        assert_eq!(run(&[0x82, 0, 0], header), Run::default(), "cut");
        // 2 MiB less one byte is more than a block may hold.
        assert_eq!(run(&[0xfa, 0xff, 0xff, 0], header), Run::default());
    }
}
