//! Why a file could not be used.

/// A file, or a part of one, that cannot be read as what it claims to be.
///
/// The text names the part and the reason; the caller, who knows the path, puts it in front.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes do not begin with an ELF identification that this crate reads.
    #[error("not an ELF file: {0}")]
    NotElf(&'static str),
    /// A table or section reaches past the end of the file.
    #[error("{what} at offset {offset:#x} with {size:#x} bytes lies outside the file (truncated?)")]
    OutsideFile {
        /// Name of the table or section.
        what: String,
        /// Where the file says it starts.
        offset: u64,
        /// How long the file says it is.
        size: u64,
    },
    /// Compressed bytes that do not decompress, or not to the size they claim.
    #[error("section {section} cannot be decompressed: {reason}")]
    Decompress {
        /// Name of the section.
        section: String,
        /// What the decoder or the limit said.
        reason: String,
    },
    /// A file that another one refers to and that was not found.
    #[error("{0} is not found: names that were moved there are missing")]
    Missing(String),
    /// The file became shorter, or could no longer be read, after it was opened.
    #[error("the file was shortened while it was read; what was lost reads as zeros")]
    Shortened,
    /// DWARF that gimli refuses.
    #[error("debug information is damaged: {0}")]
    Dwarf(#[from] gimli::Error),
}
