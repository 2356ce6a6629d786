//! Which pages a mini dump holds: all that this program shows of the full dump of the same moment, apart from the heap.
//!
//! Stacks from the red zone up, thread-local storage, what modules need ([`Image::essentials`]) and may write, the
//! loader's list; then what registers, stacks and data point to, and what that points to, a few steps deep: locks,
//! exceptions in flight, names of threads. Held locks that nobody waits for are found by a search of all memory, so the
//! same search is made here for their pages. Everything is bounded, by bytes and by steps.

use rustc_hash::{FxHashMap, FxHashSet};

use super::images::{Files, Image, images};
use super::maps::{Mapping, Span};
use super::pages::Pages;
use super::peek::Peek;
use super::select::own_pages;
use super::source::PAGE;
use super::text::Text;
use super::threads::Thread;

/// Bytes below the stack pointer that a leaf function may use. Source: System V AMD64 psABI 3.2.2.
const RED_ZONE: u64 = 128;
/// Largest stack that is kept of one thread, and what is kept where the stack pointer is in memory that is no stack of
/// the C library's (a coroutine's).
const MAX_STACK: u64 = 64 << 20;
const FOREIGN_STACK: u64 = 256 << 10;
/// Static thread-local storage below and the thread's control block above the thread pointer.
const TLS_BELOW: u64 = 64 << 10;
const TLS_ABOVE: u64 = 4 << 10;
/// Bytes of an alternate stack in which the interrupted stack pointer is looked for.
const SEARCHED_HANDLER: u64 = 64 << 10;
/// Bytes of one stack in which pointers are looked for, from the stack pointer up.
const SEARCHED_STACK: u64 = 1 << 20;
/// Writable data of one module, and in it what is searched for pointers.
const MAX_DATA: u64 = 16 << 20;
const SEARCHED_DATA: u64 = 1 << 20;
/// An object reaches so far around a pointer to it or into it.
const BEFORE: u64 = 0x400;
const AFTER: u64 = 0x200;
/// Bytes of it in which pointers are looked for.
const FOLLOWED: u64 = 0x100;
/// Pointers are followed so many steps, until so many pages were added.
const STEPS: usize = 3;
const MAX_FOLLOWED: usize = 4096;
/// Memory that is searched for held locks, and pages that are kept for them. As much is searched when a dump is read.
const MAX_SEARCHED: u64 = 64 << 20;
const MAX_LOCK_PAGES: usize = 2048;
/// Threads that look at the stacks of the process, and the fewest stacks worth one.
const MAX_WORKERS: usize = 8;
const MIN_SHARE: usize = 64;
/// What follows an owner's id in a lock is a small count or a flag.
const MAX_NEIGHBOUR: u64 = 1 << 20;
/// Bytes of a lock around its owner's id.
const LOCK: u64 = 64;
/// Private memory of a .NET process that is kept beside its heap.
const MAX_RUNTIME: u64 = 100 << 20;
/// Reserved address space of this size is that of a garbage collector. Arenas of malloc reserve 64 MiB.
const MIN_RESERVED: u64 = 256 << 20;
/// A mapping of this size at most may be anybody's though it adjoins that: the kernel puts one mapping below the other.
const MAX_BESIDE: u64 = 1 << 20;

/// The pages, and what is told of how they were chosen.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) pages: Pages,
    /// What a runtime has beside. Only who reads the runtime can tell what of it is needed.
    pub(super) of_runtime: OfRuntime,
    /// Pages that pointers lead to.
    pub(super) followed: usize,
    /// Those of a runtime's memory.
    pub(super) followed_of_runtime: usize,
    /// Pages that may hold a held lock.
    pub(super) locks: usize,
    /// Bytes of code that stacks are walked by.
    pub(super) code: u64,
}

/// Memory that a runtime has.
#[derive(Debug, Default)]
pub(super) struct OfRuntime {
    /// Of its assemblies.
    pub(super) assemblies: Pages,
    /// Its private memory.
    pub(super) private: Pages,
    /// Bytes of that for which there is no room.
    pub(super) left_out: u64,
}

impl OfRuntime {
    /// Whether all pages that a span touches are of one of them.
    fn hold(&self, span: Span) -> bool {
        self.private.hold(span) || self.assemblies.hold(span)
    }

    /// All of it.
    pub(super) fn iter(&self) -> impl Iterator<Item = Span> {
        self.assemblies.iter().chain(self.private.iter())
    }
}

/// Chooses. `pid`: its first thread. `tids`: the ids by which the process knows its threads.
pub(super) fn choose(
    mappings: &[Mapping],
    pid: i32,
    threads: &[Thread],
    tids: &FxHashSet<u32>,
    peek: &Peek<'_>,
) -> Chosen {
    let images = images(mappings, peek);
    let text = Text::of(mappings, &images, peek);
    let mut chooser = Chooser::new(mappings, pid, &text, peek);
    chooser.modules(&images);
    chooser.threads(threads);
    let code = text.pages(&stands(threads), &chooser.called, peek);
    chooser.chosen.pages.extend(code.pages.iter());
    chooser.chosen.code = code.bytes;
    if chooser.is_dotnet {
        chooser.runtime_memory(threads);
    }
    chooser.data(&images);
    chooser.follow();
    chooser.held_locks(tids);
    chooser.chosen
}

/// The pages of code that the stacks of these threads are walked by.
pub(super) fn code(mappings: &[Mapping], pid: i32, threads: &[Thread], peek: &Peek<'_>) -> Pages {
    let text = Text::of(mappings, &images(mappings, peek), peek);
    let mut chooser = Chooser::new(mappings, pid, &text, peek);
    chooser.threads(threads);
    text.pages(&stands(threads), &chooser.called, peek).pages
}

/// Where threads stand, and what else their registers hold: where they return to, on some processors.
fn stands(threads: &[Thread]) -> Vec<u64> {
    threads.iter().flat_map(Thread::words).collect()
}

struct Chooser<'a> {
    mappings: &'a [Mapping],
    is_dotnet: bool,
    /// From the first mapping to the last.
    mapped: Span,
    pid: i32,
    /// The first thread's.
    main_stack: Option<Span>,
    peek: &'a Peek<'a>,
    chosen: Chosen,
    /// Words that may be pointers, to be followed.
    pointers: Vec<u64>,
    text: &'a Text,
    /// Words of stacks that are addresses of code.
    called: FxHashSet<u64>,
}

impl<'a> Chooser<'a> {
    fn new(mappings: &'a [Mapping], pid: i32, text: &'a Text, peek: &'a Peek<'a>) -> Chooser<'a> {
        let is_users = |mapping: &&Mapping| mapping.path != b"[vsyscall]";
        let ends = (mappings.first(), mappings.iter().rev().find(is_users));
        let mapped = match ends {
            (Some(first), Some(last)) => Span { start: first.span.start, end: last.span.end },
            _ => Span::new(0, 0),
        };
        let main_stack = mappings.iter().find(|mapping| mapping.path == b"[stack]").map(|mapping| mapping.span);
        let (chosen, pointers, called) = (Chosen::default(), Vec::new(), FxHashSet::default());
        let is_dotnet = is_dotnet(mappings);
        Chooser { mappings, is_dotnet, mapped, pid, main_stack, peek, chosen, pointers, text, called }
    }

    fn mapping_at(&self, address: u64) -> Option<&Mapping> {
        let after = self.mappings.partition_point(|mapping| mapping.span.start.0 <= address);
        let mapping = self.mappings.get(after.checked_sub(1)?)?;
        mapping.span.contains(address).then_some(mapping)
    }

    fn modules(&mut self, images: &[Image]) {
        for image in images {
            for span in image.essentials(self.peek).into_iter().chain(image.links(self.peek)) {
                self.chosen.pages.add(span);
            }
            for span in image.writable() {
                let end = span.start.0.saturating_add(span.len().min(MAX_DATA));
                self.chosen.pages.add(Span::new(span.start.0, end));
            }
        }
        let files = Files::of(self.mappings, self.peek);
        for mapping in self.mappings.iter().filter(|mapping| mapping.has_file() && mapping.excluded().is_none()) {
            // What may be written was taken from the module's headers, as far as that is bounded. An assembly of .NET has the tables of its
            // functions there.
            let is_assembly = files.is_assembly(mapping);
            if is_assembly && self.is_dotnet {
                self.chosen.pages.add(first_page(mapping));
                self.chosen.of_runtime.assemblies.extend(own_pages(mapping, &files, self.peek));
            } else if !mapping.access.write || is_assembly {
                self.chosen.pages.extend(own_pages(mapping, &files, self.peek));
            }
        }
        // The vDSO has no file anywhere.
        for mapping in self.mappings.iter().filter(|mapping| mapping.is_vdso()) {
            self.chosen.pages.add(mapping.span);
        }
    }

    /// The stacks of all threads. The process is stopped meanwhile: all processors take part.
    fn threads(&mut self, threads: &[Thread]) {
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
        let share = threads.len().div_ceil(workers).max(MIN_SHARE);
        let shared = (self.mappings, self.pid, self.text, self.peek.source());
        let parts: Vec<_> = std::thread::scope(|scope| {
            let spawn = |threads| {
                scope.spawn(move || {
                    let (mappings, pid, text, source) = shared;
                    let peek = Peek::new(source);
                    let mut part = Chooser::new(mappings, pid, text, &peek);
                    part.each_thread(threads);
                    let (pages, pointers, called) = (part.chosen.pages, part.pointers, part.called);
                    (pages, pointers, called, peek)
                })
            };
            let running: Vec<_> = threads.chunks(share).map(spawn).collect();
            running
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        for (pages, pointers, called, peek) in parts {
            self.chosen.pages.extend(pages.iter());
            self.pointers.extend(pointers);
            self.called.extend(called);
            self.peek.join(peek);
        }
    }

    fn each_thread(&mut self, threads: &[Thread]) {
        for thread in threads {
            self.thread(thread);
        }
    }

    fn thread(&mut self, thread: &Thread) {
        self.pointers.extend(thread.words());
        let tls = thread.thread_pointer().and_then(|pointer| Some((pointer, self.mapping_at(pointer)?.span)));
        if let Some((pointer, mapping)) = tls {
            let around = Span::new(pointer.saturating_sub(TLS_BELOW), pointer.saturating_add(TLS_ABOVE));
            if let Some(block) = around.common(mapping) {
                self.chosen.pages.add(block);
            }
        }
        let stack = thread.stack_pointer().map(|sp| (sp, self.stack(sp, tls)));
        let near = tls.and_then(|(pointer, mapping)| {
            Span::new(pointer.saturating_sub(PAGE), pointer.saturating_add(TLS_ABOVE)).common(mapping)
        });
        if let Some(near) = near {
            // Mostly it is the upper end of the stack.
            let searched = stack.and_then(|(_, searched)| searched).filter(|searched| searched.end >= near.end);
            let below = Span { end: searched.map_or(near.end, |searched| searched.start.min(near.end)), ..near };
            if below.start < below.end {
                self.stack_words(below);
            }
        }
        let Some((sp, _)) = stack else { return };
        // On an alternate stack: the interrupted frames are on the thread's own, to which the saved stack pointer
        // leads.
        let main = self.main_stack;
        let own = tls.map(|(pointer, own)| Span::new(own.start.0, pointer));
        let homes: Vec<Span> = own.into_iter().chain(main.filter(|_| thread.tid == self.pid)).collect();
        if !homes.iter().any(|home| home.contains(sp)) {
            let saved = self.read_words(Span::new(sp & !7, sp.saturating_add(SEARCHED_HANDLER)));
            for home in homes {
                if let Some(lowest) = saved.iter().copied().filter(|word| home.contains(*word)).min() {
                    self.stack(lowest, tls);
                }
            }
        }
    }

    /// A stack from `sp` up. Where its pointers were looked for.
    fn stack(&mut self, sp: u64, tls: Option<(u64, Span)>) -> Option<Span> {
        let mapping = self.mapping_at(sp)?;
        let end = mapping.span.end.0;
        let has_block = tls.is_some_and(|(pointer, own)| own == mapping.span && pointer >= sp);
        let limit = if has_block || mapping.path == b"[stack]" { MAX_STACK } else { FOREIGN_STACK };
        let start = sp.saturating_sub(RED_ZONE).max(mapping.span.start.0);
        let end = match tls.filter(|_| has_block) {
            // Stacks of neighbours may have become one mapping.
            Some((pointer, _)) => end.min(pointer.saturating_add(TLS_ABOVE)),
            None => end,
        };
        let span = Span::new(start, end.min(start.saturating_add(limit)));
        self.chosen.pages.add(span);
        let searched = Span::new(start & !7, span.end.0.min(start.saturating_add(SEARCHED_STACK)));
        self.stack_words(searched);
        Some(searched)
    }

    /// The words of a span, as far as they can be read.
    fn read_words(&self, span: Span) -> Vec<u64> {
        let Some(span) = self.mapping_at(span.start.0).and_then(|mapping| mapping.span.common(span)) else {
            return Vec::new();
        };
        let mut words = Vec::new();
        for run in self.peek.source().present(whole_pages(span)) {
            let mut bytes = vec![0u8; usize::try_from(run.len()).unwrap_or(0)];
            let read = self.peek.source().read(run.start.0, &mut bytes).unwrap_or(0);
            bytes.truncate(read);
            // What they point to is mostly in them.
            self.peek.keep(run.start.0, &bytes);
            let skip = span.start.0.saturating_sub(run.start.0);
            let wanted = run.end.min(span.end).0.saturating_sub(run.start.0).min(bytes.len() as u64);
            let (skip, wanted) = (usize::try_from(skip).unwrap_or(0), usize::try_from(wanted).unwrap_or(0));
            let bytes = bytes.get(skip..wanted).unwrap_or_default();
            words.extend(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)));
        }
        words
    }

    /// Adds the words of a span to those that are followed.
    fn words(&mut self, span: Span) {
        let words = self.read_words(span);
        self.pointers.extend(words.into_iter().filter(|word| self.mapped.contains(*word)));
    }

    /// The same of a stack, where words may be return addresses.
    fn stack_words(&mut self, span: Span) {
        for word in self.read_words(span).into_iter().filter(|word| self.mapped.contains(*word)) {
            self.pointers.push(word);
            if self.text.holds(word) {
                self.called.insert(word);
            }
        }
    }

    /// What modules' data points to: tables that hash waiting threads, lists of exceptions.
    fn data(&mut self, images: &[Image]) {
        for span in images.iter().flat_map(Image::writable) {
            self.words(Span::new(span.start.0 & !7, span.end.0.min(span.start.0.saturating_add(SEARCHED_DATA))));
        }
    }

    /// Follows pointers, those of one step before those of the next.
    fn follow(&mut self) {
        let mut seen: FxHashSet<u64> = FxHashSet::default();
        for _ in 0..STEPS {
            let pointers = std::mem::take(&mut self.pointers);
            for pointer in pointers {
                // Objects are told apart by 64 bytes.
                if self.chosen.followed >= MAX_FOLLOWED || !seen.insert(pointer >> 6) {
                    continue;
                }
                self.follow_one(pointer);
            }
        }
    }

    fn follow_one(&mut self, pointer: u64) {
        let Some(mapping) = self.mapping_at(pointer) else { return };
        let is_data = mapping.access.read && mapping.access.write && mapping.excluded().is_none();
        if !is_data {
            return;
        }
        let span = mapping.span;
        let around = Span::new(pointer.saturating_sub(BEFORE), pointer.saturating_add(AFTER));
        let Some(around) = around.common(span) else { return };
        // What a runtime has may be thinned out: it counts for itself, so that as much of the rest is kept as of other processes.
        let count = match self.chosen.of_runtime.hold(around) {
            true => &mut self.chosen.followed_of_runtime,
            false => &mut self.chosen.followed,
        };
        if *count < MAX_FOLLOWED && self.chosen.pages.add(around) {
            *count = count.saturating_add(1);
        }
        let object = Span::new(pointer & !7, (pointer & !7).saturating_add(FOLLOWED)).common(span);
        let mut bytes = [0u8; FOLLOWED as usize];
        let len = object.and_then(|object| usize::try_from(object.len()).ok()).unwrap_or(0);
        if let Some(bytes) = bytes.get_mut(..len)
            && self.peek.read_present(pointer & !7, bytes).is_some()
        {
            let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
            self.pointers.extend(words.filter(|word| self.mapped.contains(*word)));
        }
    }

    /// Adds the pages where a live thread's id stands as in a lock that it holds.
    fn held_locks(&mut self, tids: &FxHashSet<u32>) {
        let (Some(lowest), Some(highest)) = (tids.iter().min(), tids.iter().max()) else { return };
        let range = u64::from(*lowest)..=u64::from(*highest);
        let mut left = MAX_SEARCHED;
        let mut buffer = vec![0u8; 1 << 20];
        let searched: Vec<Span> = self
            .mappings
            .iter()
            .filter(|mapping| mapping.access.write && mapping.access.read && mapping.excluded().is_none())
            .filter(|mapping| mapping.is_anonymous() || mapping.is_image())
            .map(|mapping| mapping.span)
            .collect();
        for run in searched.into_iter().flat_map(|span| self.peek.source().present(span)) {
            let mut at = run.start.0;
            while at < run.end.0 && left > 0 && self.chosen.locks < MAX_LOCK_PAGES {
                let len = run.end.0.saturating_sub(at).min(buffer.len() as u64).min(left);
                let Some(bytes) = buffer.get_mut(..usize::try_from(len).unwrap_or(0)) else { return };
                let read = self.peek.source().read(at, bytes).unwrap_or(0);
                let words = bytes.get(..read).unwrap_or_default().as_chunks::<8>().0;
                for (index, word) in (0u64..).zip(words.iter().map(|word| u64::from_le_bytes(*word))) {
                    let id = word & 0xffff_ffff;
                    let known = range.contains(&id) && word >> 32 <= MAX_NEIGHBOUR;
                    if known && u32::try_from(id).is_ok_and(|id| tids.contains(&id)) {
                        let place = at.saturating_add(index.saturating_mul(8));
                        let lock = Span::new(place.saturating_sub(LOCK), place.saturating_add(LOCK));
                        if lock.common(run).is_some_and(|lock| self.chosen.pages.add(lock)) {
                            self.chosen.locks = self.chosen.locks.saturating_add(1);
                        }
                    }
                }
                left = left.saturating_sub(len);
                at = at.saturating_add(len);
            }
        }
    }

    /// The mapping of a thread's stack from the stack pointer up. What is below may be in memory, as zeros, once
    /// another tool has read it.
    fn used_stack(&self, thread: &Thread) -> Option<(Span, Span)> {
        let (sp, block) = (thread.stack_pointer()?, thread.thread_pointer()?);
        let mapping = self.mapping_at(sp).filter(|mapping| mapping.span.contains(block) && sp <= block)?.span;
        Some((mapping, Span::new(sp.saturating_sub(RED_ZONE) / PAGE * PAGE, mapping.end.0)))
    }

    /// The private memory of .NET's runtime: everything but large parts of its garbage collector's heap, small mappings first.
    fn runtime_memory(&mut self, threads: &[Thread]) {
        let stacks: FxHashMap<Span, Span> = threads.iter().filter_map(|thread| self.used_stack(thread)).collect();
        let collected = reserved(self.mappings);
        let is_beside = |span: Span| collected.iter().any(|reserved| reserved.common(span).is_some());
        let is_own = |mapping: &&Mapping| {
            let doublemapped = mapping.path.starts_with(b"/memfd:doublemapper");
            (mapping.is_anonymous() || doublemapped)
                && mapping.access.read
                && mapping.excluded().is_none()
                && (mapping.span.len() <= MAX_BESIDE || !is_beside(mapping.span))
        };
        let mut own: Vec<Span> = self.mappings.iter().filter(is_own).map(|mapping| mapping.span).collect();
        for span in &mut own {
            *span = stacks.get(span).and_then(|used| used.common(*span)).unwrap_or(*span);
        }
        // What may be of the heap all the same comes last.
        own.sort_by_key(|span| (is_beside(*span), span.len()));
        let mut left = MAX_RUNTIME;
        let of_runtime = &mut self.chosen.of_runtime;
        for run in own.into_iter().flat_map(|span| self.peek.source().present(span)) {
            if run.len() > left {
                of_runtime.left_out = of_runtime.left_out.saturating_add(run.len());
            } else if of_runtime.private.add(run) {
                left = left.saturating_sub(run.len());
            }
        }
    }
}

/// Where a mapped file tells what it is.
fn first_page(mapping: &Mapping) -> Span {
    Span::new(mapping.span.start.0, mapping.span.start.0.saturating_add(1))
}

fn whole_pages(span: Span) -> Span {
    Span::new(span.start.0 / PAGE * PAGE, span.end.0.saturating_add(PAGE - 1) / PAGE * PAGE)
}

/// Whether the runtime of .NET is in the process, as a library or inside a single file.
fn is_dotnet(mappings: &[Mapping]) -> bool {
    mappings
        .iter()
        .any(|mapping| mapping.path.ends_with(b"/libcoreclr.so") || mapping.path.starts_with(b"/memfd:doublemapper"))
}

/// Runs of adjoining anonymous mappings of which a large part is reserved and not accessible.
fn reserved(mappings: &[Mapping]) -> Vec<Span> {
    let anonymous: Vec<&Mapping> =
        mappings.iter().filter(|mapping| mapping.inode == 0 && mapping.path.is_empty()).collect();
    let runs = anonymous.chunk_by(|one, other| one.span.end == other.span.start);
    let is_reserved =
        |mapping: &&Mapping| !mapping.access.read && !mapping.access.write && mapping.span.len() >= MIN_RESERVED;
    runs.filter(|run| run.iter().any(is_reserved))
        .filter_map(|run| Some(Span { start: run.first()?.span.start, end: run.last()?.span.end }))
        .collect()
}
