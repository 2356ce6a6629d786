//! The descriptor that the runtime exports: `DotNetRuntimeContractDescriptor`.

use super::json::{Descriptor, MAX_JSON};
use crate::capture::Memory;
use crate::model::{Addr, Gap, Known};

// Members of the structure on 64-bit processors: magic 0, flags 8, then these; the rest is padding.
// Source: dotnet/runtime docs/design/datacontracts/contract-descriptor.md, "ContractDescriptor".
const JSON_SIZE: u64 = 12;
const JSON: u64 = 16;
const POINTER_COUNT: u64 = 24;
const POINTERS: u64 = 32;
/// `DNCCDAC` and a zero. Source: the same.
pub(super) const MAGIC: u64 = 0x0043_4144_4343_4e44;
/// Most pointers; .NET 10 has 24.
const MAX_POINTERS: u32 = 4096;

/// A descriptor that was found in memory.
#[derive(Debug)]
pub struct Exported {
    /// What it says; a gap where its text is not in the dump.
    pub descriptor: Known<Descriptor>,
    /// Its table of pointers: addresses of global variables.
    pub pointers: Vec<Addr>,
}

impl Exported {
    /// The descriptor at an address.
    pub fn read(memory: &Memory, at: Addr) -> Known<Exported> {
        let part = |offset: u64| at.plus(offset).ok_or_else(|| Gap::Corrupt(format!("a descriptor at {at}")));
        if memory.u64(at)? != MAGIC {
            return Err(Gap::Corrupt(format!("no contract descriptor at {at}")));
        }
        let count = memory.u32(part(POINTER_COUNT)?)?.min(MAX_POINTERS);
        let table = memory.ptr(part(POINTERS)?)?;
        let pointer = |index: u32| {
            let slot = u64::from(index).checked_mul(8).and_then(|offset| table.plus(offset));
            Ok(memory.ptr(slot.ok_or_else(|| Gap::Corrupt(format!("a table of pointers at {table}")))?)?)
        };
        // A table that is not in the dump: the text still tells offsets.
        let pointers = (0..count).map(pointer).collect::<Known<Vec<Addr>>>().unwrap_or_default();
        let json = || {
            let size = u64::from(memory.u32(part(JSON_SIZE)?)?);
            if size > MAX_JSON {
                return Err(Gap::Corrupt(format!("a contract descriptor of {size} bytes")));
            }
            let mut text = vec![0; usize::try_from(size).unwrap_or(0)];
            memory.read(memory.ptr(part(JSON)?)?, &mut text)?;
            Descriptor::parse(&text)
        };
        Ok(Exported { descriptor: json(), pointers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = br#"{"types":{"Thread":{"Id":16}},"globals":{"ThreadStore":[[1],"pointer"]}}"#;

    /// The structure at 0x1000, two pointers at 0x1040, the text at 0x1080.
    fn memory(change: impl Fn(&mut Vec<u8>)) -> Memory {
        let mut bytes = vec![0; 0x200];
        bytes[0..8].copy_from_slice(b"DNCCDAC\0");
        bytes[12..16].copy_from_slice(&u32::try_from(TEXT.len()).unwrap().to_le_bytes());
        bytes[16..24].copy_from_slice(&0x1080u64.to_le_bytes());
        bytes[24] = 2;
        bytes[32..40].copy_from_slice(&0x1040u64.to_le_bytes());
        bytes[0x48..0x50].copy_from_slice(&0xabcdu64.to_le_bytes());
        bytes[0x80..0x80 + TEXT.len()].copy_from_slice(TEXT);
        change(&mut bytes);
        Memory::of_bytes(0x1000, &bytes)
    }

    #[test]
    fn a_descriptor_is_read_with_its_pointers() {
        let read = Exported::read(&memory(|_| {}), Addr(0x1000)).unwrap();
        assert_eq!(read.pointers, [Addr(0), Addr(0xabcd)]);
        assert_eq!(read.descriptor.unwrap().offset("Thread", "Id"), Some(16));
    }

    #[test]
    fn each_member_may_be_wrong() {
        assert!(Exported::read(&memory(|bytes| bytes[0] = b'X'), Addr(0x1000)).is_err());
        let without_text = Exported::read(&memory(|bytes| bytes[20] = 9), Addr(0x1000)).unwrap();
        assert!(without_text.descriptor.is_err());
        assert_eq!(without_text.pointers.len(), 2);
        let long = Exported::read(&memory(|bytes| bytes[15] = 0xff), Addr(0x1000)).unwrap();
        assert!(long.descriptor.is_err());
        let many = Exported::read(&memory(|bytes| bytes[27] = 0xff), Addr(0x1000)).unwrap();
        assert!(many.pointers.is_empty() && many.descriptor.is_ok());
        assert!(Exported::read(&memory(|_| {}), Addr(u64::MAX - 4)).is_err());
    }
}
