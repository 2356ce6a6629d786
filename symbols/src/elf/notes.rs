//! Notes: the build id, and whatever else stands in PT_NOTE segments and SHT_NOTE sections.

use object::elf;

use super::words::{Layout, Words, part};
use crate::BuildId;

/// One note: its owner's name without the closing NUL, its type, its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note<'a> {
    pub name: &'a [u8],
    pub kind: u32,
    pub bytes: &'a [u8],
}

/// The notes in `bytes`, in order, up to the first that does not fit.
///
/// Each begins with three 4-byte words (gABI, "Note Section"), so that every step consumes at least 12 bytes. Name and content are
/// padded to 4 bytes, or to 8 where the segment says so.
pub(crate) fn notes(bytes: &[u8], align: u64, layout: Layout) -> impl Iterator<Item = Note<'_>> {
    let align = if align == 8 { 8 } else { 4 };
    let mut offset = 0u64;
    std::iter::from_fn(move || {
        let words = Words::new(part(bytes, offset, 12)?, layout);
        let (name_size, size, kind) = (words.u32(0)?, words.u32(4)?, words.u32(8)?);
        let name_at = offset.checked_add(12)?;
        let bytes_at = name_at.checked_add(name_size.into())?.checked_next_multiple_of(align)?;
        let name = part(bytes, name_at, name_size.into())?;
        let content = part(bytes, bytes_at, size.into())?;
        offset = bytes_at.checked_add(size.into())?.checked_next_multiple_of(align)?;
        Some(Note { name: name.strip_suffix(b"\0").unwrap_or(name), kind, bytes: content })
    })
}

/// The first GNU build id among the notes.
pub(crate) fn build_id(bytes: &[u8], align: u64, layout: Layout) -> Option<BuildId> {
    notes(bytes, align, layout)
        .filter(|note| note.name == b"GNU" && note.kind == elf::NT_GNU_BUILD_ID.0)
        .find_map(|note| BuildId::from_bytes(note.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITTLE: Layout = Layout { wide: true, big: false };

    // name size | content size | type | name, padded | content, padded
    const TWO: &[u8] =
        b"\x05\0\0\0\x01\0\0\0\x07\0\0\0Long\0\0\0\0x\0\0\0\x04\0\0\0\x02\0\0\0\x03\0\0\0GNU\0\xab\xcd\0\0";

    #[test]
    fn names_and_contents_are_found_behind_padding() {
        let all: Vec<_> = notes(TWO, 4, LITTLE).collect();
        assert_eq!(all[0], Note { name: b"Long", kind: 7, bytes: b"x" });
        assert_eq!(all[1], Note { name: b"GNU", kind: 3, bytes: b"\xab\xcd" });
        assert_eq!(all.len(), 2);
        assert_eq!(build_id(TWO, 4, LITTLE), BuildId::from_hex("abcd"));
    }

    #[test]
    fn notes_cut_at_any_byte_give_only_whole_ones() {
        for length in 0..TWO.len() {
            let found = notes(&TWO[..length], 4, LITTLE).count();
            // The last two bytes are padding.
            let expected = if length >= TWO.len() - 2 { 2 } else { usize::from(length >= 21) };
            assert_eq!(found, expected, "cut at {length}");
        }
    }

    #[test]
    fn sizes_that_overflow_end_the_list() {
        let mut bytes = TWO.to_vec();
        bytes[0..4].copy_from_slice(&[0xff; 4]);
        assert_eq!(notes(&bytes, 4, LITTLE).count(), 0);
    }
}
