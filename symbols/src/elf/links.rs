//! The sections that name another file: `.gnu_debuglink` and `.gnu_debugaltlink`.

use super::Elf;
use super::words::{Words, c_string};
use crate::{BuildId, Error};

/// Where the separate debug file is, as the stripped file says (GDB manual, "Separate Debug Files").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugLink {
    /// The file's name. Written by whoever made the file: use its last component only.
    pub name: Vec<u8>,
    /// CRC-32 of the whole debug file.
    pub crc: u32,
}

/// Where the debug information shared with other files is, as `dwz` wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AltLink {
    /// The file's path, absolute or relative to the file that names it. Use its last component only.
    pub name: Vec<u8>,
    /// The shared file's build id.
    pub build_id: BuildId,
}

impl Elf {
    /// The content of `.gnu_debuglink`: a name, zeros up to a multiple of 4, a CRC in the file's byte order.
    pub fn debug_link(&self) -> Result<Option<DebugLink>, Error> {
        let Some(section) = self.section(".gnu_debuglink")? else { return Ok(None) };
        let fields = || {
            let name = c_string(&section.bytes, 0)?;
            let crc_at = name.len().checked_add(1)?.checked_next_multiple_of(4)?;
            let crc = Words::new(&section.bytes, self.layout()).u32(crc_at)?;
            Some(DebugLink { name: name.to_vec(), crc })
        };
        Ok(fields())
    }

    /// The content of `.gnu_debugaltlink`: a name and, behind its NUL, a build id.
    pub fn alt_link(&self) -> Result<Option<AltLink>, Error> {
        let Some(section) = self.section(".gnu_debugaltlink")? else { return Ok(None) };
        let fields = || {
            let name = c_string(&section.bytes, 0)?;
            let build_id = BuildId::from_bytes(section.bytes.get(name.len().checked_add(1)?..)?)?;
            Some(AltLink { name: name.to_vec(), build_id })
        };
        Ok(fields())
    }
}
