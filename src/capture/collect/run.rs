//! One dump from beginning to end.

use std::fs;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{RecvTimeoutError, bounded};
use procfs::process::{Stat, Status};
use rustc_hash::FxHashSet;
use symbols::FileBytes;

use super::blot::Blot;
use super::copy::Belt;
use super::fork::Child;
use super::freeze::Frozen;
use super::gather::{self, Gathered};
use super::layout::Layout;
use super::live::{Live, read};
use super::maps::{self, Mapping, Span};
use super::mini;
use super::notes::Notes;
use super::output::Output;
use super::peek::Peek;
use super::select::Selection;
use super::sink::{Compressed, Sink};
use super::source::Source;
use super::threads::{self, Thread};
use super::{Collected, Destination, Kind, Mode, Request};
use crate::capture::facts::{Facts, LeftOut, NOTE, OWNER, VERSION};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Problem, Subject, Tid};

/// How often a dump that goes on is looked after: whether the process still is, whether it takes too long.
const LOOK: Duration = Duration::from_millis(20);

/// Writes the core. Runs on a thread of its own, which is the tracer.
pub(super) fn run(request: &Request, job: &Job, say: &(dyn Fn(&str) + Sync)) -> Result<Collected, Error> {
    let live = Live::open(request.pid)?;
    let output = match &request.to {
        Destination::File(path) => Some(Output::create(path)?),
        Destination::Stdout | Destination::Memory => None,
    };
    let mut sink = sink(request, output.as_ref())?;
    job.phase("looking at the process", 0);
    let mut gathered = gather::gather(&live, request.kind != Kind::Triage);
    say(&format!("{live}: {} threads, {} mappings", gathered.threads.len(), gathered.usages.len()));

    let frozen = Frozen::stop(&live, job)?;
    say(&format!("stopped {} threads in {:.1} ms", frozen.stopped().count(), millis(frozen.elapsed())));
    let mut scene = Scene::read(&live, &frozen, &mut gathered)?;
    let source = Source::of(scene.reader);
    let held = scene.hold(request.mode, &live, frozen, &source);
    let source = match &held {
        Held::Stopped(_) => source,
        Held::Copied(child, pause) => {
            say(&format!("the process goes on after {:.1} ms; its child {} is read", millis(*pause), child.pid));
            Source::of(u32::try_from(child.pid).unwrap_or(0))
        }
    };
    let selection = scene.select(&live, request.kind, &gathered, &source, say);
    let blot = (request.kind == Kind::Triage).then(|| scene.blot(&gathered));
    let notes = scene.notes(request, &gathered, &selection, blot.as_ref());
    let layout = Layout::new(&notes.0, &selection.parts);
    if let Some(output) = &output {
        output.check_room(selection.needed(&scene.mappings).saturating_add(layout.head.len() as u64))?;
    }
    say(&format!(
        "{} bytes of memory in {} parts, {} bytes of notes",
        selection.bytes(),
        layout.parts.len(),
        notes.0.len()
    ));
    job.phase("writing the dump", selection.bytes());
    let plan =
        Plan { live: &live, source: &source, layout: &layout, blot: blot.as_ref(), max_pause: request.max_pause };
    let copied = plan.copy(held, &mut sink, job, say, &mut scene.problems)?;

    let failed = |why: io::Error| failed_to_write(request, &why);
    let mut size = layout.size;
    if !copied.unreadable.is_empty() && sink.can_rewrite() {
        let (tail, head) = layout.without(&copied.unreadable);
        sink.write_at(size, &tail).map_err(failed)?;
        sink.write_at(0, &head).map_err(failed)?;
        size = size.saturating_add(tail.len() as u64);
    }
    sink.finish(size).map_err(failed)?;
    let bytes = match sink {
        Sink::Memory(bytes) => Some(FileBytes::from_vec(bytes)),
        Sink::File(_) | Sink::Stream(..) => None,
    };
    let path = output.map(Output::commit).transpose()?;
    let mut problems = scene.problems;
    problems.extend(left_out_problem(&selection.left_out));
    problems.extend(unreadable_problem(&copied.unreadable));
    let threads = scene.threads.len();
    Ok(Collected {
        path,
        bytes,
        size,
        written: copied.written,
        pause: copied.pause,
        threads,
        name: live.name,
        problems,
    })
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn sink(request: &Request, output: Option<&Output>) -> Result<Sink, Error> {
    let compressed = |inner: Box<dyn io::Write + Send>| Sink::Stream(Box::new(Compressed::new(inner)), 0);
    Ok(match (&request.to, output) {
        (Destination::File(_), Some(output)) if request.compress => compressed(Box::new(output.file()?)),
        (Destination::File(_), Some(output)) => Sink::File(output.file()?),
        (Destination::Memory, _) => Sink::Memory(Vec::new()),
        (Destination::Stdout | Destination::File(_), _) => {
            if io::stdout().is_terminal() {
                let message = "a dump is no text: send standard output to a file or a pipe, as in `-o - > core`";
                return Err(Error::Usage(message.to_owned()));
            }
            let stdout = io::stdout().as_fd().try_clone_to_owned();
            let stdout = stdout.map_err(|source| Error::Io { path: "standard output".into(), source })?;
            let stdout = Box::new(fs::File::from(stdout));
            if request.compress { compressed(stdout) } else { Sink::Stream(stdout, 0) }
        }
    })
}

/// What keeps the memory as it was at the stop.
enum Held<'a> {
    /// The process itself is stopped.
    Stopped(Frozen<'a>),
    /// A copy of it; the process goes on, after it was stopped for so long.
    Copied(Child<'a>, Duration),
}

impl Held<'_> {
    /// Whether the process is stopped.
    fn is_stopped(&self) -> bool {
        matches!(self, Held::Stopped(_))
    }

    /// Lets the process go on, and ends its copy. How long it was stopped; false where the copy stays behind.
    fn release(self) -> (Duration, bool) {
        match self {
            Held::Stopped(frozen) => (frozen.thaw(), true),
            Held::Copied(child, pause) => (pause, child.end()),
        }
    }
}

/// What is read of the stopped process before its memory.
struct Scene {
    stat: Stat,
    user: (u32, u32),
    arguments: Vec<u8>,
    auxv: Vec<u8>,
    threads: Vec<Thread>,
    mappings: Vec<Mapping>,
    /// A thread that is alive, by which memory is read.
    reader: u32,
    mode: &'static str,
    problems: Vec<Problem>,
}

impl Scene {
    fn read(live: &Live, frozen: &Frozen<'_>, gathered: &mut Gathered) -> Result<Scene, Error> {
        let threads = threads::read(frozen, true);
        let first = threads.first().map(|thread| thread.tid).ok_or_else(|| live.ended())?;
        // The first thread may have left; the others still have its memory.
        let reader = threads.iter().map(|thread| thread.tid).find(|tid| u32::try_from(*tid) == Ok(live.pid));
        let reader = reader.unwrap_or(first);
        let mappings = maps::mappings(live, reader, &gathered.usages)?;
        let stat: Stat = read(live.pid, "stat").map_err(|_| live.ended())?;
        let status: Option<Status> = read(live.pid, "status").ok();
        let file = |name: &str| fs::read(live.proc(&format!("task/{reader}/{name}"))).unwrap_or_default();
        let mut problems = Vec::new();
        for tid in frozen.unstopped() {
            gathered.add_thread(live, tid, false);
            let lost = "it did not stop: it sleeps where the kernel lets nothing interrupt it";
            if let Some(facts) = gathered.threads.get_mut(&tid) {
                facts.lost = Some(lost.to_owned());
            }
            let about = Subject::Thread(Tid(u32::try_from(tid).unwrap_or(0)));
            problems.push(Problem::new("thread-lost", about, format!("thread {tid} is not in the dump: {lost}")));
        }
        for thread in &threads {
            gathered.add_thread(live, thread.tid, false);
        }
        let is_there =
            |tid: &i32| threads.iter().any(|thread| thread.tid == *tid) || frozen.unstopped().any(|lost| lost == *tid);
        gathered.threads.retain(|tid, _| is_there(tid));
        Ok(Scene {
            stat,
            user: status.map_or((0, 0), |status| (status.ruid, status.rgid)),
            arguments: file("cmdline"),
            auxv: file("auxv"),
            threads,
            mappings,
            reader: u32::try_from(reader).unwrap_or(live.pid),
            mode: "direct",
            problems,
        })
    }

    /// Keeps memory as it is: by the stop, or by a copy where that was asked for and is safe.
    fn hold<'a>(&mut self, mode: Mode, live: &'a Live, frozen: Frozen<'a>, source: &Source) -> Held<'a> {
        if mode == Mode::Direct {
            return Held::Stopped(frozen);
        }
        match Child::of(live, &frozen, &self.mappings, source) {
            Ok(child) => {
                self.mode = "fork";
                for mapping in self.mappings.iter_mut().filter(|mapping| mapping.is_lost_on_fork()) {
                    mapping.exclude("not in the copy that was read (MADV_DONTFORK, MADV_WIPEONFORK)");
                }
                Held::Copied(child, frozen.thaw())
            }
            Err(why) => {
                let message = format!("--mode fork is not possible, the process stays stopped until it is read: {why}");
                self.problems.push(Problem::new("no-fork", Subject::Capture, message));
                Held::Stopped(frozen)
            }
        }
    }

    /// Which memory is dumped.
    fn select(
        &self,
        live: &Live,
        kind: Kind,
        gathered: &Gathered,
        source: &Source,
        say: &(dyn Fn(&str) + Sync),
    ) -> Selection {
        let peek = Peek::new(source);
        match kind {
            Kind::Full => Selection::full(live, &self.mappings),
            Kind::Heap => Selection::heap(live, &self.mappings, &peek),
            Kind::Mini | Kind::Triage => {
                let pid = i32::try_from(live.pid).unwrap_or(0);
                let chosen = mini::choose(&self.mappings, pid, &self.threads, &inner_tids(gathered), &peek);
                say(&format!("{} pages by pointers, {} for held locks", chosen.followed, chosen.locks));
                Selection::pages(live, &self.mappings, &chosen.pages, kind == Kind::Triage)
            }
        }
    }

    /// What may stay in a triage dump.
    fn blot(&self, gathered: &Gathered) -> Blot {
        // Arguments and environment, as the kernel placed them; where it does not say, whatever lies above them is erased by words.
        let text = [(self.stat.arg_start, self.stat.arg_end), (self.stat.env_start, self.stat.env_end)];
        let erased = text.into_iter().filter_map(|(start, end)| {
            let (start, end) = (u64::try_from(start?).ok()?, u64::try_from(end?).ok()?);
            (start < end).then(|| Span::new(start & !7, end))
        });
        Blot {
            mapped: self.mappings.iter().map(|mapping| mapping.span).collect(),
            tids: inner_tids(gathered),
            futexes: self.threads.iter().filter_map(Thread::futex).collect(),
            erased: erased.collect(),
        }
    }

    fn notes(&self, request: &Request, gathered: &Gathered, selection: &Selection, blot: Option<&Blot>) -> Notes {
        let mut notes = Notes::default();
        let arguments: Vec<u8> = match blot {
            Some(_) => self.stat.comm.clone().into_bytes(),
            None => self.arguments.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect(),
        };
        let shown = if blot.is_some() { file_name } else { <[u8]>::to_vec };
        notes.process(&self.stat, self.user, &arguments);
        notes.auxv(&self.auxv);
        notes.files(&self.mappings, shown);
        let taken = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let facts = Facts {
            version: VERSION,
            writer: format!("dumpscope {}", env!("CARGO_PKG_VERSION")),
            kind: request.kind.word().to_owned(),
            mode: self.mode.to_owned(),
            taken,
            age_ms: gathered.age_ms,
            threads: gathered.threads.values().cloned().collect(),
            descriptors: gathered.descriptors.clone(),
            limits: gathered.limits.clone(),
            cgroups: gathered.cgroups.clone(),
            mappings: gather::mapping_facts(&self.mappings, shown),
            left_out: selection.left_out.clone(),
        };
        notes.push(OWNER, NOTE, &facts.to_bytes());
        for thread in &self.threads {
            let blotted = blot.map(|blot| thread.blotted(blot));
            blotted.as_ref().unwrap_or(thread).note(&mut notes, &self.stat, &gathered.times);
        }
        notes
    }
}

/// The ids by which the process itself knows its threads.
fn inner_tids(gathered: &Gathered) -> FxHashSet<u32> {
    gathered.threads.values().map(|thread| thread.inner_tid.unwrap_or(thread.tid)).collect()
}

/// The last part of a path.
fn file_name(path: &[u8]) -> Vec<u8> {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec()
}

/// What came of copying.
struct Copied {
    pause: Duration,
    unreadable: Vec<Span>,
    written: u64,
}

/// What is copied, from where.
struct Plan<'a> {
    live: &'a Live,
    source: &'a Source,
    layout: &'a Layout,
    blot: Option<&'a Blot>,
    max_pause: Duration,
}

impl Plan<'_> {
    /// Reads and writes all memory. The process goes on as soon as the last byte is read, and at once where that takes too long, is
    /// cancelled or fails.
    fn copy(
        &self,
        held: Held<'_>,
        sink: &mut Sink,
        job: &Job,
        say: &(dyn Fn(&str) + Sync),
        problems: &mut Vec<Problem>,
    ) -> Result<Copied, Error> {
        let Plan { live, source, layout, blot, max_pause } = *self;
        let stop = AtomicBool::new(false);
        let (reading, writing) = Belt::new().ends();
        let (done, is_done) = bounded::<()>(1);
        let written_head = sink.write_at(0, &layout.head);
        thread::scope(|scope| {
            let writer = scope.spawn(move || writing.run(sink));
            let reader = scope.spawn(|| {
                // Dropped when the reader ends, even by a panic.
                let _done = done;
                reading.run(source, layout, blot, &stop, job)
            });
            let left = match &held {
                Held::Stopped(frozen) => Some(max_pause.saturating_sub(frozen.elapsed())),
                Held::Copied(..) => None,
            };
            let deadline = left.map(|left| Instant::now() + left);
            let mut why = None;
            while is_done.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    why = Some(Error::Failed(format!(
                        "{live} was stopped for {:.1} s, the limit; it goes on and nothing was kept (--max-pause, --mode fork, a smaller --type)",
                        max_pause.as_secs_f64()
                    )));
                } else if held.is_stopped() && live.has_ended() {
                    why = Some(live.ended());
                } else if job.is_cancelled() {
                    why = Some(Error::Cancelled);
                }
                if why.is_some() {
                    stop.store(true, Ordering::Relaxed);
                    break;
                }
            }
            let is_stopped = held.is_stopped();
            let (pause, whole) = held.release();
            say(&format!("all memory is read; the process was stopped for {:.1} ms", millis(pause)));
            if !whole {
                let message = "the copy of the process that was read could not be reaped; a zombie stays behind until the process ends";
                problems.push(Problem::new("zombie", Subject::Capture, message));
            }
            let bug = || Error::Failed("a bug in dumpscope; the process goes on".to_owned());
            let read = reader.join().unwrap_or_else(|_| Err(bug()));
            let written = writer.join().map_err(|_| bug())?;
            if let Some(why) = why {
                return Err(why);
            }
            let written = written_head.and_then(|head| Ok(head.saturating_add(written?)));
            let written = written.map_err(|why| write_error(&why))?;
            let unreadable = if is_stopped && live.has_ended() { read.map_err(|_| live.ended())? } else { read? };
            Ok(Copied { pause, unreadable, written })
        })
    }
}

fn write_error(why: &io::Error) -> Error {
    let remedy = match why.raw_os_error() {
        Some(libc::ENOSPC) => "; the disk is full: name another place with -o, or dump less (--type heap, --type mini)",
        Some(libc::EFBIG) => "; files may not be larger (ulimit -f)",
        Some(libc::EDQUOT) => "; the quota of this user is used up",
        _ => "",
    };
    Error::Failed(format!("the dump cannot be written: {why}{remedy}; nothing was kept"))
}

fn failed_to_write(request: &Request, why: &io::Error) -> Error {
    match &request.to {
        Destination::File(path) => Error::Failed(format!("{}: {}", path.display(), write_error(why))),
        Destination::Stdout | Destination::Memory => write_error(why),
    }
}

fn left_out_problem(left_out: &[LeftOut]) -> Option<Problem> {
    let first = left_out.first()?;
    let bytes = left_out.iter().map(|part| part.end.saturating_sub(part.start)).fold(0, u64::saturating_add);
    let message = format!("{} KiB in {} mappings are left out: {}", bytes >> 10, left_out.len(), first.why);
    Some(Problem::new("left-out", Subject::Memory(Addr(first.start)), message))
}

fn unreadable_problem(unreadable: &[Span]) -> Option<Problem> {
    let first = unreadable.first()?;
    let bytes = unreadable.iter().map(|span| span.len()).fold(0, u64::saturating_add);
    let message = format!("{} KiB could not be read, first at {}", bytes >> 10, first.start);
    Some(Problem::new("unreadable", Subject::Memory(first.start), message))
}
