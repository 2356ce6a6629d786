//! What a command line comes to.

use crate::report::section::Section;
use crate::views;

/// What came of a command line.
pub enum Outcome {
    /// An answer to print.
    Answer(Box<dyn views::Answer>),
    /// Text to print (help).
    Text(Section, serde_json::Value),
    /// The focus or a setting changed; what to say about it.
    Changed(String, serde_json::Value),
    /// The session ends.
    Exit,
}
