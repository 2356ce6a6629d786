//! From match to match in a page, nothing hidden.

use super::Pane;
use crate::report::pattern::Pattern;

/// Lines that are looked at for one key: a frame must not wait for a million.
const LOOKED_AT: usize = 10_000;

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing was typed to be searched for.
    Nothing,
    /// A line, which is shown now.
    Here,
    /// No line from here on.
    None,
    /// None among those that were looked at: there are more.
    Far,
}

impl Pane {
    /// What is searched for.
    pub fn sought(&self) -> &str {
        &self.sought
    }

    /// The line that a search found last, as long as the page is as it was.
    pub fn found(&self) -> Option<usize> {
        self.found
    }

    /// Goes to the next line that matches what was typed last, down or up: selects it where it can be.
    pub fn go_to_match(&mut self, down: bool) -> Found {
        let Some(pattern) = Pattern::parse(&self.sought) else { return Found::Nothing };
        let document = std::rc::Rc::clone(&self.document);
        let from = self.found.or(self.line()).unwrap_or(self.top);
        let matches = |line: &usize| pattern.score(&document.searched(*line)).is_some();
        let (found, last) = if down {
            let first = from.saturating_add(1);
            let last = first.saturating_add(LOOKED_AT).min(document.len());
            ((first..last).find(matches), last)
        } else {
            let first = from.saturating_sub(LOOKED_AT);
            ((first..from).rev().find(matches), first)
        };
        let more = if down { last < document.len() } else { last > 0 };
        let line = match found {
            Some(line) => line,
            None if more => last,
            None => return Found::None,
        };
        if document.spot(line).is_some() {
            self.stand(line);
        } else {
            let height = self.height();
            self.top = line.saturating_sub(height / 3).min(document.len().saturating_sub(height));
        }
        self.found = Some(line);
        if found.is_some() { Found::Here } else { Found::Far }
    }
}
