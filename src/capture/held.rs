//! Whether a file is the one that is mapped, told from what the dump holds of the module: for modules without a build
//! id, and for dumps that do not hold it.
//!
//! Input: the module as mapped, the dump's memory, a file. What is compared, where the dump has it: where the file's
//! segments lie, its file header and program headers, its dynamic section, pages that nobody can have written (symbols,
//! unwind tables, constants, instructions), and the words that the loader relocated. Names of functions that the file
//! does not export are nowhere in memory: another build of which every mapped byte is the same passes for this one.

mod headers;
mod module;
mod pages;
mod relocated;

use symbols::{Comparison, Contents, Elf};

pub use self::module::Held;
use self::module::Same;
use super::facts::FileFacts;
use super::image;
use crate::model::Addr;

/// Mappings of a module that are held against its segments; real ones have about 6.
const MAX_PARTS: usize = 256;
/// What suffices where the dump holds no file header: a page of a file's constants, the entries of its dynamic section
/// (each linker writes 20 or more, sizes of tables among them), relocated words.
const ENOUGH_BYTES: u64 = 4096;
const ENOUGH_ENTRIES: u64 = 12;
const ENOUGH_WORDS: u64 = 16;
/// The same where the file header is there and states other section headers: a stripped file, and the file before it
/// was stripped.
const ENOUGH_BESIDE_HEADERS: u64 = 1024;

impl Contents for Held<'_> {
    fn compare(&self, file: &Elf) -> Comparison {
        let Some(bias) = self.mapped.bias.or_else(|| image::bias(self.mapped, file)) else {
            return Comparison::Unknown("the dump does not tell where its segments are mapped".to_owned());
        };
        match self.differs(file, bias) {
            Ok(same) => match same.verdict() {
                Comparison::Unknown(why) => self.by_record(file, why),
                told => told,
            },
            Err(what) => Comparison::Differs(what),
        }
    }
}

impl Held<'_> {
    /// Where contents do not tell: whether it is the file that was recorded, unchanged since. Another one may be a
    /// copy.
    fn by_record(&self, file: &Elf, why: String) -> Comparison {
        let found = file.path().and_then(|path| std::fs::metadata(path).ok()).map(|file| FileFacts::of(&file));
        match self.recorded.zip(found) {
            Some((recorded, found)) if recorded == found => {
                Comparison::Same("inode, size and time of change are those of the mapped file".to_owned())
            }
            Some((recorded, found)) if recorded.size != found.size => {
                Comparison::Differs(format!("it has {} bytes, the file in memory has {}", found.size, recorded.size))
            }
            _ => Comparison::Unknown(why),
        }
    }

    /// What is the same; the error says what is not.
    fn differs(&self, file: &Elf, bias: u64) -> Result<Same, String> {
        let mut same = Same::default();
        self.placement(file, bias)?;
        headers::compare(self, file, bias, &mut same)?;
        pages::compare(self, file, bias, &mut same)?;
        relocated::dynamic(self, file, bias, &mut same)?;
        relocated::words(self, file, bias, &mut same)?;
        Ok(same)
    }

    /// Whether each mapping begins at the offset that the file's segments give its address.
    fn placement(&self, file: &Elf, bias: u64) -> Result<(), String> {
        let size = file.bytes().len() as u64;
        for part in self.mapped.parts.iter().take(MAX_PARTS) {
            let first = part.start.0.wrapping_sub(bias);
            let last = first.saturating_add(part.end.since(part.start).unwrap_or(0));
            let mut inside = file.segments().iter().filter(|segment| {
                let end = segment.svma.0.saturating_add(segment.file_size);
                segment.svma.0 < last && first < end
            });
            // A mapping between the segments is what the loader reserved for them; it is told by none.
            let Some(segment) = inside.next() else { continue };
            let fits = |segment: &symbols::LoadSegment| {
                segment.offset.wrapping_sub(segment.svma.0) == part.offset.wrapping_sub(first)
            };
            if !fits(segment) && !inside.any(fits) {
                let offset = segment.offset.wrapping_sub(segment.svma.0).wrapping_add(first);
                return Err(format!(
                    "at {} the mapped file continues at offset {:#x}, this one at {offset:#x}",
                    part.start, part.offset
                ));
            }
            if part.offset >= size {
                return Err(format!("it has {size} bytes, and offset {:#x} of the mapped file is in use", part.offset));
            }
        }
        Ok(())
    }

    /// The runs of `start..end` that the dump holds, ascending.
    fn runs(&self, start: Addr, end: Addr) -> impl Iterator<Item = (Addr, &[u8])> {
        let segments = self.memory.segments();
        let first =
            segments.partition_point(|segment| segment.start.0.saturating_add(segment.bytes.len() as u64) <= start.0);
        let inside = segments.iter().skip(first).take_while(move |segment| segment.start < end);
        inside.filter_map(move |segment| {
            let from = start.max(segment.start);
            let skip = usize::try_from(from.since(segment.start)?).ok()?;
            let to = usize::try_from(end.since(segment.start)?).unwrap_or(usize::MAX).min(segment.bytes.len());
            Some((from, segment.bytes.get(skip..to)?))
        })
    }
}

impl Same {
    fn verdict(self) -> Comparison {
        if self.patched > 0 {
            return Comparison::Unknown(format!(
                "{} bytes of its instructions are others in memory: they were patched there, or it is another build",
                self.patched
            ));
        }
        let tables = self.entries >= ENOUGH_ENTRIES || self.words >= ENOUGH_WORDS;
        let enough = match (self.headers, self.sections) {
            (true, true) => true,
            (true, false) => tables || self.bytes >= ENOUGH_BESIDE_HEADERS,
            (false, _) => tables || self.bytes >= ENOUGH_BYTES,
        };
        if enough {
            return Comparison::Same(self.told());
        }
        let told = self.told();
        Comparison::Unknown(match told.is_empty() {
            true => "the dump tells no build id of it, and holds nothing of it to compare".to_owned(),
            false => format!("the dump tells no build id of it, and holds too little of it to compare ({told})"),
        })
    }

    /// `headers, 12288 bytes (4096 of its symbols), 27 entries of the dynamic section, 310 relocated words`.
    fn told(self) -> String {
        let mut told = Vec::new();
        if self.headers {
            told.push("headers".to_owned());
        }
        match (self.bytes, self.names) {
            (0, _) => {}
            (bytes, 0) => told.push(format!("{bytes} bytes")),
            (bytes, names) => told.push(format!("{bytes} bytes ({names} of its symbols)")),
        }
        if self.entries > 0 {
            told.push(format!("{} entries of the dynamic section", self.entries));
        }
        if self.words > 0 {
            told.push(format!("{} relocated words", self.words));
        }
        told.join(", ")
    }
}

#[cfg(test)]
mod tests;
