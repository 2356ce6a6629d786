//! Where the portable PDB of an assembly is.
//!
//! Input: a module of the runtime. Output: its [`Pdb`]: what the assembly itself holds, in the dump or in its file, or a file of its own, where its id
//! is the one that the assembly states. Specification: dotnet/runtime docs/design/specs/PE-COFF.md, "Debug Directory".

use std::path::Path;

use symbols::{FileBytes, WantedPdb};

use super::budget::Budget;
use super::clr::Clr;
use super::image::{Image, Placing, Record};
use super::metadata::{Metadata, Pdb};
use super::modules;
use crate::capture::{Memory, Origin, Segment};
use crate::model::{Addr, Gap, Known};

/// Kinds of records for debuggers: CodeView, a portable PDB.
const CODE_VIEW: u32 = 2;
const EMBEDDED: u32 = 17;
/// Longest record that names a PDB, in bytes, and largest one that holds one.
const MAX_NAME: u32 = 4096;
const MAX_EMBEDDED: u32 = 64 << 20;
/// Largest PDB, in bytes; that of Roslyn itself has 20 MB.
const MAX_PDB: u64 = 512 << 20;
/// How those begin that .NET Framework's compilers wrote. Source: LLVM docs/PDB/MsfFile.rst, "The Superblock".
const WINDOWS: &[u8] = b"Microsoft C/C++ MSF 7.00\r\n";

/// The PDB that an assembly states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stated {
    /// As it is stored.
    id: [u8; 16],
    /// How often it was written since.
    pub(super) age: u32,
    path: Vec<u8>,
}

impl Stated {
    fn guid(&self) -> [u8; 16] {
        ordered(self.id)
    }

    /// Its id as it is written: `54fd2ac5-e925-401a-9c2a-f94f171072f8`.
    pub(super) fn id(&self) -> String {
        written(self.id)
    }

    /// The last part of its path.
    pub(super) fn file(&self) -> String {
        let name = self.path.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }
}

/// An id in the order in which it is printed.
fn ordered(id: [u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = id;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

fn written(id: [u8; 16]) -> String {
    let mut text = String::new();
    for (index, byte) in ordered(id).into_iter().enumerate() {
        text.push_str(if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" });
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Which PDB a module's assembly states; `Ok(None)` for one that was made at run time.
pub(super) fn wanted(clr: &Clr, module: Addr) -> Known<Option<Stated>> {
    let Some(image) = modules::image(clr, module)? else { return Ok(None) };
    let in_dump = stated(&image);
    if in_dump.is_ok() {
        return in_dump.map(Some);
    }
    let path = modules::path(clr, module).ok().flatten();
    let file = path.and_then(|path| assembly(clr, &image, &path)).map(memory);
    match file.as_ref().and_then(in_file) {
        Some(image) => stated(&image).map(Some),
        None => in_dump.map(Some),
    }
}

/// A module's PDB; `Ok(None)` where none is at hand. Fails where one is, and is not what the assembly states, or cannot be read. `unpacked`: what
/// may be spent on those that assemblies hold.
pub(super) fn find(clr: &Clr, module: Addr, unpacked: &Budget) -> Known<Option<Pdb>> {
    let Some(image) = modules::image(clr, module)? else { return Ok(None) };
    let path = modules::path(clr, module).ok().flatten();
    let file = || assembly(clr, &image, path.as_deref()?).map(memory);
    // Of what nobody has touched, a small dump holds nothing.
    if let Ok(stated) = stated(&image) {
        let of_file = || match file() {
            Some(file) => in_file(&file).map_or(Ok(None), |image| embedded(&image, &stated, unpacked)),
            None => Ok(None),
        };
        let of_dump = || embedded(&image, &stated, unpacked);
        return first([&of_dump, &|| apart(clr, &stated, path.as_deref()), &of_file]);
    }
    let Some(file) = file() else { return Ok(None) };
    let Some(image) = in_file(&file) else { return Ok(None) };
    let stated = stated(&image)?;
    first([&|| apart(clr, &stated, path.as_deref()), &|| embedded(&image, &stated, unpacked)])
}

/// The first that serves; else why the first of those that are there does not.
fn first<const N: usize>(places: [&dyn Fn() -> Known<Option<Pdb>>; N]) -> Known<Option<Pdb>> {
    let mut refused = None;
    for place in places {
        match place() {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(gap) => refused = refused.or(Some(gap)),
        }
    }
    refused.map_or(Ok(None), Err)
}

/// The assembly's file: that of the same build.
fn assembly(clr: &Clr, image: &Image<'_>, path: &str) -> Option<FileBytes> {
    let wanted = mvid(image).ok()?;
    clr.target.locator.assembly(Path::new(path), &mut |bytes| {
        let file = memory(bytes.clone());
        in_file(&file).is_some_and(|image| mvid(&image).is_ok_and(|found| found == wanted))
    })
}

fn mvid(image: &Image<'_>) -> Known<[u8; 16]> {
    Metadata::read(image.memory, image.metadata()?)?.mvid(image.memory)
}

/// A file's bytes, from address 0 on.
fn memory(bytes: FileBytes) -> Memory {
    Memory::new(vec![Segment { start: Addr(0), bytes, origin: Origin::File }], Vec::new())
}

fn in_file(file: &Memory) -> Option<Image<'_>> {
    Image::read(file, Addr(0), Placing::Flat).ok()
}

/// The PDB that an image states.
fn stated(image: &Image<'_>) -> Known<Stated> {
    // Source: PE-COFF.md, "CodeView Debug Directory Entry": Signature 0, Guid 4, Age 20, Path 24.
    let no_name = || Gap::NotRecorded("the assembly names no PDB".to_owned());
    let record = record(image, CODE_VIEW)?.ok_or_else(no_name)?;
    let mut bytes = vec![0; usize::try_from(record.size.min(MAX_NAME)).unwrap_or(0)];
    image.memory.read(record.at, &mut bytes)?;
    let head = bytes.split_first_chunk::<24>().filter(|(head, _)| head.starts_with(b"RSDS"));
    let (head, path) = head.ok_or_else(|| Gap::Corrupt("the record that names a PDB".to_owned()))?;
    let mut id = [0; 16];
    id.iter_mut().zip(head.iter().skip(4)).for_each(|(to, from)| *to = *from);
    let age = head.last_chunk::<4>().map_or(0, |age| u32::from_le_bytes(*age));
    Ok(Stated { id, age, path: path.iter().copied().take_while(|byte| *byte != 0).collect() })
}

fn record(image: &Image<'_>, kind: u32) -> Known<Option<Record>> {
    Ok(image.records()?.into_iter().find(|record| record.kind == kind))
}

/// The PDB that an image holds; `Ok(None)` where it holds none.
fn embedded(image: &Image<'_>, stated: &Stated, unpacked: &Budget) -> Known<Option<Pdb>> {
    // Source: PE-COFF.md, "Embedded Portable PDB Debug Directory Entry": Signature 0, UncompressedSize 4, the rest is deflated.
    let Some(record) = record(image, EMBEDDED)? else { return Ok(None) };
    if record.size >= MAX_EMBEDDED {
        return Err(Gap::Unsupported(format!("PDBs as large as that in the assembly, of {} bytes", record.size)));
    }
    let broken = |why: &str| Gap::Corrupt(format!("the PDB in the assembly: {why}"));
    let body = image.memory.slice(record.at, record.size.into())?;
    let head = body.split_first_chunk::<8>().and_then(|(head, rest)| Some((head.strip_prefix(b"MPDB")?, rest)));
    let (size, compressed) = head.ok_or_else(|| broken("it does not begin as one"))?;
    let claimed = size.first_chunk().map_or(0, |size| u64::from(u32::from_le_bytes(*size)));
    is_small(claimed)?;
    unpacked.take(claimed)?;
    let bytes = symbols::deflate(compressed, claimed).map_err(|why| broken(&why))?;
    verified(FileBytes::from_vec(bytes), stated).map(Some)
}

/// The PDB in a file of its own; `Ok(None)` where there is none.
fn apart(clr: &Clr, stated: &Stated, assembly: Option<&str>) -> Known<Option<Pdb>> {
    let wanted = WantedPdb { stated: &stated.path, guid: stated.guid(), assembly: assembly.map(Path::new) };
    let (mut found, mut refused) = (None, None);
    clr.target.locator.pdb(&wanted, &mut |bytes| {
        match verified(bytes.clone(), stated) {
            Ok(pdb) => found = Some(pdb),
            Err(gap) => refused = refused.take().or(Some(gap)),
        }
        found.is_some()
    });
    match (found, refused) {
        (None, Some(gap)) => Err(gap),
        (found, _) => Ok(found),
    }
}

/// A PDB that is the one which is stated.
fn verified(bytes: FileBytes, stated: &Stated) -> Known<Pdb> {
    is_small(bytes.len() as u64)?;
    if bytes.starts_with(WINDOWS) {
        return Err(Gap::Unsupported("PDBs in the format of Windows".to_owned()));
    }
    if !bytes.starts_with(b"BSJB") {
        return Err(Gap::Corrupt("the file is no PDB".to_owned()));
    }
    let pdb = Pdb::read(bytes)?;
    if pdb.id != stated.id {
        let words = format!("the PDB is that of another build, {}", written(pdb.id));
        return Err(Gap::Absent(words));
    }
    Ok(pdb)
}

fn is_small(bytes: u64) -> Known<()> {
    if bytes > MAX_PDB {
        return Err(Gap::Unsupported(format!("PDBs as large as this, of {bytes} bytes")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_the_pdb_says_why() {
        let stated = Stated { id: [7; 16], age: 1, path: b"Shop.pdb".to_vec() };
        let why =
            |bytes: &[u8]| verified(FileBytes::from_vec(bytes.to_vec()), &stated).err().map(|gap| gap.to_string());
        assert_eq!(why(b"<html>").as_deref(), Some("inconsistent: the file is no PDB"));
        let windows = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0";
        assert_eq!(why(windows).as_deref(), Some("not supported: PDBs in the format of Windows"));
        assert!(why(b"BSJB").is_some(), "cut");
        assert!(is_small(MAX_PDB).is_ok() && is_small(MAX_PDB + 1).is_err());
    }

    #[test]
    fn the_first_that_is_refused_tells_the_reason_where_none_serves() {
        let refused = |why: &str| Gap::Absent(why.to_owned());
        let (none, one, other) = (|| Ok(None), || Err(refused("one")), || Err(refused("other")));
        assert_eq!(first([&none, &one, &other]).err(), Some(refused("one")));
        assert!(matches!(first([&none, &none]), Ok(None)));
    }
}
