//! What is done, for `--log FILE` and `-v`: never on standard output, never on the screen of the terminal UI.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::model::Problem;
use crate::report::sanitize::sanitize;
use crate::session::Session;

/// Where lines go: a file, standard error, both or nowhere.
pub struct Log {
    file: Option<Mutex<File>>,
    verbose: bool,
    begun: Instant,
}

impl Log {
    /// Opens the log. The file is created and must not exist: mode 0600, no symbolic link is followed.
    pub fn open(path: Option<&Path>, verbose: bool) -> Result<Log, Error> {
        let file = path
            .map(|path| {
                let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
                created.map(Mutex::new).map_err(|source| Error::Io { path: path.to_owned(), source })
            })
            .transpose()?;
        Ok(Log { file, verbose, begun: Instant::now() })
    }

    /// One line with the milliseconds since the start. A log that cannot be written is no reason to fail.
    pub fn line(&self, text: &str) {
        if self.file.is_none() && !self.verbose {
            return;
        }
        let line = format!("{:8.1} ms  {}\n", self.begun.elapsed().as_secs_f64() * 1000.0, sanitize(text));
        if let Some(mut file) = self.file.as_ref().and_then(|file| file.lock().ok()) {
            let _ = file.write_all(line.as_bytes());
        }
        if self.verbose {
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    /// A command's end: how long it took, and why it failed where it did.
    pub fn ran(&self, line: &str, took: Duration, failure: Option<&str>) {
        let ms = took.as_secs_f64() * 1000.0;
        match failure {
            None => self.line(&format!("ran {line} in {ms:.1} ms")),
            Some(why) => self.line(&format!("{line} failed after {ms:.1} ms: {why}")),
        }
    }

    /// What is missing or damaged.
    pub fn problems(&self, problems: &[Problem]) {
        for problem in problems {
            self.line(&format!("problem: {problem}"));
        }
    }

    /// What opening found: the format, sizes, and each place where a module's file was looked for.
    pub fn opened(&self, session: &Session) {
        let Ok(target) = session.target() else {
            if let Some(dump) = session.heap_dump() {
                let (path, types) = (session.source.path().display(), dump.source.types().len());
                self.line(&format!("opened {path}: {}, {} bytes, {types} types", dump.format, dump.file_size));
            }
            self.problems(&session.problems());
            return;
        };
        let capture = &target.capture;
        self.line(&format!(
            "opened {}: {}, {}, {} bytes, {} threads, {} modules",
            session.source.path().display(),
            capture.format,
            capture.arch,
            capture.file_size,
            capture.threads.len(),
            target.modules.len()
        ));
        for module in &target.modules {
            for attempt in &module.code.attempts {
                let name = module.file_name().unwrap_or("?");
                self.line(&format!("{name}: {}: {}", attempt.place, attempt.outcome));
            }
        }
        self.problems(&session.problems());
    }
}
