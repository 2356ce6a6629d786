//! Program headers become memory: readable runs, mappings, and what is missing of them.

use symbols::FileBytes;

use super::program_header::{PT_LOAD, ProgramHeader};
use crate::capture::{Access, Memory, Origin, Region, Segment};
use crate::model::{Addr, Problem, Subject, Why};

/// Damaged headers that are told one by one; the rest is counted.
const TOLD: usize = 8;

/// The memory that `headers` describe, as far as the file's bytes reach.
pub(super) fn memory(bytes: &FileBytes, headers: &[ProgramHeader], problems: &mut Vec<Problem>) -> Memory {
    let mut segments = Vec::with_capacity(headers.len());
    let mut regions = Vec::with_capacity(headers.len());
    let mut strays = Vec::new();
    let mut extent = Extent { file: bytes.len() as u64, ..Extent::default() };
    let mut refused = Vec::new();
    let mut highest = 0;
    for header in headers.iter().filter(|header| header.kind == PT_LOAD && header.mem_size > 0) {
        let (Some(end), Some(file_end)) = (header.end(), header.file_end()) else {
            refused.push(format!(
                "the segment of {:#x} bytes at {:#x} (file offset {:#x}) wraps around",
                header.mem_size, header.address, header.offset
            ));
            continue;
        };
        let file_size = header.file_size.min(header.mem_size);
        let present = extent.count(header.offset, file_size, file_end);
        let start = Addr(header.address);
        let missing = if present < file_size { Why::Truncated } else { Why::NotDumped };
        let flag = |bit| header.flags & bit != 0;
        // Source: gABI "Program Header": PF_X 1, PF_W 2, PF_R 4.
        let access = Access { read: flag(4), write: flag(2), execute: flag(1) };
        let segment = part(bytes, header.offset, present).map(|bytes| Segment { start, bytes, origin: Origin::Dump });
        // Cores list mappings in ascending order. One out of order may have a damaged address: it must not hide a sound
        // one.
        if header.address >= highest {
            highest = end;
            segments.extend(segment);
            regions.push(Region { start, end: Addr(end), access, missing });
        } else {
            strays.extend(segment);
            regions.push(Region { start, end: Addr(end), access, missing });
        }
    }
    if !strays.is_empty() {
        let message = format!(
            "{} segments overlap others or are out of order; where two hold the same address, the one in order is used",
            strays.len()
        );
        problems.push(Problem::new("segments-overlap", Subject::Capture, message));
    }
    segments.append(&mut strays);
    report_refused(&refused, problems);
    extent.report(problems);
    Memory::new(segments, regions)
}

fn part(bytes: &FileBytes, offset: u64, len: u64) -> Option<FileBytes> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    if len == 0 { None } else { bytes.slice(start..end) }
}

fn report_refused(refused: &[String], problems: &mut Vec<Problem>) {
    for message in refused.iter().take(TOLD) {
        problems.push(Problem::new("segment-damaged", Subject::Capture, format!("{message}; its memory is left out")));
    }
    if let Some(more) = refused.len().checked_sub(TOLD).filter(|more| *more > 0) {
        problems.push(Problem::new(
            "segment-damaged",
            Subject::Capture,
            format!("{more} more segments have damaged headers"),
        ));
    }
}

/// How much of what the headers announce is in the file.
#[derive(Default)]
struct Extent {
    file: u64,
    announced_end: u64,
    announced: u64,
    present: u64,
}

impl Extent {
    /// Adds a segment's content; the number of its bytes that are in the file.
    fn count(&mut self, offset: u64, size: u64, end: u64) -> u64 {
        let present = self.file.saturating_sub(offset).min(size);
        self.announced = self.announced.saturating_add(size);
        self.present = self.present.saturating_add(present);
        if size > 0 {
            self.announced_end = self.announced_end.max(end);
        }
        present
    }

    fn report(&self, problems: &mut Vec<Problem>) {
        if self.present >= self.announced {
            return;
        }
        let percent = u128::from(self.present).saturating_mul(100).checked_div(u128::from(self.announced)).unwrap_or(0);
        let message = format!(
            "truncated: file ends at {:#x}, the program headers announce {:#x}; {percent} % of the dumped memory is present",
            self.file, self.announced_end
        );
        let remedy = "raise the core size limit (ulimit -c, ProcessSizeMax), free disk space, or copy the file again";
        problems.push(Problem::new("truncated", Subject::Capture, message).with_remedy(remedy));
    }
}
