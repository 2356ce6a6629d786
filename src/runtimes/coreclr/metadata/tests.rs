use super::*;

/// Metadata with two types, `Shop.Orders` and `Row` nested in it, and a method `take` of the parameter `Int32`.
pub(crate) fn bytes() -> Vec<u8> {
    let strings = b"\0Shop.dll\0Shop\0Orders\0Row\0take\0";
    let (dll, namespace, orders, row, take) = (1u16, 10u16, 15u16, 22u16, 26u16);
    let blobs = [0u8, 4, 0x20, 1, 1, 8, 0, 0];
    let mut tables = vec![0u8; 24];
    tables[4] = 2;
    let valid = 1u64 | 1 << 2 | 1 << 6 | 1 << 0x29;
    tables[8..16].copy_from_slice(&valid.to_le_bytes());
    for rows in [1u32, 2, 1, 1] {
        tables.extend(rows.to_le_bytes());
    }
    let mut words = |words: &[u16]| words.iter().for_each(|word| tables.extend(word.to_le_bytes()));
    words(&[0, dll, 0, 0, 0]);
    // Flags (4 bytes), name, namespace, extends, first field, first method.
    words(&[1, 0, orders, namespace, 0, 1, 1]);
    words(&[2, 0, row, 0, 0, 1, 1]);
    // RVA (4 bytes), flags, flags, name, signature, first parameter.
    words(&[0, 0, 0, 0, take, 1, 1]);
    words(&[2, 1]);
    tables.resize(tables.len().next_multiple_of(4), 0);
    let header = |offset: usize, size: usize, name: &[u8]| {
        let mut header = Vec::new();
        header.extend(u32::try_from(offset).unwrap().to_le_bytes());
        header.extend(u32::try_from(size).unwrap().to_le_bytes());
        header.extend(name);
        header
    };
    let mut root = b"BSJB\x01\0\x01\0\0\0\0\0\x0c\0\0\0v4.0.30319\0\0\0\0\x03\0".to_vec();
    let first = root.len() + 12 + 20 + 16;
    root.extend(header(first, tables.len(), b"#~\0\0"));
    root.extend(header(first + tables.len(), strings.len(), b"#Strings\0\0\0\0"));
    root.extend(header(first + tables.len() + strings.len(), blobs.len(), b"#Blob\0\0\0"));
    assert_eq!(root.len(), first);
    root.extend(tables);
    root.extend(strings);
    root.extend(blobs);
    root
}

/// All that is asked of it.
fn told(bytes: &[u8]) -> Known<[String; 5]> {
    let memory = Memory::of_bytes(0x1000, bytes);
    let metadata = Metadata::read(&memory, Addr(0x1000))?;
    Ok([
        metadata.module_name(&memory)?,
        metadata.type_name(&memory, 1)?,
        metadata.type_name(&memory, 2)?,
        metadata.method_name(&memory, 1)?,
        metadata.parameters(&memory, 1)?,
    ])
}

#[test]
fn names_come_from_the_tables() {
    assert_eq!(
        told(&bytes()),
        Ok(["Shop.dll", "Shop.Orders", "Shop.Orders+Row", "take", "(Int32)"].map(str::to_owned))
    );
}

#[test]
fn rows_that_are_not_there_are_gaps() {
    let bytes = bytes();
    let memory = Memory::of_bytes(0x1000, &bytes);
    let metadata = Metadata::read(&memory, Addr(0x1000)).unwrap();
    for rid in [0, 3, u32::MAX] {
        assert!(metadata.type_name(&memory, rid).is_err(), "{rid}");
    }
    assert!(metadata.method_name(&memory, 2).is_err());
}

#[test]
fn a_cut_anywhere_is_a_gap() {
    let bytes = bytes();
    for len in 1..bytes.len() - 3 {
        assert!(told(&bytes[..len]).is_err(), "{len}");
    }
}

#[test]
fn every_byte_may_be_wrong() {
    let good = bytes();
    for at in 0..good.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            // No panic, no hang: what it says does not matter.
            let _ = told(&bytes);
        }
    }
}

#[test]
fn a_type_that_is_nested_in_itself_ends() {
    let mut bytes = bytes();
    let words = [2u16, 1].map(u16::to_le_bytes).concat();
    let at = bytes.windows(4).rposition(|window| window == words).unwrap();
    bytes[at + 2] = 2;
    assert!(told(&bytes).is_err());
}
