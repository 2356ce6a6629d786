//! What signatures and other blobs are made of: compressed numbers, and the names of types that have no token.

/// A compressed number and how many bytes it takes. Source: ECMA-335 II.23.2.
pub(super) fn compressed(bytes: &[u8]) -> Option<(u32, usize)> {
    let first = u32::from(*bytes.first()?);
    let byte = |index: usize| bytes.get(index).map(|byte| u32::from(*byte));
    match first {
        0..=0x7f => Some((first, 1)),
        0x80..=0xbf => Some(((first & 0x3f) << 8 | byte(1)?, 2)),
        0xc0..=0xdf => Some(((first & 0x1f) << 24 | byte(1)? << 16 | byte(2)? << 8 | byte(3)?, 4)),
        _ => None,
    }
}

/// What the debuggers call a type that has no token.
pub(in crate::runtimes::coreclr) fn primitive(element: u8) -> Option<&'static str> {
    Some(match element {
        0x01 => "Void",
        0x02 => "Boolean",
        0x03 => "Char",
        0x04 => "SByte",
        0x05 => "Byte",
        0x06 => "Int16",
        0x07 => "UInt16",
        0x08 => "Int32",
        0x09 => "UInt32",
        0x0a => "Int64",
        0x0b => "UInt64",
        0x0c => "Single",
        0x0d => "Double",
        0x0e => "System.String",
        0x16 => "System.TypedReference",
        0x18 => "IntPtr",
        0x19 => "UIntPtr",
        0x1c => "System.Object",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::compressed;

    #[test]
    fn numbers_take_one_two_or_four_bytes() {
        // The examples of II.23.2.
        for (bytes, number, taken) in [
            (&[0x03][..], 0x03, 1),
            (&[0x7f], 0x7f, 1),
            (&[0x80, 0x80], 0x80, 2),
            (&[0xae, 0x57], 0x2e57, 2),
            (&[0xbf, 0xff], 0x3fff, 2),
            (&[0xc0, 0, 0x40, 0], 0x4000, 4),
            (&[0xdf, 0xff, 0xff, 0xff], 0x1fff_ffff, 4),
        ] {
            assert_eq!(compressed(bytes), Some((number, taken)));
        }
        assert_eq!(compressed(&[0xff]), None);
        assert_eq!(compressed(&[0xc0, 0]), None);
    }
}
