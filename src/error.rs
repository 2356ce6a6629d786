//! The request failed: what was being done, to what, why, and what to try.

use std::path::PathBuf;

/// Why a request gave no answer. A single unknown datum is a [`crate::model::Gap`], not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The dump cannot be opened, or is none. Exit status 3.
    #[error("{path}: {reason}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What was expected at which offset, and what to try.
        reason: String,
    },
    /// The command line, or a command's arguments, are wrong. Exit status 2 on the command line, 1 inside a session.
    #[error("{0}")]
    Usage(String),
    /// A command failed. Exit status 1.
    #[error("{0}")]
    Failed(String),
    /// The user cancelled it.
    #[error("cancelled")]
    Cancelled,
    /// Reading or writing a file of this machine failed.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// A fixed word for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Open { .. } => "open",
            Error::Usage(_) => "usage",
            Error::Failed(_) => "failed",
            Error::Cancelled => "cancelled",
            Error::Io { .. } => "io",
        }
    }
}
