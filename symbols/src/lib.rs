//! Module files and the names in them: given a module, find its files and verify them; given a file, its segments, unwind sections,
//! symbols, functions with inlined calls, and source lines.
//!
//! Files are hostile: nothing read from one is trusted, every table and every decompression has a limit, and no path that a file
//! states is followed outside the roots that the user configured.

mod address;
mod decompress;
mod demangle;
mod dwarf;
mod elf;
mod error;
mod go_table;
mod id;
mod intervals;
mod locate;
mod map;
mod module;
mod module_id;
mod room;
mod table;

pub use address::Svma;
pub use decompress::deflate;
pub use demangle::{demangle, short_name};
pub use dwarf::{
    CallSite, Callee, Encoding, Expression, Locals, Location, Member, Part, SourceFrame, TypeId, TypeKind, TypeLayout,
    Variable, Variants,
};
pub use elf::{AltLink, DebugLink, Elf, LoadSegment, Machine, ProgramHeader, RelativeWord, Section};
pub use error::Error;
pub use go_table::GoFrame;
pub use id::BuildId;
pub use locate::{
    Attempt, Comparison, Content, Contents, Fetch, Key, Located, Locator, Outcome, Place, Remembered, Store, Wanted,
    WantedPdb,
};
pub use map::FileBytes;
pub use module::{ModuleSymbols, SourceKind, SymbolSource};
pub use module_id::ModuleId;
pub use room::Room;
pub use table::{Symbol, SymbolKind};
