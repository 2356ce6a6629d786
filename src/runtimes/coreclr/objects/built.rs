//! Texts that are being built: `System.Text.StringBuilder`.

use super::text::characters;
use super::{FIRST_ELEMENT, Instance};
use crate::model::value::Text;
use crate::model::{Gap, Known};
use crate::runtimes::coreclr::clr::plus;

impl Instance<'_> {
    /// The text of a `StringBuilder`, so many characters of it. Its pieces are a list from the last to the first.
    pub(super) fn built(&self, most: u32) -> Known<Text> {
        const MAX_PIECES: usize = 4096;
        let mut pieces = Vec::new();
        let mut next = Some(self.clone());
        while let Some(piece) = next {
            if pieces.len() >= MAX_PIECES {
                return Err(Gap::Unsupported(format!("texts of more than {MAX_PIECES} pieces")));
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
