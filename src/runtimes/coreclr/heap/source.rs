//! The collector's heap as a heap whose objects can be listed.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::segments::{Segment, Segments};
use super::walked::Walked;
use crate::error::Error;
use crate::heap::{Arena, Contents, Free, HeapObject, HeapSource, HeapType, LoneObject, Naming, Visit};
use crate::job::{Job, Meter};
use crate::model::{Addr, Gap, Problem, Subject};
use crate::runtimes::coreclr::methods::Methods;
use crate::runtimes::coreclr::objects::{OfThread, Values};

/// The heap.
pub(in crate::runtimes::coreclr) struct ManagedHeap {
    methods: Arc<Methods>,
    segments: Arc<Segments>,
    threads: Vec<OfThread>,
    types: Vec<HeapType>,
    /// Positions in `types` by method table.
    of: FxHashMap<Addr, usize>,
    /// Of each segment what stands where there is no object.
    free: Vec<Free>,
    used: Vec<Free>,
    /// What the walk has left out.
    broken: Vec<(Addr, Addr)>,
    problems: Vec<Problem>,
}

/// What a first walk finds in one segment.
#[derive(Default)]
struct Counted {
    tables: Vec<Addr>,
    free: Free,
    used: Free,
    broken: Option<(Addr, Gap)>,
}

impl ManagedHeap {
    /// Walks it once.
    pub(in crate::runtimes::coreclr) fn of(
        methods: &Arc<Methods>,
        segments: Arc<Segments>,
        threads: Vec<OfThread>,
        job: &Job,
    ) -> Result<ManagedHeap, Error> {
        let filler = methods.clr.global("FreeObjectMethodTable").unwrap_or(Addr(0));
        let counted = segments.all.par_iter().map(|segment| count(methods, &segments, segment, filler, job));
        let counted: Vec<Counted> = counted.collect::<Result<_, Error>>()?;
        let mut tables: Vec<Addr> = counted.iter().flat_map(|segment| &segment.tables).copied().collect();
        tables.sort_unstable();
        tables.dedup();
        let named = |table: &Addr| {
            let name = methods.types().of_table(*table);
            let name = name.unwrap_or_else(|gap| format!("(type at {table}: {gap})"));
            HeapType { id: *table, name, naming: Naming::Recorded }
        };
        let types: Vec<HeapType> = tables.par_iter().map(named).collect();
        let left_out = |(segment, counted): (&Segment, &Counted)| Some((counted.broken.as_ref()?.0, segment.end));
        let broken = segments.all.iter().zip(&counted).filter_map(left_out).collect();
        let problems = segments.all.iter().zip(&counted).filter_map(|(segment, counted)| {
            let (at, gap) = counted.broken.as_ref()?;
            let left = segment.end.since(*at)?;
            let message = format!(
                "{left} bytes of the managed heap at {at} ({}) are left out: {gap}",
                segment.generation.words()
            );
            Some(Problem::new("heap-incomplete", Subject::Capture, message))
        });
        let mut problems: Vec<Problem> = problems.collect();
        if segments.is_moving {
            let message = "the dump was taken while the collector moved objects: the managed heap may be incomplete";
            problems.push(Problem::new("heap-moving", Subject::Capture, message));
        }
        Ok(ManagedHeap {
            methods: Arc::clone(methods),
            of: tables.into_iter().zip(0..).collect(),
            segments,
            threads,
            types,
            broken,
            free: counted.iter().map(|segment| segment.free).collect(),
            used: counted.iter().map(|segment| segment.used).collect(),
            problems,
        })
    }
}

fn count(methods: &Methods, segments: &Segments, segment: &Segment, filler: Addr, job: &Job) -> Result<Counted, Error> {
    let mut counted = Counted::default();
    let mut last = Addr(0);
    let mut seen = rustc_hash::FxHashSet::default();
    let broken = segments.walk(methods.types(), segment, &mut job.meter(), &mut |object| {
        let to = if object.table == filler { &mut counted.free } else { &mut counted.used };
        to.count = to.count.saturating_add(1);
        to.bytes = to.bytes.saturating_add(object.bytes);
        // Objects of one type often stand together.
        if object.table != last && object.table != filler && seen.insert(object.table) {
            counted.tables.push(object.table);
        }
        last = object.table;
        Ok(())
    })?;
    Ok(Counted { broken, ..counted })
}

impl HeapSource for ManagedHeap {
    fn name(&self) -> &str {
        ".NET"
    }

    fn types(&self) -> &[HeapType] {
        &self.types
    }

    fn parts(&self) -> usize {
        self.segments.all.len()
    }

    fn objects(&self, part: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
        let Some(segment) = self.segments.all.get(part) else { return Ok(()) };
        let mut last = (Addr(0), None);
        self.segments.walk(self.methods.types(), segment, meter, &mut |object| {
            if object.table != last.0 {
                last = (object.table, self.of.get(&object.table).copied());
            }
            // What fills gaps is no object.
            let Some(of_type) = last.1 else { return Ok(()) };
            visit(HeapObject { address: object.at, of_type, bytes: object.bytes })
        })?;
        Ok(())
    }

    fn problems(&self) -> Vec<Problem> {
        self.problems.clone()
    }

    fn free(&self, _: &Job) -> Result<Option<Free>, Error> {
        Ok(Some(sum(&self.free)))
    }

    fn arenas(&self, _: &Job) -> Result<Vec<Arena>, Error> {
        let mut all: Vec<((u64, super::Generation), Arena)> = Vec::new();
        for ((segment, used), free) in self.segments.all.iter().zip(&self.used).zip(&self.free) {
            let key = (segment.heap, segment.generation);
            let name = || match self.segments.heaps {
                0 | 1 => segment.generation.words().to_owned(),
                _ => format!("heap {} {}", segment.heap, segment.generation.words()),
            };
            let place = all.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
                all.push((key, Arena { name: name(), free: vec![("filler", Free::default())], ..Arena::default() }));
                all.len().saturating_sub(1)
            });
            let Some((_, arena)) = all.get_mut(place) else { continue };
            let bytes = segment.end.since(segment.start).unwrap_or(0);
            arena.system = arena.system.saturating_add(bytes);
            arena.used = sum(&[arena.used, *used]);
            arena.free.iter_mut().for_each(|(_, all)| *all = sum(&[*all, *free]));
            arena.overhead = arena
                .system
                .saturating_sub(arena.used.bytes)
                .saturating_sub(arena.free.iter().map(|(_, free)| free.bytes).sum());
        }
        all.sort_by_key(|(key, _)| *key);
        Ok(all.into_iter().map(|(_, arena)| arena).collect())
    }

    fn contents(&self, object: HeapObject) -> Option<Contents> {
        Some(Values::of(&self.methods).contents(object, &self.threads))
    }

    fn lone(&self, address: Addr) -> Option<LoneObject> {
        // Where the heap was walked, what the walk did not meet is no object.
        let is_left_out = self.broken.iter().any(|(start, end)| *start <= address && address < *end);
        let types = self.methods.types();
        let Walked { table, bytes, .. } = self.segments.object_at(types, address).ok().filter(|_| is_left_out)?;
        let name = types.of_table(table).ok()?;
        let contents = Values::of(&self.methods).contents(HeapObject { address, of_type: 0, bytes }, &self.threads);
        Some(LoneObject { name, id: table, bytes, contents })
    }

    fn memory(&self) -> Vec<Range<Addr>> {
        self.segments.all.iter().map(|segment| segment.start..segment.end).collect()
    }
}

fn sum(all: &[Free]) -> Free {
    all.iter().fold(Free::default(), |sum, part| Free {
        count: sum.count.saturating_add(part.count),
        bytes: sum.bytes.saturating_add(part.bytes),
    })
}
