//! A thousand damaged copies of small real cores: no panic, no hang, bounded memory, and the crash thread's frames where its stack is intact.
//!
//! Every mutant follows from its number, so that one that fails can be made again: `MUTANT=417 cargo test --test mutants`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dumpscope::capture::{self, FORMATS, Opened};
use dumpscope::commands::{Format, Shell};
use dumpscope::job::Job;
use dumpscope::model::{Frame, Stack};
use dumpscope::report::text::Style;
use dumpscope::session::{Heap, Session, Source};
use dumpscope::target::{Search, Target};
use dumpscope::unwind::Unwinder;
use support::dump;
use symbols::FileBytes;

const MUTANTS: u64 = 1000;
/// Longest that one mutant may take with every question asked.
const LIMIT: Duration = Duration::from_secs(5);
/// How much more memory than the sound core a mutant may need, in KiB.
const MEMORY_KIB: u64 = 512 << 10;
/// One in this many mutants is asked every question, the others only for the stack of the crash thread.
const THOROUGH: u64 = 10;

/// splitmix64. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    /// Numbers that parsers dislike, and any other.
    fn number(&mut self) -> u64 {
        const NASTY: [u64; 12] = [
            0,
            1,
            0x7f,
            0xff,
            0xffff,
            0x7fff_ffff,
            0xffff_ffff,
            1 << 40,
            1 << 47,
            u64::MAX >> 1,
            u64::MAX,
            u64::MAX - 0xfff,
        ];
        match self.below(4) {
            0 => self.next(),
            _ => NASTY[self.below(NASTY.len())],
        }
    }
}

/// A sound core, and where its parts are.
struct Sound {
    name: &'static str,
    bytes: Vec<u8>,
    /// Return addresses of the crash thread.
    frames: Vec<u64>,
    /// File offsets: end of the program headers, the notes, the crash thread's registers in them, the used parts of its stacks.
    headers_end: usize,
    notes: std::ops::Range<usize>,
    registers: std::ops::Range<usize>,
    stack: Vec<std::ops::Range<usize>>,
}

fn word(bytes: &[u8], at: usize) -> usize {
    let word = bytes[at..at + 8].try_into().expect("eight bytes");
    usize::try_from(u64::from_le_bytes(word)).expect("64 bits")
}

impl Sound {
    fn of(name: &'static str, variant: &str) -> Sound {
        let bytes = std::fs::read(dump(name, variant).core()).expect("the core can be read");
        let session = session(&bytes);
        let stack = session.stack(0, &Job::default()).expect("a thread");
        let frames = addresses(&stack);
        assert!(frames.len() >= 4, "{name}: the sound core has a stack");
        // gABI: e_phnum at 56; in a program header p_type 0, p_offset 8, p_vaddr 16, p_filesz 32.
        let count = usize::from(bytes[56]);
        let header = |index: usize| 64 + 56 * index;
        let notes = word(&bytes, header(0) + 8)..word(&bytes, header(0) + 8) + word(&bytes, header(0) + 32);
        let number = |value: u64| usize::try_from(value).expect("64 bits");
        let at = |address: usize| {
            let segment = (1..count).map(header).find(|at| {
                let start = word(&bytes, at + 16);
                (start..start + word(&bytes, at + 32)).contains(&address)
            });
            let segment = segment.expect("the stack is in the core");
            word(&bytes, segment + 8) + address - word(&bytes, segment + 16)
        };
        // The red zone below a frame belongs to it, and a little above the last frame is looked at. A handler's frame may lie on another
        // stack than the interrupted one's.
        let frame = |frame: &Frame| {
            let low = at(number(frame.sp.0));
            let size = frame.cfa.and_then(|cfa| cfa.since(frame.sp)).map_or(0x1000, number).min(0x1000);
            low - 128..low + size + 64
        };
        let stack = stack.frames.iter().map(frame).collect();
        Sound {
            name,
            frames,
            headers_end: header(count),
            // The kernel's first note is the crash thread's: 12 + 8 bytes of header and name, 112 up to the registers, 27 of them.
            registers: notes.start + 20 + 112..notes.start + 20 + 112 + 216,
            notes,
            stack,
            bytes,
        }
    }
}

/// A damaged copy, what was done to it, and whether the crash thread's registers and stack are still in it.
fn mutant(sound: &Sound, number: u64) -> (Vec<u8>, String, bool) {
    let mut random = Random(number);
    let mut bytes = sound.bytes.clone();
    let region = match random.below(10) {
        0..4 => 0..sound.headers_end,
        4..7 => sound.notes.clone(),
        7..8 => {
            let length = random.below(bytes.len());
            bytes.truncate(length);
            let intact = sound.stack.iter().all(|range| length >= range.end) && length >= sound.notes.end;
            return (bytes, format!("cut at {length:#x}"), intact);
        }
        _ => sound.notes.end..bytes.len(),
    };
    let mut done = String::new();
    let mut intact = true;
    for _ in 0..=random.below(4) {
        let size = [1, 2, 4, 8][random.below(4)];
        let at = region.start + random.below(region.len() - size) / size * size;
        let value = random.number();
        bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        done += &format!("{size} bytes {value:#x} at {at:#x}; ");
        let hits = |range: &std::ops::Range<usize>| at < range.end && range.start < at + size;
        intact &= !hits(&sound.registers) && !sound.stack.iter().any(hits);
    }
    (bytes, done, intact)
}

fn session(bytes: &[u8]) -> Session {
    let source = Source::Bytes(PathBuf::from("core.mutant"), FileBytes::from_vec(bytes.to_vec()));
    Session::open(source, &Search::default(), &Job::default()).expect("the sound core opens")
}

/// Opens the mutant and asks; the return addresses of its first thread. Empty when it is refused.
fn ask(bytes: Vec<u8>, thorough: bool) -> Vec<u64> {
    let (path, bytes) = (PathBuf::from("core.mutant"), FileBytes::from_vec(bytes));
    if thorough {
        let Ok(session) = Session::open(Source::Bytes(path, bytes), &Search::default(), &Job::default()) else {
            return Vec::new();
        };
        return ask_everything(&session);
    }
    let Ok(capture) = capture::open_bytes(bytes, &path, FORMATS, &Job::default()).and_then(Opened::process) else {
        return Vec::new();
    };
    let Ok(target) = Target::open(Arc::new(capture), &Search::default(), &Job::default()) else { return Vec::new() };
    let target = Arc::new(target);
    let unwinder = Unwinder::new(Arc::clone(&target));
    let thread = target.capture.threads.first();
    thread.map(|thread| addresses(&unwinder.walk(thread, &Job::default()))).unwrap_or_default()
}

/// Answers may be errors, never panics.
fn ask_everything(session: &Session) -> Vec<u64> {
    let job = Job::default();
    let _ = session.stacks(&job);
    let _ = session.threads(&job);
    let _ = session.all_locks(&job);
    let _ = session.exceptions(&job);
    let _ = session.modules(&job);
    session.stack(0, &job).map(|stack| addresses(&stack)).unwrap_or_default()
}

fn addresses(stack: &Stack) -> Vec<u64> {
    stack.frames.iter().map(|frame| frame.pc.0).collect()
}

/// Largest resident size so far, KiB. Source: proc(5), VmHWM.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// What this process has taken of processors: the machine may be busy with something else.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).expect("below a second"))
}

/// Ends the test if the mutant with the number in `current` does not change for long: a hang cannot be caught otherwise.
fn watch(current: Arc<AtomicU64>) {
    std::thread::spawn(move || {
        let mut last = (u64::MAX, Instant::now());
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let now = current.load(Ordering::Relaxed);
            if now != last.0 {
                last = (now, Instant::now());
            } else if last.1.elapsed() > LIMIT * 4 {
                eprintln!("mutant {now} hangs");
                std::process::abort();
            }
        }
    });
}

#[test]
fn a_thousand_mutants_neither_break_the_program_nor_lose_intact_frames() {
    let sounds = [Sound::of("deadlock", "glibc-small"), Sound::of("altstack", "segv")];
    let only: Option<u64> = std::env::var("MUTANT").ok().and_then(|number| number.parse().ok());
    let current = Arc::new(AtomicU64::new(0));
    watch(Arc::clone(&current));
    for sound in &sounds {
        assert_eq!(ask(sound.bytes.clone(), true), sound.frames);
    }
    let before = peak_memory();
    let (mut whole, mut kept) = (0u32, 0u32);
    let mut lost = Vec::new();
    for number in 0..MUTANTS {
        if only.is_some_and(|only| only != number) {
            continue;
        }
        current.store(number, Ordering::Relaxed);
        let sound = &sounds[usize::try_from(number % 2).expect("0 or 1")];
        let (bytes, done, intact) = mutant(sound, number);
        let start = processor_time();
        let frames = catch_unwind(AssertUnwindSafe(|| ask(bytes, number % THOROUGH == 0)));
        let took = processor_time().saturating_sub(start);
        let frames = frames.unwrap_or_else(|_| panic!("mutant {number} of {} panics: {done}", sound.name));
        assert!(took < LIMIT, "mutant {number} of {} takes {took:?}: {done}", sound.name);
        if intact {
            whole += 1;
            if frames == sound.frames {
                kept += 1;
            } else {
                lost.push(format!(
                    "{number} ({}, {} of {} frames): {done}",
                    sound.name,
                    frames.len(),
                    sound.frames.len()
                ));
            }
        }
    }
    let grown = peak_memory().saturating_sub(before);
    assert!(grown < MEMORY_KIB, "memory grew by {grown} KiB");
    println!(
        "{kept} of {whole} mutants with an intact stack show the crash thread's frames; memory grew by {grown} KiB"
    );
    println!("{}", lost.join("\n"));
    assert!(u64::from(kept) * 100 >= u64::from(whole) * 95, "{kept} of {whole}:\n{}", lost.join("\n"));
}

/// Everything that is asked of a heap; says how many objects it has and whether that is told to be all, or that it was refused.
fn ask_heap(bytes: Vec<u8>, with_names: bool) -> Option<(u64, bool)> {
    let job = Job::default();
    let source = Source::Bytes(PathBuf::from("core.mutant"), FileBytes::from_vec(bytes));
    // The libraries' files and their vtables are read for some alone: that takes most of the time, and is no heap.
    let search = Search { alone: !with_names, ..Search::default() };
    let session = Session::open(source, &search, &job).ok()?;
    let session = Arc::new(session);
    let heap = session.heap(&job).ok()?;
    let counted = heap.histogram(&job).ok()?.total.count;
    let is_all = all_or_bounds(&session, &heap);
    let _ = heap.source.arenas(&job);
    let _ = heap.source.verify(&job);
    let _ = heap.leaks(&job);
    let _ = heap.dominators(&job);
    let objects = heap.objects(&job).ok();
    for id in objects.iter().flat_map(|objects| 0..objects.len().min(8)) {
        let object = objects.as_ref().and_then(|objects| objects.get(id));
        let _ = object.and_then(|object| heap.source.contents(object));
    }
    if with_names {
        let _ = session.named_heap(&job).map(|named| named.histogram(&job));
    }
    let _ = session.problems();
    Some((counted, is_all))
}

/// Where something of the heap is told to be damaged or missing, no total is told as if it were all.
/// Whether nothing is.
fn all_or_bounds(session: &Arc<Session>, heap: &Heap) -> bool {
    let problems = heap.source.problems();
    let has = |codes: &[&str]| problems.iter().any(|problem| codes.contains(&problem.code));
    let words: &[&str] = match (
        has(&["heap-damaged", "heap-incomplete", "heap-not-found"]),
        has(&["heap-list-damaged", "heap-overcounted"]),
    ) {
        (true, true) => &["about"],
        (true, false) => &["at least"],
        (false, true) => &["at most"],
        (false, false) => {
            assert_eq!(problems, [], "a problem of a kind that is not held against totals");
            return true;
        }
    };
    for (line, total) in [("dumpheap -stat", "in all:"), ("heap -arenas", "in use,")] {
        let mut shell = Shell::new(Arc::clone(session));
        let result = shell.run(line, &Job::default());
        let print = |format| {
            let mut out = Vec::new();
            shell.print(line, &result, format, &mut out, &Job::default()).expect("a vector takes everything");
            String::from_utf8(out).expect("text")
        };
        let json: serde_json::Value = serde_json::from_str(&print(Format::Json)).expect("one line of JSON");
        let data = &json["data"];
        let complete = if line == "heap -arenas" { &data["complete"] } else { &data["total"]["complete"] };
        assert!(result.is_err() || *complete == false, "{line} is complete in spite of {problems:?}");
        let text = print(Format::Text(Style::default()));
        let told = text.lines().find(|line| line.contains(total)).unwrap_or_default();
        assert!(
            result.is_err() || words.iter().any(|word| told.contains(word)),
            "{line} says '{told}' in spite of {problems:?}"
        );
    }
    false
}

#[test]
fn a_thousand_mutants_of_a_heap_neither_break_the_program_nor_make_blocks_up() {
    let bytes = std::fs::read(dump("heap-cxx", "stripped").core()).expect("the core can be read");
    let (sound, is_all) = ask_heap(bytes.clone(), true).expect("the sound core has a heap");
    assert!(is_all);
    let only: Option<u64> = std::env::var("MUTANT").ok().and_then(|number| number.parse().ok());
    let current = Arc::new(AtomicU64::new(0));
    watch(Arc::clone(&current));
    let before = peak_memory();
    // Chunks are multiples of 16 bytes: no core has more blocks than that.
    let most = bytes.len() as u64 / 16;
    let (mut answered, mut bounded) = (0u64, 0u64);
    for number in 0..MUTANTS {
        if only.is_some_and(|only| only != number) {
            continue;
        }
        current.store(number, Ordering::Relaxed);
        let mut random = Random(number ^ 0x4845_4150);
        let (mut mutant, mut done) = (bytes.clone(), String::new());
        for _ in 0..=random.below(8) {
            let at = random.below(mutant.len() / 8) * 8;
            // A size of malloc, an address that is somewhere in the core already, or a number that parsers dislike.
            let value = match random.below(3) {
                0 => (random.next() & 0xff_fff0) | (random.next() & 7),
                1 => word(&bytes, random.below(bytes.len() / 8) * 8) as u64,
                _ => random.number(),
            };
            mutant[at..at + 8].copy_from_slice(&value.to_le_bytes());
            done += &format!("{value:#x} at {at:#x}; ");
        }
        let start = processor_time();
        let counted = catch_unwind(AssertUnwindSafe(|| ask_heap(mutant, number % THOROUGH == 0)));
        let counted = counted.unwrap_or_else(|_| panic!("mutant {number} panics: {done}"));
        let took = processor_time().saturating_sub(start);
        assert!(took < LIMIT, "mutant {number} takes {took:?}: {done}");
        assert!(counted.is_none_or(|(counted, _)| counted <= most), "mutant {number} has {counted:?} blocks: {done}");
        answered += u64::from(counted.is_some());
        bounded += u64::from(counted.is_some_and(|(_, is_all)| !is_all));
    }
    let grown = peak_memory().saturating_sub(before);
    assert!(grown < MEMORY_KIB, "memory grew by {grown} KiB");
    println!(
        "{answered} of {MUTANTS} mutants tell a heap, {bounded} with bounds for totals; the sound one has {sound} blocks; memory grew \
         by {grown} KiB"
    );
    assert!(only.is_some() || bounded * 50 > MUTANTS, "{bounded} of {MUTANTS} tell of damage");
    assert!(only.is_some() || answered * 10 >= MUTANTS * 8, "{answered} of {MUTANTS} tell a heap");
}
