//! What an ELF file's bytes tell about the runtime in it. Found once a file: ten thousand processes run a hundred executables.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustc_hash::FxHashMap;
use symbols::{Elf, FileBytes, Svma};

use super::{go, version};

/// Dynamic symbols that tell a runtime.
const NAMES: &[&str] = &[
    "DotNetRuntimeInfo",
    "DotNetRuntimeDebugHeader",
    "_ZN4node5StartEiPPc",
    "Py_GetVersion",
    "Py_Version",
    "coreclr_initialize",
];
/// Most dynamic symbols looked at; Chromium has 30,000, Node 70,000.
const MAX_SYMBOLS: usize = 1 << 20;
/// Largest file that is searched for a version's text; Node and Electron are 100 to 180 MB.
const MAX_SEARCHED: usize = 512 << 20;

/// The marks of one file.
#[derive(Debug, Default)]
pub(super) struct Marks {
    defined: FxHashMap<&'static str, Svma>,
    /// Go: its version, where it stands in the build information.
    pub(super) go: Option<Option<String>>,
    /// CoreCLR's version.
    pub(super) coreclr: Option<String>,
    /// The runtime's version in a program compiled ahead of time.
    pub(super) nativeaot: Option<String>,
    /// Node's version.
    pub(super) node: Option<String>,
    /// CPython's version.
    pub(super) python: Option<String>,
}

impl Marks {
    /// Whether the file defines that dynamic symbol.
    pub(super) fn has(&self, name: &str) -> bool {
        self.defined.contains_key(name)
    }

    fn read(bytes: FileBytes) -> Marks {
        let Ok(elf) = Elf::parse(bytes) else { return Marks::default() };
        let mut marks = Marks { defined: defined(&elf).unwrap_or_default(), go: go::build(&elf), ..Marks::default() };
        let all = elf.bytes();
        let searched = all.get(..MAX_SEARCHED).unwrap_or(all);
        if marks.has("DotNetRuntimeInfo") || marks.has("coreclr_initialize") {
            marks.coreclr = version::in_coreclr(searched);
        }
        if marks.has("DotNetRuntimeDebugHeader") {
            marks.nativeaot = version::in_nativeaot(searched);
        }
        if marks.has("_ZN4node5StartEiPPc") {
            marks.node = version::in_node(searched);
        }
        if let Some(at) = marks.defined.get("Py_Version") {
            let hex = elf.bytes_at(*at, 8).and_then(|bytes| bytes.first_chunk());
            marks.python = hex.and_then(|bytes| version::of_python_hex(u64::from_le_bytes(*bytes)));
        }
        elf.bytes().forget_pages();
        marks
    }
}

/// Which of [`NAMES`] the dynamic symbol table defines, and where.
// Source: System V ABI (gABI), "Symbol Table": st_name 4 bytes, st_info 1, st_other 1, st_shndx 2 (0: undefined), st_value 8, st_size 8.
fn defined(elf: &Elf) -> Option<FxHashMap<&'static str, Svma>> {
    const ENTRY: usize = 24;
    let table = elf.section(".dynsym").ok()??;
    let names = elf.section(".dynstr").ok()??;
    let wanted: Vec<(usize, &'static str)> = NAMES
        .iter()
        .filter_map(|name| {
            let needle = [b"\0", name.as_bytes(), b"\0"].concat();
            Some((memchr::memmem::find(&names.bytes, &needle)?.checked_add(1)?, *name))
        })
        .collect();
    let mut found = FxHashMap::default();
    if wanted.is_empty() || !elf.is_64() || !elf.is_little_endian() {
        return Some(found);
    }
    for entry in table.bytes.as_chunks::<ENTRY>().0.iter().take(MAX_SYMBOLS) {
        let name = usize::try_from(u32::from_le_bytes(*entry.first_chunk()?)).ok()?;
        let Some((_, name)) = wanted.iter().find(|(at, _)| *at == name) else { continue };
        let section = u16::from_le_bytes(*entry.get(6..8)?.first_chunk()?);
        if section != 0 {
            found.insert(*name, Svma(u64::from_le_bytes(*entry.get(8..16)?.first_chunk()?)));
        }
    }
    Some(found)
}

/// A file as it stands: device, inode, size, time of change.
type Key = (u64, u64, u64, i64, i64);

/// The marks of the files seen so far.
#[derive(Debug, Default)]
pub(in crate::processes) struct Memo(Mutex<FxHashMap<Key, Arc<OnceLock<Marks>>>>);

/// The marks of a file, shared.
pub(super) struct Found(Arc<OnceLock<Marks>>);

impl std::ops::Deref for Found {
    type Target = Marks;

    fn deref(&self) -> &Marks {
        static NONE: OnceLock<Marks> = OnceLock::new();
        self.0.get().unwrap_or_else(|| NONE.get_or_init(Marks::default))
    }
}

impl Memo {
    /// The marks of an open file; read at most once while it does not change.
    pub(super) fn marks(&self, file: &File) -> io::Result<Found> {
        let metadata = file.metadata()?;
        let key = (metadata.dev(), metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec());
        let cell = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
        if cell.get().is_none() {
            let bytes = FileBytes::from_file(file)?;
            cell.get_or_init(|| Marks::read(bytes));
        }
        Ok(Found(cell))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_do_no_harm() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        // The headers and tables that are read; the rest of a test program is large and never looked at.
        let mut file = whole;
        file.truncate(1 << 20);
        let mut seed = 1u64;
        for _ in 0..300 {
            let mut damaged = file.clone();
            for _ in 0..8 {
                // xorshift64: Marsaglia 2003.
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let [low, high, value, ..] = seed.to_le_bytes();
                let at = usize::from(u16::from_le_bytes([low, high])) % 4096;
                damaged[at] = value;
            }
            let _ = Marks::read(FileBytes::from_vec(damaged));
        }
    }
}
