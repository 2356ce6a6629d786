//! Names for blocks without a vtable: what refers to a block says what it is.
//!
//! Roots are what has a type by itself: variables of modules, objects whose class is recorded in them, variables of the
//! frames on stacks. From these pointers are followed by the type of what they point to ([`shapes`]): one to the start
//! of a block names it, and what lies in the block is followed in turn, breadth first ([`found`]). The first name
//! stays: that of a vtable, then what variables of modules lead to, then what those objects lead to that have a vtable,
//! then what is on stacks alone. A container that knows of several elements stands above the vtable of the first. What
//! is left is grouped by its size and its owner ([`rest`]).
//!
//! Left out: thread-local variables, unions, blocks that only pointers into their midst refer to.

mod described;
mod found;
mod patterns;
mod rest;
mod shapes;
mod spelling;
mod walk;

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use self::described::Ty;
use self::found::{Entry, Found, Held};
use self::rest::Rest;
use self::shapes::{ShapeId, Shapes};
use super::{NativeHeap, contents};
use crate::error::Error;
use crate::heap::{
    Arena, Contents, Free, HeapObject, HeapSource, HeapType, Naming, ObjectId, Objects, References, Root, Visit,
};
use crate::job::{Job, Meter};
use crate::model::{Addr, Problem, Stack};
use crate::runtimes::native::rtti;
use crate::target::Target;
use crate::variables;

/// Ids of types that have no address begin here: nothing is mapped there, and sizes have those below.
const FIRST_ID: u64 = 0x1000;
/// Objects of a part.
const PART: u32 = 1 << 16;
/// Values of an array that are shown.
const MAX_VALUES: u64 = 64;

/// The blocks of a process, as what refers to them names them.
pub(super) struct NamedHeap {
    native: Arc<NativeHeap>,
    objects: Arc<Objects>,
    types: Vec<HeapType>,
    /// Types recorded in objects come first, behind them these.
    entries: Vec<Entry>,
    recorded: usize,
    /// Blocks that keep the number of their values in front of them, in so many bytes.
    cookies: FxHashMap<ObjectId, u64>,
    /// Of each object its type.
    of: Vec<u32>,
}

fn sorted(mut ranges: Vec<Range<Addr>>) -> Vec<Range<Addr>> {
    ranges.sort_by_key(|range| range.start);
    ranges
}

impl NamedHeap {
    /// Names what can be named. `objects` are those of the heap.
    pub(super) fn new(
        native: Arc<NativeHeap>,
        objects: &Arc<Objects>,
        stacks: &[Arc<Stack>],
        job: &Job,
    ) -> Result<NamedHeap, Error> {
        let target = Arc::clone(&native.target);
        let recorded = native.sizes;
        let (recorded_types, classes) = native.types.split_at_checked(recorded).unwrap_or_default();
        let memory: Vec<Vec<Range<Addr>>> =
            native.allocators.iter().map(|allocator| sorted(allocator.memory())).collect();
        let takes = |id: ObjectId, bytes: u64| {
            let at = objects.address(id).unwrap_or_default();
            let owns = |own: &[Range<Addr>]| {
                own.get(own.partition_point(|own| own.end <= at)).is_some_and(|own| own.start <= at)
            };
            let owner =
                native.allocators.iter().zip(&memory).find(|(_, own)| owns(own)).map(|(allocator, _)| allocator);
            owner.or(native.allocators.first()).map_or(bytes, |allocator| allocator.takes(bytes))
        };
        let only = native.allocators.first().filter(|_| native.allocators.len() == 1);
        let quick = |_: ObjectId, bytes: u64| only.map_or(bytes, |allocator| allocator.takes(bytes));
        let takes: &(dyn Fn(ObjectId, u64) -> u64 + Sync) = if only.is_some() { &quick } else { &takes };
        let pointer = target.arch().pointer_size();
        let width = u32::try_from(recorded).unwrap_or(u32::MAX);
        let mut found = Found::new(&target.memory, objects, Shapes::new(&target), takes, width, pointer);
        job.phase("naming what variables refer to", 0);
        variables_of_modules(&target, &mut found, job)?;
        job.phase("naming what named objects refer to", 0);
        let shapes = of_classes(&target, objects, recorded_types, &mut found.shapes, job)?;
        found.recorded(&shapes, job)?;
        found.follow(job)?;
        job.phase("naming what stacks refer to", 0);
        let mut locals = variables::Places::new(&target);
        for stack in stacks {
            job.check()?;
            locals.of_stack(stack, &mut |module, ty, held, name| {
                let held = match held {
                    variables::Held::Memory(at) => Held::Memory(*at),
                    variables::Held::Bytes(bytes) => Held::Bytes(bytes),
                };
                let ty = Ty { module: module.index, id: ty };
                found.variable(ty, held, &|| name.unwrap_or("a variable on a stack").to_owned());
            });
        }
        found.follow(job)?;
        let Found { types: mut of, entries, cookies, .. } = found;
        let rest = Rest {
            target: &target,
            objects,
            recorded: recorded_types,
            entries: &entries,
            classes,
            takes,
            pointer,
            references: native.as_ref(),
        };
        let groups = rest::group(&rest, &mut of, job)?;
        let named = entries.iter().map(|entry| (entry.name.to_string(), Naming::Referred));
        let others = (FIRST_ID..).zip(named.chain(groups));
        let others = others.map(|(id, (name, naming))| HeapType { id: Addr(id), name, naming });
        let types = recorded_types.iter().cloned().chain(others).collect();
        Ok(NamedHeap { native, objects: Arc::clone(objects), types, entries, recorded, cookies, of })
    }

    fn object(&self, id: ObjectId) -> Option<HeapObject> {
        let of_type = self.of.get(id as usize).map_or(usize::MAX, |of_type| *of_type as usize);
        Some(HeapObject { of_type, ..self.objects.get(id)? })
    }

    fn entry(&self, of_type: usize) -> Option<&Entry> {
        self.entries.get(of_type.checked_sub(self.recorded)?)
    }
}

fn variables_of_modules(target: &Target, found: &mut Found<'_>, job: &Job) -> Result<(), Error> {
    let mut globals = Vec::new();
    for module in &target.modules {
        job.check()?;
        for (svma, id) in module.symbols().globals() {
            let Some(at) = module.addr(svma) else { continue };
            let ty = Ty { module: module.index, id };
            if let Some(of) = found.shapes.of_vtable(ty) {
                found.vtables.insert(at, of);
            }
            globals.push((at, ty));
        }
    }
    for (at, ty) in globals {
        job.check()?;
        let name = || {
            let module = target.module_at(at);
            let part = module.and_then(|module| module.symbols().global_at(module.svma(at)?));
            let symbol = || target.object(at).map(|(_, symbol, _)| symbols::demangle(&symbol.name).into_owned());
            // The part is as deep as it goes: its name alone is the variable's.
            let name = part.map(|part| part.path.split(['.', '[']).next().unwrap_or_default().to_owned());
            name.filter(|name| !name.is_empty()).or_else(symbol).unwrap_or_else(|| "a variable".to_owned())
        };
        found.variable(ty, Held::Memory(at), &name);
    }
    found.follow(job)
}

/// The shapes of classes that have objects, by the debug information that has their name.
fn of_classes(
    target: &Target,
    objects: &Objects,
    classes: &[HeapType],
    shapes: &mut Shapes<'_>,
    job: &Job,
) -> Result<Vec<Option<ShapeId>>, Error> {
    let mut example: Vec<Option<ObjectId>> = vec![None; classes.len()];
    for id in 0..objects.len() {
        if let Some(slot) = example.get_mut(objects.of_type(id)) {
            slot.get_or_insert(id);
        }
    }
    let mut all = Vec::with_capacity(classes.len());
    for (class, example) in classes.iter().zip(example) {
        job.check()?;
        let of_class = || {
            let at = objects.address(example?)?;
            let ty = shapes.named(&class.name).or_else(|| shapes.named(&as_gcc(&class.name)))?;
            // Where virtual bases are the object alone tells, and all of its class are the same.
            let type_info = target.memory.ptr(class.id.minus(target.arch().pointer_size())?).ok()?;
            let known = shapes.bases(ty);
            let mut parts = Vec::new();
            for base in rtti::bases(&target.memory, at, type_info) {
                let name = rtti::spelled(&base.name);
                let Some(offset) = base.at.since(at) else { continue };
                let is_known = known.iter().any(|(known, of)| *known == offset && of.as_ref() == name.as_str());
                if !is_known && let Some(ty) = shapes.named(&name) {
                    parts.push((offset, ty));
                }
            }
            shapes.with_parts(ty, &parts)
        };
        let mut of_class = of_class;
        all.push(of_class());
    }
    Ok(all)
}

/// As GCC's debug information spells what demanglers spell otherwise.
fn as_gcc(name: &str) -> String {
    name.replace("unsigned long", "long unsigned int").replace("<long", "<long int").replace(", long", ", long int")
}

// Its objects are the native heap's, and so are their numbers; fields have more names.
impl References for NamedHeap {
    fn of_objects(
        &self,
        range: Range<ObjectId>,
        objects: &Objects,
        meter: &mut Meter<'_>,
        visit: &mut dyn FnMut(ObjectId, ObjectId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.native.of_objects(range, objects, meter, visit)
    }

    fn roots(
        &self,
        objects: &Objects,
        job: &Job,
        visit: &mut dyn FnMut(Root, ObjectId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.native.roots(objects, job, visit)
    }

    fn missing(&self) -> Vec<Problem> {
        self.native.missing()
    }

    fn field(&self, from: ObjectId, to: ObjectId, objects: &Objects) -> Option<String> {
        let of_type = *self.of.get(from as usize)? as usize;
        let Some(entry) = self.entry(of_type) else { return self.native.field(from, to, &self.objects) };
        let offset = self.native.held_at(from, to, objects)?;
        let unnamed = || format!("+{offset:#x}");
        let Some((of, size)) = entry.ty else { return Some(unnamed()) };
        let first = self.cookies.get(&from).copied().unwrap_or(0);
        let (index, rest) = match offset.checked_sub(first).filter(|_| entry.is_array && size > 0) {
            Some(inside) => (Some(inside / size), inside % size),
            None => (None, offset),
        };
        let path = self.native.target.modules.get(of.module).and_then(|module| module.symbols().part_of(of.id, rest));
        let path = path.map(|part| part.path).unwrap_or_default();
        match (index, path.trim_start_matches('.')) {
            (Some(index), _) => Some(format!("[{index}]{path}")),
            (None, "") => Some(unnamed()),
            (None, path) => Some(path.to_owned()),
        }
    }
}

impl HeapSource for NamedHeap {
    fn name(&self) -> &str {
        self.native.name()
    }

    fn types(&self) -> &[HeapType] {
        &self.types
    }

    fn parts(&self) -> usize {
        (self.objects.len().div_ceil(PART)) as usize
    }

    fn objects(&self, part: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
        let first = u32::try_from(part).unwrap_or(u32::MAX).saturating_mul(PART);
        let last = first.saturating_add(PART).min(self.objects.len());
        for object in (first..last).filter_map(|id| self.object(id)) {
            meter.add(1)?;
            visit(object)?;
        }
        Ok(())
    }

    fn problems(&self) -> Vec<Problem> {
        self.native.problems()
    }

    fn free(&self, job: &Job) -> Result<Option<Free>, Error> {
        self.native.free(job)
    }

    fn arenas(&self, job: &Job) -> Result<Vec<Arena>, Error> {
        self.native.arenas(job)
    }

    fn contents(&self, object: HeapObject) -> Option<Contents> {
        let target = &self.native.target;
        let Some(entry) = self.entry(object.of_type) else { return self.native.contents(object) };
        let Some((module, (ty, size))) = entry.ty.and_then(|of| Some((target.modules.get(of.0.module)?, of))) else {
            return Some(contents::of(target, object, None));
        };
        if !entry.is_array {
            return Some(contents::values(target, object, (module, ty.id), object.address, None));
        }
        let cookie = self.objects.at(object.address).and_then(|id| self.cookies.get(&id)).copied();
        let at = object.address.plus(cookie.unwrap_or(0))?;
        let room = object.bytes.checked_div(size).unwrap_or(0).max(1);
        let stated = cookie.and_then(|_| target.memory.ptr(at.minus(target.arch().pointer_size())?).ok());
        let count = stated.map_or(room, |stated| stated.0.min(room));
        Some(contents::values(target, object, (module, ty.id), at, Some((count.min(MAX_VALUES), count))))
    }

    fn memory(&self) -> Vec<Range<Addr>> {
        self.native.memory()
    }

    fn owners(&self) -> Vec<(Range<Addr>, &str)> {
        self.native.owners()
    }

    fn references(&self) -> Option<&dyn References> {
        Some(self)
    }

    fn told_by(&self, of_type: usize) -> Option<&str> {
        self.entry(of_type).map(|entry| entry.example.as_str())
    }
}
