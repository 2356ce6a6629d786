//! What tells one build of a module from another, in each format, and what stores call it.
//!
//! Keys as in dotnet/symstore docs/specs/SSQP_Key_Conventions.md ("SSQP") and Breakpad's SimpleSymbolSupplier. A key is a relative path with
//! `/`; file names are in lower case where the convention has them so. No store is asked here.

use std::fmt::Write as _;

use crate::BuildId;

/// A module's identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ModuleId {
    /// ELF: the note NT_GNU_BUILD_ID.
    Elf(BuildId),
    /// The PDB that a PE image names (RSDS record): GUID as it is printed, 16 bytes, and age; `None` for a portable PDB.
    Pdb {
        /// Data1 to Data4 in the order in which they are printed.
        guid: [u8; 16],
        /// How often the PDB was written; a portable PDB has none.
        age: Option<u32>,
    },
    /// A PE image.
    Pe {
        /// TimeDateStamp of the COFF header.
        timestamp: u32,
        /// SizeOfImage of the optional header, bytes.
        size: u32,
    },
    /// Breakpad's debug id: a GUID and an age, whatever the module's format is.
    Breakpad {
        /// In the order in which it is printed.
        guid: [u8; 16],
        /// 0 for ELF.
        age: u32,
    },
}

impl ModuleId {
    /// Breakpad's id of an ELF module: the first 16 bytes of its build id (zeros behind a shorter one), read as a GUID of the target's byte
    /// order, here little endian.
    pub fn breakpad_of(id: &BuildId) -> ModuleId {
        let mut guid = [0; 16];
        guid.iter_mut().zip(id.as_bytes()).for_each(|(to, from)| *to = *from);
        let [a, b, c, d, e, f, g, h, rest @ ..] = guid;
        let [i, j, k, l, m, n, o, p] = rest;
        ModuleId::Breakpad { guid: [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p], age: 0 }
    }

    /// The key of the module's own file (of a PDB: the PDB) called `name` in a store of the SSQP layout; `None` for a Breakpad id, which has
    /// none there.
    pub fn ssqp_key(&self, name: &str) -> Option<String> {
        let name = name.to_lowercase();
        let id = match self {
            // Shorter ids are filled up with zeros to 20 bytes.
            ModuleId::Elf(id) => format!("elf-buildid-{:0<40}", id.to_string()),
            ModuleId::Pdb { guid, age: Some(age) } => format!("{}{age:x}", hex(guid)),
            ModuleId::Pdb { guid, age: None } => format!("{}FFFFFFFF", hex(guid)),
            // The time stamp has eight digits, the size as many as it needs.
            ModuleId::Pe { timestamp, size } => format!("{timestamp:08x}{size:x}"),
            ModuleId::Breakpad { .. } => return None,
        };
        Some(format!("{name}/{id}/{name}"))
    }

    /// The key of the separate debug file of an ELF module in a store of the SSQP layout.
    pub fn ssqp_debug_key(&self) -> Option<String> {
        let ModuleId::Elf(id) = self else { return None };
        Some(format!("_.debug/elf-buildid-sym-{:0<40}/_.debug", id.to_string()))
    }

    /// The key of Breakpad's symbol file of a module whose debug file is called `name`: `name/ID/name.sym`, `.pdb` giving way to `.sym`.
    pub fn breakpad_key(&self, name: &str) -> Option<String> {
        let (guid, age) = match self {
            ModuleId::Breakpad { guid, age } | ModuleId::Pdb { guid, age: Some(age) } => (*guid, *age),
            ModuleId::Elf(id) => return ModuleId::breakpad_of(id).breakpad_key(name),
            ModuleId::Pdb { age: None, .. } | ModuleId::Pe { .. } => return None,
        };
        let stem = name.strip_suffix(".pdb").unwrap_or(name);
        Some(format!("{name}/{}{age:x}/{stem}.sym", hex(&guid).to_uppercase()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Source of the expected keys: the examples of SSQP_Key_Conventions.md.
    const GUID: [u8; 16] =
        [0x49, 0x7b, 0x72, 0xf6, 0x39, 0x0a, 0x44, 0xfc, 0x87, 0x8e, 0x5a, 0x2d, 0x63, 0xb6, 0xcc, 0x4b];

    fn elf() -> ModuleId {
        ModuleId::Elf(BuildId::from_hex("180a373d6afbabf0eb1f09be1bc45bd796a71085").unwrap())
    }

    #[test]
    fn keys_are_those_of_the_published_examples() {
        let pe = ModuleId::Pe { timestamp: 0x542d_5742, size: 0x32000 };
        assert_eq!(pe.ssqp_key("Foo.exe").unwrap(), "foo.exe/542d574232000/foo.exe");
        let pdb = ModuleId::Pdb { guid: GUID, age: Some(1) };
        assert_eq!(pdb.ssqp_key("Foo.pdb").unwrap(), "foo.pdb/497b72f6390a44fc878e5a2d63b6cc4b1/foo.pdb");
        let portable = ModuleId::Pdb { guid: GUID, age: None };
        assert_eq!(portable.ssqp_key("Foo.pdb").unwrap(), "foo.pdb/497b72f6390a44fc878e5a2d63b6cc4bFFFFFFFF/foo.pdb");
        let so = "foo.so/elf-buildid-180a373d6afbabf0eb1f09be1bc45bd796a71085/foo.so";
        assert_eq!(elf().ssqp_key("foo.so").unwrap(), so);
        let debug = "_.debug/elf-buildid-sym-180a373d6afbabf0eb1f09be1bc45bd796a71085/_.debug";
        assert_eq!(elf().ssqp_debug_key().unwrap(), debug);
    }

    #[test]
    fn short_build_ids_are_filled_up_to_twenty_bytes() {
        let short = ModuleId::Elf(BuildId::from_hex("0123456789abcdef").unwrap());
        let key = "a/elf-buildid-0123456789abcdef000000000000000000000000/a";
        assert_eq!(short.ssqp_key("a").unwrap(), key);
    }

    #[test]
    fn breakpad_has_the_guid_in_upper_case_and_the_age_behind_it() {
        // Source: the example of Breakpad's processor/simple_symbol_supplier.h.
        let guid = [0xbc, 0xe8, 0x78, 0x5c, 0x57, 0xb4, 0x42, 0x45, 0xa6, 0x69, 0x89, 0x6b, 0x6a, 0x19, 0xb9, 0x54];
        let pdb = ModuleId::Pdb { guid, age: Some(2) };
        let key = "kernel32.pdb/BCE8785C57B44245A669896B6A19B9542/kernel32.sym";
        assert_eq!(pdb.breakpad_key("kernel32.pdb").unwrap(), key);
        assert_eq!(ModuleId::Breakpad { guid, age: 2 }.breakpad_key("kernel32.pdb").unwrap(), key);
        // Data1, Data2 and Data3 of the GUID are little-endian words of the build id.
        let key = "libfoo.so/3D370A18FB6AF0ABEB1F09BE1BC45BD70/libfoo.so.sym";
        assert_eq!(elf().breakpad_key("libfoo.so").unwrap(), key);
        assert_eq!(ModuleId::Pe { timestamp: 1, size: 2 }.breakpad_key("a"), None);
    }
}
