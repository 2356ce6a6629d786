//! Collections of Rust's standard library, and its pointers with a length or a vtable. What else owns memory there
//! (`Box`, `Rc`, `Arc`, `RefCell`, `Mutex`) is followed as its members' types say. Left out: the inner nodes of
//! `BTreeMap`, `LazyLock`.
//!
//! Sources: library/alloc and library/std of Rust 1.95, hashbrown 0.15; the layouts of generic types are the compiler's
//! own choice and are read from the debug information.

use std::sync::Arc;

use super::super::described::{Ty, members};
use super::super::spelling::simple;
use super::{COUNTED, Inside, Kind, Part, Shapes};
use symbols::TypeKind;

/// Adds the slots of a structure, if it is one of Rust's; whether it is.
pub(super) fn add(shapes: &mut Shapes<'_>, part: &mut Part<'_>) -> bool {
    let name = Arc::clone(&part.plain.name);
    let is = |start: &str| name.starts_with(start);
    if is("std::collections::hash::map::HashMap<") || is("std::collections::hash::set::HashSet<") {
        let inside = Inside { container: Some(simple(&name).into()), ..part.inside.clone() };
        part.add_members(shapes, &inside);
        return true;
    }
    let found = if *name == *"alloc::string::String" {
        string(shapes, part)
    } else if is("alloc::vec::Vec<") {
        vector(shapes, part)
    } else if is("alloc::collections::vec_deque::VecDeque<") {
        ring(shapes, part)
    } else if is("hashbrown::raw::RawTable<") {
        table(shapes, part)
    } else if is("std::sync::once_lock::OnceLock<") {
        let inside = Inside { initialised: true, ..part.inside.clone() };
        part.add_members(shapes, &inside);
        Some(())
    } else {
        wide(shapes, part)
    };
    found.is_some()
}

fn string(shapes: &mut Shapes<'_>, part: &mut Part<'_>) -> Option<()> {
    let at = shapes.described.pointer(part.plain.ty)?;
    let of = shapes.fixed("alloc::string::String buffer".to_owned());
    part.push(at, Kind::Pointer(of));
    Some(())
}

fn vector(shapes: &mut Shapes<'_>, part: &mut Part<'_>) -> Option<()> {
    let ty = part.plain.ty;
    let element = *shapes.described.parameters(ty).first()?;
    let (buffer, of_buffer) = shapes.described.part(ty, "buf")?;
    let at = buffer.checked_add(shapes.described.pointer(of_buffer)?)?;
    let (count, _) = shapes.described.part(ty, "len")?;
    let of = shapes.elements(element, &simple(&part.plain.name))?;
    let count = part.offset.checked_add(count)?;
    part.push(at, Kind::Counted { count, of });
    Some(())
}

fn ring(shapes: &mut Shapes<'_>, part: &mut Part<'_>) -> Option<()> {
    let ty = part.plain.ty;
    let element = *shapes.described.parameters(ty).first()?;
    let (buffer, of_buffer) = shapes.described.part(ty, "buf")?;
    let at = buffer.checked_add(shapes.described.pointer(of_buffer)?)?;
    let mut place = |name| part.offset.checked_add(shapes.described.part(ty, name)?.0);
    let (head, count, room) = (place("head")?, place("len")?, place("cap")?);
    let of = shapes.elements(element, &simple(&part.plain.name))?;
    part.push(at, Kind::Ring { head, count, room, of });
    Some(())
}

fn table(shapes: &mut Shapes<'_>, part: &mut Part<'_>) -> Option<()> {
    let ty = part.plain.ty;
    let element = *shapes.described.parameters(ty).first()?;
    let (at, _) = shapes.described.part(ty, "ctrl")?;
    let (mask, _) = shapes.described.part(ty, "bucket_mask")?;
    let container = part.inside.container.as_deref().map_or_else(|| simple(&part.plain.name), str::to_owned);
    let plain = shapes.described.plain(element)?;
    let of = shapes.elements(plain.ty, &container)?;
    let mask = part.offset.checked_add(mask)?;
    part.push(at, Kind::Table { mask, of });
    Some(())
}

/// `&[T]`, `Box<[T]>`, `Box<str>`: data_ptr, length; `Box<dyn Trait>`: pointer, vtable.
fn wide(shapes: &mut Shapes<'_>, part: &mut Part<'_>) -> Option<()> {
    let [one, other] = members(&part.plain.layout) else { return None };
    let (one, other) = if one.offset <= other.offset { (one, other) } else { (other, one) };
    match (one.name.as_deref()?, other.name.as_deref()?) {
        ("data_ptr", "length") => {
            let pointer = shapes.described.plain(Ty { id: one.ty, ..part.plain.ty })?;
            let TypeKind::Pointer(Some(element)) = pointer.layout.kind else { return None };
            let name = simple(&part.plain.name);
            let of = match name.ends_with("str") || name.ends_with("str>") {
                true => shapes.fixed(format!("{name} buffer")),
                false => shapes.elements(Ty { id: element, ..pointer.ty }, &name)?,
            };
            let count = part.offset.checked_add(other.offset)?;
            part.push(one.offset, Kind::Counted { count, of });
            Some(())
        }
        ("pointer" | "data_ptr", "vtable") => {
            let pointer = shapes.described.plain(Ty { id: one.ty, ..part.plain.ty })?;
            let TypeKind::Pointer(Some(to)) = pointer.layout.kind else { return None };
            let to = shapes.described.plain(Ty { id: to, ..pointer.ty });
            let counted = to.and_then(|to| COUNTED.iter().position(|template| to.name.starts_with(template)));
            let vtable = part.offset.checked_add(other.offset)?;
            part.push(one.offset, Kind::Dynamic { vtable, counted });
            Some(())
        }
        _ => None,
    }
}
