//! Pages of .NET assemblies that a dump leaves out because they are as in their files: the kernel's cores and gdb's hold none of them.
//!
//! Input: which parts of which files were mapped. Output: those parts, of files that are Windows images, and of a program that has its
//! assemblies in its own file. A file of which the dump holds
//! another content at any place is not used; what cannot be compared is counted.

use std::path::{Path, PathBuf};

use rustc_hash::{FxHashMap, FxHashSet};
use symbols::{FileBytes, Locator};

use crate::capture::{Capture, MappedFile, Memory, Origin, Segment};
use crate::error::Error;
use crate::job::Job;
use crate::target::Module;

/// Bytes of a page that are compared at a time.
const PAGE: u64 = 4096;

/// What the files of assemblies tell.
#[derive(Default)]
pub(super) struct Assemblies {
    pub(super) pages: Vec<Segment>,
    /// Paths of the files that are used.
    pub(super) used: FxHashSet<String>,
    /// Files that are used though nothing of them could be compared.
    pub(super) unverified: usize,
}

/// The parts of assemblies that are not in the dump.
pub(super) fn pages(capture: &Capture, modules: &[Module], locator: &Locator, job: &Job) -> Result<Assemblies, Error> {
    let mut files: FxHashMap<&str, Vec<&MappedFile>> = FxHashMap::default();
    for mapped in &capture.assemblies {
        files.entry(&mapped.path).or_default().push(mapped);
    }
    let mut all = Assemblies::default();
    for (path, mapped) in files {
        job.check()?;
        let is_whole = |file: &&MappedFile| {
            let len = file.part.end.since(file.part.start).unwrap_or(0);
            capture.memory.bytes_within(file.part.start, file.part.end) >= len
        };
        // What may be written is not what the file holds.
        let left_out: Vec<&MappedFile> =
            mapped.iter().copied().filter(|file| !is_written(&capture.memory, file) && !is_whole(file)).collect();
        if left_out.is_empty() {
            continue;
        }
        let program = program(path, modules);
        let Some(bytes) = program.clone().or_else(|| open(path, locator)) else { continue };
        match compare(&capture.memory, &mapped, &bytes) {
            Some(false) => continue,
            // A program's file was held against the dump as that of a module.
            None if program.is_none() => all.unverified = all.unverified.saturating_add(1),
            Some(true) | None => {}
        }
        if program.is_none() {
            all.used.insert(path.to_owned());
        }
        let segment = |file: &MappedFile| {
            let len = file.part.end.since(file.part.start)?.min((bytes.len() as u64).checked_sub(file.part.offset)?);
            let from = usize::try_from(file.part.offset).ok()?;
            let part = bytes.slice(from..from.checked_add(usize::try_from(len).ok()?)?)?;
            Some(Segment { start: file.part.start, bytes: part, origin: Origin::File })
        };
        all.pages.extend(left_out.into_iter().filter_map(segment));
    }
    Ok(all)
}

/// The file of a program, which is a module.
fn program(path: &str, modules: &[Module]) -> Option<FileBytes> {
    let module = modules.iter().find(|module| module.mapped.path.as_deref() == Some(path))?;
    module.code.elf.as_ref().map(|elf| elf.bytes().clone())
}

/// The file at a recorded path, where it is a Windows image.
fn open(path: &str, locator: &Locator) -> Option<FileBytes> {
    let below = locator.sysroot.as_ref().map(|root| root.join(path.trim_start_matches('/')));
    let places = below.into_iter().chain(locator.host.then(|| PathBuf::from(path)));
    let open = |place: PathBuf| FileBytes::open(Path::new(&place)).ok().filter(|bytes| bytes.starts_with(b"MZ"));
    places.into_iter().find_map(open)
}

fn is_written(memory: &Memory, file: &MappedFile) -> bool {
    memory.region_at(file.part.start).is_some_and(|region| region.access.write)
}

/// Whether what the dump holds of parts that are not written is what the file holds; `None` where it holds nothing of them.
fn compare(memory: &Memory, mapped: &[&MappedFile], bytes: &FileBytes) -> Option<bool> {
    let mut same = None;
    for file in mapped {
        let Ok(held) = memory.slice_up_to(file.part.start, PAGE) else { continue };
        let from = usize::try_from(file.part.offset).ok()?;
        let stands = bytes.get(from..from.checked_add(held.len())?);
        if !is_written(memory, file)
            && let Some(stands) = stands
        {
            if stands != held {
                return Some(false);
            }
            same = Some(true);
        }
    }
    same
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Access, MappedPart, Region};
    use crate::model::{Addr, Why};

    /// Two parts of a file of three pages: its first page at 0x10000, its third, which may be written, at 0x20000.
    fn compared(held: &[(u64, u8)]) -> Option<bool> {
        let mapped = [(0x1_0000, 0), (0x2_0000, 2 * PAGE)].map(|(start, offset)| MappedFile {
            part: MappedPart { start: Addr(start), end: Addr(start + PAGE), offset },
            path: "/app/Shop.dll".to_owned(),
        });
        let region = |file: &MappedFile| Region {
            start: file.part.start,
            end: file.part.end,
            access: Access { read: true, write: file.part.offset != 0, execute: false },
            missing: Why::NotDumped,
        };
        let page = |byte: u8| FileBytes::from_vec(vec![byte; 4096]);
        let segment =
            |(start, byte): &(u64, u8)| Segment { start: Addr(*start), bytes: page(*byte), origin: Origin::Dump };
        let memory = Memory::new(held.iter().map(segment).collect(), mapped.iter().map(region).collect());
        let file = FileBytes::from_vec([1u8, 2, 3].iter().flat_map(|byte| vec![*byte; 4096]).collect());
        compare(&memory, &mapped.iter().collect::<Vec<_>>(), &file)
    }

    #[test]
    fn a_file_is_the_mapped_one_where_the_dump_holds_the_same_of_it() {
        assert_eq!(compared(&[(0x1_0000, 1)]), Some(true));
        assert_eq!(compared(&[(0x1_0000, 9)]), Some(false));
        assert_eq!(compared(&[]), None, "nothing tells");
        assert_eq!(compared(&[(0x2_0000, 9)]), None, "what was written tells nothing");
    }
}
