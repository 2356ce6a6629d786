//! Damaged copies of native cores: the crash thread's frames are shown where its stack is intact.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dumpscope::capture::{self, FORMATS, Opened};
use dumpscope::job::Job;
use dumpscope::model::{Frame, Stack};
use dumpscope::session::{Session, Source};
use dumpscope::target::{Search, Target};
use dumpscope::unwind::Unwinder;
use support::dump;
use symbols::FileBytes;

use super::bounds::{self, MUTANTS, THOROUGH};
use super::random::Random;

/// Longest that one mutant may take with every question asked.
const LIMIT: Duration = Duration::from_secs(5);

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

pub(crate) fn word(bytes: &[u8], at: usize) -> usize {
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

#[test]
fn a_thousand_mutants_neither_break_the_program_nor_lose_intact_frames() {
    let sounds = [Sound::of("deadlock", "glibc-small"), Sound::of("altstack", "segv")];
    for sound in &sounds {
        assert_eq!(ask(sound.bytes.clone(), true), sound.frames);
    }
    let (mut whole, mut kept) = (0u32, 0u32);
    let mut lost = Vec::new();
    bounds::each(0..MUTANTS, LIMIT, |number, told| {
        let sound = &sounds[usize::try_from(number % 2).expect("0 or 1")];
        let (bytes, done, intact) = mutant(sound, number);
        *told = format!("{}: {done}", sound.name);
        let frames = ask(bytes, number % THOROUGH == 0);
        if !intact {
            return;
        }
        whole += 1;
        if frames == sound.frames {
            kept += 1;
        } else {
            lost.push(format!("{number} ({} of {} frames): {told}", frames.len(), sound.frames.len()));
        }
    });
    println!("{kept} of {whole} mutants with an intact stack show the crash thread's frames");
    println!("{}", lost.join("\n"));
    assert!(u64::from(kept) * 100 >= u64::from(whole) * 95, "{kept} of {whole}:\n{}", lost.join("\n"));
}
