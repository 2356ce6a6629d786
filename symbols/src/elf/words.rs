//! Numbers at offsets of a file whose class and byte order are known. Every read is checked; none panics.

/// The class (32 or 64 bits) and byte order that an ELF identification states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub wide: bool,
    pub big: bool,
}

/// A view of bytes that reads numbers as `layout` says.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a> {
    pub bytes: &'a [u8],
    pub layout: Layout,
}

impl<'a> Words<'a> {
    pub(crate) fn new(bytes: &'a [u8], layout: Layout) -> Words<'a> {
        Words { bytes, layout }
    }

    fn array<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let array: [u8; N] = *self.bytes.get(offset..)?.first_chunk::<N>()?;
        Some(array)
    }

    pub(crate) fn u8(&self, offset: usize) -> Option<u8> {
        self.bytes.get(offset).copied()
    }

    pub(crate) fn u16(&self, offset: usize) -> Option<u16> {
        let bytes = self.array(offset)?;
        Some(if self.layout.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    pub(crate) fn u32(&self, offset: usize) -> Option<u32> {
        let bytes = self.array(offset)?;
        Some(if self.layout.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    pub(crate) fn u64(&self, offset: usize) -> Option<u64> {
        let bytes = self.array(offset)?;
        Some(if self.layout.big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    /// A number as wide as an address of the class.
    pub(crate) fn word(&self, offset: usize) -> Option<u64> {
        if self.layout.wide { self.u64(offset) } else { self.u32(offset).map(u64::from) }
    }

    /// The number at one of two offsets: the first in 64-bit files, the second in 32-bit files.
    pub(crate) fn word_at(&self, wide: usize, narrow: usize) -> Option<u64> {
        self.word(if self.layout.wide { wide } else { narrow })
    }

    pub(crate) fn u32_at(&self, wide: usize, narrow: usize) -> Option<u32> {
        self.u32(if self.layout.wide { wide } else { narrow })
    }

    pub(crate) fn u16_at(&self, wide: usize, narrow: usize) -> Option<u16> {
        self.u16(if self.layout.wide { wide } else { narrow })
    }
}

/// `bytes[offset..offset + size]` for numbers that come from a file.
pub(crate) fn part(bytes: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = usize::try_from(offset.checked_add(size)?).ok()?;
    bytes.get(start..end)
}

/// Names longer than this are cut: a file can let a million symbols name the same megabyte.
const MAX_NAME: usize = 16 << 10;

/// The text up to the first NUL, cut where it is too long; `None` where there is no NUL.
pub(crate) fn c_string(bytes: &[u8], offset: u64) -> Option<&[u8]> {
    let rest = bytes.get(usize::try_from(offset).ok()?..)?;
    let head = rest.get(..MAX_NAME).unwrap_or(rest);
    match memchr::memchr(0, head) {
        Some(end) => head.get(..end),
        None => (head.len() == MAX_NAME).then_some(head),
    }
}

/// Whether the text at `offset` is `name`.
pub(crate) fn is_c_string(bytes: &[u8], offset: u64, name: &[u8]) -> bool {
    let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
    rest.and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.first() == Some(&0))
}
