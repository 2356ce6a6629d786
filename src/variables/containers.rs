//! Containers of GCC's libstdc++ as what is in them: elements of vectors, maps, sets and hashed tables, what smart pointers lead to.
//!
//! Sources: libstdc++-v3/include/bits of GCC 12: stl_vector.h, stl_tree.h, hashtable_policy.h, unique_ptr.h, shared_ptr_base.h. Names of
//! members stand there since GCC 5; offsets are read from the debug information. What does not look as they say is shown by its
//! members. Left out: `std::vector<bool>`, `std::deque`, `std::list`, containers of other libraries.

use symbols::{Member, TypeId, TypeKind, TypeLayout};

use super::place::Held;
use super::read::{MAX_ELEMENTS, ValueReader};
use crate::model::value::Content;
use crate::model::{Addr, Gap, Known, Value};

/// Structures within structures that are searched for a member.
const MAX_DEPTH: usize = 8;
/// Members that are looked at for one.
const MAX_PARTS: usize = 64;
/// Types that one may be made of: one of more is taken to have a wide number in it.
const MAX_TYPES: usize = 256;
/// Steps from one node of a tree to the next: a tree of more is higher than memory is large.
const MAX_HEIGHT: usize = 128;

/// A member somewhere within a structure: its offset and its type.
type Found = (u64, TypeId);

impl ValueReader<'_> {
    /// What is in a container; `None` for any other structure.
    pub(super) fn container(&self, layout: &TypeLayout, held: &Held, depth: usize) -> Option<Known<Content>> {
        let name = layout.name.replace("std::__cxx11::", "std::");
        let is = |names: &[&str]| names.iter().any(|start| name.starts_with(start));
        if is(&["std::vector<"]) && !is(&["std::vector<bool"]) {
            self.vector(layout, held, depth)
        } else if is(&["std::unique_ptr<", "std::shared_ptr<", "std::weak_ptr<"]) {
            self.owner(layout, held, depth)
        } else if is(&["std::map<", "std::set<", "std::multimap<", "std::multiset<"]) {
            self.tree(layout, held, depth)
        } else if is(&["std::unordered_map<", "std::unordered_set<"]) {
            self.table(layout, held, depth)
        } else {
            None
        }
    }

    fn vector(&self, layout: &TypeLayout, held: &Held, depth: usize) -> Option<Known<Content>> {
        let (start, pointer) = self.find(layout, "_M_start")?;
        let (end, _) = self.find(layout, "_M_finish")?;
        let TypeKind::Pointer(Some(element)) = self.layout(pointer).ok()?.1.kind else { return None };
        let size = self.layout(element).ok()?.1.size.filter(|size| *size > 0)?;
        let read = || {
            let (start, end) = (self.word(held, start)?, self.word(held, end)?);
            let damaged = || Gap::Corrupt(format!("a vector from {} to {}", Addr(start), Addr(end)));
            let bytes = end.checked_sub(start).filter(|bytes| bytes.is_multiple_of(size)).ok_or_else(damaged)?;
            match bytes / size {
                0 => Ok(Content::Array { elements: Vec::new(), left_out: 0, unread: None }),
                count => self.array(element, Some(count), &Held::Memory(Addr(start)), depth),
            }
        };
        Some(read())
    }

    /// A smart pointer is the first pointer in it that leads to no function: what it owns, not who frees it.
    fn owner(&self, layout: &TypeLayout, held: &Held, depth: usize) -> Option<Known<Content>> {
        let name = if layout.name.starts_with("std::unique_ptr<") { "_M_head_impl" } else { "_M_ptr" };
        let is_data = |ty: TypeId| match self.layout(ty).map(|(_, layout)| layout.kind) {
            Ok(TypeKind::Pointer(to)) => {
                to.is_none_or(|to| self.layout(to).is_ok_and(|(_, to)| !matches!(to.kind, TypeKind::Function)))
            }
            _ => false,
        };
        let (offset, ty) =
            self.find_where(layout, &|member| member.name.as_deref() == Some(name) && is_data(member.ty))?;
        let (_, pointer) = self.layout(ty).ok()?;
        let size = pointer.size.unwrap_or(8);
        Some(self.part(held, offset, size).and_then(|part| self.content(&pointer, &part, depth)))
    }

    /// Its nodes in order: the leftmost is in the header, from each the next is found by its links.
    fn tree(&self, layout: &TypeLayout, held: &Held, depth: usize) -> Option<Known<Content>> {
        let Held::Memory(start) = held else { return None };
        let (header, of_header) = self.find(layout, "_M_header")?;
        let (count, _) = self.find(layout, "_M_node_count")?;
        let (_, base) = self.layout(of_header).ok()?;
        let (parent, left, right) =
            (self.find(&base, "_M_parent")?.0, self.find(&base, "_M_left")?.0, self.find(&base, "_M_right")?.0);
        let (at, value) = self.value_in(layout, "_M_t", &base)?;
        let header = start.plus(header)?;
        let word = |node: Addr, offset: u64| self.word(&Held::Memory(node), offset).map(Addr);
        // Source: libstdc++-v3/src/c++98/tree.cc, local_Rb_tree_increment.
        let next = |node: Addr| {
            let mut at = word(node, right)?;
            if at.0 != 0 {
                for _ in 0..MAX_HEIGHT {
                    match word(at, left)? {
                        Addr(0) => return Ok(at),
                        below => at = below,
                    }
                }
                return Err(Gap::Corrupt("the links of a tree".to_owned()));
            }
            let mut below = node;
            for _ in 0..MAX_HEIGHT {
                let above = word(below, parent)?;
                if above == header || word(above, right)? != below {
                    return Ok(above);
                }
                below = above;
            }
            Err(Gap::Corrupt("the links of a tree".to_owned()))
        };
        let read = || {
            let count = self.word(held, count)?;
            let first = if count == 0 { Addr(0) } else { word(header, left)? };
            Ok(self.nodes(first, count, value, at, depth, &next))
        };
        Some(read())
    }

    /// Its nodes in the order of the chain that all of them are in.
    fn table(&self, layout: &TypeLayout, held: &Held, depth: usize) -> Option<Known<Content>> {
        let (first, of_first) = self.find(layout, "_M_before_begin")?;
        let (count, _) = self.find(layout, "_M_element_count")?;
        let (_, base) = self.layout(of_first).ok()?;
        let link = self.find(&base, "_M_nxt")?.0;
        let (at, value) = self.value_in(layout, "_M_h", &base)?;
        let next = |node: Addr| self.word(&Held::Memory(node), link).map(Addr);
        let read = || {
            let (count, first) = (self.word(held, count)?, self.word(held, first)?);
            Ok(self.nodes(Addr(first), count, value, at, depth, &next))
        };
        Some(read())
    }

    /// The values of so many nodes, each `at` bytes behind the node's start.
    fn nodes(
        &self,
        first: Addr,
        count: u64,
        value: TypeId,
        at: u64,
        depth: usize,
        next: &dyn Fn(Addr) -> Known<Addr>,
    ) -> Content {
        let mut elements: Vec<Value> = Vec::new();
        let mut node = Ok(first);
        for _ in 0..count.min(MAX_ELEMENTS) {
            if !self.may_go_on(depth) {
                break;
            }
            match node.and_then(|node| Ok((node, node.plus(at).ok_or_else(|| Gap::Corrupt("a node".to_owned()))?))) {
                Ok((Addr(0), _)) => break,
                Ok((here, place)) => {
                    elements.push(self.at_depth(value, &Held::Memory(place), depth.saturating_add(1)));
                    node = next(here);
                }
                Err(gap) => {
                    elements.push(Value { ty: None, location: None, content: Err(gap) });
                    break;
                }
            }
        }
        let left_out = count.saturating_sub(elements.len() as u64);
        Content::Array { elements, left_out, unread: None }
    }

    /// The type of the values of a container, which keeps them by its member `of`; and where in a node a value is, which begins as `base`
    /// does: behind that. `None` where it may be aligned to more than that.
    fn value_in(&self, layout: &TypeLayout, of: &str, base: &TypeLayout) -> Option<Found> {
        let (_, keeper) = self.find(layout, of)?;
        let (_, value) = self.module.symbols().type_parameters(self.plain(keeper)?).into_iter().nth(1)?;
        let at = base.size?;
        (at.is_multiple_of(16) || !self.is_wide(value, &mut MAX_TYPES.to_owned())).then_some((at, value))
    }

    /// Whether there is a number of 16 bytes in a type, which its values are aligned for then.
    fn is_wide(&self, ty: TypeId, left: &mut usize) -> bool {
        let Some(rest) = left.checked_sub(1) else { return true };
        *left = rest;
        match self.layout(ty) {
            Ok((_, layout)) => match &layout.kind {
                TypeKind::Structure { members, .. } | TypeKind::Union(members) => {
                    members.iter().any(|member| self.is_wide(member.ty, left))
                }
                TypeKind::Array { element, .. } => self.is_wide(*element, left),
                _ => layout.size.is_none_or(|size| size > 8),
            },
            Err(_) => true,
        }
    }

    /// The member of that name, wherever in the structure it is; that which lies least deep.
    fn find(&self, layout: &TypeLayout, name: &str) -> Option<Found> {
        self.find_where(layout, &|member| member.name.as_deref() == Some(name))
    }

    fn find_where(&self, layout: &TypeLayout, is_it: &dyn Fn(&Member) -> bool) -> Option<Found> {
        let mut level: Vec<(u64, Vec<Member>)> = vec![(0, members(&layout.kind))];
        let mut left = MAX_PARTS;
        for _ in 0..MAX_DEPTH {
            let mut next = Vec::new();
            for (offset, members) in level {
                for member in members {
                    left = left.checked_sub(1)?;
                    let at = offset.checked_add(member.offset)?;
                    if is_it(&member) {
                        return Some((at, member.ty));
                    }
                    if let Ok((_, inside)) = self.layout(member.ty) {
                        next.push((at, self::members(&inside.kind)));
                    }
                }
            }
            level = next;
        }
        None
    }
}

fn members(kind: &TypeKind) -> Vec<Member> {
    match kind {
        TypeKind::Structure { members, .. } => members.clone(),
        _ => Vec::new(),
    }
}
