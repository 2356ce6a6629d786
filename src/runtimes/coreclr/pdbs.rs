//! Where the portable PDB of an assembly is.
//!
//! Input: a module of the runtime. Output: its [`Pdb`]: what the assembly itself holds, in the dump or in its file, or a file of its own, where its id
//! is the one that the assembly states. Specification: dotnet/runtime docs/design/specs/PE-COFF.md, "Debug Directory".

use std::path::Path;

use symbols::{FileBytes, WantedPdb};

use super::budget::Budget;
use super::clr::{Clr, plus};
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
    /// Its id in the order in which it is printed.
    fn guid(&self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = self.id;
        [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
    }

    /// Its id as it is written: `54fd2ac5-e925-401a-9c2a-f94f171072f8`.
    pub(super) fn id(&self) -> String {
        let mut text = String::new();
        for (index, byte) in self.guid().into_iter().enumerate() {
            text.push_str(if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" });
            text.push_str(&format!("{byte:02x}"));
        }
        text
    }

    /// The last part of its path.
    pub(super) fn file(&self) -> String {
        let name = self.path.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }
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

/// A module's PDB; `Ok(None)` where none is at hand. `unpacked`: what may be spent on those that assemblies hold.
pub(super) fn find(clr: &Clr, module: Addr, unpacked: &Budget) -> Known<Option<Pdb>> {
    let Some(image) = modules::image(clr, module)? else { return Ok(None) };
    let path = modules::path(clr, module).ok().flatten();
    let file = || assembly(clr, &image, path.as_deref()?).map(memory);
    // Of what nobody has touched, a small dump holds nothing.
    if let Ok(stated) = stated(&image) {
        let found = embedded(&image, &stated, unpacked).or_else(|| apart(clr, &stated, path.as_deref()));
        let of_file = || embedded(&in_file(&file()?)?, &stated, unpacked);
        return Ok(found.or_else(of_file));
    }
    let Some(file) = file() else { return Ok(None) };
    let Some(image) = in_file(&file) else { return Ok(None) };
    let stated = stated(&image)?;
    Ok(apart(clr, &stated, path.as_deref()).or_else(|| embedded(&image, &stated, unpacked)))
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
    let record = record(image, CODE_VIEW)?;
    let mut bytes = vec![0; usize::try_from(record.size.min(MAX_NAME)).unwrap_or(0)];
    image.memory.read(record.at, &mut bytes)?;
    let head = bytes.split_first_chunk::<24>().filter(|(head, _)| head.starts_with(b"RSDS"));
    let (head, path) = head.ok_or_else(|| Gap::Corrupt("the record that names a PDB".to_owned()))?;
    let mut id = [0; 16];
    id.iter_mut().zip(head.iter().skip(4)).for_each(|(to, from)| *to = *from);
    let age = head.last_chunk::<4>().map_or(0, |age| u32::from_le_bytes(*age));
    Ok(Stated { id, age, path: path.iter().copied().take_while(|byte| *byte != 0).collect() })
}

fn record(image: &Image<'_>, kind: u32) -> Known<Record> {
    let found = image.records()?.into_iter().find(|record| record.kind == kind);
    found.ok_or_else(|| Gap::NotRecorded("the assembly names no PDB".to_owned()))
}

/// The PDB that an image holds.
fn embedded(image: &Image<'_>, stated: &Stated, unpacked: &Budget) -> Option<Pdb> {
    // Source: PE-COFF.md, "Embedded Portable PDB Debug Directory Entry": Signature 0, UncompressedSize 4, the rest is deflated.
    let record = record(image, EMBEDDED).ok().filter(|record| (8..MAX_EMBEDDED).contains(&record.size))?;
    let claimed = image.memory.u32(plus(record.at, 4).ok()?).ok()?;
    let body = image.memory.slice(record.at, record.size.into()).ok()?;
    let compressed = body.strip_prefix(b"MPDB")?.get(4..)?;
    Some(u64::from(claimed)).filter(|claimed| *claimed <= MAX_PDB && unpacked.take(*claimed).is_ok())?;
    let bytes = symbols::deflate(compressed, claimed.into()).ok()?;
    verified(FileBytes::from_vec(bytes), stated)
}

/// The PDB in a file of its own.
fn apart(clr: &Clr, stated: &Stated, assembly: Option<&str>) -> Option<Pdb> {
    let wanted = WantedPdb { stated: &stated.path, guid: stated.guid(), assembly: assembly.map(Path::new) };
    let mut found = None;
    clr.target.locator.pdb(&wanted, &mut |bytes| {
        found = verified(bytes.clone(), stated);
        found.is_some()
    })?;
    found
}

fn verified(bytes: FileBytes, stated: &Stated) -> Option<Pdb> {
    if bytes.len() as u64 > MAX_PDB || !bytes.starts_with(b"BSJB") {
        return None;
    }
    Pdb::read(bytes).ok().filter(|pdb| pdb.id == stated.id)
}
