//! Modules as the dump maps them.

use symbols::BuildId;

use crate::model::{Addr, Known};

/// A module as mapped, before its file is looked for.
#[derive(Debug, Clone)]
pub struct MappedModule {
    /// Lowest mapped address.
    pub base: Addr,
    /// One past the highest mapped address.
    pub end: Addr,
    /// What is added to an address stated in the file to get one of the target. `None` while the file's program
    /// headers are unknown (not in the dump, file not at hand).
    pub bias: Option<u64>,
    /// Path as recorded; `None` for the vDSO.
    pub path: Option<String>,
    /// Build id from the dump's own pages.
    pub build_id: Known<Option<BuildId>>,
    /// Mapped parts of the file, ascending: (start, end, offset in the file, bytes).
    pub parts: Vec<MappedPart>,
    /// Other places where its instructions are mapped, ascending: a program may map its own file again (V8 does for
    /// each isolate).
    pub copies: Vec<MappedPart>,
    /// What kind of module it is.
    pub role: Role,
    /// The format of its file, with what only files of that format have.
    pub image: ImageKind,
}

impl MappedModule {
    /// Whether it is the kernel's own code, which has no file anywhere.
    pub fn is_vdso(&self) -> bool {
        self.image == ImageKind::Vdso
    }
}

/// The format of a module's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    /// ELF.
    Elf {
        /// Where its `.eh_frame` is and how many bytes that has, as the dump tells of a module without PT_GNU_EH_FRAME.
        eh_frame: Option<(Addr, u64)>,
    },
    /// The ELF image that Linux maps into each process and that is in no file: the vDSO.
    Vdso,
}

impl ImageKind {
    /// An ELF file whose program headers tell of its unwind table, or that has none.
    pub const ELF: ImageKind = ImageKind::Elf { eh_frame: None };
}

/// A mapped part of a module's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedPart {
    /// First address.
    pub start: Addr,
    /// One past the last.
    pub end: Addr,
    /// Offset in the file, in bytes.
    pub offset: u64,
}

/// What a module is to the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The main executable.
    Executable,
    /// A shared library (the loader among them).
    Library,
}

/// A mapped part of a file that is no module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedFile {
    /// Where, and of which part of the file.
    pub part: MappedPart,
    /// The file's path, as the dump records it.
    pub path: String,
}
