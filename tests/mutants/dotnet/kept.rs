//! A kept dump of .NET as a file that is damaged in place and mended again, and the program asked about it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use dumpscope::commands::{Format, Shell};
use dumpscope::job::Job;
use dumpscope::report::text::Style;
use dumpscope::session::{Session, Source};
use dumpscope::target::Search;
use serde_json::Value;

/// A run of the process's memory in the dump.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    /// First address.
    pub(crate) start: u64,
    pub(crate) size: u64,
    /// Its place in the file.
    pub(crate) at: usize,
    pub(crate) is_writable: bool,
}

/// A dump whose file this program damages.
pub(crate) struct Kept {
    pub(crate) name: &'static str,
    /// The sound bytes.
    pub(crate) bytes: Vec<u8>,
    /// Ascending.
    pub(crate) segments: Vec<Segment>,
    /// End of the notes, which stand behind the program headers.
    pub(crate) notes_end: usize,
    file: tempfile::NamedTempFile,
}

impl Kept {
    /// Unpacks one of fixtures/dotnet-dumps.
    pub(crate) fn open(name: &'static str) -> Kept {
        let packed = support::repository().join(format!("fixtures/dotnet-dumps/{name}.core.zst"));
        let mut decoder = zstd::Decoder::new(File::open(packed).expect("the dump is kept")).expect("zstd");
        decoder.window_log_max(27).expect("a window that the dumps are written with");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut decoder, &mut bytes).expect("zstd");
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.as_file().write_all_at(&bytes, 0).expect("there is room");
        // gABI: e_phoff at 32, e_phnum at 56; in a program header p_type 0, p_flags 4, p_offset 8, p_vaddr 16, p_filesz 32.
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let number = |word| usize::try_from(word).expect("64 bits");
        let count = usize::from(u16::from_le_bytes([bytes[56], bytes[57]]));
        let headers = (0..count).map(|index| number(word(32)) + 56 * index);
        let notes = headers.clone().find(|at| bytes[*at] == 4).expect("notes");
        let segments = headers.filter(|at| bytes[*at] == 1 && word(at + 32) > 0).map(|at| Segment {
            start: word(at + 16),
            size: word(at + 32),
            at: number(word(at + 8)),
            is_writable: bytes[at + 4] & 2 != 0,
        });
        let mut segments: Vec<Segment> = segments.collect();
        segments.sort_by_key(|segment| segment.start);
        let notes_end = number(word(notes + 8) + word(notes + 32));
        Kept { name, segments, notes_end, file, bytes }
    }

    /// The place in the file of so many bytes at an address.
    pub(crate) fn place(&self, address: u64, len: u64) -> Option<usize> {
        let after = self.segments.partition_point(|segment| segment.start <= address);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let into = address - segment.start;
        let is_there = into.checked_add(len).is_some_and(|end| end <= segment.size);
        is_there.then(|| segment.at + usize::try_from(into).expect("64 bits"))
    }

    /// The word at an address.
    pub(crate) fn word(&self, address: u64) -> Option<u64> {
        let at = self.place(address, 8)?;
        self.bytes.get(at..at + 8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
    }

    /// Does something with the dump while its file is damaged: each patch is a place in the file and what stands there.
    pub(crate) fn damaged<T>(&self, patches: &[(usize, Vec<u8>)], with: impl FnOnce() -> T) -> T {
        let write =
            |at: usize, bytes: &[u8]| self.file.as_file().write_all_at(bytes, at as u64).expect("there is room");
        for (at, patch) in patches {
            write(*at, patch);
        }
        let done = with();
        for (at, patch) in patches {
            write(*at, &self.bytes[*at..at + patch.len()]);
        }
        done
    }

    /// The same while it is cut.
    pub(crate) fn cut<T>(&self, length: usize, with: impl FnOnce() -> T) -> T {
        self.file.as_file().set_len(length as u64).expect("a file");
        let done = with();
        self.file.as_file().write_all_at(&self.bytes[length..], length as u64).expect("there is room");
        done
    }

    /// Opens the file as it now is; no file of the process is looked for.
    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        let search = Search { alone: true, ..Search::default() };
        Session::open(Source::File(self.file.path().to_owned()), &search, &Job::default()).ok().map(Arc::new)
    }
}

/// What a command says: its line of JSON.
pub(crate) fn asked(session: &Arc<Session>, line: &str) -> Value {
    let mut shell = Shell::new(Arc::clone(session));
    let result = shell.run(line, &Job::default());
    let mut out = Vec::new();
    shell.print(line, &result, Format::Json, &mut out, &Job::default()).expect("a vector takes everything");
    serde_json::from_slice(&out).expect("one line of JSON")
}

/// Has a command print to nobody, as JSON and as text. Errors are answers, panics are none.
pub(crate) fn printed(session: &Arc<Session>, line: &str) {
    let mut shell = Shell::new(Arc::clone(session));
    let result = shell.run(line, &Job::default());
    for format in [Format::Json, Format::Text(Style::default())] {
        shell.print(line, &result, format, &mut std::io::sink(), &Job::default()).expect("nobody takes everything");
    }
}
