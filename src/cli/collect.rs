//! `dumpscope collect`: which process, what of it, where to, and what is said meanwhile.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use super::{complain, guard, on_crash, watch};
use crate::capture::collect::{self, Collected, Destination, Kind, Mode, Request};
use crate::commands::{Format, Shell};
use crate::error::Error;
use crate::job::Job;
use crate::processes;
use crate::processes::watch::bytes;
use crate::report::sanitize::sanitize;
use crate::session::{Session, Source};
use crate::target::Search;

/// How long after a signal that cancels a dump which hangs is given up.
const GRACE: Duration = Duration::from_secs(3);
/// How often progress is shown.
const REDRAW: Duration = Duration::from_millis(100);

/// Which process is meant.
#[derive(Args, Debug)]
pub(super) struct Which {
    /// The process, by id
    #[arg(short = 'p', long = "process-id", value_name = "PID", conflicts_with = "name")]
    pid: Option<u32>,
    /// The process, by name: its program's, or the assembly, class or script that it runs; fails where several have it
    #[arg(short = 'n', long = "name", value_name = "NAME")]
    name: Option<String>,
}

impl Which {
    /// Whether any is.
    pub(super) fn is_named(&self) -> bool {
        self.pid.is_some() || self.name.is_some()
    }

    /// Its id, in our PID namespace.
    pub(super) fn pid(&self) -> Result<u32, Error> {
        match (self.pid, &self.name) {
            (Some(pid), _) => Ok(pid),
            (None, Some(name)) => processes::find(name, &Job::default()).map(|process| process.pid),
            (None, None) => {
                Err(Error::Usage("name a process with -p PID or -n NAME; 'dumpscope ps' lists them".to_owned()))
            }
        }
    }
}

/// Options of `collect`.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    process: Which,
    /// What the dump holds
    #[arg(long = "type", value_enum, default_value_t = Type::Full)]
    kind: Type,
    /// How the process is read: stopped all the while, or through a copy that it makes of itself
    #[arg(long, value_enum, default_value_t = How::Direct)]
    mode: How,
    /// The file, which must not exist; '-' is standard output [default: core_YYYYMMDD_HHMMSS]
    #[arg(short = 'o', long = "output", value_name = "PATH")]
    output: Option<PathBuf>,
    /// Compresses the dump
    #[arg(long, value_enum, value_name = "HOW")]
    compress: Option<Compression>,
    /// Longest time in seconds for which the process may be stopped; then it goes on, and nothing is kept
    #[arg(long, value_name = "SECONDS", default_value_t = 600.0)]
    max_pause: f64,
    /// Most memory for buffers, so that the process waits for copying alone and not for the disk: bytes, or with K, M, G, T; 0 for none
    /// beside the usual 32 MiB; auto takes what it needs as far as the machine and the limits of this process's cgroup can spare it
    #[arg(long, value_name = "auto|SIZE", default_value = "auto", value_parser = buffer)]
    buffer: u64,
    /// Writes PATH.crashreport.json beside the dump: summary, all stacks, locks and exceptions of the same stop, as JSON
    #[arg(long)]
    crashreport: bool,
    /// Says each step on standard error
    #[arg(long)]
    diag: bool,
    /// Standard input is a socket of the process that guards this one; for our own use
    #[arg(long, hide = true)]
    guarded: bool,
    #[command(flatten)]
    watch: watch::Watches,
    #[command(flatten)]
    on_crash: on_crash::Arguments,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Type {
    /// All memory, and the images of files
    Full,
    /// All memory but images of files, of which what stacks need is kept
    Heap,
    /// Stacks, modules, and what names threads, locks and exceptions
    Mini,
    /// As mini, without personal data
    Triage,
}

impl From<Type> for Kind {
    fn from(kind: Type) -> Kind {
        match kind {
            Type::Full => Kind::Full,
            Type::Heap => Kind::Heap,
            Type::Mini => Kind::Mini,
            Type::Triage => Kind::Triage,
        }
    }
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum How {
    /// Stopped until its memory is read
    Direct,
    /// Stopped for the time that fork(2) takes; direct where that is not safe
    Fork,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Compression {
    /// Zstandard
    Zstd,
}

/// Runs it.
pub(super) fn run(options: &Options) -> Result<ExitCode, Error> {
    if options.on_crash.is_wanted() {
        return on_crash::run(&options.on_crash);
    }
    let pid = options.process.pid()?;
    let max_pause = Duration::try_from_secs_f64(options.max_pause)
        .map_err(|_| Error::Usage(format!("--max-pause {}: a number of seconds was expected", options.max_pause)))?;
    let mut request = Request {
        pid,
        kind: options.kind.into(),
        mode: match options.mode {
            How::Direct => Mode::Direct,
            How::Fork => Mode::Fork,
        },
        to: destination(options.output.as_deref()),
        compress: options.compress.is_some(),
        max_pause,
        buffer: options.buffer,
        guard: None,
        needed: Some(super::needed::needed),
    };
    if options.crashreport && !matches!(request.to, Destination::File(_)) {
        return Err(Error::Usage("--crashreport writes beside a file: name one with -o".to_owned()));
    }
    let job = Job::default();
    let _watching = watch_signals(&job)?;
    match request.mode {
        Mode::Fork if options.guarded => request.guard = Some(guard::guarded(&job)?),
        Mode::Fork => return guard::run(&job),
        Mode::Direct => {}
    }
    if options.watch.is_wanted() {
        return watch::run(&options.watch, &request, &job, &|request, stopped| options.dump(request, stopped, &job));
    }
    options.dump(&request, None, &job)?;
    Ok(ExitCode::SUCCESS)
}

fn buffer(text: &str) -> Result<u64, String> {
    match text {
        "auto" => Ok(u64::MAX),
        "0" => Ok(0),
        _ => bytes(text).ok_or_else(|| "auto, or a size: a number with K, M, G or T behind it, 2G".to_owned()),
    }
}

impl Options {
    /// Takes one dump and says so; of a process that is stopped already, where its threads are given.
    fn dump(&self, request: &Request, stopped: Option<&[(u32, i32)]>, job: &Job) -> Result<(), Error> {
        let begun = Instant::now();
        let say = |text: &str| {
            if self.diag {
                let line = format!("{:8.1} ms  {}\n", begun.elapsed().as_secs_f64() * 1000.0, sanitize(text));
                // Nothing can be done where even that fails.
                let _ = io::stderr().write_all(line.as_bytes());
            }
        };
        let collected = match stopped {
            // The tracer is this very thread.
            Some(stopped) => collect::collect_stopped(request, stopped, job, &say),
            None => with_progress(job, || collect::collect(request, job, &say)),
        }?;
        report(&collected, begun.elapsed())?;
        if let (true, Some(path)) = (self.crashreport, &collected.path) {
            let written = crash_report(path, job)?;
            super::print(&format!("{}\n", written.display()))?;
        }
        Ok(())
    }
}

/// What `--crashreport` asks of the dump.
const CRASH_REPORT: [&str; 4] = ["summary", "stack --all", "locks", "printexception"];

/// Writes the answers of [`CRASH_REPORT`] beside the dump, one JSON object a line. The file's name.
fn crash_report(dump: &Path, job: &Job) -> Result<PathBuf, Error> {
    let session = Session::open(Source::File(dump.to_owned()), &Search::default(), job)?;
    let mut shell = Shell::new(Arc::new(session));
    let mut name = dump.as_os_str().to_owned();
    name.push(".crashreport.json");
    let path = PathBuf::from(name);
    let io = |source| Error::Io { path: path.clone(), source };
    // Never an existing file, never through a link.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(io)?;
    let mut file = BufWriter::new(file);
    let written = CRASH_REPORT.iter().try_for_each(|command| {
        let result = shell.run(command, job);
        shell.print(command, &result, Format::Json, &mut file, job).map(drop)
    });
    if let Err(error) = written.and_then(|()| file.flush().map_err(io)) {
        let _ = fs::remove_file(&path);
        return Err(match error {
            Error::Io { source, .. } => io(source),
            other => other,
        });
    }
    Ok(path)
}

fn destination(output: Option<&Path>) -> Destination {
    // The same name as dotnet-dump gives, in local time.
    let default = || format!("core_{}", jiff::Zoned::now().strftime("%Y%m%d_%H%M%S"));
    match output {
        Some(path) if path == Path::new("-") => Destination::Stdout,
        Some(path) if path.is_dir() => Destination::File(path.join(default())),
        Some(path) => Destination::File(path.to_owned()),
        None => Destination::File(default().into()),
    }
}

/// Ends the watch when dropped.
struct Watching(signal_hook::iterator::Handle);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Cancels the job on SIGINT, SIGTERM and SIGHUP: the process that is dumped goes on, and nothing is left. A dump that hangs (a dead
/// disk) or a second signal ends us at once, and then the kernel lets the process go. Files that grow too large are an error and no
/// signal. A terminal's stop key is not obeyed: the process would stay stopped as long as we do.
fn watch_signals(job: &Job) -> Result<Watching, Error> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGXFSZ};
    let io = |source| Error::Io { path: "signals".into(), source };
    for signal in [SIGXFSZ, SIGTSTP] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))).map_err(io)?;
    }
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(io)?;
    let watching = Watching(signals.handle());
    let job = job.clone();
    std::thread::spawn(move || {
        let give_up = |signal: i32| {
            collect::abandon();
            std::process::exit(128_i32.saturating_add(signal))
        };
        for signal in signals.forever() {
            if job.is_cancelled() {
                give_up(signal);
            }
            job.cancel();
            std::thread::spawn(move || {
                std::thread::sleep(GRACE);
                give_up(signal);
            });
        }
    });
    Ok(watching)
}

/// Runs `work` while its progress is shown on standard error, where that is a terminal.
fn with_progress<T: Send>(job: &Job, work: impl FnOnce() -> T + Send) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut shown = false;
            while !over.load(Ordering::Relaxed) {
                std::thread::park_timeout(REDRAW);
                let progress = job.progress();
                let line = progress_line(progress.phase, progress.done, progress.total, progress.elapsed);
                shown = write!(io::stderr(), "\r\x1b[K{line}").is_ok();
            }
            if shown {
                let _ = write!(io::stderr(), "\r\x1b[K");
            }
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        done
    })
}

/// `writing the dump  45 %  3.6 of 8.0 GB  1.2 GB/s  4 s left`.
fn progress_line(phase: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let percent = u128::from(done).saturating_mul(100).checked_div(u128::from(total));
    let Some(percent) = percent.filter(|_| done > 0) else { return phase.to_owned() };
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let left = total.saturating_sub(done) as f64 / rate.max(1.0);
    format!("{phase}  {percent} %  {} of {}  {}/s  {left:.0} s left", size(done), size(total), size(rate as u64))
}

/// `3.6 GB`: for people.
fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let unit = units.iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(|| format!("{bytes} B"), |(unit, name)| format!("{:.1} {name}", bytes / unit))
}

/// Says what was written: the path alone on standard output, for scripts; the rest on standard error.
fn report(collected: &Collected, took: Duration) -> Result<(), Error> {
    for problem in &collected.problems {
        complain("warning", &problem.to_string());
    }
    let threads = if collected.threads == 1 { "thread" } else { "threads" };
    let line = format!(
        "{} of {} ({} {threads}): {} written, {} in all; stopped for {:.1} ms, took {:.1} s",
        collected.path.as_ref().map_or_else(|| "a dump".into(), |path| path.display().to_string()),
        collected.name,
        collected.threads,
        size(collected.written),
        size(collected.size),
        collected.pause.as_secs_f64() * 1000.0,
        took.as_secs_f64()
    );
    let _ = writeln!(io::stderr(), "{}", sanitize(&line));
    if let Some(path) = &collected.path {
        super::print(&format!("{}\n", path.display()))?;
    }
    Ok(())
}
