//! Sections of ReadyToRun images.

use super::super::clr::{Clr, plus};
use crate::model::{Addr, Gap, Known};

/// Most sections of an image; there are about 20.
const MAX_SECTIONS: u32 = 256;

/// Where a section of an image begins, and its bytes; `Ok(None)` where it has none of that kind. `image`: where addresses in it count from;
/// `info`: the runtime's `ReadyToRunInfo`.
pub(in crate::runtimes::coreclr) fn section(
    clr: &Clr,
    image: Addr,
    info: Addr,
    kind: u32,
) -> Known<Option<(Addr, u32)>> {
    // Source: dotnet/runtime src/coreclr/inc/readytorun.h, READYTORUN_HEADER: NumberOfSections 12, sections of 12 bytes from 16 on: Type 0,
    // VirtualAddress 4, Size 8.
    let (memory, header) = (clr.memory(), header(clr, info)?);
    for index in 0..memory.u32(plus(header, 12)?)?.min(MAX_SECTIONS) {
        let section = plus(header, u64::from(index).saturating_mul(12).saturating_add(16))?;
        if memory.u32(section)? == kind {
            let start = plus(image, memory.u32(plus(section, 4)?)?.into())?;
            return Ok(Some((start, memory.u32(plus(section, 8)?)?)));
        }
    }
    Ok(None)
}

/// The first part of the version of an image's format.
pub(in crate::runtimes::coreclr) fn format(clr: &Clr, info: Addr) -> Known<u16> {
    Ok(clr.memory().u16(plus(header(clr, info)?, 4)?)?)
}

fn header(clr: &Clr, info: Addr) -> Known<Addr> {
    const SIGNATURE: u32 = 0x0052_5452;
    let header = clr.ptr(info, "ReadyToRunInfo", "ReadyToRunHeader")?;
    match clr.memory().u32(header)? {
        SIGNATURE => Ok(header),
        _ => Err(Gap::Corrupt(format!("no ReadyToRun image at {header}"))),
    }
}
