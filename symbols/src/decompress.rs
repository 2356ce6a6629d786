//! Decompression within limits: what a file claims about the size of its content is only an upper bound.

use std::io::{self, Read};

/// No section becomes larger than this.
const MAX_BYTES: u64 = 4 << 30;
/// Nor larger than this many times its compressed size. DWARF compresses 3 to 8 times; zlib cannot exceed 1032.
const MAX_RATIO: u64 = 200;
/// Room is made at once for this many times the compressed size; a section that holds more grows as it is decoded.
const USUAL_RATIO: u64 = 16;
/// Largest window that a zstd frame or an xz block may ask for (zstd -19 uses 8 MiB, --ultra 128 MiB).
const MAX_WINDOW: u64 = 128 << 20;
/// Symbol tables in `.gnu_debugdata` are some hundred KiB.
const MAX_MINI: u64 = 64 << 20;

/// Bytes of a `ELFCOMPRESS_ZLIB` section, or of an old `.zdebug_` section behind its header.
pub(crate) fn zlib(compressed: &[u8], claimed: u64) -> Result<Vec<u8>, String> {
    exactly(flate2::read::ZlibDecoder::new(compressed), compressed.len(), claimed)
}

/// What a raw deflate stream holds, which must be the claimed size: of the portable PDB in an assembly. The reason why not is for a
/// person.
pub fn deflate(compressed: &[u8], claimed: u64) -> Result<Vec<u8>, String> {
    exactly(flate2::read::DeflateDecoder::new(compressed), compressed.len(), claimed)
}

/// Bytes of a `ELFCOMPRESS_ZSTD` section: one or more frames (linkers that compress in parallel write several).
pub(crate) fn zstd(compressed: &[u8], claimed: u64) -> Result<Vec<u8>, String> {
    let limit = limit(compressed.len(), claimed)?;
    let mut rest = compressed;
    let mut bytes = Vec::new();
    while !rest.is_empty() {
        let decoder = ruzstd::decoding::StreamingDecoder::new_with_max_window_size(&mut rest, MAX_WINDOW)
            .map_err(|error| error.to_string())?;
        let left = limit.saturating_sub(length(&bytes));
        append(decoder, left, &mut bytes)?;
    }
    check(bytes, claimed)
}

/// Bytes of a `.gnu_debugdata` section: an xz stream of an ELF file.
pub(crate) fn xz(compressed: &[u8]) -> Result<Vec<u8>, String> {
    let memory_kb = u32::try_from(MAX_WINDOW / 1024).unwrap_or(u32::MAX);
    let decoder = lzma_rust2::XzReader::new_mem_limit(compressed, true, memory_kb);
    let mut bytes = Vec::new();
    append(decoder, MAX_MINI, &mut bytes)?;
    Ok(bytes)
}

fn exactly(decoder: impl Read, compressed: usize, claimed: u64) -> Result<Vec<u8>, String> {
    let limit = limit(compressed, claimed)?;
    let mut bytes = Vec::new();
    // Growing by doubling would copy, and hold for a while, up to three times the section.
    let usual = u64::try_from(compressed).unwrap_or(u64::MAX).saturating_mul(USUAL_RATIO);
    bytes.try_reserve_exact(usize::try_from(limit.min(usual)).unwrap_or(0)).map_err(|error| error.to_string())?;
    append(decoder, limit, &mut bytes)?;
    check(bytes, claimed)
}

/// The claimed size, if it is believable.
fn limit(compressed: usize, claimed: u64) -> Result<u64, String> {
    let believable = u64::try_from(compressed).unwrap_or(u64::MAX).saturating_mul(MAX_RATIO).min(MAX_BYTES);
    if claimed > believable {
        return Err(format!("it claims {claimed} bytes, more than the limit of {believable}"));
    }
    Ok(claimed)
}

/// Appends what `decoder` gives; more than `limit` bytes are an error. Memory grows with what was really decoded.
fn append(decoder: impl Read, limit: u64, bytes: &mut Vec<u8>) -> Result<(), String> {
    let read =
        decoder.take(limit.saturating_add(1)).read_to_end(bytes).map_err(|error: io::Error| error.to_string())?;
    if u64::try_from(read).unwrap_or(u64::MAX) > limit {
        return Err(format!("it holds more than the limit of {limit} bytes"));
    }
    Ok(())
}

fn check(bytes: Vec<u8>, claimed: u64) -> Result<Vec<u8>, String> {
    if length(&bytes) == claimed {
        Ok(bytes)
    } else {
        Err(format!("it claims {claimed} bytes and holds {}", bytes.len()))
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_claimed_size_must_be_the_true_one() {
        let compressed = deflated(b"twelve bytes");
        assert_eq!(zlib(&compressed, 12).unwrap(), b"twelve bytes");
        assert!(zlib(&compressed, 11).unwrap_err().contains("more than the limit of 11"));
        assert!(zlib(&compressed, 13).unwrap_err().contains("claims 13 bytes and holds 12"));
        assert!(zlib(&compressed, 64 << 30).unwrap_err().contains("claims 68719476736"));
        assert!(zlib(&compressed[..5], 12).is_err());
    }

    #[test]
    fn a_bomb_is_refused_by_its_ratio_before_anything_is_decoded() {
        let zeros = vec![0; 1 << 20];
        let compressed = deflated(&zeros);
        assert!(compressed.len() < 2000);
        assert!(zlib(&compressed, 1 << 20).unwrap_err().contains("more than the limit"));
    }

    #[test]
    fn zstd_frames_that_follow_each_other_are_joined() {
        // A raw block in a single-segment frame: magic, descriptor 0x20, size, block header (last, raw, size << 3 | 1), bytes.
        let frame = |text: &[u8; 3]| [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 0x19, 0, 0][..], text].concat();
        let compressed = [frame(b"abc"), frame(b"def")].concat();
        assert_eq!(zstd(&compressed, 6).unwrap(), b"abcdef");
        assert!(zstd(&compressed, 5).is_err());
        assert!(zstd(b"not zstd", 5).is_err());
    }
}
