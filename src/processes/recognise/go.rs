//! The build information that Go's linker writes into every executable.
//!
//! Source: Go src/debug/buildinfo/buildinfo.go: 16-byte aligned at the start of the section `.go.buildinfo`, else of the first writable
//! segment: 14 bytes of magic, the pointer's size, flags (bit 1: strings follow in place); then, from byte 32, the version as a varint
//! length and its bytes. Before Go 1.18 pointers followed instead.

use symbols::Elf;

use super::version::leading;

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// The section, or the start of the data that is searched for it, is no larger.
const MAX_SEARCH: u64 = 64 << 10;
const ALIGN: usize = 16;
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
