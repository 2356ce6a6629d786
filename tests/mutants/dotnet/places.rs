//! Which words of a dump the reader of .NET rests on, and what is written over them.

use std::sync::Arc;

use dumpscope::session::Session;
use serde_json::Value;
use support::as_address;

use super::kept::{Kept, asked};
use crate::random::Random;

/// Addresses from which structures of one kind are reached.
struct Kind {
    what: &'static str,
    roots: Vec<u64>,
    /// Words behind a root that are as good as its own.
    words: usize,
}

/// Where a dump is damaged.
pub(crate) struct Places<'a> {
    kept: &'a Kept,
    kinds: Vec<Kind>,
}

impl<'a> Places<'a> {
    /// Looks for them in the sound dump, by what the program itself says of it.
    pub(crate) fn of(kept: &'a Kept, session: &Arc<Session>) -> Places<'a> {
        let mut kinds = Vec::new();
        let mut add = |what, roots: Vec<u64>, words| {
            let roots: Vec<u64> = roots.into_iter().filter(|at| kept.place(*at, 8).is_some()).collect();
            // Not every program has locks, or tasks.
            if !roots.is_empty() {
                kinds.push(Kind { what, roots, words });
            }
        };
        for (what, line) in [
            ("thread", "clrthreads"),
            ("method table", "dumpheap -stat"),
            ("object", "dumpheap -n 3000"),
            ("lock", "syncblk -all"),
            ("exception, task or pool", "dumpasync --completed"),
        ] {
            add(what, addresses(&asked(session, line)["data"]), 24);
        }
        let stacks = asked(session, "stack --all");
        let frames = || {
            let threads = stacks["data"]["threads"].as_array().into_iter().flatten();
            threads.flat_map(|thread| thread["frames"].as_array().into_iter().flatten())
        };
        add("stack", frames().filter_map(|frame| as_address(&frame["sp"])).collect(), 64);
        let managed = frames().filter(|frame| frame["kind"] == "managed");
        let starts = managed.filter_map(|frame| as_address(&frame["pc"])?.checked_sub(frame["offset"].as_u64()?));
        // The word before a method is its header: debug information at 0, GC information at 16, unwind information behind.
        let code = starts.flat_map(|start| {
            let header = kept.word(start.wrapping_sub(8)).unwrap_or(0);
            [Some(start.wrapping_sub(8)), Some(header), kept.word(header), kept.word(header.wrapping_add(16))]
        });
        add("code header", code.flatten().collect(), 12);
        let modules = asked(session, "modules");
        let modules = modules["data"]["modules"].as_array().expect("modules");
        let is_library = |module: &&Value| module["path"].as_str().is_some_and(|path| path.ends_with("libcoreclr.so"));
        let library = modules.iter().find(is_library).expect("the runtime");
        let within = as_address(&library["base"]).expect("a base")..as_address(&library["end"]).expect("an end");
        let data = kept.segments.iter().filter(|segment| segment.is_writable && within.contains(&segment.start));
        let pages = data.flat_map(|segment| (0..segment.size / 4096).map(|page| segment.start + page * 4096));
        add("variable of the runtime", pages.collect(), 512);
        let found = |text: &'static [u8]| {
            let at = |segment: &super::kept::Segment| {
                let bytes = &kept.bytes[segment.at..segment.at + usize::try_from(segment.size).expect("64 bits")];
                let places: Vec<u64> =
                    memchr::memmem::find_iter(bytes, text).map(|at| segment.start + at as u64).collect();
                places
            };
            kept.segments.iter().flat_map(at).map(|at| at & !7).collect::<Vec<u64>>()
        };
        add("metadata", found(b"BSJB"), 4096);
        add("image", found(b"PE\0\0"), 64);
        // .NET 8 does not describe itself.
        add("description", found(b"{\"version\":"), 400);
        add("description's place", found(b"DNCCDAC\0"), 8);
        println!("{}: {:?}", kept.name, kinds.iter().map(|kind| (kind.what, kind.roots.len())).collect::<Vec<_>>());
        Places { kept, kinds }
    }

    /// Damages one structure; says what was done.
    pub(crate) fn patch(&self, random: &mut Random) -> (usize, Vec<u8>, String) {
        loop {
            let kind = &self.kinds[random.below(self.kinds.len())];
            let mut at = kind.roots[random.below(kind.roots.len())];
            let mut words = kind.words;
            let mut trail = vec![at];
            for _ in 0..random.below(5) {
                let Some(next) = self.follow(at, words, random) else { break };
                (at, words) = (next, 24);
                trail.push(at);
            }
            let target = (at & !7) + 8 * random.below(words) as u64;
            let Some(place) = self.kept.place(target, 8) else { continue };
            let patch = self.value(target, &trail, random);
            let room = self.kept.place(target, patch.len() as u64).is_some();
            if !room || self.kept.bytes[place..place + patch.len()] == patch {
                continue;
            }
            let told = format!("{} {:x?}: {patch:x?} at {target:#x}; ", kind.what, trail);
            return (place, patch, told);
        }
    }

    /// What one of the words at an address points to.
    fn follow(&self, at: u64, words: usize, random: &mut Random) -> Option<u64> {
        let words = (0..words as u64).filter_map(|index| self.kept.word((at & !7) + 8 * index));
        let pointers: Vec<u64> = words.filter(|word| self.kept.place(*word & !7, 8).is_some()).collect();
        (!pointers.is_empty()).then(|| pointers[random.below(pointers.len())] & !7)
    }

    /// What is written at an address to which a trail of structures led.
    fn value(&self, target: u64, trail: &[u64], random: &mut Random) -> Vec<u8> {
        let old = self.kept.word(target).unwrap_or(0);
        let any = |random: &mut Random| {
            let kind = &self.kinds[random.below(self.kinds.len())];
            kind.roots[random.below(kind.roots.len())]
        };
        let word = match random.below(12) {
            0 => 0,
            1 => u64::MAX,
            2 => random.number(),
            // A chain that leads back to itself, to its beginning, to another structure.
            3 => target & !7,
            4 => trail[random.below(trail.len())],
            5 | 6 => any(random),
            7 => self.follow(any(random), 24, random).unwrap_or(target),
            8 => old.wrapping_add(8 * (random.next() % 8)),
            9 => old ^ (1 << random.below(64)),
            // Counts and indexes.
            10 => {
                let (into, size) = [(0, 4), (4, 4), (0, 2), (2, 2), (4, 2), (6, 2), (0, 1), (3, 1)][random.below(8)];
                let mut bytes = old.to_le_bytes();
                bytes[into..into + size].copy_from_slice(&random.number().to_le_bytes()[..size]);
                u64::from_le_bytes(bytes)
            }
            // Another structure, or none.
            _ => {
                let from = if random.below(2) == 0 { None } else { self.kept.place(any(random), 64) };
                return from.map_or(vec![0; 64], |from| self.kept.bytes[from..from + 64].to_vec());
            }
        };
        word.to_le_bytes().to_vec()
    }
}

/// Every address in an answer.
fn addresses(told: &Value) -> Vec<u64> {
    match told {
        Value::String(text) if text.starts_with("0x") => as_address(told).into_iter().collect(),
        Value::Array(parts) => parts.iter().flat_map(addresses).collect(),
        Value::Object(parts) => parts.values().flat_map(addresses).collect(),
        _ => Vec::new(),
    }
}
