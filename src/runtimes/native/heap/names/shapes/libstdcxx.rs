//! Containers of GCC's libstdc++. Those of other C++ libraries are followed as their members' types say, which leads to
//! the buffers of vectors and to what smart pointers own, and not into the nodes of lists, trees and tables.
//!
//! Sources: libstdc++-v3/include/bits of GCC 12: stl_vector.h, stl_deque.h, stl_list.h, forward_list.h, stl_tree.h,
//! hashtable.h, basic_string.h, and ext/aligned_buffer.h. Names of members stand there since GCC 5; offsets are read
//! from the debug information.

use std::sync::Arc;

use super::super::described::Ty;
use super::super::spelling::{arguments_of, simple, without_versions};
use super::{Deque, Inside, Kind, Part, Shapes};

/// Containers that others are built of: what these are called stays with their nodes.
const NAMED: [&str; 8] = [
    "std::map<",
    "std::set<",
    "std::multimap<",
    "std::multiset<",
    "std::unordered_map<",
    "std::unordered_set<",
    "std::unordered_multimap<",
    "std::unordered_multiset<",
];

/// Adds the slots of a structure, if it is one of the library's; whether it is.
pub(super) fn add(shapes: &mut Shapes<'_>, part: &mut Part<'_>) -> bool {
    if !part.plain.name.starts_with("std::") && !part.plain.name.starts_with("__gnu_cxx::") {
        return false;
    }
    let full = Arc::clone(&part.plain.name);
    let name = without_versions(&full);
    let is = |start: &str| name.starts_with(start);
    if NAMED.iter().any(|start| is(start)) {
        let inside = Inside { container: Some(simple(&full).into()), ..Inside::default() };
        part.add_members(shapes, &inside);
        return true;
    }
    let found = if is("std::vector<") {
        vector(shapes, part, &name)
    } else if is("std::basic_string<") {
        string(shapes, part, &name)
    } else if is("std::deque<") {
        deque(shapes, part)
    } else if is("std::list<") {
        linked(shapes, part, &full, ("std::_List_node<", "std::__detail::_List_node_base"))
    } else if is("std::forward_list<") {
        linked(shapes, part, &full, ("std::_Fwd_list_node<", "std::_Fwd_list_node_base"))
    } else if is("std::_Rb_tree<") {
        tree(shapes, part, &full)
    } else if is("std::_Hashtable<") {
        table(shapes, part, &full)
    } else if is("__gnu_cxx::__aligned_membuf<") || is("__gnu_cxx::__aligned_buffer<") {
        buffer(shapes, part)
    } else if is("std::_Optional_payload_base<") {
        optional(shapes, part)
    } else {
        None
    };
    found.is_some()
}

fn vector(shapes: &mut Shapes<'_>, part: &mut Part<'_>, name: &str) -> Option<()> {
    let ty = part.plain.ty;
    let container = simple(&part.plain.name);
    if name.starts_with("std::vector<bool") {
        let of = shapes.fixed(format!("bits of {container}"));
        let (at, _) = shapes.described.part(ty, "_M_p")?;
        part.push(at, Kind::Pointer(of));
        return Some(());
    }
    let (start, _) = shapes.described.part(ty, "_M_start")?;
    let (end, _) = shapes.described.part(ty, "_M_finish")?;
    let element = *shapes.described.parameters(ty).first()?;
    let of = shapes.elements(element, &container)?;
    let end = part.offset.checked_add(end)?;
    part.push(start, Kind::Range { end, of });
    Some(())
}

fn string(shapes: &mut Shapes<'_>, part: &mut Part<'_>, name: &str) -> Option<()> {
    // The older one, without a length, keeps its characters behind a header: GCC before 5, and
    // _GLIBCXX_USE_CXX11_ABI=0.
    shapes.described.part(part.plain.ty, "_M_string_length")?;
    let (at, _) = shapes.described.part(part.plain.ty, "_M_p")?;
    let of = match arguments_of(name).first() {
        Some(&"char") => shapes.fixed("std::string buffer".to_owned()),
        Some(&"wchar_t") => shapes.fixed("std::wstring buffer".to_owned()),
        _ => shapes.fixed(format!("buffer of {}", simple(name))),
    };
    part.push(at, Kind::Pointer(of));
    Some(())
}

fn deque(shapes: &mut Shapes<'_>, part: &mut Part<'_>) -> Option<()> {
    let ty = part.plain.ty;
    let container = simple(&part.plain.name);
    let (map, _) = shapes.described.part(ty, "_M_map")?;
    let mut iterator = |name: &str| {
        let (at, of_iterator) = shapes.described.part(ty, name)?;
        let mut offsets = [0; 4];
        for (offset, part_name) in offsets.iter_mut().zip(["_M_cur", "_M_first", "_M_last", "_M_node"]) {
            let (inside, _) = shapes.described.part(of_iterator, part_name)?;
            *offset = part.offset.checked_add(at)?.checked_add(inside)?;
        }
        Some(offsets)
    };
    let (start, finish) = (iterator("_M_start")?, iterator("_M_finish")?);
    let element = *shapes.described.parameters(ty).first()?;
    let node = shapes.elements(element, &container)?;
    let of_map = shapes.fixed(format!("map of {container}"));
    part.push(map, Kind::Deque(Deque { map: of_map, node, start, finish }));
    Some(())
}

/// The type of a node, as its container's arguments spell it: GCC writes `> >`, Clang `>>`.
fn node_type(shapes: &mut Shapes<'_>, template: &str, arguments: &[&str]) -> Option<Ty> {
    let inside = arguments.join(", ");
    let spelled = [format!("{template}{inside} >"), format!("{template}{inside}>")];
    let gcc_first = usize::from(!inside.ends_with('>'));
    let mut order = spelled.iter().cycle().skip(gcc_first).take(2);
    order.find_map(|name| shapes.named(name))
}

fn linked(
    shapes: &mut Shapes<'_>,
    part: &mut Part<'_>,
    name: &str,
    (template, base): (&str, &'static str),
) -> Option<()> {
    let element = *arguments_of(name).first()?;
    let node = node_type(shapes, template, &[element])?;
    let container: Arc<str> = simple(name).into();
    let node = shapes.node(node, base, Some(&container))?;
    let inside = Inside { container: Some(container), node: Some((base, node)), initialised: false };
    part.add_members(shapes, &inside);
    Some(())
}

fn tree(shapes: &mut Shapes<'_>, part: &mut Part<'_>, name: &str) -> Option<()> {
    const BASE: &str = "std::_Rb_tree_node_base";
    let value = *arguments_of(name).get(1)?;
    let node = node_type(shapes, "std::_Rb_tree_node<", &[value])?;
    let node = shapes.node(node, BASE, part.inside.container.as_ref())?;
    let inside = Inside { node: Some((BASE, node)), ..part.inside.clone() };
    part.add_members(shapes, &inside);
    Some(())
}

fn table(shapes: &mut Shapes<'_>, part: &mut Part<'_>, name: &str) -> Option<()> {
    const BASE: &str = "std::__detail::_Hash_node_base";
    let arguments = arguments_of(name);
    let (value, traits) = (*arguments.get(1)?, *arguments.last()?);
    // _Hashtable_traits<whether hashes are kept, …>
    let keeps_hash = *arguments_of(traits).first()?;
    let node = node_type(shapes, "std::__detail::_Hash_node<", &[value, keeps_hash])?;
    let node = shapes.node(node, BASE, part.inside.container.as_ref())?;
    let inside = Inside { node: Some((BASE, node)), ..part.inside.clone() };
    part.add_members(shapes, &inside);
    Some(())
}

/// Room for a value that the container makes in it.
fn buffer(shapes: &mut Shapes<'_>, part: &mut Part<'_>) -> Option<()> {
    let value = *shapes.described.parameters(part.plain.ty).first()?;
    shapes.add(value, part.offset, part.path, &Inside::default(), part.depth, part.slots);
    Some(())
}

fn optional(shapes: &mut Shapes<'_>, part: &mut Part<'_>) -> Option<()> {
    let ty = part.plain.ty;
    let value = *shapes.described.parameters(ty).first()?;
    let (at, _) = shapes.described.part(ty, "_M_payload")?;
    let (engaged, of_engaged) = shapes.described.part(ty, "_M_engaged")?;
    let size = shapes.described.plain(of_engaged)?.layout.size?;
    let mut slots = Vec::new();
    let inside = Inside::default();
    shapes.add(value, part.offset.checked_add(at)?, part.path, &inside, part.depth, &mut slots);
    if let Some(case) = shapes.keep(Arc::clone(&part.plain.name), part.plain.layout.size, slots) {
        let by = Some((part.offset.checked_add(engaged)?, size));
        part.push(0, Kind::Variant { by, cases: vec![(Some(1), case)] });
    }
    Some(())
}
