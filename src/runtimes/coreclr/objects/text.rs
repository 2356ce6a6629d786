//! Texts: `System.String`, and those that are being built.

use super::{FIRST_ELEMENT, Instance};
use crate::model::value::Text;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::{Clr, plus};

/// Characters of a text that are shown where something refers to it.
pub(super) const MAX_TEXT: u32 = 1024;
/// Longest text that is read whole, in characters.
const MAX_WHOLE: u32 = 16 << 10;

/// The text of a `System.String`.
pub(in crate::runtimes::coreclr) fn string(clr: &Clr, object: Addr) -> Known<String> {
    let len = clr.u32(object, "String", "m_StringLength")?;
    if len > MAX_WHOLE {
        return Err(Gap::Corrupt(format!("a text of {len} characters at {object}")));
    }
    characters(clr, clr.at(object, "String", "m_FirstChar")?, len)
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

impl Instance<'_> {
    /// The text of a `StringBuilder`, so many characters of it. Its pieces are a list from the last to the first.
    pub(super) fn built(&self, most: u32) -> Known<Text> {
        const MAX_PIECES: usize = 4096;
        let mut pieces = Vec::new();
        let mut next = Some(self.clone());
        while let Some(piece) = next {
            if pieces.len() >= MAX_PIECES {
                return Err(Gap::Corrupt(format!("the pieces of the text at {}", self.at)));
            }
            next = piece.reference("m_ChunkPrevious")?;
            pieces.push(piece);
        }
        let mut text = String::new();
        let mut left = most;
        let mut cut = false;
        for piece in pieces.iter().rev() {
            let len = piece.u32("m_ChunkLength")?;
            let Some(letters) = piece.reference("m_ChunkChars")? else { continue };
            if len > letters.len()? {
                return Err(Gap::Corrupt(format!("a piece of {len} characters at {}", piece.at)));
            }
            text.push_str(&characters(self.types.clr, plus(letters.at, FIRST_ELEMENT)?, len.min(left))?);
            cut |= len > left;
            left = left.saturating_sub(len);
        }
        Ok(Text { bytes: text.into_bytes(), cut })
    }
}
