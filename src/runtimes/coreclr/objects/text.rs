//! Texts: `System.String`.

use crate::model::value::Text;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::Clr;

/// Characters of a text that are shown where something refers to it.
pub(super) const MAX_TEXT: u32 = 1024;
/// Longest text that is read whole, in characters.
const MAX_WHOLE: u32 = 16 << 10;

/// The text of a `System.String`.
pub(in crate::runtimes::coreclr) fn string(clr: &Clr, object: Addr) -> Known<String> {
    let len = clr.u32(object, "String", "m_StringLength")?;
    if len > MAX_WHOLE {
        return Err(Gap::Unsupported(format!("texts as long as the one at {object}, of {len} characters")));
    }
    characters(clr, clr.at(object, "String", "m_FirstChar")?, len)
}

/// The characters of a `System.String`, as memory has them.
pub(in crate::runtimes::coreclr) fn units(clr: &Clr, object: Addr) -> Known<&[u8]> {
    let len = u64::from(clr.u32(object, "String", "m_StringLength")?);
    Ok(clr.memory().slice(clr.at(object, "String", "m_FirstChar")?, len.saturating_mul(2))?)
}

/// So many characters of a `System.String`.
pub(super) fn read(clr: &Clr, object: Addr, most: u32) -> Known<Text> {
    let len = clr.u32(object, "String", "m_StringLength")?;
    let text = characters(clr, clr.at(object, "String", "m_FirstChar")?, len.min(most))?;
    Ok(Text { bytes: text.into_bytes(), cut: len > most })
}

/// So many characters that lie at an address; who asks has bounded them.
pub(super) fn characters(clr: &Clr, at: Addr, count: u32) -> Known<String> {
    let mut bytes = vec![0; count as usize * 2];
    clr.memory().read(at, &mut bytes)?;
    let (units, _) = bytes.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    Ok(String::from_utf16_lossy(&units))
}
