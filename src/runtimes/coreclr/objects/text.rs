//! Texts: `System.String`.

use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::Clr;

/// Longest text, in characters.
const MAX_TEXT: u32 = 16 << 10;

/// The text of a `System.String`.
pub(in crate::runtimes::coreclr) fn string(clr: &Clr, object: Addr) -> Known<String> {
    let len = clr.u32(object, "String", "m_StringLength")?;
    if len > MAX_TEXT {
        return Err(Gap::Corrupt(format!("a text of {len} characters at {object}")));
    }
    let mut bytes = vec![0; len as usize * 2];
    clr.memory().read(clr.at(object, "String", "m_FirstChar")?, &mut bytes)?;
    let (units, _) = bytes.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    Ok(String::from_utf16_lossy(&units))
}
