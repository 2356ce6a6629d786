//! The kernel's core_pattern handler: takes a core from standard input into a file, within limits.
//!
//! The kernel starts it as root in the initial namespaces, with `/` as folder, next to no environment and nothing but
//! the pipe open (core(5), "Piping core dumps to a program"). Of the crashed process it believes what the kernel put on
//! the command line and nothing else: /proc/PID is never opened, since a pid may have a new holder by then. Its name is
//! another program's text, and made harmless before it becomes a part of a file's name.

mod limits;
mod place;
mod stream;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{Gid, Uid};

pub use self::limits::Limits;
use crate::error::Error;
pub use place::Place;
pub use stream::{Source, Stop, Written};

/// A process that crashed, in the kernel's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// `%P`: its id in the initial PID namespace.
    pub pid: u32,
    /// `%I`: the id of the thread that took the signal, in the initial PID namespace.
    pub tid: u32,
    /// `%s`: the signal's number.
    pub signal: u32,
    /// `%t`: when, seconds since 1970.
    pub time: u64,
    /// `%u`: its real user id, in the initial user namespace.
    pub uid: u32,
    /// `%g`: its real group id.
    pub gid: u32,
    /// `%d`: its dump mode, as of PR_GET_DUMPABLE: 1 is usual, 0 and 2 mean that it had more rights than its user.
    pub mode: u32,
    /// `%e`: its name, at most 15 bytes, chosen by the process itself.
    pub name: String,
}

/// Where a core lies.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The file.
    pub path: PathBuf,
    /// What was written.
    pub written: Written,
}

/// Arguments that the kernel fills in, in their order on the command line.
pub const SPECIFIERS: &str = "%P %I %s %t %u %g %d %e";
/// Longest core_pattern.
// Source: Linux include/linux/binfmts.h, CORENAME_MAX_SIZE, with its final NUL.
const MAX_PATTERN: usize = 127;
/// How many cores may be taken at once; more wait. Above 0 the kernel also keeps the process until the handler is done.
const PIPE_LIMIT: u32 = 16;

impl Crash {
    /// From the arguments that stand for [`SPECIFIERS`]. A name with blanks may have been split by the kernel before
    /// Linux 5.3.
    pub fn from_arguments(arguments: &[String]) -> Result<Crash, Error> {
        let [pid, tid, signal, time, uid, gid, mode, name @ ..] = arguments else {
            return Err(Error::Usage(format!("--on-crash takes what the kernel puts for {SPECIFIERS}")));
        };
        let number = |text: &String, specifier: &str| {
            text.parse::<u64>().map_err(|_| Error::Usage(format!("'{text}' is no number for {specifier}")))
        };
        let short = |text: &String, specifier: &str| {
            let narrow = number(text, specifier).map(u32::try_from)?;
            narrow.map_err(|_| Error::Usage(format!("'{text}' is too large for {specifier}")))
        };
        Ok(Crash {
            pid: short(pid, "%P")?,
            tid: short(tid, "%I")?,
            signal: short(signal, "%s")?,
            time: number(time, "%t")?,
            uid: short(uid, "%u")?,
            gid: short(gid, "%g")?,
            mode: short(mode, "%d")?,
            name: name.join(" "),
        })
    }

    /// `core.NAME.PID.TIME`: of the name only letters, digits, `-`, `_` and single inner dots are kept.
    fn file_name(&self) -> String {
        let keep = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
        let name: String = self.name.chars().take(15).map(keep).collect();
        let name = name.replace("..", "__");
        let name = name.trim_matches('.');
        let name = if name.is_empty() { "unnamed" } else { name };
        format!("core.{name}.{}.{}", self.pid, self.time)
    }
}

/// Takes the core from `input` into a new file in `place`. With `give_to_user` the file becomes the crashed user's own
/// where the process had no more rights than that user; else it stays the handler's, mode 0600.
pub fn store(
    input: &mut impl Source,
    crash: &Crash,
    place: &Place,
    limits: &Limits,
    give_to_user: bool,
) -> Result<Stored, Error> {
    let began = Instant::now();
    let room = place.room(limits)?;
    let file = place.create(&crash.file_name(), limits)?;
    let cap = stream::Cap { bytes: limits.max_bytes, data: room, until: began.checked_add(limits.max_time) };
    let written = stream::copy(input, &file.file, cap).map_err(|source| Error::Io { path: file.path(), source })?;
    if written.bytes == 0 {
        return Err(Error::Failed("standard input is empty: no core came from the kernel".to_owned()));
    }
    if give_to_user && crash.mode == 1 {
        // The last act on the file: until here nobody else can open it.
        rustix::fs::fchown(&file.file, Some(Uid::from_raw(crash.uid)), Some(Gid::from_raw(crash.gid)))
            .map_err(|error| Error::Io { path: file.path(), source: error.into() })?;
    }
    let path = file.finish(written.stopped.is_some())?;
    Ok(Stored { path, written })
}

/// Standard input, the pipe from the kernel, without a buffer in between: what is there can be waited for.
pub fn standard_input() -> Result<File, Error> {
    let input = io::stdin().as_fd().try_clone_to_owned();
    input.map(File::from).map_err(|source| Error::Io { path: "standard input".into(), source })
}

/// The one line that installs the handler, to be run as root. `options` begin with a blank.
pub fn install_line(program: &Path, options: &str) -> Result<String, Error> {
    let path = program.to_str().filter(|path| path.starts_with('/') && !path.contains([' ', '\'', '%']));
    if options.contains(['\'', '%', '\n']) {
        return Err(Error::Failed(format!("core_pattern takes no quotes and %: {options}")));
    }
    let path = path.ok_or_else(|| {
        Error::Failed(format!(
            "{}: core_pattern takes an absolute path without blanks, quotes and %",
            program.display()
        ))
    })?;
    let pattern = format!("|{path} collect{options} --on-crash {SPECIFIERS}");
    if pattern.len() > MAX_PATTERN {
        return Err(Error::Failed(format!(
            "core_pattern holds {MAX_PATTERN} bytes, this would be {}: install the program under a shorter path, /usr/local/bin",
            pattern.len()
        )));
    }
    Ok(format!(
        "echo {PIPE_LIMIT} > /proc/sys/kernel/core_pipe_limit; echo '{pattern}' > /proc/sys/kernel/core_pattern"
    ))
}

/// Refuses a program that anybody but root could replace: the kernel runs it as root.
pub fn check_program(program: &Path) -> Result<(), Error> {
    place::check_program(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn named(name: &str) -> String {
        let crash = Crash::from_arguments(&arguments(&["12", "13", "11", "1700000000", "1000", "1000", "1", name]));
        crash.expect("all there").file_name()
    }

    #[test]
    fn a_name_becomes_a_plain_part_of_a_files_name() {
        assert_eq!(named("shop-api"), "core.shop-api.12.1700000000");
        assert_eq!(named("../../etc/cron"), "core.______etc_cron.12.1700000000");
        assert_eq!(named("a\x1b[31m b\n"), "core.a__31m_b_.12.1700000000");
        assert_eq!(named("."), "core.unnamed.12.1700000000");
        assert_eq!(named("größe"), "core.gr__e.12.1700000000");
        assert_eq!(named(&"x".repeat(400)), format!("core.{}.12.1700000000", "x".repeat(15)));
    }

    #[test]
    fn arguments_are_numbers_in_the_order_of_the_specifiers() {
        let crash =
            Crash::from_arguments(&arguments(&["1", "2", "3", "4", "5", "6", "2", "a", "b"])).expect("all there");
        let expected = Crash { pid: 1, tid: 2, signal: 3, time: 4, uid: 5, gid: 6, mode: 2, name: "a b".to_owned() };
        assert_eq!(crash, expected);
        for wrong in [
            &["1", "2", "3"][..],
            &["x", "2", "3", "4", "5", "6", "1", "n"],
            &["-1", "2", "3", "4", "5", "6", "1", "n"],
        ] {
            assert!(Crash::from_arguments(&arguments(wrong)).is_err(), "{wrong:?}");
        }
        assert!(Crash::from_arguments(&arguments(&["4294967296", "2", "3", "4", "5", "6", "1", "n"])).is_err());
    }

    #[test]
    fn the_line_to_install_fits_the_kernels_limit() {
        let line = install_line(Path::new("/usr/local/bin/dumpscope"), "").expect("it fits");
        assert_eq!(
            line,
            "echo 16 > /proc/sys/kernel/core_pipe_limit; echo '|/usr/local/bin/dumpscope collect --on-crash %P %I %s %t \
             %u %g %d %e' > /proc/sys/kernel/core_pattern"
        );
        assert!(install_line(Path::new(&format!("/{}", "x".repeat(120))), "").is_err());
        assert!(install_line(Path::new("relative"), "").is_err());
        assert!(install_line(Path::new("/a b/dumpscope"), "").is_err());
        assert!(install_line(Path::new("/a'b/dumpscope"), "").is_err());
    }
}
