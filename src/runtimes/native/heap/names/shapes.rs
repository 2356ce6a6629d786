//! What a type says of blocks: where in a value pointers lie, and what is at their other end.
//!
//! A [`Shape`] is a type made flat: its bases, members and elements of small arrays are left out, pointers stay.
//! Containers of the standard libraries are told by the name of their template; where in them their parts lie, and what
//! these parts are, is taken from the debug information. Left out: unions, of which nobody says what they hold, and
//! pointers to members.

mod libstdcxx;
mod rust;

use std::sync::Arc;

use rustc_hash::FxHashMap;
use symbols::{Encoding, TypeKind, Variants};

use super::described::{Described, Plain, Ty, members};
use super::spelling;
use crate::target::Target;

/// Structures in structures that are looked into.
const MAX_DEPTH: usize = 24;
/// Parts of one type beyond this many are not looked at.
const MAX_PARTS: u32 = 1 << 16;
/// Slots of one shape beyond this many are left out.
const MAX_SLOTS: usize = 4096;
/// Arrays of more slots than this are kept as arrays.
const MAX_SPREAD: u64 = 32;
/// Shapes beyond this many are not made: their blocks are named, and not looked into.
const MAX_SHAPES: usize = 1 << 18;

/// Position in [`Shapes::shape`].
pub(super) type ShapeId = u32;
/// Position in [`Shapes::uses`].
pub(super) type UseId = u32;

/// A type as far as it tells of blocks.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// The type's name.
    pub name: Arc<str>,
    /// Bytes of a value; as far as its slots reach where that is not stated.
    pub size: u64,
    pub slots: Vec<Slot>,
}

/// A part that tells of blocks.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub offset: u64,
    /// `.items`, `.lines[].text`.
    pub path: Arc<str>,
    pub kind: Kind,
}

/// What lies in a slot. Offsets are those from the start of the value.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A pointer.
    Pointer(UseId),
    /// Elements one after the other.
    Repeat { stride: u64, count: u64, shape: ShapeId },
    /// A pointer to the first element; the one behind the last is stated by another.
    Range { end: u64, of: UseId },
    /// A pointer to the first element, and how many there are.
    Counted { count: u64, of: UseId },
    /// The same, as a ring: which is the first, how many there is room for.
    Ring { head: u64, count: u64, room: u64, of: UseId },
    /// `std::deque`: pointers to nodes of elements; the first and last are told by iterators.
    Deque(Deque),
    /// A table of hashbrown: its control bytes, and the elements before them.
    Table { mask: u64, of: UseId },
    /// A pointer of Rust with a vtable that tells the type; whether it leads to the counts in front of the value, as
    /// which of [`COUNTED`].
    Dynamic { vtable: u64, counted: Option<usize> },
    /// One of several, by the number in so many bytes at an offset; without one the first.
    Variant { by: Option<(u64, u64)>, cases: Vec<(Option<i128>, ShapeId)> },
}

/// What Rust's shared pointers lead to.
/// Source: library/alloc/src/sync.rs, rc.rs; `RcInner` was called `RcBox` before Rust 1.85.
pub(super) const COUNTED: [&str; 3] = ["alloc::sync::ArcInner<", "alloc::rc::RcInner<", "alloc::rc::RcBox<"];

/// The type that a Rust vtable is for, as a block of it is named.
#[derive(Clone, Copy, Debug)]
pub(super) struct Implementor {
    /// By itself.
    pub value: UseId,
    /// Behind the counts of each of [`COUNTED`], where there is such a type.
    pub counted: [Option<UseId>; COUNTED.len()],
}

/// Where the parts of a `std::deque` are.
#[derive(Clone, Debug)]
pub(super) struct Deque {
    /// The map, an array of pointers to nodes.
    pub map: UseId,
    /// The nodes.
    pub node: UseId,
    /// `_M_cur`, `_M_first`, `_M_last` and `_M_node` of the iterator to the first element.
    pub start: [u64; 4],
    /// The same of the one behind the last.
    pub finish: [u64; 4],
}

/// What a reference says of a block.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub name: Arc<str>,
    pub holds: Holds,
    /// Bytes of one value; 0 where that is not stated.
    pub size: u64,
    /// The type of a value.
    pub ty: Option<Ty>,
    /// Not made yet: `None`.
    shape: Option<Option<ShapeId>>,
    inside: Inside,
}

/// What is in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// A value, or several: its size tells.
    Values,
    /// A value, whatever room there is behind it.
    One,
    /// As many values as who refers to it says.
    Counted,
    /// What tells nothing: characters, a table of pointers that are found otherwise.
    Nothing,
}

/// What a part is in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Inside {
    /// The container, as its source calls it.
    container: Option<Arc<str>>,
    /// Pointers to this type lead to such nodes.
    node: Option<(&'static str, UseId)>,
    /// What may be uninitialised is taken for initialised: whoever holds it clears it before.
    initialised: bool,
}

type UseKey = (Option<Ty>, Arc<str>, Inside);

/// All shapes and uses that were met.
pub(super) struct Shapes<'a> {
    described: Described<'a>,
    shapes: Vec<Shape>,
    uses: Vec<Use>,
    use_by: FxHashMap<UseKey, UseId>,
    shape_by: FxHashMap<(Ty, Inside), Option<ShapeId>>,
    /// How many more parts of the type may be looked at.
    left: u32,
}

impl<'a> Shapes<'a> {
    pub(super) fn new(target: &'a Target) -> Shapes<'a> {
        let (shapes, uses, use_by, shape_by) = Default::default();
        Shapes { described: Described::new(target), shapes, uses, use_by, shape_by, left: 0 }
    }

    /// The shape at a position.
    pub(super) fn get(&self, shape: ShapeId) -> Option<&Shape> {
        self.shapes.get(shape as usize)
    }

    /// All uses so far.
    pub(super) fn uses(&self) -> &[Use] {
        &self.uses
    }

    /// The structure of that full name.
    pub(super) fn named(&mut self, name: &str) -> Option<Ty> {
        self.described.named(name)
    }

    /// The shape of a type; `None` where nothing in it tells of blocks.
    pub(super) fn of_type(&mut self, ty: Ty) -> Option<ShapeId> {
        self.left = MAX_PARTS;
        self.shape(ty, &Inside::default())
    }

    /// The shape of a class with parts that its own description does not place: each with its offset.
    pub(super) fn with_parts(&mut self, ty: Ty, parts: &[(u64, Ty)]) -> Option<ShapeId> {
        self.left = MAX_PARTS;
        let plain = self.described.plain(ty)?;
        let mut slots = Vec::new();
        let inside = Inside::default();
        for (offset, part) in std::iter::once(&(0, ty)).chain(parts) {
            self.add(*part, *offset, "", &inside, 0, &mut slots);
        }
        self.keep(plain.name, plain.layout.size, slots)
    }

    /// The non-virtual bases of a class by name, and where they are.
    pub(super) fn bases(&mut self, ty: Ty) -> Vec<(u64, Arc<str>)> {
        let mut all: Vec<(u64, Arc<str>)> = Vec::new();
        let mut waiting = vec![(0u64, ty)];
        while let Some((offset, ty)) = waiting.pop() {
            let Some(plain) = self.described.plain(ty) else { continue };
            for base in members(&plain.layout).iter().filter(|member| member.is_base) {
                waiting.push((offset.saturating_add(base.offset), Ty { id: base.ty, ..plain.ty }));
            }
            all.push((offset, plain.name));
            if all.len() > MAX_SLOTS {
                break;
            }
        }
        all
    }

    /// What the type of a Rust vtable is the vtable for.
    pub(super) fn of_vtable(&mut self, vtable: Ty) -> Option<Implementor> {
        let id = self.described.module(vtable)?.symbols().containing_type(vtable.id)?;
        let plain = self.described.plain(Ty { id, ..vtable })?;
        let counted = COUNTED.map(|template| {
            // The allocator is a parameter of the pointer alone.
            let ty = self.named(&format!("{template}{}>", plain.name))?;
            let plain = self.described.plain(ty)?;
            Some(self.values(plain, Holds::One))
        });
        Some(Implementor { value: self.values(plain, Holds::One), counted })
    }

    /// The shape of what is in a block that is used so.
    pub(super) fn of_use(&mut self, of: UseId) -> Option<ShapeId> {
        let Use { shape, ty, inside, .. } = self.uses.get(of as usize)?;
        if let Some(known) = shape {
            return *known;
        }
        let (ty, inside) = (*ty, inside.clone());
        self.left = MAX_PARTS;
        let found = ty.and_then(|ty| self.shape(ty, &inside));
        if let Some(of) = self.uses.get_mut(of as usize) {
            of.shape = Some(found);
        }
        found
    }

    fn shape(&mut self, ty: Ty, inside: &Inside) -> Option<ShapeId> {
        let plain = self.described.plain(ty)?;
        let key = (plain.ty, inside.clone());
        if let Some(known) = self.shape_by.get(&key) {
            return *known;
        }
        let mut slots = Vec::new();
        self.add(plain.ty, 0, "", inside, 0, &mut slots);
        let name = match (&inside.container, inside.node) {
            (Some(container), Some(_)) => format!("node of {container}").into(),
            (Some(container), None) => format!("{container}[]").into(),
            (None, _) => plain.name,
        };
        let found = self.keep(name, plain.layout.size, slots);
        self.shape_by.insert(key, found);
        found
    }

    fn keep(&mut self, name: Arc<str>, size: Option<u64>, slots: Vec<Slot>) -> Option<ShapeId> {
        if slots.is_empty() || self.shapes.len() >= MAX_SHAPES {
            return None;
        }
        let reach = || slots.iter().map(|slot| slot.offset.saturating_add(8)).max().unwrap_or(0);
        let size = size.unwrap_or_else(reach);
        let id = u32::try_from(self.shapes.len()).ok()?;
        self.shapes.push(Shape { name: spelling::simple(&name).into(), size, slots });
        Some(id)
    }

    /// Adds the slots of a part of a type.
    fn add(&mut self, ty: Ty, offset: u64, path: &str, inside: &Inside, depth: usize, slots: &mut Vec<Slot>) {
        let Some(plain) = self.described.plain(ty) else { return };
        if depth > MAX_DEPTH || slots.len() > MAX_SLOTS || self.left == 0 {
            return;
        }
        self.left = self.left.saturating_sub(1);
        let deeper = depth.saturating_add(1);
        match &plain.layout.kind {
            TypeKind::Pointer(Some(to)) => {
                if let Some(of) = self.pointee(Ty { id: *to, ..plain.ty }, inside) {
                    slots.push(Slot { offset, path: path.into(), kind: Kind::Pointer(of) });
                }
            }
            TypeKind::Structure { members, variants, .. } => {
                let mut part = Part { plain: &plain, offset, path, inside, depth: deeper, slots };
                if libstdcxx::add(self, &mut part) || rust::add(self, &mut part) {
                    return;
                }
                for member in members.iter().filter(|member| member.bits.is_none()) {
                    let (ty, offset) = (Ty { id: member.ty, ..plain.ty }, offset.saturating_add(member.offset));
                    match &member.name {
                        // The library's own members tell a reader nothing.
                        Some(name) if name.starts_with("_M_") => self.add(ty, offset, path, inside, deeper, slots),
                        Some(name) => self.add(ty, offset, &format!("{path}.{name}"), inside, deeper, slots),
                        None => self.add(ty, offset, path, inside, deeper, slots),
                    }
                }
                if let Some(variants) = variants {
                    self.add_variants(&plain, variants, &Place { offset, path, inside, depth: deeper }, slots);
                }
            }
            TypeKind::Union(members) if inside.initialised => {
                let value = members.iter().find(|member| member.name.as_deref() == Some("value"));
                let is_maybe = plain.name.starts_with("core::mem::maybe_uninit::MaybeUninit<");
                if let Some(value) = value.filter(|_| is_maybe) {
                    self.add(Ty { id: value.ty, ..plain.ty }, offset, path, inside, deeper, slots);
                }
            }
            TypeKind::Array { element, count: Some(count), .. } => {
                let element = Ty { id: *element, ..plain.ty };
                let Some(of_element) = self.described.plain(element) else { return };
                let Some(stride) = of_element.layout.size.filter(|size| *size > 0) else { return };
                let Some(shape) = self.shape(element, inside) else { return };
                let each = self.get(shape).map_or(0, |shape| shape.slots.len() as u64);
                let path = format!("{path}[]");
                if each.saturating_mul(*count) > MAX_SPREAD {
                    slots.push(Slot { offset, path: path.into(), kind: Kind::Repeat { stride, count: *count, shape } });
                    return;
                }
                for index in 0..*count {
                    let at = offset.saturating_add(stride.saturating_mul(index));
                    self.add(element, at, &path, inside, deeper, slots);
                }
            }
            _ => {}
        }
    }

    fn add_variants(&mut self, plain: &Plain, variants: &Variants, place: &Place<'_>, slots: &mut Vec<Slot>) {
        let by = variants.discriminant.as_ref().and_then(|member| {
            let size = self.described.plain(Ty { id: member.ty, ..plain.ty })?.layout.size?;
            Some((place.offset.checked_add(member.offset)?, size))
        });
        if by.is_none() && variants.cases.len() > 1 {
            return;
        }
        let mut cases = Vec::new();
        let mut is_empty = true;
        for (number, case) in &variants.cases {
            let mut of_case = Vec::new();
            let at = place.offset.saturating_add(case.offset);
            self.add(Ty { id: case.ty, ..plain.ty }, at, place.path, place.inside, place.depth, &mut of_case);
            is_empty &= of_case.is_empty();
            cases.push((*number, of_case));
        }
        if is_empty || self.shapes.len() >= MAX_SHAPES {
            return;
        }
        let name: Arc<str> = spelling::simple(&plain.name).into();
        let keep = |(number, slots): (Option<i128>, Vec<Slot>)| {
            let id = u32::try_from(self.shapes.len()).ok()?;
            self.shapes.push(Shape { name: Arc::clone(&name), size: plain.layout.size.unwrap_or(0), slots });
            Some((number, id))
        };
        let cases = cases.into_iter().filter_map(keep).collect();
        slots.push(Slot { offset: place.offset, path: place.path.into(), kind: Kind::Variant { by, cases } });
    }

    /// What a pointer to that type says of the block that it leads to; `None` for what names nothing.
    fn pointee(&mut self, to: Ty, inside: &Inside) -> Option<UseId> {
        let plain = self.described.plain(to)?;
        if let Some((base, node)) = inside.node {
            if plain.name.as_ref() == base {
                return Some(node);
            }
            if let TypeKind::Pointer(Some(behind)) = plain.layout.kind
                && self.described.plain(Ty { id: behind, ..plain.ty })?.name.as_ref() == base
            {
                let container = inside.container.as_deref().unwrap_or("a table");
                return Some(self.fixed(format!("buckets of {container}")));
            }
        }
        match &plain.layout.kind {
            TypeKind::Function => None,
            TypeKind::Base(Encoding::Character) if plain.layout.size == Some(1) && plain.name.ends_with("char") => {
                Some(self.fixed(format!("{}[]", plain.name)))
            }
            _ => Some(self.values(plain, Holds::Values)),
        }
    }

    fn values(&mut self, plain: Plain, holds: Holds) -> UseId {
        let holds = if holds == Holds::Values && self.is_open(&plain) { Holds::One } else { holds };
        let name: Arc<str> = spelling::simple(&plain.name).into();
        let (size, ty) = (plain.layout.size.unwrap_or(0), Some(plain.ty));
        self.intern(Use { name, holds, size, ty, shape: None, inside: Inside::default() })
    }

    /// Whether it ends in an array without a bound, or with one of none or one: there may be more behind it.
    fn is_open(&mut self, plain: &Plain) -> bool {
        let Some(last) = members(&plain.layout).last() else { return false };
        let of_last = self.described.plain(Ty { id: last.ty, ..plain.ty });
        of_last.is_some_and(|last| matches!(last.layout.kind, TypeKind::Array { count: None | Some(0 | 1), .. }))
    }

    /// A block that a container keeps its elements in.
    fn elements(&mut self, ty: Ty, container: &str) -> Option<UseId> {
        let plain = self.described.plain(ty)?;
        let name = format!("{}[] of {container}", spelling::simple(&plain.name)).into();
        let (size, ty) = (plain.layout.size.unwrap_or(0), Some(plain.ty));
        // Of a pointer by itself its container is what refers.
        let is_pointer = matches!(plain.layout.kind, TypeKind::Pointer(_));
        let container = is_pointer.then(|| container.into());
        let (holds, inside) = (Holds::Counted, Inside { container, ..Inside::default() });
        Some(self.intern(Use { name, holds, size, ty, shape: None, inside }))
    }

    /// A block with that name, of which no more is told.
    fn fixed(&mut self, name: String) -> UseId {
        let (holds, inside) = (Holds::Nothing, Inside::default());
        self.intern(Use { name: name.into(), holds, size: 0, ty: None, shape: None, inside })
    }

    /// A node of a container: pointers to its base lead to more of them.
    fn node(&mut self, ty: Ty, base: &'static str, container: Option<&Arc<str>>) -> Option<UseId> {
        let plain = self.described.plain(ty)?;
        let name = match container {
            Some(container) => format!("node of {container}").into(),
            None => spelling::simple(&plain.name).into(),
        };
        let (size, ty) = (plain.layout.size.unwrap_or(0), Some(plain.ty));
        let next = u32::try_from(self.uses.len()).ok()?;
        let inside = |node| Inside { container: container.cloned(), node: Some((base, node)), initialised: false };
        // It leads to itself: its own position is part of what it is.
        let known = self.use_by.get(&(ty, Arc::clone(&name), Inside::default()));
        if let Some(known) = known {
            return Some(*known);
        }
        self.use_by.insert((ty, Arc::clone(&name), Inside::default()), next);
        self.uses.push(Use { name, holds: Holds::One, size, ty, shape: None, inside: inside(next) });
        Some(next)
    }

    fn intern(&mut self, new: Use) -> UseId {
        let key = (new.ty, Arc::clone(&new.name), new.inside.clone());
        if let Some(known) = self.use_by.get(&key) {
            return *known;
        }
        let id = u32::try_from(self.uses.len()).unwrap_or(u32::MAX);
        self.use_by.insert(key, id);
        self.uses.push(new);
        id
    }
}

/// A structure whose slots are added.
struct Part<'p> {
    plain: &'p Plain,
    offset: u64,
    path: &'p str,
    inside: &'p Inside,
    /// Of what is in it.
    depth: usize,
    slots: &'p mut Vec<Slot>,
}

/// Where what is added lies.
struct Place<'p> {
    offset: u64,
    path: &'p str,
    inside: &'p Inside,
    depth: usize,
}

impl Part<'_> {
    /// Adds a slot of it; its offset counts from the structure's start.
    fn push(&mut self, offset: u64, kind: Kind) {
        let offset = self.offset.saturating_add(offset);
        self.slots.push(Slot { offset, path: self.path.into(), kind });
    }

    /// Adds the slots of its members, which are in something else.
    fn add_members(&mut self, shapes: &mut Shapes<'_>, inside: &Inside) {
        let plain = self.plain;
        for member in members(&plain.layout) {
            let offset = self.offset.saturating_add(member.offset);
            shapes.add(Ty { id: member.ty, ..plain.ty }, offset, self.path, inside, self.depth, self.slots);
        }
    }
}
