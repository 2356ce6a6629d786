//! Answers as JSON: one line, one object a command, in the envelope that INTERFACE promises.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};

use crate::error::Error;
use crate::job::Job;
use crate::model::Problem;

/// Version of the envelope and of all data shapes. Additions keep it.
pub const SCHEMA: u32 = 1;

/// What one command prints around its data: one line. What is long is written piece by piece, never held as a whole.
pub struct Envelope<'a> {
    out: Checked<'a>,
}

#[derive(Serialize)]
struct Message {
    code: &'static str,
    message: String,
}

/// Writes the data of an answer as JSON.
pub type Data<'a> = &'a dyn Fn(&mut dyn Write, &Job) -> Result<(), Error>;

impl<'a> Envelope<'a> {
    /// An envelope written to `out`, until `job` is cancelled.
    pub fn new(out: &'a mut dyn Write, job: &Job) -> Envelope<'a> {
        Envelope { out: Checked { out, job: job.clone() } }
    }

    /// The line of a command that succeeded, with its newline; only printable characters stand in it unescaped.
    pub fn data(mut self, command: &str, data: Data<'_>, problems: &[Problem]) -> Result<(), Error> {
        self.begin(command, "data")?;
        let job = self.out.job.clone();
        data(&mut self.out, &job)?;
        self.end(problems)
    }

    /// The line of a command that failed.
    pub fn error(mut self, command: &str, error: &Error, problems: &[Problem]) -> Result<(), Error> {
        self.begin(command, "error")?;
        write(&mut self.out, &Message { code: error.code(), message: error.to_string() })?;
        self.end(problems)
    }

    fn begin(&mut self, command: &str, key: &str) -> Result<(), Error> {
        let command = to_string(command)?;
        self.raw(&format!(r#"{{"schema":{SCHEMA},"command":{command},"{key}":"#))
    }

    fn end(mut self, problems: &[Problem]) -> Result<(), Error> {
        let warning = |problem: &Problem| Message { code: problem.code, message: problem.to_string() };
        self.raw(r#","warnings":"#)?;
        write(&mut self.out, &problems.iter().map(warning).collect::<Vec<_>>())?;
        self.raw("}\n")
    }

    fn raw(&mut self, text: &str) -> Result<(), Error> {
        self.out.write_all(text.as_bytes()).map_err(lost)
    }
}

/// Refuses to write once a job is cancelled.
struct Checked<'a> {
    out: &'a mut dyn Write,
    job: Job,
}

impl Write for Checked<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.job.check().map_err(io::Error::other)?;
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// An error of the output, or why it was refused.
pub(super) fn lost(source: io::Error) -> Error {
    let cancelled = source.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    if matches!(cancelled, Some(Error::Cancelled)) {
        return Error::Cancelled;
    }
    Error::Io { path: "standard output".into(), source }
}

/// Writes a value as compact JSON in which only printable characters stand unescaped.
pub fn write<T: Serialize + ?Sized>(out: &mut dyn Write, value: &T) -> Result<(), Error> {
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(out, Printable));
    written.map_err(|error| {
        if error.is_io() { lost(error.into()) } else { Error::Failed(format!("cannot serialise: {error}")) }
    })
}

/// A value as compact JSON in which only printable characters stand unescaped.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    let mut text = Vec::new();
    write(&mut text, value)?;
    String::from_utf8(text).map_err(|error| Error::Failed(format!("cannot serialise: {error}")))
}

/// Compact JSON whose strings escape what a terminal would obey: DEL, C1, bidi and invisible characters too, which
/// JSON itself would let pass.
struct Printable;

impl Formatter for Printable {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| !super::sanitize::is_plain(*c)) {
            CompactFormatter.write_string_fragment(writer, fragment.get(plain..at).unwrap_or_default())?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain = at.saturating_add(c.len_utf8());
        }
        CompactFormatter.write_string_fragment(writer, fragment.get(plain..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(write: impl FnOnce(Envelope<'_>) -> Result<(), Error>) -> String {
        let mut out = Vec::new();
        write(Envelope::new(&mut out, &Job::default())).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_survives_a_round_trip() {
        let hostile = "\x1b]52;c;eA==\x07 \u{9b}31m \u{202e}abc \u{7f} 漢字 \u{e0001}";
        let data = serde_json::json!({ "name": hostile });
        let line = line(|envelope| envelope.data("threads", &|out, _| write(out, &data), &[]));
        let line = line.strip_suffix('\n').unwrap();
        assert!(line.chars().all(crate::report::sanitize::is_plain), "{line}");
        let back: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(back["data"]["name"], hostile);
    }

    #[test]
    fn a_failed_command_has_an_error_and_no_data() {
        let error = Error::Failed("no thread 7".to_owned());
        assert_eq!(
            line(|envelope| envelope.error("stack", &error, &[])),
            "{\"schema\":1,\"command\":\"stack\",\"error\":{\"code\":\"failed\",\"message\":\"no thread 7\"},\"warnings\":[]}\n"
        );
    }

    /// Counts what it is given; cancels a job at the first of it.
    struct Counting(usize, Job);

    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            if self.0 > 1_000 {
                self.1.cancel();
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_answer_of_any_length_is_written_piece_by_piece_and_ends_when_it_is_cancelled() {
        let job = Job::default();
        let mut out = Counting(0, job.clone());
        let numbers: Vec<u64> = (0..100_000).collect();
        let written = Envelope::new(&mut out, &job).data("threads", &|out, _| write(out, &numbers), &[]);
        assert!(matches!(written, Err(Error::Cancelled)), "{written:?}");
        assert!(out.0 < 2_000, "{}", out.0);
    }

    #[test]
    fn a_closed_pipe_is_an_error_of_the_output() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = Closed;
        let written = Envelope::new(&mut out, &Job::default()).data("threads", &|out, _| write(out, "x"), &[]);
        assert!(matches!(written, Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe));
    }
}
