//! A core that is compressed while it is written: zstd (RFC 8878), in frames that stand for themselves.
//!
//! Data is compressed by the reference implementation, which is several times faster than the one in Rust that unpacks:
//! memory is held while it waits for that. Long runs of zeros are frames of their own, four bytes for each 128 KiB of
//! them, which every reader of zstd understands, and which are seen to be zeros without being unpacked.

use std::io::{self, Write};

/// The fastest of zstd's ordinary levels.
const LEVEL: i32 = 1;
/// Bytes of one frame of data.
const FRAME: usize = 4 << 20;
/// Zeros that are worth a frame of their own.
const MIN_HOLE: u64 = 256 << 10;
/// Zeros that one block stands for. Source: RFC 8878 section 3.1.1.2.4, Block_Maximum_Size.
const BLOCK: u64 = 128 << 10;

/// Compresses what is written.
pub(super) struct Packed<W: Write> {
    inner: W,
    frame: Vec<u8>,
    /// Zeros that follow it.
    zeros: u64,
}

impl<W: Write> Packed<W> {
    pub(super) fn new(inner: W) -> Packed<W> {
        Packed { inner, frame: Vec::new(), zeros: 0 }
    }

    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.end_zeros()?;
        self.append(bytes)
    }

    /// Appends zeros.
    pub(super) fn write_zeros(&mut self, len: u64) {
        self.zeros = self.zeros.saturating_add(len);
    }

    /// Ends the last frame.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.end_zeros()?;
        self.end_frame()?;
        self.inner.flush()
    }

    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = FRAME.saturating_sub(self.frame.len());
            let (taken, rest) = bytes.split_at(bytes.len().min(room));
            self.frame.extend_from_slice(taken);
            if self.frame.len() >= FRAME {
                self.end_frame()?;
            }
            bytes = rest;
        }
        Ok(())
    }

    fn end_frame(&mut self) -> io::Result<()> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let packed = zstd::bulk::compress(&self.frame, LEVEL)?;
        self.frame.clear();
        self.inner.write_all(&packed)
    }

    fn end_zeros(&mut self) -> io::Result<()> {
        let zeros = std::mem::take(&mut self.zeros);
        if zeros >= MIN_HOLE {
            self.end_frame()?;
            return write_hole(&mut self.inner, zeros);
        }
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut left = usize::try_from(zeros).unwrap_or(0);
        while left > 0 {
            let len = left.min(ZEROS.len());
            self.append(ZEROS.get(..len).unwrap_or_default())?;
            left = left.saturating_sub(len);
        }
        Ok(())
    }
}

/// Writes a frame of zeros.
fn write_hole(to: &mut impl Write, len: u64) -> io::Result<()> {
    // Source: RFC 8878 section 3.1.1: magic number; descriptor with Frame_Content_Size_Flag 3 (eight bytes), neither
    // single segment nor checksum nor dictionary; window descriptor with exponent 7, 2^17 bytes; Frame_Content_Size.
    let mut header = vec![0x28, 0xb5, 0x2f, 0xfd, 3 << 6, 7 << 3];
    header.extend(len.to_le_bytes());
    // zstd up to 1.4.3 takes no RLE block for a frame's first: one zero stands alone before the others, in a raw one.
    // Source: facebook/zstd v1.5.5, lib/compress/zstd_compress.c, ZSTD_compressBlock_internal, "We don't want to emit
    // our first block as a RLE".
    header.extend(block(RAW, 1, len <= 1));
    to.write_all(&header)?;
    let mut left = len.saturating_sub(1);
    let mut blocks = Vec::new();
    while left > 0 {
        let size = left.min(BLOCK);
        left = left.saturating_sub(size);
        blocks.extend(block(RLE, size, left == 0));
        if blocks.len() >= 1 << 16 || left == 0 {
            to.write_all(&blocks)?;
            blocks.clear();
        }
    }
    Ok(())
}

// Source: RFC 8878 section 3.1.1.2.2, Block_Type.
const RAW: u64 = 0;
const RLE: u64 = 1;

/// A block whose content is one zero: itself, or to be repeated `size` times. The header is Last_Block in bit 0,
/// Block_Type in bits 1 and 2, Block_Size above, 24 bits.
fn block(kind: u64, size: u64, is_last: bool) -> [u8; 4] {
    let [first, second, third, ..] = (u64::from(is_last) | (kind << 1) | (size << 3)).to_le_bytes();
    [first, second, third, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn unpack(packed: &[u8]) -> Vec<u8> {
        let mut rest = packed;
        let mut unpacked = Vec::new();
        while !rest.is_empty() {
            let mut decoder = ruzstd::decoding::StreamingDecoder::new(&mut rest).expect("a frame");
            decoder.read_to_end(&mut unpacked).expect("decoded");
        }
        unpacked
    }

    #[test]
    fn what_is_compressed_is_what_zstd_reads() {
        let text: Vec<u8> = (0..(FRAME + 5000)).map(|index| (index / 7 % 251) as u8).collect();
        let mut packed = Packed::new(Vec::new());
        packed.write(&text).expect("written");
        packed.finish().expect("flushed");
        let bytes = packed.inner;
        assert!(bytes.len() < text.len() / 2, "{} bytes", bytes.len());
        assert!(unpack(&bytes) == text, "the text differs");
        assert!(zstd::decode_all(&bytes[..]).expect("the reference implementation reads it") == text);
    }

    #[test]
    fn zeros_are_zeros_for_every_reader_and_long_ones_take_four_bytes_a_block() {
        for zeros in [1, 4096, MIN_HOLE - 1, MIN_HOLE, MIN_HOLE + 1, MIN_HOLE + BLOCK, 64 << 20] {
            let mut packed = Packed::new(Vec::new());
            packed.write(b"before").expect("written");
            packed.write_zeros(zeros / 2);
            packed.write_zeros(zeros - zeros / 2);
            packed.write(b"behind").expect("written");
            packed.write_zeros(zeros);
            packed.finish().expect("flushed");
            let bytes = packed.inner;
            let len = usize::try_from(zeros).expect("it fits");
            let expected = [b"before".as_slice(), &vec![0; len], b"behind", &vec![0; len]].concat();
            assert!(unpack(&bytes) == expected, "{zeros} zeros");
            assert!(
                zstd::decode_all(&bytes[..]).expect("the reference implementation reads it") == expected,
                "{zeros}"
            );
            assert!(bytes.len() < 4500, "{} bytes for {zeros} zeros", bytes.len());
        }
    }
}
