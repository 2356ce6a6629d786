//! The build information that Go's linker writes into every executable.
//!
//! Source: Go src/debug/buildinfo/buildinfo.go: 16-byte aligned at the start of the section `.go.buildinfo`, else of
//! the first writable segment: 14 bytes of magic, the pointer's size, flags (bit 1: strings follow in place); then,
//! from byte 32, the version as a varint length and its bytes. Before Go 1.18 pointers followed instead.

use symbols::{Elf, LoadSegment, Svma};

use super::version::leading;

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// The section, or the start of the data that is searched for it, is no larger.
const MAX_SEARCH: u64 = 64 << 10;
const ALIGN: usize = 16;
/// Texts that may be a version, and writable data in which a string is looked for, in bytes.
const MAX_TEXTS: usize = 4096;
const MAX_DATA: u64 = 64 << 20;
const FLAGS: usize = 15;
const STRINGS: usize = 32;
const IN_PLACE: u8 = 2;

/// `Some(Some(version))` for a Go program, `Some(None)` for one whose version stands elsewhere.
pub(super) fn build(elf: &Elf) -> Option<Option<String>> {
    if let Ok(Some(section)) = elf.section(".go.buildinfo") {
        return header(&section.bytes).map(version);
    }
    let data = elf.segments().iter().find(|segment| segment.write && !segment.execute && segment.file_size > 0)?;
    header(elf.bytes_at(data.svma, data.file_size.min(MAX_SEARCH))?).map(version)
}

/// The version by the variable `runtime.buildVersion`, where the build information was taken out: the one string
/// variable whose whole text is a version.
// Source: Go src/runtime/extern.go, buildVersion, which the linker sets; a string is a pointer and a length.
pub(super) fn by_variable(elf: &Elf) -> Option<String> {
    const LONGEST: u64 = 32;
    let read_only = |segment: &&LoadSegment| segment.read && !segment.write && !segment.execute;
    let mut texts: Vec<Svma> = Vec::new();
    for segment in elf.segments().iter().filter(read_only) {
        let bytes = elf.bytes_at(segment.svma, segment.file_size)?;
        let found = memchr::memmem::find_iter(bytes, b"go1.").take(MAX_TEXTS);
        texts.extend(found.filter_map(|at| Some(Svma(segment.svma.0.checked_add(u64::try_from(at).ok()?)?))));
    }
    texts.sort_unstable();
    let mut versions: Vec<String> = Vec::new();
    for segment in elf.segments().iter().filter(|segment| segment.write) {
        let bytes = elf.bytes_at(segment.svma, segment.file_size.min(MAX_DATA))?;
        let (words, _) = bytes.as_chunks::<8>();
        let pairs = words.windows(2).filter_map(|pair| match pair {
            [text, len] => Some((Svma(u64::from_le_bytes(*text)), u64::from_le_bytes(*len))),
            _ => None,
        });
        let strings = pairs.filter(|(text, len)| *len <= LONGEST && texts.binary_search(text).is_ok());
        versions.extend(strings.filter_map(|(text, len)| {
            let number = elf.bytes_at(text, len)?.strip_prefix(b"go")?;
            leading(number).filter(|version| version.len() == number.len())
        }));
    }
    versions.sort_unstable();
    versions.dedup();
    match versions.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    }
}

fn header(bytes: &[u8]) -> Option<&[u8]> {
    memchr::memmem::find_iter(bytes, MAGIC).find(|at| at.is_multiple_of(ALIGN)).and_then(|at| bytes.get(at..))
}

fn version(header: &[u8]) -> Option<String> {
    if header.get(FLAGS)? & IN_PLACE == 0 {
        return None;
    }
    // Versions are far below 128 bytes, so that the varint is one byte.
    let length = usize::from(*header.get(STRINGS)?);
    let start = STRINGS.checked_add(1)?;
    let text = header.get(start..start.checked_add(length)?)?;
    leading(text.strip_prefix(b"go")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_follows_the_header() {
        // magic 14 | pointer size 8 | flags 2 | 16 bytes unused | length 6 | go1.19
        let info = b"0123456789abcdef\xff Go buildinf:\x08\x02................\x06go1.19\x00";
        assert_eq!(header(info).map(version), Some(Some("1.19".to_owned())));
        assert_eq!(header(&info[1..]).map(version), None, "not aligned");
        for length in 0..info.len() - 1 {
            assert_eq!(header(&info[..length]).and_then(version), None, "cut at {length}");
        }
    }

    #[test]
    fn a_program_older_than_strings_in_place_has_no_version() {
        assert_eq!(header(b"\xff Go buildinf:\x08\x00................").map(version), Some(None));
    }
}
