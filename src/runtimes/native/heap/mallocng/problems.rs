//! What of a heap is damaged or missing, in words.

use std::sync::Arc;

use super::find::Place;
use super::groups::Groups;
use super::slots::{Damage, DamageKind, Walked};
use crate::model::{Addr, Problem, Subject};
use crate::runtimes::native::heap::allocator::{Block, What};

/// Most damages that are told one by one.
const MAX_TOLD: usize = 16;

pub(super) fn of(
    place: &Place,
    groups: &Groups,
    walked: impl Iterator<Item = Arc<Walked>>,
    what: &What<'_>,
) -> Vec<Problem> {
    let mut all = Vec::new();
    let mut say = |code: &'static str, at: u64, message: String| {
        all.push(Problem::new(code, Subject::Memory(Addr(at)), message));
    };
    if !place.is_whole {
        let message = "the chain of malloc's pages of metas breaks off: groups are missing, and totals are too low";
        say("heap-damaged", place.context, message.to_owned());
    }
    for meta in groups.odd.iter().take(MAX_TOLD) {
        let message = format!("what malloc says of a group at {} cannot be right: its slots are left out", Addr(*meta));
        say("heap-damaged", *meta, message);
    }
    if let Some(more) = groups.odd.len().checked_sub(MAX_TOLD).filter(|more| *more > 0) {
        say("heap-damaged", place.context, format!("{more} more groups are left out"));
    }
    for (bytes, counted, found) in groups.miscounted.iter().take(MAX_TOLD) {
        let message = format!("malloc counts {counted} slots of {bytes} bytes, {found} were found");
        say("heap-incomplete", place.context, message);
    }
    let mut told = 0usize;
    let mut untold = 0u64;
    for walked in walked {
        for damage in &walked.damages {
            if told < MAX_TOLD {
                told = told.saturating_add(1);
                say("heap-damaged", damage.at, text(damage, what));
            } else {
                untold = untold.saturating_add(1);
            }
        }
        untold = untold.saturating_add(walked.more);
    }
    if untold > 0 {
        say("heap-damaged", place.context, format!("{untold} more blocks are damaged"));
    }
    all
}

fn text(damage: &Damage, what: &What<'_>) -> String {
    let at = Addr(damage.at);
    match damage.kind {
        DamageKind::Header(bytes) => {
            let text = match std::str::from_utf8(&bytes) {
                Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') => {
                    format!(" (the text {text:?})")
                }
                _ => String::new(),
            };
            let word = u32::from_le_bytes(bytes);
            format!("the header of the slot at {at} of {} bytes is overwritten with {word:#010x}{text}", damage.bytes)
        }
        DamageKind::Overrun { asked, byte } => {
            let what = what(Block { address: at, bytes: asked });
            format!(
                "the block at {at} of {asked} bytes{what} was written beyond its end: the byte behind it is {byte:#04x}"
            )
        }
        DamageKind::Unreadable => format!("the slot at {at} of {} bytes is not in the dump", damage.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_was_written_beyond_its_end_is_told_with_what_it_is() {
        let damage = Damage { at: 0x1000, bytes: 48, kind: DamageKind::Overrun { asked: 40, byte: b'x' } };
        let told = text(&damage, &|block| format!(", a shop::Order of {}", block.bytes));
        let expected = "the block at 0x1000 of 40 bytes, a shop::Order of 40 was written beyond its end: the byte behind it is 0x78";
        assert_eq!(told, expected);
    }
}
