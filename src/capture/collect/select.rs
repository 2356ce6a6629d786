//! Which memory a dump holds, by its type.

use super::holes::MappedFiles;
use super::images::{Files, images, metadata};
use super::layout::{Absent, Part};
use super::live::Live;
use super::maps::{Mapping, Span};
use super::pages::Pages;
use super::peek::Peek;
use super::source::PAGE;
use crate::capture::facts::LeftOut;

/// A choice of memory.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Every mapping, cut into what is held and what is not, ascending.
    pub(super) parts: Vec<Part>,
    /// What of the held parts is zero, and must not be read for that: nobody has written it. Ascending.
    pub(super) holes: Vec<Span>,
    files: MappedFiles,
}

/// Mappings that no type of dump holds, and why.
pub(super) fn left_out(mappings: &[Mapping]) -> Vec<LeftOut> {
    // The kernel's pages are at hand everywhere, and reserved addresses hold nothing.
    let told = mappings.iter().filter(|mapping| mapping.access.read && !mapping.is_kernels());
    told.filter_map(|mapping| {
        let (start, end) = (mapping.span.start.0, mapping.span.end.0);
        Some(LeftOut { start, end, why: mapping.excluded()?.to_owned() })
    })
    .collect()
}

impl Selection {
    /// All memory that can be read, images of files among it.
    pub(super) fn full(live: &Live, mappings: &[Mapping]) -> Selection {
        let mut selection = Selection::default();
        for mapping in mappings {
            selection.add(live, mapping, &[mapping.span], false);
        }
        selection
    }

    /// All memory but images of files as they are in the file: of those, what a stack cannot be walked without.
    /// `code`: the pages of it that stacks without unwind tables are walked by.
    pub(super) fn heap(
        live: &Live,
        mappings: &[Mapping],
        unwind_table: Option<Span>,
        code: &Pages,
        peek: &Peek<'_>,
    ) -> Selection {
        let mut essentials = code.clone();
        essentials.extend(unwind_table);
        for image in images(mappings, peek) {
            essentials.extend(image.essentials(peek));
            // Readers take none of it from the file, not even what was made read-only after relocation and never
            // written.
            essentials.extend(image.writable());
        }
        let files = Files::of(mappings, peek);
        let headers = mappings.iter().filter(|mapping| files.is_assembly(mapping) && mapping.access.read);
        essentials.extend(headers.filter_map(|mapping| metadata(mapping.span.start.0, peek)));
        let mut selection = Selection::default();
        for mapping in mappings {
            let held = if mapping.is_image() || mapping.is_data_file() {
                let mut pages = Pages::default();
                pages.extend(own_pages(mapping, &files, peek));
                // A file that is no module is data that the program works with: a class archive, a table.
                if !mapping.shared && !files.is_module(mapping) {
                    pages.extend(peek.source().present(mapping.span));
                }
                pages.extend(essentials.within(mapping.span));
                pages.within(mapping.span)
            } else {
                vec![mapping.span]
            };
            selection.add(live, mapping, &held, false);
        }
        selection
    }

    /// The pages of a set, and no others. `scrub`: whether words that are no addresses are scrubbed out where memory is
    /// the program's own.
    pub(super) fn pages(live: &Live, mappings: &[Mapping], pages: &Pages, scrub: bool) -> Selection {
        let mut selection = Selection::default();
        for mapping in mappings {
            // Instructions without their constants would be others.
            let code = mapping.access.execute && !mapping.access.write;
            let own = (!mapping.is_image() && !code) || mapping.access.write;
            selection.add(live, mapping, &pages.within(mapping.span), scrub && own && !mapping.is_kernels());
        }
        selection
    }

    /// Adds a mapping of which `held` (ascending, disjoint) is in the dump.
    pub(super) fn add(&mut self, live: &Live, mapping: &Mapping, held: &[Span], scrub: bool) {
        let part = |span: Span, held: bool| Part { span, access: mapping.access, held, absent: absent(mapping), scrub };
        if mapping.excluded().is_some() {
            if !mapping.is_kernels() {
                self.parts.push(part(mapping.span, false));
            }
            return;
        }
        let end = self.end_of_file(live, mapping).map_or(mapping.span.end.0, |end| end.min(mapping.span.end.0));
        let readable = Span::new(mapping.span.start.0, end);
        if !held.is_empty() && absent(mapping) == Absent::Elsewhere {
            self.holes.extend(self.files.holes(live, mapping));
        }
        let mut at = mapping.span.start;
        for span in held.iter().filter_map(|span| span.common(readable)) {
            if at < span.start {
                self.parts.push(part(Span { start: at, end: span.start }, false));
            }
            self.parts.push(part(span, true));
            at = span.end;
        }
        if at < mapping.span.end {
            self.parts.push(part(Span { start: at, end: mapping.span.end }, false));
        }
    }

    /// Where a mapped file ends in memory: pages behind its last cannot be read. `None` where no file is mapped, or its
    /// size is not known.
    fn end_of_file(&self, live: &Live, mapping: &Mapping) -> Option<u64> {
        let (_, file) = mapping.has_file().then(|| self.files.find(live, mapping))??;
        let bytes = file.len().saturating_sub(mapping.offset).checked_next_multiple_of(PAGE)?;
        mapping.span.start.0.checked_add(bytes)
    }

    /// Bytes that the held parts take at most in a file with holes.
    pub(super) fn needed(&self, mappings: &[Mapping]) -> u64 {
        let held = self.parts.iter().filter(|part| part.held);
        let bytes = held.map(|part| {
            let after = mappings.partition_point(|mapping| mapping.span.start <= part.span.start);
            let mapping = after.checked_sub(1).and_then(|index| mappings.get(index));
            let usage = mapping.filter(|_| part.absent == Absent::Zero).and_then(|mapping| mapping.usage);
            let present =
                usage.and_then(|usage| Some(usage.resident?.saturating_add(usage.swapped?))).unwrap_or(u64::MAX);
            let first = self.holes.partition_point(|hole| hole.end <= part.span.start);
            let holes = self.holes.iter().skip(first).map_while(|hole| hole.common(part.span));
            let empty = holes.map(|hole| hole.len()).fold(0, u64::saturating_add);
            part.span.len().saturating_sub(empty).min(present)
        });
        bytes.fold(0, u64::saturating_add)
    }

    /// Bytes of the held parts, zeros included.
    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().filter(|part| part.held).map(|part| part.span.len()).fold(0, u64::saturating_add)
    }
}

/// The pages of a mapped file that are kept though a file has it: those that were written, all that may be written
/// privately, and of an assembly of .NET what is no code: metadata and unwind tables stand anywhere in it. Of its code,
/// what is in memory.
pub(super) fn own_pages(mapping: &Mapping, files: &Files, peek: &Peek<'_>) -> Vec<Span> {
    if files.is_assembly(mapping) {
        return if mapping.access.execute { peek.source().present(mapping.span) } else { vec![mapping.span] };
    }
    match (mapping.shared, mapping.access.write) {
        (true, _) => Vec::new(),
        (false, true) => vec![mapping.span],
        (false, false) => peek.source().written(mapping.span),
    }
}

fn absent(mapping: &Mapping) -> Absent {
    if mapping.is_served_by_user_space() {
        Absent::Unknown
    } else if mapping.is_anonymous() || (!mapping.shared && mapping.path.starts_with(b"/anon_hugepage")) {
        Absent::Zero
    } else {
        Absent::Elsewhere
    }
}
