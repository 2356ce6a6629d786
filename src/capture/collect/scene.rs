//! A stopped process apart from its memory: threads with their registers, mappings, and the notes made of them.

use std::fs;
use std::os::unix::net::UnixStream;
use std::time::SystemTime;

use procfs::process::{Stat, Status};
use rustc_hash::FxHashSet;
use rustix::time::{ClockId, clock_gettime};

use super::fork::Child;
use super::freeze::Frozen;
use super::gather::{self, Gathered};
use super::live::{Live, read};
use super::maps::{self, Mapping, Span};
use super::mini::{self, Chosen};
use super::notes::Notes;
use super::others;
use super::peek::Peek;
use super::request::{Kind, Mode, Request};
use super::scrub::Scrub;
use super::select::Selection;
use super::source::Source;
use super::threads::{self, Thread};
use super::transfer::{Held, Limit};
use crate::capture::facts::{Clocks, Facts, LeftOut, NOTE, OWNER, OtherThread, UnwindTable, VERSION};
use crate::error::Error;
use crate::model::{Problem, Subject, Tid};

/// Why a thread that is there has no registers.
const LOST: &str = "it did not stop: it sleeps where the kernel lets nothing interrupt it";

/// What is read of the stopped process before its memory.
pub(super) struct Scene {
    stat: Stat,
    user: (u32, u32),
    arguments: Vec<u8>,
    auxv: Vec<u8>,
    pub(super) threads: Vec<Thread>,
    pub(super) mappings: Vec<Mapping>,
    /// A thread that is alive, by which memory is read.
    pub(super) reader: u32,
    mode: &'static str,
    /// The unwind table of a program that does not tell it.
    unwind_table: Option<Span>,
    /// Threads of other processes that may hold what its threads wait for.
    others: Vec<OtherThread>,
    clocks: Clocks,
    /// Whether it was stopped before we came.
    was_stopped: bool,
    /// The signal that had stopped it.
    stop_signal: Option<i32>,
    /// Threads that did not stop, with what the kernel tells of their registers.
    lost: Vec<Thread>,
    pub(super) problems: Vec<Problem>,
}

/// What the kernel tells of the stopped process. It may hang: arguments are memory of the process.
pub(super) struct Told {
    stat: Stat,
    status: Option<Status>,
    arguments: Vec<u8>,
    auxv: Vec<u8>,
    mappings: Vec<Mapping>,
}

impl Told {
    /// Asked through `reader`, a thread that is alive.
    pub(super) fn read(live: &Live, reader: i32, gathered: &Gathered) -> Result<Told, Error> {
        let mappings = maps::mappings(live, reader, &gathered.usages)?;
        let stat: Stat = read(live.pid, "stat").map_err(|_| live.ended())?;
        let status: Option<Status> = read(live.pid, "status").ok();
        let file = |name: &str| fs::read(live.proc(&format!("task/{reader}/{name}"))).unwrap_or_default();
        Ok(Told { stat, status, arguments: file("cmdline"), auxv: file("auxv"), mappings })
    }
}

impl Scene {
    /// Reads it, while the process stays stopped.
    pub(super) fn read<'a>(
        limit: &Limit<'_>,
        frozen: Frozen<'a>,
        gathered: &mut Gathered,
    ) -> Result<(Frozen<'a>, Scene), Error> {
        let live = limit.live;
        // The first thread may have left; the others still have its memory.
        let first = frozen.stopped().find(|tid| u32::try_from(*tid) == Ok(live.pid));
        let reader = first.or_else(|| frozen.stopped().next()).ok_or_else(|| live.ended())?;
        let stopped = frozen.elapsed();
        let clocks = clocks();
        // Registers are read by the tracer alone, mappings by anyone.
        let registers = |frozen: &Frozen<'_>| threads::read(frozen, true);
        let told = || Told::read(live, reader, gathered);
        let (frozen, mut threads, told) = limit.work(frozen, Some(stopped), registers, told)?;
        let Told { stat, status, arguments, auxv, mappings } = told?;
        if threads.is_empty() {
            return Err(live.ended());
        }
        // Debuggers select the first thread. The ids of a process are not in the order in which they were given once
        // they have wrapped.
        threads.sort_by_key(|thread| u32::try_from(thread.tid) != Ok(live.pid));
        let (mut problems, mut lost) = (Vec::new(), Vec::new());
        for tid in frozen.unstopped() {
            gathered.add_lost(live, tid, LOST);
            lost.extend(gathered.threads.get(&tid).and_then(Thread::asleep));
            let about = Subject::Thread(Tid(u32::try_from(tid).unwrap_or(0)));
            let message = format!("thread {tid} has no registers in the dump: {LOST}");
            problems.push(Problem::new("thread-lost", about, message));
        }
        for thread in &threads {
            gathered.add_thread(live, thread.tid, false);
        }
        let there: FxHashSet<i32> = threads.iter().map(|thread| thread.tid).chain(frozen.unstopped()).collect();
        gathered.threads.retain(|tid, _| there.contains(tid));
        let scene = Scene {
            stat,
            user: status.map_or((0, 0), |status| (status.ruid, status.rgid)),
            arguments,
            auxv,
            threads,
            mappings,
            reader: u32::try_from(reader).unwrap_or(live.pid),
            mode: "direct",
            unwind_table: None,
            others: Vec::new(),
            clocks,
            was_stopped: gathered.threads.values().any(|thread| thread.state == Some('T')),
            stop_signal: frozen.stop_signal(),
            lost,
            problems,
        };
        Ok((frozen, scene))
    }

    /// Keeps memory as it is: by the stop, or by a copy where that was asked for and is safe.
    pub(super) fn hold<'a>(
        &mut self,
        mode: Mode,
        live: &'a Live,
        frozen: Frozen<'a>,
        source: &Source,
        guard: Option<&UnixStream>,
    ) -> Held<'a> {
        if mode == Mode::Direct {
            return Held::Stopped(frozen);
        }
        let child = if self.was_stopped {
            Err("it is stopped already".to_owned())
        } else {
            Child::of(live, &frozen, &self.mappings, source, guard)
        };
        match child {
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

    /// Memory whose absent pages must not be asked for.
    pub(super) fn served(&self) -> Vec<Span> {
        let served = self.mappings.iter().filter(|mapping| mapping.is_served_by_user_space());
        served.map(|mapping| mapping.span).collect()
    }

    /// Looks for what is to be found in memory before it is known which is dumped.
    pub(super) fn look(&mut self, gathered: &Gathered, source: &Source) {
        let stated = gathered.unwind_table.as_ref();
        let peek = Peek::new(source);
        self.unwind_table = stated.and_then(|stated| stated.find(&self.mappings, &peek));
        let words = self.threads.iter().filter_map(Thread::futex);
        self.others = others::look(gathered.threads.values(), words, &self.mappings, &peek);
    }

    /// Which memory is dumped; and of a runtime's process, where only its reader can tell what is needed beside, that without this.
    pub(super) fn select(
        &self,
        live: &Live,
        kind: Kind,
        gathered: &Gathered,
        source: &Source,
        say: &(dyn Fn(&str) + Sync),
    ) -> (Selection, Option<Chosen>) {
        let peek = Peek::new(source);
        let pid = i32::try_from(live.pid).unwrap_or(0);
        match kind {
            Kind::Full => (Selection::full(live, &self.mappings), None),
            Kind::Heap => {
                let code = mini::code(&self.mappings, pid, &self.threads, &peek);
                (Selection::heap(live, &self.mappings, self.unwind_table, &code, &peek), None)
            }
            Kind::Mini | Kind::Triage => {
                let threads: Vec<Thread> = self.threads.iter().chain(&self.lost).cloned().collect();
                let mut chosen = mini::choose(&self.mappings, pid, &threads, &inner_tids(gathered), &peek);
                chosen.pages.extend(self.unwind_table);
                say(&format!(
                    "{} pages by pointers, {} for held locks, {} KiB of code",
                    chosen.followed,
                    chosen.locks,
                    chosen.code >> 10
                ));
                let mut all = chosen.pages.clone();
                all.extend(chosen.of_runtime.iter());
                let is_of_runtime = chosen.of_runtime.iter().next().is_some();
                let selection = Selection::pages(live, &self.mappings, &all, kind == Kind::Triage);
                (selection, is_of_runtime.then_some(chosen))
            }
        }
    }

    /// What may stay in a triage dump.
    pub(super) fn scrub(&self, gathered: &Gathered) -> Scrub {
        // Arguments and environment, as the kernel placed them; where it does not say, whatever lies above them is
        // erased by words.
        let text = [(self.stat.arg_start, self.stat.arg_end), (self.stat.env_start, self.stat.env_end)];
        let erased = text.into_iter().filter_map(|(start, end)| {
            let (start, end) = (start?, end?);
            (start < end).then(|| Span::new(start & !7, end))
        });
        Scrub {
            mapped: self.mappings.iter().map(|mapping| mapping.span).collect(),
            tids: inner_tids(gathered),
            futexes: self.threads.iter().filter_map(Thread::futex).collect(),
            erased: erased.collect(),
        }
    }

    pub(super) fn notes(
        &self,
        request: &Request,
        gathered: &Gathered,
        left_out: &[LeftOut],
        scrub: Option<&Scrub>,
    ) -> Notes {
        let mut notes = Notes::default();
        let arguments: Vec<u8> = match scrub {
            Some(_) => self.stat.comm.clone().into_bytes(),
            None => self.arguments.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect(),
        };
        let shown = if scrub.is_some() { file_name } else { <[u8]>::to_vec };
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
            clocks: Some(self.clocks),
            age_ms: gathered.age_ms,
            threads: gathered.threads.values().cloned().collect(),
            descriptors: gathered.descriptors.clone(),
            limits: gathered.limits.clone(),
            cgroups: gathered.cgroups.clone(),
            root: gathered.root.clone(),
            mappings: gather::mapping_facts(&self.mappings, &gathered.files, shown),
            left_out: left_out.to_vec(),
            unwind_tables: self
                .unwind_table
                .map(|Span { start, end }| UnwindTable { start: start.0, end: end.0 })
                .into_iter()
                .collect(),
            stop_signal: self.stop_signal,
            children: gathered.children.clone(),
            file_locks: gathered.file_locks.clone(),
            // What other processes are called is nothing of this one.
            others: self
                .others
                .iter()
                .map(|other| if scrub.is_some() { nameless(other) } else { other.clone() })
                .collect(),
        };
        notes.push(OWNER, NOTE, &facts.to_bytes());
        for (kind, content) in gathered.deleted.iter().filter_map(|deleted| deleted.note(&self.mappings)) {
            notes.push(OWNER, kind, &content);
        }
        for thread in &self.threads {
            let scrubbed = scrub.map(|scrub| thread.scrubbed(scrub));
            scrubbed.as_ref().unwrap_or(thread).note(&mut notes, &self.stat, &gathered.times);
        }
        notes
    }
}

fn nameless(other: &OtherThread) -> OtherThread {
    OtherThread { name: String::new(), ..other.clone() }
}

fn clocks() -> Clocks {
    let nanoseconds = |clock| {
        let now = clock_gettime(clock);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000);
        seconds.saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
    };
    Clocks { real_ns: nanoseconds(ClockId::Realtime), monotonic_ns: nanoseconds(ClockId::Monotonic) }
}

/// The ids by which the process itself knows its threads.
fn inner_tids(gathered: &Gathered) -> FxHashSet<u32> {
    gathered.threads.values().map(|thread| thread.inner_tid.unwrap_or(thread.tid)).collect()
}

/// The last part of a path.
fn file_name(path: &[u8]) -> Vec<u8> {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec()
}
