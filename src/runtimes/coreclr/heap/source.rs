//! The collector's heap as a heap whose objects can be listed.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::recent::{Classes, Recent};
use super::segment::{NAMES, Segment};
use super::segments::Segments;
use super::variables::Variables;
use super::verify;
use super::walk::Broken;
use super::walked::Walked;
use crate::error::Error;
use crate::heap::{
    Arena, Contents, Free, HeapObject, HeapSource, HeapType, LoneObject, Naming, References, Stretch, Visit,
};
use crate::job::{Job, Meter};
use crate::model::{Addr, Gap, Known, Problem, Subject};
use crate::runtimes::coreclr::memo::Memo;
use crate::runtimes::coreclr::methods::Methods;
use crate::runtimes::coreclr::objects::{self, OfThread, Values};
use crate::runtimes::coreclr::roots::{Handles, waiting};

/// The heap.
pub(in crate::runtimes::coreclr) struct ManagedHeap {
    methods: Arc<Methods>,
    segments: Arc<Segments>,
    threads: Vec<OfThread>,
    /// Why there may be more of them.
    threads_unread: Option<Gap>,
    types: Vec<HeapType>,
    /// Position of the one whose objects are texts.
    texts: Option<usize>,
    /// Of each type its objects.
    counts: Vec<Free>,
    /// Positions in `types` by method table.
    of: FxHashMap<Addr, usize>,
    /// Of each segment what a first walk has found.
    counted: Vec<Counted>,
    problems: Vec<Problem>,
    kept: Memo<(), Arc<Kept>>,
    /// What of roots and references could not be read; known once roots were looked for.
    doubts: Memo<(), Arc<[Problem]>>,
}

/// What the collector keeps beside its objects.
pub(super) struct Kept {
    pub(super) handles: Handles,
    /// Of each object with dependent handles the handles, and what they keep alive with it.
    pub(super) dependents: FxHashMap<Addr, Vec<(Addr, Addr)>>,
    /// Objects that wait to be finalized, each with where it stands.
    pub(super) waiting: Known<Vec<(Addr, Addr)>>,
}

impl Kept {
    fn read(methods: &Methods) -> Kept {
        let variables = Variables::of(&methods.clr);
        let handles = match &variables {
            Ok(variables) => Handles::read(variables),
            Err(gap) => Handles { cut: Some(gap.clone()), ..Handles::default() },
        };
        let mut dependents: FxHashMap<Addr, Vec<(Addr, Addr)>> = FxHashMap::default();
        for handle in handles.all.iter().filter(|handle| handle.dependent.0 != 0) {
            dependents.entry(handle.object).or_default().push((handle.address, handle.dependent));
        }
        Kept { handles, dependents, waiting: variables.and_then(|variables| waiting(&variables)) }
    }
}

/// What a first walk finds in one segment.
#[derive(Default)]
struct Counted {
    types: FxHashMap<Addr, Free>,
    /// What fills gaps.
    filler: Free,
    /// What was left out.
    broken: Vec<Broken>,
}

impl ManagedHeap {
    /// Walks it once.
    pub(in crate::runtimes::coreclr) fn of(
        methods: &Arc<Methods>,
        segments: Arc<Segments>,
        (threads, threads_unread): (Vec<OfThread>, Option<Gap>),
        job: &Job,
    ) -> Result<ManagedHeap, Error> {
        let filler = methods.clr.global("FreeObjectMethodTable");
        let table = filler.as_ref().copied().unwrap_or(Addr(0));
        let counted = segments.all.par_iter().map(|segment| count(methods, &segments, segment, table, job));
        let counted: Vec<Counted> = counted.collect::<Result<_, Error>>()?;
        let mut all: FxHashMap<Addr, Free> = FxHashMap::default();
        for (table, amount) in counted.iter().flat_map(|segment| &segment.types) {
            let known = all.entry(*table).or_default();
            *known = sum(&[*known, *amount]);
        }
        let mut all: Vec<(Addr, Free)> = all.into_iter().collect();
        all.sort_unstable_by_key(|(table, _)| *table);
        let named = |(table, _): &(Addr, Free)| {
            let name = methods.types().of_table(*table);
            let name = name.unwrap_or_else(|gap| format!("(type at {table}: {gap})"));
            HeapType { id: *table, name, naming: Naming::Recorded }
        };
        let types: Vec<HeapType> = all.par_iter().map(named).collect();
        let mut problems = problems(&segments, &counted);
        if let Err(gap) = filler {
            let message =
                format!("what fills gaps of the managed heap counts as objects: its class is not known: {gap}");
            problems.push(Problem::new("heap-overcounted", Subject::Capture, message));
        }
        Ok(ManagedHeap {
            kept: Memo::of(1),
            doubts: Memo::of(1),
            methods: Arc::clone(methods),
            texts: methods
                .clr
                .global("StringMethodTable")
                .ok()
                .and_then(|table| all.iter().position(|(known, _)| *known == table)),
            of: all.iter().map(|(table, _)| *table).zip(0..).collect(),
            counts: all.iter().map(|(_, amount)| *amount).collect(),
            segments,
            threads,
            threads_unread,
            types,
            counted,
            problems,
        })
    }

    /// What the walk has left out.
    fn broken(&self) -> impl Iterator<Item = &Broken> {
        self.counted.iter().flat_map(|counted| &counted.broken)
    }
}

/// What is left out of the heap, place by place.
fn problems(segments: &Segments, counted: &[Counted]) -> Vec<Problem> {
    /// Most places that are told.
    const MAX_TOLD: usize = 64;
    let of_segments = segments.all.iter().zip(counted);
    let mut left_out =
        of_segments.flat_map(|(segment, counted)| counted.broken.iter().map(move |broken| (segment, broken)));
    let told = left_out.by_ref().take(MAX_TOLD).map(|(segment, broken)| {
        let message = format!(
            "{} bytes of the managed heap at {} ({}) are left out: {}",
            broken.bytes(),
            broken.start,
            segment.generation.words(),
            broken.gap
        );
        Problem::new("heap-incomplete", Subject::Memory(broken.start), message)
    });
    let mut problems: Vec<Problem> = told.collect();
    let (places, bytes) = left_out.fold((0u64, 0u64), |(places, bytes), (_, broken)| {
        (places.saturating_add(1), bytes.saturating_add(broken.bytes()))
    });
    if places > 0 {
        let message = format!("{bytes} bytes of the managed heap at {places} more places are left out");
        problems.push(Problem::new("heap-incomplete", Subject::Capture, message));
    }
    problems.extend(segments.problems());
    problems
}

/// What its references are told by.
impl ManagedHeap {
    pub(super) fn methods(&self) -> &Arc<Methods> {
        &self.methods
    }

    /// The threads, and why there may be more.
    pub(super) fn threads(&self) -> (&[OfThread], Option<&Gap>) {
        (&self.threads, self.threads_unread.as_ref())
    }

    /// Handles, and objects that wait to be finalized; read on the first call.
    pub(super) fn kept(&self) -> Arc<Kept> {
        self.kept.get((), || Arc::new(Kept::read(&self.methods)))
    }

    pub(super) fn doubts(&self) -> &Memo<(), Arc<[Problem]>> {
        &self.doubts
    }

    pub(super) fn segments(&self) -> &Segments {
        &self.segments
    }
}

fn count(methods: &Methods, segments: &Segments, segment: &Segment, filler: Addr, job: &Job) -> Result<Counted, Error> {
    let mut amounts = Classes::new();
    let broken = segments.walk_past(methods.types(), segment, &mut job.meter(), &mut |object| {
        if let Some(amount) = amounts.of(object.table, Free::default) {
            *amount = sum(&[*amount, Free { count: 1, bytes: object.bytes }]);
        }
        Ok(())
    })?;
    let mut types: FxHashMap<Addr, Free> = amounts.into_all().into_iter().collect();
    let filler = types.remove(&filler).unwrap_or_default();
    Ok(Counted { types, filler, broken })
}

impl HeapSource for ManagedHeap {
    fn name(&self) -> &str {
        ".NET"
    }

    fn is_collected(&self) -> bool {
        true
    }

    fn types(&self) -> &[HeapType] {
        &self.types
    }

    fn parts(&self) -> usize {
        self.segments.all.len()
    }

    fn objects(&self, part: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
        let Some(segment) = self.segments.all.get(part) else { return Ok(()) };
        let mut recent = Recent::new();
        self.segments.walk(self.methods.types(), segment, meter, &mut |object| {
            let of_type = recent.of(object.table, || Ok::<_, Error>(self.of.get(&object.table).copied()))?;
            // What fills gaps is no object.
            let Some(of_type) = of_type else { return Ok(()) };
            visit(HeapObject { address: object.at, of_type, bytes: object.bytes })
        })?;
        Ok(())
    }

    fn counted(&self) -> Option<&[Free]> {
        Some(&self.counts)
    }

    fn problems(&self) -> Vec<Problem> {
        self.problems.clone()
    }

    fn verify(&self, job: &Job) -> Result<Vec<Problem>, Error> {
        let broken: Vec<(Addr, Gap)> = self.broken().map(|broken| (broken.start, broken.gap.clone())).collect();
        verify::verify(self.methods.types(), &self.segments, &broken, job)
    }

    fn free(&self, _: &Job) -> Result<Option<Free>, Error> {
        Ok(Some(self.counted.iter().fold(Free::default(), |all, segment| sum(&[all, segment.filler]))))
    }

    fn arenas(&self, _: &Job) -> Result<Vec<Arena>, Error> {
        let mut all: Vec<((u64, super::Generation), Arena)> = Vec::new();
        for (segment, counted) in self.segments.all.iter().zip(&self.counted) {
            let key = (segment.heap, segment.generation);
            let name = || match self.segments.heaps {
                0 | 1 => segment.generation.words().to_owned(),
                _ => format!("heap {} {}", segment.heap, segment.generation.words()),
            };
            let place = all.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
                let free =
                    vec![("filler", Free::default()), ("to be filled", Free::default()), ("unused", Free::default())];
                all.push((key, Arena { name: name(), free, ..Arena::default() }));
                all.len().saturating_sub(1)
            });
            let Some((_, arena)) = all.get_mut(place) else { continue };
            let unused = segment.committed.since(segment.end).unwrap_or(0);
            let unused = Free { count: u64::from(unused > 0), bytes: unused };
            let room = self.segments.room(segment.start, segment.end);
            let free = [counted.filler, room, unused];
            let used = counted.types.values().fold(Free::default(), |all, amount| sum(&[all, *amount]));
            arena.system = arena.system.saturating_add(segment.committed.since(segment.start).unwrap_or(0));
            arena.used = sum(&[arena.used, used]);
            arena.free.iter_mut().zip(free).for_each(|((_, all), more)| *all = sum(&[*all, more]));
            // What was not read is no overhead.
            let left_out = counted.broken.iter().map(Broken::bytes).fold(0, u64::saturating_add);
            let walked = segment.end.since(segment.start).unwrap_or(0).saturating_sub(left_out);
            let told = used.bytes.saturating_add(counted.filler.bytes).saturating_add(room.bytes);
            arena.overhead = arena.overhead.saturating_add(walked.saturating_sub(told));
        }
        all.sort_by_key(|(key, _)| *key);
        Ok(all.into_iter().map(|(_, arena)| arena).collect())
    }

    fn generations(&self) -> &'static [&'static [&'static str]] {
        NAMES
    }

    fn stretches(&self) -> Vec<Stretch> {
        let shared = || Gap::Corrupt("where generations begin in the segment that they share".to_owned());
        let stretch = |(segment, counted): (&Segment, &Counted)| Stretch {
            range: segment.start..segment.end,
            generation: segment.generation.place().ok_or_else(shared),
            heap: segment.heap,
            segment: segment.at,
            free: counted.filler,
        };
        self.segments.all.iter().zip(&self.counted).map(stretch).collect()
    }

    fn contents(&self, object: HeapObject) -> Option<Contents> {
        Some(Values::of(&self.methods).contents(object, &self.threads))
    }

    fn lone(&self, address: Addr) -> Option<LoneObject> {
        // Where the heap was walked, what the walk did not meet is no object.
        let is_left_out = self.broken().any(|broken| broken.start <= address && address < broken.end);
        let types = self.methods.types();
        let Walked { table, bytes, .. } = self.segments.object_at(types, address).ok().filter(|_| is_left_out)?;
        let name = types.of_table(table).ok()?;
        let contents = Values::of(&self.methods).contents(HeapObject { address, of_type: 0, bytes }, &self.threads);
        Some(LoneObject { name, id: table, bytes, contents })
    }

    fn is_text(&self, of_type: usize) -> bool {
        self.texts == Some(of_type)
    }

    fn text(&self, object: HeapObject) -> Known<&[u8]> {
        objects::units(&self.methods.clr, object.address)
    }

    fn references(&self) -> Option<&dyn References> {
        Some(self)
    }

    fn memory(&self) -> Vec<Range<Addr>> {
        self.owners().into_iter().map(|(range, _)| range).collect()
    }

    fn owners(&self) -> Vec<(Range<Addr>, &str)> {
        let mut behind = Addr(0);
        // What was taken from the system and has no object yet is the collector's all the same.
        let mut all: Vec<&Segment> = self.segments.all.iter().chain(&self.segments.empty).collect();
        all.sort_by_key(|segment| segment.base.min(segment.start));
        let own = all.into_iter().filter_map(|segment| {
            let (start, end) = (segment.base.min(segment.start).max(behind), segment.committed.max(segment.end));
            behind = behind.max(end);
            (start < end).then(|| (start..end, segment.generation.owner()))
        });
        own.collect()
    }
}

fn sum(all: &[Free]) -> Free {
    all.iter().fold(Free::default(), |sum, part| Free {
        count: sum.count.saturating_add(part.count),
        bytes: sum.bytes.saturating_add(part.bytes),
    })
}
