use super::*;

/// A PDB of two methods, in `/src/Shop.cs`: the first has lines 10 and 13 and a variable `sum` beside one of the compiler's, the second is the
/// `MoveNext` of the first and may wait at its instruction 5.
pub(crate) fn bytes() -> Vec<u8> {
    let strings = b"\0sum\0hidden\0";
    let mut blobs = vec![0u8];
    let mut blob = |bytes: &[u8]| {
        let at = u16::try_from(blobs.len()).unwrap();
        blobs.push(u8::try_from(bytes.len()).unwrap());
        blobs.extend(bytes);
        at
    };
    let (folder, file) = (blob(b"src"), blob(b"Shop.cs"));
    let name = blob(&[b'/', 0, u8::try_from(folder).unwrap(), u8::try_from(file).unwrap()]);
    let lines = blob(&[0, 0, 0, 5, 10, 9, 7, 0, 20, 6, 0x79]);
    let resumed = blob(&[0, 3, 0, 1, 20, 1]);
    let waits = blob(&[0, 0, 0, 0, 5, 0, 0, 0, 9, 0, 0, 0, 2]);
    let mut tables = vec![0u8; 24];
    tables[4] = 2;
    let valid = 1u64 << 0x30 | 1 << 0x31 | 1 << 0x32 | 1 << 0x33 | 1 << 0x36 | 1 << 0x37;
    tables[8..16].copy_from_slice(&valid.to_le_bytes());
    for rows in [1u32, 2, 1, 2, 1, 1] {
        tables.extend(rows.to_le_bytes());
    }
    let rows: &[&[u16]] = &[
        &[name, 0, 0, 0],
        &[1, lines],
        &[1, resumed],
        // Method, imports, first variable, first constant, start and length of four bytes each.
        &[1, 0, 1, 1, 2, 0, 6, 0],
        &[0, 3, 1],
        &[1, 4, 5],
        &[2, 1],
        // The second method's row above five bits.
        &[64, 1, waits],
    ];
    rows.iter().flat_map(|row| row.iter()).for_each(|word| tables.extend(word.to_le_bytes()));
    tables.resize(tables.len().next_multiple_of(4), 0);
    let id: Vec<u8> = (1..=20).collect();
    // The assembly's table of methods has two rows.
    let pdb = [&id[..], &[0; 4], &(1u64 << 6).to_le_bytes(), &2u32.to_le_bytes()].concat();
    let guid = [0xc5, 0x2a, 0xfd, 0x54, 0x25, 0xe9, 0x1a, 0x40, 0x9c, 0x2a, 0xf9, 0x4f, 0x17, 0x10, 0x72, 0xf8];
    let streams: [(&[u8], &[u8]); 5] = [
        (b"#Pdb\0\0\0\0", &pdb),
        (b"#~\0\0", &tables),
        (b"#Strings\0\0\0\0", strings),
        (b"#GUID\0\0\0", &guid),
        (b"#Blob\0\0\0", &blobs),
    ];
    let mut root = b"BSJB\x01\0\x01\0\0\0\0\0\x0c\0\0\0PDB v1.0\0\0\0\0\0\0\x05\0".to_vec();
    let mut at = root.len() + streams.iter().map(|(name, _)| 8 + name.len()).sum::<usize>();
    for (name, content) in streams {
        root.extend(u32::try_from(at).unwrap().to_le_bytes());
        root.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        root.extend(name);
        at += content.len();
    }
    streams.iter().for_each(|(_, content)| root.extend(*content));
    root
}

fn read(bytes: Vec<u8>) -> Known<Pdb> {
    Pdb::read(FileBytes::from_vec(bytes))
}

#[test]
fn lines_are_those_of_the_last_point_before() {
    let pdb = read(bytes()).unwrap();
    assert_eq!(pdb.id, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    let line = |method, il| pdb.line(method, il).map(|line| line.map(|line| (line.file.to_string(), line.line)));
    let file = "/src/Shop.cs".to_owned();
    for (il, expected) in [(0, 10), (6, 10), (7, 13), (1000, 13)] {
        assert_eq!(line(1, il), Ok(Some((file.clone(), expected))), "{il}");
    }
    assert_eq!(line(2, 2), Ok(None), "before its first point");
    assert!(line(3, 0).is_err() && line(0, 0).is_err());
}

#[test]
fn variables_have_names_within_their_scope() {
    let pdb = read(bytes()).unwrap();
    assert_eq!(pdb.locals(1, 2), Ok(vec![(3, "sum".to_owned())]));
    assert_eq!((pdb.locals(1, 1), pdb.locals(1, 8), pdb.locals(2, 3)), (Ok(vec![]), Ok(vec![]), Ok(vec![])));
}

#[test]
fn variables_whose_names_are_longer_than_all_names_are_damaged() {
    // The scope has `sum` and, once it is shown, `hidden`: 9 bytes of the 12 that all names have.
    let whole = bytes();
    let hidden = whole.windows(6).position(|row| row == [1, 0, 4, 0, 5, 0]).unwrap();
    let mut shown = whole.clone();
    shown[hidden] = 0;
    assert_eq!(read(shown.clone()).unwrap().locals(1, 2).map(|locals| locals.len()), Ok(2));
    // The stream of names claims fewer bytes than both names have.
    let stream = shown.windows(12).position(|name| name == b"#Strings\0\0\0\0").unwrap();
    shown[stream - 4] = 6;
    assert!(read(shown).unwrap().locals(1, 2).is_err());
}

#[test]
fn a_state_machine_tells_its_method_and_its_waits() {
    let pdb = read(bytes()).unwrap();
    assert_eq!((pdb.kickoff(2), pdb.kickoff(1)), (Ok(Some(1)), Ok(None)));
    assert_eq!(pdb.waits(2), Ok(vec![Wait { yields: 5, resumes: 9, method: 2 }]));
    assert_eq!(pdb.waits(1), Ok(vec![]));
}

#[test]
fn what_is_cut_is_a_gap_at_every_place() {
    let whole = bytes();
    for len in 0..whole.len() {
        if let Ok(pdb) = read(whole[..len].to_vec()) {
            let told = (pdb.line(1, 7).is_err(), pdb.locals(1, 2).is_err(), pdb.waits(2).is_err());
            assert!(told.0 || told.1 || told.2, "{len}");
        }
    }
    assert!(read(super::super::tests::bytes()).is_err(), "an assembly's metadata is no PDB");
}
