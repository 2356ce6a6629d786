//! What the linker wrote of a Go module: where its types are.

use crate::capture::Memory;
use crate::model::Addr;
use crate::target::{Module, Target};

/// Writable data that is searched for `runtime.moduledata`, in bytes.
const MAX_DATA: u64 = 64 << 20;
/// Words that lead to the table of functions which are looked at.
const MAX_PLACES: usize = 64;
// Source: Go src/runtime/symtab.go, type moduledata: pcHeader 0, five slices, ftab, findfunctab, minpc, maxpc, text 176, etext 184, then four
// pairs of bounds (five since 1.20), end, gcdata, gcbss, types, etypes.
const TEXT: u64 = 176;
const TYPES: [u64; 2] = [280, 296];

/// A Go module's types: names of types are told as offsets from where these begin.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    types: Vec<(Addr, Addr)>,
}

impl Image {
    pub(super) fn of(target: &Target, module: &Module) -> Image {
        Image { types: Image::types(target, module).unwrap_or_default() }
    }

    fn types(target: &Target, module: &Module) -> Option<Vec<(Addr, Addr)>> {
        let table = module.addr(module.elf()?.go_table()?)?;
        let (base, end) = (module.mapped.base, module.mapped.end);
        let writable = target.memory.regions().iter().filter(|region| {
            // Variables without initial values continue behind the file's last page.
            region.access.write && base <= region.start && region.start <= end
        });
        writable.take(MAX_PLACES).find_map(|region| {
            let len = region.end.since(region.start)?.min(MAX_DATA);
            let bytes = target.memory.slice_up_to(region.start, len).ok()?;
            let (words, _) = bytes.as_chunks::<8>();
            let places = (0u64..).zip(words).filter(|(_, word)| u64::from_le_bytes(**word) == table.0);
            places.take(MAX_PLACES).find_map(|(index, _)| {
                let at = region.start.plus(index.checked_mul(8)?)?;
                module_data(&target.memory, at, |text| base <= text && text < end)
            })
        })
    }

    /// Whether a type's description lies there.
    pub(super) fn has_type(&self, at: Addr) -> bool {
        self.types.iter().any(|(start, end)| *start <= at && at < *end)
    }

    /// Where the name at an offset is, for a type at that address.
    pub(super) fn name(&self, of: Addr, offset: u32) -> Option<Addr> {
        let (start, end) = self.types.iter().find(|(start, end)| *start <= of && of < *end)?;
        start.plus(u64::from(offset)).filter(|at| at < end)
    }
}

/// The bounds of the types, by both layouts where both are plausible.
fn module_data(memory: &Memory, at: Addr, is_code: impl Fn(Addr) -> bool) -> Option<Vec<(Addr, Addr)>> {
    let word = |offset: u64| memory.ptr(at.plus(offset)?).ok();
    let (text, end) = (word(TEXT)?, word(TEXT.checked_add(8)?)?);
    if !is_code(text) || end <= text {
        return None;
    }
    let bounds = TYPES.iter().filter_map(|offset| {
        let (start, end) = (word(*offset)?, word(offset.checked_add(8)?)?);
        (start < end && is_code(start)).then_some((start, end))
    });
    Some(bounds.collect())
}

#[cfg(test)]
impl Image {
    pub(super) fn with_types(start: Addr, end: Addr) -> Image {
        Image { types: vec![(start, end)] }
    }
}
