//! What of a heap is damaged or missing, in words.

use super::books::Books;
use super::layout::HEADER;
use super::lists::Broken;
use super::walk::{Damage, DamageKind, Run};
use crate::model::{Addr, Problem, Subject};
use crate::runtimes::native::heap::allocator::{Block, What};
use crate::target::Target;

/// Most damages that are told one by one.
const MAX_TOLD: usize = 16;

pub(super) fn not_found(target: &Target, module: usize, why: &str) -> Option<Problem> {
    let module = target.modules.get(module)?;
    let name = module.file_name().unwrap_or("the executable");
    let message = format!("the heap of {name} cannot be walked: {why}");
    Some(Problem::new("heap-not-found", Subject::Module(module.mapped.base), message))
}

/// What is seen in the books, and was met on the walks so far.
pub(super) fn of_books(books: &Books, what: &What<'_>) -> Vec<Problem> {
    let mut all = Vec::new();
    let mut say = |code: &'static str, at: u64, message: String| {
        all.push(Problem::new(code, Subject::Memory(Addr(at)), message));
    };
    if !books.is_whole {
        let message =
            "the ring of malloc's arenas does not lead back to the main one: some are missing, totals are too low";
        say("heap-damaged", books.main, message.to_owned());
    }
    for (number, arena) in books.arenas.iter().enumerate() {
        if let Some((code, gap)) = &arena.gap {
            let message =
                format!("malloc's arena {number} at {} is not whole: {gap}; totals are too low", Addr(arena.at));
            say(code, arena.at, message);
        }
    }
    let (missing, broken): (Vec<Broken>, Vec<Broken>) = books.lists.broken.iter().partition(|broken| broken.is_missing);
    for Broken { head, link, .. } in broken.iter().take(MAX_TOLD) {
        let message =
            format!("the free list at {} breaks off at {}: what it held counts as in use", Addr(*head), Addr(*link));
        say("heap-list-damaged", *head, message);
    }
    if let Some(more) = broken.len().checked_sub(MAX_TOLD).filter(|more| *more > 0) {
        say("heap-list-damaged", books.main, format!("{more} more free lists of malloc break off"));
    }
    if !missing.is_empty() {
        let message = format!(
            "free lists of malloc lead to what is not in the dump ({} of them): what they held counts as in use",
            missing.len()
        );
        say("heap-overcounted", books.main, message);
    }
    let has_memory = books.arenas.iter().any(|arena| arena.top.is_some());
    if has_memory && books.lists.caches.is_empty() {
        let message = "no thread's cache of malloc was found: what they hold counts as in use";
        say("heap-overcounted", books.main, message.to_owned());
    }
    if let (lost @ 1.., all) = books.lists.lost {
        let message = format!(
            "the caches of {lost} of {all} threads cannot be read: what they hold counts as in use, and so do they"
        );
        say("heap-overcounted", books.main, message);
    }
    match books.parameters {
        None => {
            let message =
                "malloc's count of mapped blocks was not found: those that were mapped by themselves may be missing";
            say("heap-incomplete", books.main, message.to_owned());
        }
        Some(parameters) if parameters.mmaps != books.mapped.len() as u64 => {
            let found = books.mapped.len();
            let message = format!("malloc counts {} mapped blocks, {found} were found", parameters.mmaps);
            say("heap-incomplete", parameters.at, message);
        }
        // Where the library's own count is too high for resized ones it says nothing.
        Some(parameters) if books.layout.behind_mapped == 0 && parameters.mmapped != books.bytes_mapped() => {
            let message = format!(
                "malloc counts {} bytes of mapped blocks, {} were found",
                parameters.mmapped,
                books.bytes_mapped()
            );
            say("heap-unbalanced", parameters.at, message);
        }
        Some(_) => {}
    }
    all.extend(of_walks(books, what));
    all
}

fn of_walks(books: &Books, tell: &What<'_>) -> Vec<Problem> {
    let walked = books.runs.iter().zip(&books.walked);
    let damages = walked.filter_map(|(run, walked)| Some((run, walked.known()?)));
    let mut all = Vec::new();
    let mut missing: Vec<(Run, Damage)> = Vec::new();
    for (run, walked) in damages {
        let (unread, damages): (Vec<&Damage>, Vec<&Damage>) =
            walked.damages.iter().partition(|damage| damage.kind == DamageKind::Unreadable);
        missing.extend(unread.into_iter().map(|damage| (run.clone(), damage.clone())));
        all.extend(damages.iter().take(MAX_TOLD).map(|damage| told(run, damage, tell)));
        if let Some(more) = damages.len().checked_sub(MAX_TOLD).filter(|more| *more > 0) {
            let message = format!("{more} more places of the heap at {} are damaged", Addr(run.start));
            all.push(Problem::new("heap-damaged", Subject::Memory(Addr(run.start)), message));
        }
    }
    match missing.as_slice() {
        [] => {}
        [(run, damage)] => all.push(told(run, damage, tell)),
        [(_, first), ..] => {
            let bytes = missing.iter().map(|(run, damage)| damage.left_out(run)).fold(0, u64::saturating_add);
            let message = format!(
                "the dump does not hold all of malloc's heap: in {} places {bytes} bytes are left out, totals are too low",
                missing.len()
            );
            let problem = Problem::new("heap-incomplete", Subject::Memory(Addr(first.at)), message);
            all.push(problem.with_remedy("'collect --type heap' and 'live --heap' keep the heap"));
        }
    }
    all
}

impl Damage {
    /// Bytes that the walk stepped over.
    fn left_out(&self, run: &Run) -> u64 {
        self.resumed.unwrap_or(run.end).saturating_sub(self.at)
    }
}

fn told(run: &Run, damage: &Damage, tell: &What<'_>) -> Problem {
    let at = Addr(damage.at);
    let what = match damage.kind {
        DamageKind::Unreadable => format!("the dump does not hold all of the heap at {at}"),
        DamageKind::Footer { size, stated } => {
            format!("the chunk at {at} of {size} bytes is marked free, and the next one says that it has {stated}")
        }
        DamageKind::Size(word) => {
            format!("the heap is damaged at {at}: no chunk has a size of {word:#x}{}", text(word))
        }
    };
    let before = match damage.before {
        Some((before, size)) if matches!(damage.kind, DamageKind::Size(_) | DamageKind::Footer { .. }) => {
            let block = Addr(before.saturating_add(HEADER));
            // What was asked for ends with the first word of the next chunk at the latest.
            let what = tell(Block { address: block, bytes: size.saturating_sub(8) });
            format!(
                "; before it is the block {block}, a chunk of {size} bytes{what}: it may have been written beyond its end"
            )
        }
        _ => String::new(),
    };
    let walked = damage.left_out(run);
    let on = match (damage.kind, damage.resumed) {
        (DamageKind::Footer { .. }, _) => "; it counts as in use".to_owned(),
        (_, Some(resumed)) => {
            format!("; the walk goes on at {}: {walked} bytes are left out, totals are too low", Addr(resumed))
        }
        (_, None) => format!("; the {walked} bytes behind it are left out, totals are too low"),
    };
    let code = match damage.kind {
        DamageKind::Unreadable => "heap-incomplete",
        DamageKind::Size(_) => "heap-damaged",
        DamageKind::Footer { .. } => "heap-list-damaged",
    };
    Problem::new(code, Subject::Memory(at), format!("{what}{before}{on}"))
}

/// What a word that should be a size would be as text.
fn text(word: u64) -> String {
    let bytes = word.to_le_bytes();
    let printable = bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    match std::str::from_utf8(&bytes) {
        Ok(text) if printable => format!(" (the text {text:?})"),
        _ => String::new(),
    }
}
