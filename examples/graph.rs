//! How long it takes, and how much memory, to find out what keeps what alive in a heap of twenty million objects with
//! two references each.
//!
//! `cargo run --profile profiling --example graph [-- near|far|list [OBJECTS]]`: references to neighbours, to anywhere,
//! or from each object to the next.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dumpscope::analysis::graph::{Dominators, Graph, Leaks, Reachable, paths, referrers, retained_by_classes};
use dumpscope::error::Error;
use dumpscope::heap::{HeapObject, HeapSource, HeapType, Naming, ObjectId, Objects, References, Root, RootKind, Visit};
use dumpscope::job::{Job, Meter};
use dumpscope::model::{Addr, Problem};

const OBJECTS: u32 = 20_000_000;
const PARTS: u32 = 16;
const TYPES: usize = 2000;
const ROOTS: u32 = 1000;
const START: u64 = 0x7000_0000_0000;
const BYTES: u64 = 48;

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Near,
    Far,
    List,
}

struct Made {
    objects: u32,
    shape: Shape,
    types: Vec<HeapType>,
}

/// Numbers that look random, the same for the same seed.
fn mixed(seed: u64) -> u64 {
    let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ (seed >> 31)
}

impl Made {
    fn range(&self, part: usize) -> std::ops::Range<u32> {
        let each = self.objects.div_ceil(PARTS);
        let first = (part as u32).saturating_mul(each).min(self.objects);
        first..first.saturating_add(each).min(self.objects)
    }

    fn address(&self, id: u32) -> Addr {
        Addr(START + u64::from(id) * BYTES)
    }

    fn next(&self, id: u32, which: u64) -> u32 {
        let random = mixed(u64::from(id) * 2 + which);
        let far = (random % u64::from(self.objects)) as u32;
        // Half of the second references lead anywhere in every heap.
        match (self.shape, which) {
            (Shape::List, 0) => (id + 1) % self.objects,
            (Shape::Near | Shape::List, 1) if random & (1 << 40) != 0 => far,
            (Shape::Near | Shape::List, _) => (id + (random % 1000) as u32) % self.objects,
            (Shape::Far, _) => far,
        }
    }
}

impl HeapSource for Made {
    fn name(&self) -> &str {
        "made up"
    }
    fn types(&self) -> &[HeapType] {
        &self.types
    }
    fn parts(&self) -> usize {
        PARTS as usize
    }
    fn objects(&self, part: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
        self.range(part).try_for_each(|id| {
            meter.add(1)?;
            let of_type = (mixed(u64::from(id)) % TYPES as u64) as usize;
            visit(HeapObject { address: self.address(id), of_type, bytes: BYTES })
        })
    }
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn references(&self) -> Option<&dyn References> {
        Some(self)
    }
}

impl References for Made {
    fn of_objects(
        &self,
        mut range: Range<ObjectId>,
        objects: &Objects,
        meter: &mut Meter<'_>,
        visit: &mut dyn FnMut(ObjectId, ObjectId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        range.try_for_each(|id| {
            meter.add(1)?;
            [0, 1].into_iter().try_for_each(|which| {
                // As a source would: by an address somewhere in the object.
                let inside = Addr(self.address(self.next(id, which)).0 + 8);
                objects.holding(inside).map_or(Ok(()), |to| visit(id, to))
            })
        })
    }

    fn roots(
        &self,
        _: &Objects,
        _: &Job,
        visit: &mut dyn FnMut(Root, ObjectId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let root = Root { kind: RootKind::Global, at: None, tid: None };
        (0..ROOTS).try_for_each(|at| visit(root, (mixed(u64::from(at)) % u64::from(self.objects)) as u32))
    }
}

/// Seconds of processor time so far.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15, in hundredths; the name in the second may hold spaces. Source: proc_pid_stat(5).
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Runs it and says how long it took, how much processor time, and how much memory is in use: now, and at most so far.
fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let (start, before) = (Instant::now(), processor());
    let value = run();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
    };
    let [now, most] = ["RssAnon:", "VmHWM:"].map(|name| of(name).unwrap_or(0) / 1024);
    let (seconds, worked) = (start.elapsed().as_secs_f64(), processor() - before);
    println!("{what:12} {seconds:6.2} s, worked {worked:6.2} s  {now:5} MB, at most {most:5} MB");
    value
}

/// Says how long the processor worked on each phase of the job, until `done`.
fn watch(job: &Job, done: &AtomicBool) {
    let (mut phase, mut before) = ("", processor());
    while !done.load(Ordering::Relaxed) {
        let now = job.progress().phase;
        if now != phase {
            let worked = processor();
            if !phase.is_empty() {
                println!("    {phase:36} {:6.2} s", worked - before);
            }
            (phase, before) = (now, worked);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let shape = match words.first().map(String::as_str) {
        Some("far") => Shape::Far,
        Some("list") => Shape::List,
        _ => Shape::Near,
    };
    let objects = words.get(1).and_then(|count| count.parse().ok()).unwrap_or(OBJECTS).max(1);
    let of_type = |at| HeapType { id: Addr(at), name: format!("Type{at}"), naming: Naming::Recorded };
    let made = Made { objects, shape, types: (0..TYPES as u64).map(of_type).collect() };
    let (job, done) = (Job::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| watch(&job, &done));
        let result = measure(&made, &job);
        done.store(true, Ordering::Relaxed);
        result
    })
}

fn measure(made: &Made, job: &Job) -> Result<(), Error> {
    let objects = timed("objects", || Objects::of(made, job))?;
    let graph = timed("graph", || Graph::build(made, &objects, job))?;
    let reachable = timed("reachable", || Reachable::from_roots(&graph, job))?;
    let leaks = timed("leaks", || Leaks::find(&graph, &reachable, &objects, TYPES, job))?;
    let dominators = timed("dominators", || Dominators::find(&graph, &leaks, &objects, job))?;
    timed("retained by type", || retained_by_classes(&dominators, TYPES, &|id| objects.of_type(id), job))?;
    let largest = timed("largest", || dominators.largest(100));
    let far = objects.len() / 2;
    let found = timed("gcroot", || paths(&graph, far, 1, job))?;
    timed("gcroot -all", || paths(&graph, far, 100, job))?;
    let held = timed("referrers", || referrers(&graph, far, job))?;
    println!(
        "{} objects, {} references, {} reachable, {} heads of leaks, at most {} bytes retained; a path of {}, {} referrers",
        objects.len(),
        graph.count(),
        reachable.count,
        leaks.heads.len(),
        largest.first().map_or(0, |id| dominators.retained(*id)),
        found.first().map_or(0, |path| path.objects.len()),
        held.len(),
    );
    Ok(())
}
