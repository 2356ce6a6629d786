//! The assembly that a module is.

use super::Metadata;
use crate::capture::Memory;
use crate::model::Known;

/// The table of the assembly itself. Source: ECMA-335 II.22.2: HashAlgId, MajorVersion, MinorVersion, BuildNumber, RevisionNumber.
const ASSEMBLY: usize = 0x20;
const MAJOR: usize = 1;

impl Metadata {
    /// The assembly's version, `1.2.0.0`.
    pub fn version(&self, memory: &Memory) -> Known<String> {
        let part = |part: usize| self.tables.cell(memory, ASSEMBLY, 1, MAJOR.saturating_add(part));
        Ok(format!("{}.{}.{}.{}", part(0)?, part(1)?, part(2)?, part(3)?))
    }
}
