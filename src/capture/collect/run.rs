//! One dump from beginning to end.

use std::fs;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::Duration;

use procfs::process::Status;
use symbols::FileBytes;

use super::copy::Belt;
use super::faults::{bug, write_error};
use super::freeze::Frozen;
use super::gather::{self, Gathered};
use super::layout::Layout;
use super::live::{Live, read};
use super::maps::Span;
use super::mini;
use super::output::Output;
use super::packed::Packed;
use super::request::{Collected, Destination, Kind, Mode, Needed, Request};
use super::scene::Scene;
use super::scrub::Scrub;
use super::select::{self, Selection};
use super::sink::{Disk, Memory, Sink};
use super::source::Source;
use super::spare::{Expendable, Spare};
use super::thin::Thin;
use super::transfer::{Held, Limit, Plan, Way};
use crate::capture::facts::LeftOut;
use crate::error::Error;
use crate::job::{Job, Unit};
use crate::model::{Addr, Problem, Subject};

/// Largest core that is kept in memory to be thinned out: bytes that are not zero, as far as the kernel tells them.
const MAX_THINNED: u64 = 384 << 20;

/// Writes the core. Runs on a thread of its own, which is the tracer.
///
/// `stopped`: the calling thread has stopped these threads already, and lets them go itself.
pub(super) fn run(
    request: &Request,
    stopped: Option<&[(u32, i32)]>,
    job: &Job,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Collected, Error> {
    let live = Live::open(request.pid)?;
    let output = match &request.to {
        Destination::File(path) => Some(Output::create(path)?),
        Destination::Stdout | Destination::Memory => None,
    };
    let mut sink = sink(request, output.as_ref())?;
    let (expected, most) = buffers(request, &live, stopped.is_some());
    let _expendable = (most > 0).then(Expendable::new);
    job.phase("looking at the process", 0);
    let belt = Belt::new(request.kind == Kind::Triage, expected, most);
    say(&format!("{} bytes of buffers are ready", belt.bytes()));
    // Last before the stop: what it tells is to be of that moment.
    let mut gathered = gather::gather(&live, request.kind != Kind::Triage, stopped.is_none());
    say(&format!("{live}: {} threads, {} mappings", gathered.threads.len(), gathered.usages.len()));

    let frozen = match stopped {
        Some(threads) => Frozen::of(&live, threads),
        None => Frozen::stop(&live, job)?,
    };
    say(&format!("stopped {} threads in {:.1} ms", frozen.stopped().count(), millis(frozen.elapsed())));
    let limit = Limit { live: &live, max_pause: request.max_pause, job };
    let (frozen, mut scene) = Scene::read(&limit, frozen, &mut gathered)?;
    let source = Source::of(scene.reader).with_served(scene.served());
    let held = scene.hold(request.mode, &live, frozen, &source, request.guard.as_deref());
    let source = match &held {
        Held::Stopped(_) => source,
        Held::Copied(child, pause) => {
            say(&format!("the process goes on after {:.1} ms; its child {} is read", millis(*pause), child.pid()));
            Source::of_copy(u32::try_from(child.pid()).unwrap_or(0)).with_served(scene.served())
        }
    };
    let stopped = held.stopped_for();
    let choose = || {
        let chosen = choose(request, &mut scene, &gathered, &live, source, say)?;
        // What is compressed needs less, nobody knows how much.
        if let Some(output) = output.as_ref().filter(|_| !request.compress) {
            let head = chosen.layout.head.len() as u64;
            output.check_room(chosen.selection.needed(&scene.mappings).saturating_add(head))?;
        }
        Ok::<Chosen, Error>(chosen)
    };
    let belt = if stopped.is_none() { belt.without_haste() } else { belt };
    let (held, (), chosen) = limit.work(held, stopped, |_| (), choose)?;
    let Chosen { source, selection, layout, scrub, left_out, with_runtime } = chosen?;
    let failed = |why: io::Error| failed_to_write(request, &why);
    // What is needed of a runtime's memory is found out of a core in memory, while the process goes on.
    let in_memory = selection.needed(&scene.mappings);
    let is_small = in_memory <= MAX_THINNED && with_runtime.is_some() && has_room(in_memory);
    let left_of_runtime = with_runtime.as_ref().map_or(0, |chosen| chosen.of_runtime.left_out);
    let last = with_runtime.zip(request.needed).filter(|_| is_small).map(|(known, needed)| Last {
        known,
        needed,
        sink: std::mem::replace(&mut sink, Sink::Memory(Memory::default())),
    });
    let _expendable_too = last.as_ref().map(|_| Expendable::new());
    sink.expect(selection.bytes(), layout.most()).map_err(failed)?;
    job.phase_of(Unit::Bytes, "writing the dump", selection.bytes());
    let plan = Plan { limit, source: &source, layout: &layout };
    let copied = plan.copy(held, Way { belt, scrub, sink }, say, &mut scene.problems)?;
    let mut sink = copied.sink;

    let (mut size, mut written) = (layout.size, copied.written);
    if !copied.unreadable.is_empty() && sink.can_rewrite() {
        let (tail, head) = layout.without(&copied.unreadable);
        sink.write_at(size, &tail).map_err(failed)?;
        sink.write_at(0, &head).map_err(failed)?;
        size = size.saturating_add(tail.len() as u64);
    }
    sink.finish(size).map_err(failed)?;
    let mut bytes = match sink {
        Sink::Memory(memory) => Some(memory.into_bytes().map_err(failed)?),
        Sink::File(_) | Sink::Stream(..) | Sink::Packed(..) => None,
    };
    if let Some((last, whole)) = last.map(|last| Ok::<_, Error>((last, bytes.take().ok_or_else(bug)?))).transpose()? {
        job.phase("looking for what is needed", 0);
        let (thin, mut sink) = last.thin(&layout, &copied.unreadable, &whole, job, say)?;
        sink.expect(thin.bytes(), thin.layout.most()).map_err(failed)?;
        (size, written) = (thin.layout.size, thin.write(&whole, &mut sink).map_err(failed)?);
    }
    let path = output.map(Output::commit).transpose()?;
    let mut problems = scene.problems;
    problems.extend(left_out_problem(&left_out));
    problems.extend(runtime_problem(left_of_runtime));
    problems.extend(unreadable_problem(&copied.unreadable));
    let threads = scene.threads.len();
    Ok(Collected { path, bytes, size, written, pause: copied.pause, threads, name: live.name, problems })
}

/// What a dump holds, and the rest of what is made of the stopped process before its memory is copied.
struct Chosen {
    source: Source,
    selection: Selection,
    layout: Layout,
    scrub: Option<Scrub>,
    left_out: Vec<LeftOut>,
    /// Of a runtime's process: only the runtime's reader can tell what of it is needed.
    with_runtime: Option<mini::Chosen>,
}

/// Whether memory can be spared for a core of so many bytes, and for what is made of it when it is asked. Where nothing tells it, there may be: the
/// kernel is asked to end this process before any other.
fn has_room(bytes: u64) -> bool {
    Spare::find().bytes(0).is_none_or(|spare| bytes.saturating_mul(2) <= spare)
}

/// The last steps of a core that is thinned out.
struct Last {
    known: mini::Chosen,
    needed: Needed,
    sink: Sink,
}

impl Last {
    /// The core that is left, and where it goes. What is needed is asked of the whole one.
    fn thin(
        mut self,
        layout: &Layout,
        unreadable: &[Span],
        whole: &FileBytes,
        job: &Job,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<(Thin, Sink), Error> {
        let mini::Chosen { pages, of_runtime, .. } = &mut self.known;
        // A defect of a reader must not cost the dump.
        let asked = panic::catch_unwind(AssertUnwindSafe(|| (self.needed)(whole.clone(), job)));
        match asked.unwrap_or_else(|_| Err(bug())) {
            Ok(needed) => {
                for span in needed.into_iter().map(|range| Span { start: range.start, end: range.end }) {
                    pages.add(span);
                    pages.extend(of_runtime.private.within(block(span)));
                }
            }
            // Then all of it is kept.
            Err(why) if !job.is_cancelled() => {
                say(&format!("what is needed cannot be told: {why}"));
                pages.extend(of_runtime.iter());
            }
            Err(cancelled) => return Err(cancelled),
        }
        let thin = Thin::of(layout, unreadable, pages);
        say(&format!("{} bytes of memory are needed", thin.bytes()));
        Ok((thin, self.sink))
    }
}

/// The block of a runtime's private memory around what is read: a structure has members beside those that we read, which other readers ask for, and
/// what belongs together was allocated together.
// Source: measured, with what ClrMD 4.2 reads of a mini dump: 128 KiB suffice on .NET 8, 9 and 10.
fn block(read: Span) -> Span {
    const BLOCK: u64 = 256 << 10;
    Span::new(read.start.0 / BLOCK * BLOCK, read.end.0.checked_next_multiple_of(BLOCK).unwrap_or(read.end.0))
}

fn choose(
    request: &Request,
    scene: &mut Scene,
    gathered: &Gathered,
    live: &Live,
    source: Source,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Chosen, Error> {
    scene.look(gathered, &source);
    let scrub = (request.kind == Kind::Triage).then(|| scene.scrub(gathered));
    let left_out = select::left_out(&scene.mappings);
    let ((selection, with_runtime), notes) = thread::scope(|scope| {
        let notes = scope.spawn(|| scene.notes(request, gathered, &left_out, scrub.as_ref()));
        (scene.select(live, request.kind, gathered, &source, say), notes.join())
    });
    let notes = notes.map_err(|_| bug())?;
    let source = source.with_holes(selection.holes.clone());
    let layout = Layout::new(&notes.0, &selection.parts);
    say(&format!(
        "{} bytes of memory in {} parts, {} bytes of notes",
        selection.bytes(),
        layout.parts.len(),
        notes.0.len()
    ));
    Ok(Chosen { source, selection, layout, scrub, left_out, with_runtime })
}

/// How many bytes of memory are about to be copied while the process waits, as far as it is worth being prepared, and how many buffers may
/// take beside those that there are always. What is small fits into these. `is_late`: whether the process waits already.
fn buffers(request: &Request, live: &Live, is_late: bool) -> (u64, u64) {
    let is_large = matches!(request.kind, Kind::Full | Kind::Heap);
    if !is_large || matches!(request.to, Destination::Memory) {
        return (0, 0);
    }
    let is_hurried = request.mode == Mode::Direct && !is_late;
    let status = read::<Status>(live.pid, "status").ok().filter(|_| is_hurried);
    // Images of files are left out of a heap dump.
    let is_full = request.kind == Kind::Full;
    let sizes = status.map(|status| {
        [if is_full { status.vmrss } else { status.rssanon }, status.rssshmem.filter(|_| !is_full), status.vmswap]
    });
    // Where the kernel does not tell, buffers are made as they are needed.
    let kibibytes = sizes.into_iter().flatten().flatten().fold(0, u64::saturating_add);
    (kibibytes.saturating_mul(1024).min(request.buffer), request.buffer)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn sink(request: &Request, output: Option<&Output>) -> Result<Sink, Error> {
    let compressed = |inner: Box<dyn io::Write + Send>| Sink::Packed(Packed::new(inner), 0);
    Ok(match (&request.to, output) {
        (Destination::File(_), Some(output)) if request.compress => compressed(Box::new(output.file()?)),
        (Destination::File(_), Some(output)) => Sink::File(Disk::new(output.file()?)),
        (Destination::Memory, _) => Sink::Memory(Memory::default()),
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

/// Says how much of the memory of .NET's runtime there was no room for.
fn runtime_problem(bytes: u64) -> Option<Problem> {
    let message =
        format!("{} KiB of the memory of .NET's runtime are left out: a dump of type heap has all of it", bytes >> 10);
    (bytes > 0).then(|| Problem::new("left-out", Subject::Capture, message))
}

fn unreadable_problem(unreadable: &[Span]) -> Option<Problem> {
    let first = unreadable.first()?;
    let bytes = unreadable.iter().map(|span| span.len()).fold(0, u64::saturating_add);
    let message = format!("{} KiB could not be read, first at {}", bytes >> 10, first.start);
    Some(Problem::new("unreadable", Subject::Memory(first.start), message))
}
