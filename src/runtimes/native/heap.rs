//! The native heap: the blocks that the process's allocators gave out and nobody freed.
//!
//! Each allocator is found by its own marks and walked by its own books ([`Allocator`]); several may be in one process. What a block is
//! is told by its first word where that is a vtable ([`vtables`]); the rest is put together by size ([`sizes`]), or
//! on request named by what refers to it ([`names`]).

mod allocator;
mod contents;
mod jemalloc;
mod mallocng;
mod mimalloc;
mod names;
mod oldmalloc;
mod parts;
mod ptmalloc;
mod reading;
mod references;
mod sizes;
mod tcmalloc;
mod unwalked;
mod vtables;

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use self::allocator::{Allocator, Block};
use self::names::NamedHeap;
use self::reading::Window;
use crate::error::Error;
use crate::heap::{
    Arena, Contents, Free, HeapObject, HeapSource, HeapType, Naming, ObjectId, Objects, References, Root, Visit,
};
use crate::job::{Job, Meter};
use crate::model::{Addr, Problem, Stack, Subject};
use crate::target::Target;

/// Looks for an allocator, of which a process may have several copies; cheap where it is not there. One that is there and cannot be walked
/// is found, has no parts, and says why in its problems.
type Find = fn(&Arc<Target>, &Job) -> Result<Vec<Box<dyn Allocator>>, Error>;

/// Every allocator that is known.
const ALLOCATORS: &[Find] =
    &[ptmalloc::find, mallocng::find, oldmalloc::find, jemalloc::find, tcmalloc::find, mimalloc::find];

/// The blocks of all allocators of a process.
pub(super) struct NativeHeap {
    target: Arc<Target>,
    name: String,
    allocators: Vec<Box<dyn Allocator>>,
    types: Vec<HeapType>,
    /// First word of an object → position of its type.
    vtables: FxHashMap<u64, u32>,
    /// Position of the first type that stands for a size.
    sizes: usize,
    /// What was not searched.
    limits: Vec<Problem>,
}

impl NativeHeap {
    /// `None` where no allocator is recognised.
    pub(super) fn find(target: &Arc<Target>, job: &Job) -> Result<Option<NativeHeap>, Error> {
        job.phase("looking for allocators", ALLOCATORS.len() as u64);
        let mut allocators = Vec::new();
        for find in ALLOCATORS {
            for mut allocator in find(target, job)? {
                allocator.read(job)?;
                allocators.push(allocator);
            }
            job.advance(1)?;
        }
        if allocators.is_empty() {
            return Ok(None);
        }
        // None of it can be walked: that is no empty heap.
        if allocators.iter().all(|allocator| allocator.parts() == 0) {
            let why: Vec<String> =
                allocators.iter().flat_map(|one| one.problems(&|_| String::new())).map(|why| why.message).collect();
            if !why.is_empty() {
                return Err(Error::Failed(why.join("; ")));
            }
        }
        let mut names: Vec<&str> = allocators.iter().map(|allocator| allocator.name()).collect();
        names.dedup();
        let name = names.join(", ");
        let vtables = vtables::find(target, job)?;
        let modules = target.modules.iter().map(|module| module.mapped.base..module.mapped.end);
        let unsearched = reading::unsearched(&target.memory, modules, reading::MAX_SEARCHED);
        let limits = unsearched.into_iter().chain(vtables.unsearched).collect();
        let mut types = Vec::new();
        let mut by_word = FxHashMap::default();
        for (word, name) in vtables.points {
            by_word.insert(word.0, u32::try_from(types.len()).unwrap_or(u32::MAX));
            types.push(HeapType { id: word, name, naming: Naming::Recorded });
        }
        let sizes = types.len();
        types.extend(sizes::types());
        Ok(Some(NativeHeap { target: Arc::clone(target), name, allocators, types, vtables: by_word, sizes, limits }))
    }

    /// Memory outside of blocks in use that refers to nothing: what is free, and the allocators' books. Ascending.
    fn silent(&self) -> Vec<Range<Addr>> {
        let books = self.allocators.iter().flat_map(|allocator| allocator.books());
        let mut all: Vec<Range<Addr>> = self.memory().into_iter().chain(books).collect();
        all.sort_by_key(|range| range.start);
        all
    }

    /// The allocator that a part belongs to, and the part's number there.
    fn part(&self, part: usize) -> Option<(&dyn Allocator, usize)> {
        let mut rest = part;
        for allocator in &self.allocators {
            match rest.checked_sub(allocator.parts()) {
                Some(beyond) => rest = beyond,
                None => return Some((allocator.as_ref(), rest)),
            }
        }
        None
    }

    /// An allocator's name; of one of several copies with the file that it is part of.
    fn whose(&self, allocator: &dyn Allocator) -> String {
        let name = allocator.name();
        let are_several = self.allocators.iter().filter(|other| other.name() == name && other.parts() > 0).count() > 1;
        let module = allocator.module().filter(|_| are_several).and_then(|module| self.target.modules.get(module));
        module.map_or_else(|| name.to_owned(), |module| format!("{name} in {}", module.file_name().unwrap_or("?")))
    }

    fn type_of(&self, block: Block, window: &mut Window<'_>) -> usize {
        let word = match self.target.arch().pointer_size() {
            8 => window.u64(block.address.0),
            _ => self.target.memory.ptr(block.address).ok().map(|word| word.0),
        };
        let known = word.and_then(|word| self.vtables.get(&word));
        known.map_or_else(|| self.sizes.saturating_add(sizes::class(block.bytes)), |of_type| *of_type as usize)
    }
}

impl HeapSource for NativeHeap {
    fn name(&self) -> &str {
        &self.name
    }

    fn types(&self) -> &[HeapType] {
        &self.types
    }

    fn parts(&self) -> usize {
        self.allocators.iter().map(|allocator| allocator.parts()).sum()
    }

    fn objects(&self, part: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
        let Some((allocator, part)) = self.part(part) else { return Ok(()) };
        let mut window = Window::new(&self.target.memory);
        allocator.blocks(part, meter, &mut |block| {
            let of_type = self.type_of(block, &mut window);
            visit(HeapObject { address: block.address, of_type, bytes: block.bytes })
        })
    }

    fn problems(&self) -> Vec<Problem> {
        let what = |block: Block| {
            let of_type = self.type_of(block, &mut Window::new(&self.target.memory));
            match self.types.get(of_type).filter(|of_type| of_type.naming != Naming::Size) {
                Some(of_type) => format!(", a {}", of_type.name),
                None => contents::beginning(&self.target, block.address, block.bytes),
            }
        };
        let told = self.allocators.iter().flat_map(|allocator| allocator.problems(&what));
        told.chain(self.limits.iter().cloned()).collect()
    }

    fn verify(&self, job: &Job) -> Result<Vec<Problem>, Error> {
        let mut all = Vec::new();
        for allocator in &self.allocators {
            all.extend(allocator.verify(job)?);
        }
        Ok(all)
    }

    fn contents(&self, object: HeapObject) -> Option<Contents> {
        let of_type = self.types.get(object.of_type).filter(|of_type| of_type.naming != Naming::Size);
        Some(contents::of(&self.target, object, of_type.map(|of_type| of_type.name.as_str())))
    }

    fn memory(&self) -> Vec<Range<Addr>> {
        self.owners().into_iter().map(|(range, _)| range).collect()
    }

    fn owners(&self) -> Vec<(Range<Addr>, &str)> {
        let each = self.allocators.iter().flat_map(|allocator| {
            let name = allocator.name();
            allocator.memory().into_iter().map(move |range| (range, name))
        });
        let mut own: Vec<(Range<Addr>, &str)> = each.collect();
        own.sort_by_key(|(range, _)| range.start);
        own
    }

    fn references(&self) -> Option<&dyn References> {
        Some(self)
    }

    fn named(
        self: Arc<Self>,
        objects: &Arc<Objects>,
        stacks: &[Arc<Stack>],
        job: &Job,
    ) -> Result<Option<Arc<dyn HeapSource>>, Error> {
        Ok(Some(Arc::new(NamedHeap::new(self, objects, stacks, job)?)))
    }

    fn free(&self, job: &Job) -> Result<Option<Free>, Error> {
        let arenas = self.arenas(job)?;
        if arenas.is_empty() {
            // Allocators are there, and none of them is understood.
            return Ok(None);
        }
        let mut all = Free::default();
        for (_, free) in arenas.iter().flat_map(|arena| &arena.free) {
            all.count = all.count.saturating_add(free.count);
            all.bytes = all.bytes.saturating_add(free.bytes);
        }
        Ok(Some(all))
    }

    fn arenas(&self, job: &Job) -> Result<Vec<Arena>, Error> {
        let mut all = Vec::new();
        let are_several = self.allocators.iter().filter(|allocator| allocator.parts() > 0).count() > 1;
        for allocator in &self.allocators {
            let arenas = allocator.arenas(job)?.into_iter();
            all.extend(arenas.map(|arena| match are_several {
                true => Arena { name: format!("{}: {}", self.whose(allocator.as_ref()), arena.name), ..arena },
                false => arena,
            }));
        }
        Ok(all)
    }
}

impl NativeHeap {
    /// At which offset one object holds another; `None` where it does not.
    fn held_at(&self, from: ObjectId, to: ObjectId, objects: &Objects) -> Option<u64> {
        let object = objects.get(from)?;
        let mut found = None;
        let each = &mut |place: Addr, referred: ObjectId| {
            found = found.or_else(|| place.since(object.address).filter(|_| referred == to));
            Ok(())
        };
        references::of_range(&self.target, objects, object.address, object.bytes, each).ok()?;
        found
    }
}

impl References for NativeHeap {
    fn of_objects(
        &self,
        range: Range<ObjectId>,
        objects: &Objects,
        meter: &mut Meter<'_>,
        visit: &mut dyn FnMut(ObjectId, ObjectId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for id in range {
            meter.add(1)?;
            references::of_block(&self.target, objects, id, visit)?;
        }
        Ok(())
    }

    fn roots(
        &self,
        objects: &Objects,
        job: &Job,
        visit: &mut dyn FnMut(Root, ObjectId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        references::roots(&self.target, objects, &self.silent(), job, visit)
    }

    fn missing(&self) -> Vec<Problem> {
        let (bytes, threads) = references::missing(&self.target, &self.silent());
        let said = |what: String| {
            let message = format!("{what}: an object to which nothing seems to refer may be referred to from there");
            Problem::new("references-missing", Subject::Capture, message)
        };
        let size = sizes::words(bytes);
        let memory =
            (bytes > 0).then(|| said(format!("{size} of writable memory outside the heap are not in the dump")));
        let threads =
            (threads > 0).then(|| said(format!("of {threads} threads the registers and the stack are not known")));
        memory.into_iter().chain(threads).collect()
    }

    fn field(&self, from: ObjectId, to: ObjectId, objects: &Objects) -> Option<String> {
        let offset = self.held_at(from, to, objects)?;
        let of_type = self.types.get(objects.of_type(from)).filter(|of_type| of_type.naming != Naming::Size);
        let named = of_type.and_then(|of_type| contents::field_at(&self.target, &of_type.name, offset));
        Some(named.unwrap_or_else(|| format!("+{offset:#x}")))
    }
}
