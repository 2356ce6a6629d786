//! A module's file that `collect` put into the dump, since it may be at no path later: that of a deleted program or library.
//!
//! A note of the owner [`super::facts::OWNER`] holds it: the address of a byte of the module (8 bytes, little endian), then the file. It is
//! the whole file, or its symbol table alone ([`super::symbol_file`]).

use std::sync::Arc;

use symbols::{Elf, FileBytes};

use super::MappedModule;
use crate::model::Addr;

/// Type of the note: "DS", then 2.
pub const NOTE: u32 = 0x4453_0002;

/// A file in the dump.
#[derive(Clone, Debug)]
pub struct Kept {
    /// An address of the module.
    pub at: Addr,
    /// The file's bytes.
    pub bytes: FileBytes,
}

impl Kept {
    /// The note's content; `None` where it is too short.
    pub fn parse(content: FileBytes) -> Option<Kept> {
        let at = Addr(u64::from_le_bytes(*content.first_chunk()?));
        Some(Kept { at, bytes: content.slice(8..content.len())? })
    }

    /// The note's content for a file.
    pub fn content(at: u64, file: &[u8]) -> Vec<u8> {
        let mut content = at.to_le_bytes().to_vec();
        content.extend(file);
        content
    }
}

/// The file of a module among those kept; `None` where there is none, or it is damaged or another's.
pub fn file_of(mapped: &MappedModule, kept: &[Kept]) -> Option<Arc<Elf>> {
    let kept = kept.iter().find(|kept| (mapped.base..mapped.end).contains(&kept.at))?;
    let file = Elf::parse(kept.bytes.clone()).ok()?;
    let stated = mapped.build_id.as_ref().ok().and_then(Option::as_ref);
    let same = file.build_id().is_none() || stated.is_none() || file.build_id() == stated;
    same.then(|| Arc::new(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::ImageKind;
    use crate::capture::Role;

    fn module() -> MappedModule {
        let (base, end) = (Addr(0x1000), Addr(0x2000));
        let (bias, path, build_id, role) = (Some(0x1000), None, Ok(None), Role::Library);
        MappedModule {
            base,
            end,
            bias,
            path,
            build_id,
            parts: Vec::new(),
            copies: Vec::new(),
            role,
            image: ImageKind::ELF,
        }
    }

    #[test]
    fn a_file_is_that_of_the_module_at_its_address() {
        let mut file = vec![0u8; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let kept = |at: u64| Kept::parse(FileBytes::from_vec(Kept::content(at, &file))).expect("a note");
        assert!(file_of(&module(), &[kept(0x2000), kept(0x1fff)]).is_some());
        assert!(file_of(&module(), &[kept(0x2000), kept(0xfff)]).is_none());
    }

    #[test]
    fn what_is_too_short_or_no_elf_file_is_none() {
        assert!(Kept::parse(FileBytes::from_vec(vec![0; 7])).is_none());
        let text = Kept::parse(FileBytes::from_vec(Kept::content(0x1000, b"#!/bin/sh"))).expect("a note");
        assert!(file_of(&module(), &[text]).is_none());
    }
}
