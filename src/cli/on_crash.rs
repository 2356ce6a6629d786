//! `dumpscope collect --on-crash`: the kernel's core_pattern handler, and the line that installs it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use rustix::process::DumpableBehavior;

use super::{complain, print};
use crate::error::Error;
use crate::on_crash::{self, Crash, Limits, Place};
use crate::processes::watch::bytes;
use crate::report::sanitize::sanitize;

/// Where cores go unless the command line says otherwise.
const FOLDER: &str = "/var/lib/dumpscope";

/// Options of `collect` that say what is taken of which process: the kernel hands over a core that is whole, of a process that it
/// names.
const OF_A_PROCESS: [&str; 13] = [
    "pid",
    "name",
    "kind",
    "mode",
    "output",
    "compress",
    "max_pause",
    "buffer",
    "crashreport",
    "diag",
    "conditions",
    "max",
    "every",
];

/// What the kernel hands over, and within which limits it is kept.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("handler").conflicts_with_all(OF_A_PROCESS))]
pub(super) struct Arguments {
    /// Takes a core from standard input, as core_pattern's handler: '|PROGRAM collect --on-crash %P %I %s %t %u %g %d %e'
    // The process chooses its name, %e: what follows is never read as an option.
    #[arg(long, num_args = 1.., allow_hyphen_values = true, value_name = "ARGUMENT", group = "handler")]
    on_crash: Vec<String>,
    /// Prints the line that makes the kernel hand crashing processes to this program
    #[arg(long, group = "handler")]
    install_line: bool,
    /// Where cores of crashes go
    #[arg(long, value_name = "DIR", default_value = FOLDER, requires = "handler")]
    dir: PathBuf,
    /// Largest core stored, bytes or with K, M, G, T; its end is left out
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "handler")]
    max_size: Option<u64>,
    /// Percent of the file system that stay free
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100), requires = "handler")]
    keep_free: Option<u8>,
    /// Most cores stored within a minute
    #[arg(long, value_name = "COUNT", requires = "handler")]
    max_rate: Option<u32>,
    /// Longest time that a dying process is kept while its core is read, seconds
    #[arg(long, value_name = "SECONDS", requires = "handler")]
    max_time: Option<u64>,
    /// The core belongs to the crashed user, where the process had no more rights than that user; else to root alone
    #[arg(long, requires = "handler")]
    to_user: bool,
}

impl Arguments {
    /// Whether a core is to be taken from the kernel, or the line that makes it so is asked for.
    pub(super) fn is_wanted(&self) -> bool {
        self.install_line || !self.on_crash.is_empty()
    }
}

fn size(text: &str) -> Result<u64, String> {
    bytes(text).ok_or_else(|| "a size is a number with K, M, G or T behind it, 2G".to_owned())
}

/// Stores a core, or prints the line.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    if arguments.install_line {
        return install_line(arguments);
    }
    let crash = Crash::from_arguments(&arguments.on_crash)?;
    let stored = store(&crash, arguments);
    let said = match &stored {
        Ok(stored) => {
            let cut = stored.written.stopped.map(|why| format!(", cut: {}", why.words())).unwrap_or_default();
            let (path, size) = (stored.path.display(), stored.written.bytes);
            format!(
                "process {} ({}) took signal {}: core of {size} bytes in {path}{cut}",
                crash.pid, crash.name, crash.signal
            )
        }
        Err(error) => format!("process {} ({}) took signal {}: no core: {error}", crash.pid, crash.name, crash.signal),
    };
    say(&said);
    Ok(if stored.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(super::FAILED) })
}

fn store(crash: &Crash, arguments: &Arguments) -> Result<on_crash::Stored, Error> {
    // What is asked for here can only take rights away; a kernel that refuses leaves what there was.
    let _ = rustix::thread::set_no_new_privs(true);
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let usual = Limits::default();
    let limits = Limits {
        max_bytes: arguments.max_size.unwrap_or(usual.max_bytes),
        keep_free: arguments.keep_free.unwrap_or(usual.keep_free),
        max_rate: arguments.max_rate.unwrap_or(usual.max_rate),
        max_time: arguments.max_time.map_or(usual.max_time, std::time::Duration::from_secs),
        ..usual
    };
    let place = Place::open(&arguments.dir)?;
    on_crash::store(&mut on_crash::standard_input()?, crash, &place, &limits, arguments.to_user)
}

/// On standard error; in the kernel's log where the kernel started us and there is none.
fn say(text: &str) {
    let text = sanitize(text);
    // Source: Linux Documentation/admin-guide/devices.txt: 1:3 is /dev/null, which the start-up code puts for closed descriptors.
    let null = rustix::fs::makedev(1, 3);
    if rustix::fs::fstat(std::io::stderr()).is_ok_and(|stat| stat.st_rdev != null) {
        complain("on-crash", &text);
        return;
    }
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let log = OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open("/dev/kmsg");
    if let Ok(mut log) = log
        && log.metadata().is_ok_and(|metadata| metadata.file_type().is_char_device() && metadata.rdev() != null)
    {
        // <4>: a warning. A log that cannot be written is no reason to fail.
        let _ = log.write_all(format!("<4>dumpscope: {text}\n").as_bytes());
    }
}

fn install_line(arguments: &Arguments) -> Result<ExitCode, Error> {
    let program = std::env::current_exe().map_err(|source| Error::Io { path: "this program".into(), source })?;
    on_crash::check_program(&program)?;
    let mut options = String::new();
    if arguments.dir != std::path::Path::new(FOLDER) {
        if arguments.dir.to_str().is_none_or(|dir| dir.contains(char::is_whitespace)) {
            return Err(Error::Usage("--dir: core_pattern takes no path with blanks".to_owned()));
        }
        options.push_str(&format!(" --dir {}", arguments.dir.display()));
    }
    if let Some(bytes) = arguments.max_size {
        options.push_str(&format!(" --max-size {bytes}"));
    }
    if let Some(percent) = arguments.keep_free {
        options.push_str(&format!(" --keep-free {percent}"));
    }
    if let Some(rate) = arguments.max_rate {
        options.push_str(&format!(" --max-rate {rate}"));
    }
    if let Some(seconds) = arguments.max_time {
        options.push_str(&format!(" --max-time {seconds}"));
    }
    if arguments.to_user {
        options.push_str(" --to-user");
    }
    print(&format!("{}\n", on_crash::install_line(&program, &options)?))?;
    Ok(ExitCode::SUCCESS)
}
