//! Answers as JSON: one line, one object a command, in the envelope that INTERFACE promises.

use std::borrow::Cow;
use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};

use crate::error::Error;
use crate::model::Problem;

/// Version of the envelope and of all data shapes. Additions keep it.
pub const SCHEMA: u32 = 1;

/// What one command prints: the envelope around its data or its error. `data` is JSON already.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    command: &'a str,
    result: Result<&'a str, &'a Error>,
    problems: &'a [Problem],
}

#[derive(Serialize)]
struct Message {
    code: &'static str,
    message: String,
}

impl<'a> Envelope<'a> {
    /// The envelope of a command's result.
    pub fn new(command: &'a str, result: Result<&'a str, &'a Error>, problems: &'a [Problem]) -> Envelope<'a> {
        Envelope { command, result, problems }
    }

    /// One line of JSON without its newline; only printable characters stand in it unescaped.
    pub fn line(&self) -> Result<String, Error> {
        let warning = |problem: &Problem| Message { code: problem.code, message: problem.to_string() };
        let warnings = to_string(&self.problems.iter().map(warning).collect::<Vec<_>>())?;
        let command = to_string(self.command)?;
        let (key, value) = match self.result {
            Ok(data) => ("data", Cow::Borrowed(data)),
            Err(error) => ("error", to_string(&Message { code: error.code(), message: error.to_string() })?.into()),
        };
        Ok(format!(r#"{{"schema":{SCHEMA},"command":{command},"{key}":{value},"warnings":{warnings}}}"#))
    }
}

/// A value as compact JSON in which only printable characters stand unescaped.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    let mut text = Vec::new();
    let failed = |error: &dyn std::fmt::Display| Error::Failed(format!("cannot serialise: {error}"));
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, Printable))
        .map_err(|error| failed(&error))?;
    String::from_utf8(text).map_err(|error| failed(&error))
}

/// Compact JSON whose strings escape what a terminal would obey: DEL, C1, bidi and invisible characters too, which
/// JSON itself would let pass.
struct Printable;

impl Formatter for Printable {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
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

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_survives_a_round_trip() {
        let hostile = "\x1b]52;c;eA==\x07 \u{9b}31m \u{202e}abc \u{7f} 漢字 \u{e0001}";
        let data = to_string(&serde_json::json!({ "name": hostile })).unwrap();
        let line = Envelope::new("threads", Ok(&data), &[]).line().unwrap();
        assert!(line.chars().all(crate::report::sanitize::is_plain), "{line}");
        let back: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["data"]["name"], hostile);
    }

    #[test]
    fn a_failed_command_has_an_error_and_no_data() {
        let error = Error::Failed("no thread 7".to_owned());
        let line = Envelope::new("stack", Err(&error), &[]).line().unwrap();
        assert_eq!(
            line,
            r#"{"schema":1,"command":"stack","error":{"code":"failed","message":"no thread 7"},"warnings":[]}"#
        );
    }
}
