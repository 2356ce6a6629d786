//! Small reads of the stopped process, page by page, each page once.

use std::cell::RefCell;

use rustc_hash::FxHashMap;

use super::maps::Span;
use super::source::{PAGE, Source};

/// Pages that are kept: 16 MiB. What is read beyond is read again each time.
const MAX_KEPT: usize = 4096;

/// The pages that were read so far; `None` for one that cannot be.
type Pages = FxHashMap<u64, Option<Box<[u8]>>>;

/// Memory of a stopped process.
pub(super) struct Peek<'a> {
    source: &'a Source,
    pages: RefCell<Pages>,
}

impl<'a> Peek<'a> {
    pub(super) fn new(source: &'a Source) -> Peek<'a> {
        Peek { source, pages: RefCell::default() }
    }

    pub(super) fn source(&self) -> &'a Source {
        self.source
    }

    /// Keeps pages that were read otherwise: whole ones, from `at` on, as many as there is room for.
    pub(super) fn keep(&self, at: u64, bytes: &[u8]) {
        let mut pages = self.pages.borrow_mut();
        let room = MAX_KEPT.saturating_sub(pages.len());
        let whole = bytes.as_chunks::<{ PAGE as usize }>().0;
        for (index, page) in (0u64..).zip(whole.iter().take(room)) {
            pages.insert(at.saturating_add(index * PAGE), Some(Box::from(&page[..])));
        }
    }

    /// Takes over the pages that another has read.
    pub(super) fn join(&self, other: Peek<'_>) {
        let mut pages = self.pages.borrow_mut();
        let room = MAX_KEPT.saturating_sub(pages.len());
        pages.extend(other.pages.into_inner().into_iter().take(room));
    }

    /// Fills `into` from `at`; `None` where any of it cannot be read.
    pub(super) fn read(&self, at: u64, into: &mut [u8]) -> Option<()> {
        let mut done = 0usize;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let from = at.checked_add(done as u64)?;
            let skip = usize::try_from(from % PAGE).ok()?;
            let len = rest.len().min(usize::try_from(PAGE).ok()?.saturating_sub(skip));
            self.with_page(from - from % PAGE, |page| {
                rest.get_mut(..len)?.copy_from_slice(page.get(skip..skip.checked_add(len)?)?);
                Some(())
            })?;
            done = done.saturating_add(len);
        }
        Some(())
    }

    /// The same, where it is in memory: nothing comes into being, or is fetched.
    pub(super) fn read_present(&self, at: u64, into: &mut [u8]) -> Option<()> {
        let start = at / PAGE * PAGE;
        let span = Span::new(start, at.checked_add(into.len() as u64)?.checked_next_multiple_of(PAGE)?);
        let known = |page: u64| self.pages.borrow().contains_key(&page);
        let is_known = (span.start.0..span.end.0).step_by(usize::try_from(PAGE).unwrap_or(1)).all(known);
        if is_known || self.source.present(span) == [span] { self.read(at, into) } else { None }
    }

    fn with_page<T>(&self, page: u64, use_it: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        let mut pages = self.pages.borrow_mut();
        if pages.len() >= MAX_KEPT {
            pages.clear();
        }
        let held = pages.entry(page).or_insert_with(|| {
            let mut bytes = vec![0u8; usize::try_from(PAGE).unwrap_or(0)];
            let read = self.source.read(page, &mut bytes).ok()?;
            (read == bytes.len()).then(|| bytes.into_boxed_slice())
        });
        use_it(held.as_deref()?)
    }

    /// A little-endian word.
    pub(super) fn word(&self, at: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(at, &mut bytes)?;
        Some(u64::from_le_bytes(bytes))
    }

    /// A little-endian half word.
    pub(super) fn half(&self, at: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.read(at, &mut bytes)?;
        Some(u32::from_le_bytes(bytes))
    }

    /// A little-endian quarter word.
    pub(super) fn quarter(&self, at: u64) -> Option<u16> {
        let mut bytes = [0; 2];
        self.read(at, &mut bytes)?;
        Some(u16::from_le_bytes(bytes))
    }

    /// Length of the text at `at` with its NUL, at most `max`.
    pub(super) fn text_length(&self, at: u64, max: u64) -> Option<u64> {
        (0..max).find_map(|index| {
            let mut byte = [0];
            match self.read(at.checked_add(index)?, &mut byte) {
                Some(()) if byte == [0] => Some(Some(index.saturating_add(1))),
                Some(()) => None,
                None => Some(None),
            }
        })?
    }
}
