//! The types that the debug information of all modules describes, each of them one: every unit repeats those that it
//! uses.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHasher};
use symbols::{Member, TypeId, TypeKind, TypeLayout};

use crate::target::{Module, Target};

/// Typedefs and qualifiers around a type are followed this far, pointers to pointers too.
const MAX_LINKS: usize = 16;
/// Bases and members that a part is looked for in, one in the other.
const MAX_DEPTH: usize = 8;
/// Bases and members beyond this many are not looked at.
const MAX_PARTS: usize = 1 << 12;

/// A type of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ty {
    /// Position of the module.
    pub module: usize,
    pub id: TypeId,
}

/// A type without typedefs and qualifiers.
#[derive(Clone, Debug)]
pub(super) struct Plain {
    /// The first that was met of those that are the same.
    pub ty: Ty,
    /// What it is called: by its typedef where it has no name itself.
    pub name: Arc<str>,
    pub layout: Arc<TypeLayout>,
}

/// What tells a type from others of its name.
type Key = (Arc<str>, Option<u64>, u64);

/// Reads types, each once.
pub(super) struct Described<'a> {
    target: &'a Target,
    plain: FxHashMap<Ty, Option<Plain>>,
    same: FxHashMap<Key, Plain>,
    named: FxHashMap<String, Option<Ty>>,
}

impl<'a> Described<'a> {
    pub(super) fn new(target: &'a Target) -> Described<'a> {
        let (plain, same, named) = Default::default();
        Described { target, plain, same, named }
    }

    pub(super) fn module(&self, ty: Ty) -> Option<&'a Module> {
        self.target.modules.get(ty.module)
    }

    /// The type without typedefs and qualifiers; `None` where it is `void`, or cannot be read.
    pub(super) fn plain(&mut self, ty: Ty) -> Option<Plain> {
        self.plain_at(ty, 0)
    }

    fn plain_at(&mut self, ty: Ty, depth: usize) -> Option<Plain> {
        if let Some(known) = self.plain.get(&ty) {
            return known.clone();
        }
        let found = self.read(ty, depth);
        self.plain.insert(ty, found.clone());
        found
    }

    fn read(&mut self, ty: Ty, depth: usize) -> Option<Plain> {
        let module = self.module(ty)?;
        let (mut at, mut alias) = (ty, None);
        for _ in 0..MAX_LINKS {
            let layout = module.symbols().type_layout(at.id)?;
            match layout.kind {
                TypeKind::Alias(target) => {
                    // `const` around a typedef adds a word; of several typedefs the outermost is the name.
                    let name = layout.name.trim_end_matches(" const").trim_end_matches(" volatile");
                    alias.get_or_insert_with(|| name.to_owned());
                    at = Ty { id: target?, ..at };
                }
                TypeKind::Opaque => return Some(self.defined(at, layout)),
                _ => {
                    let is_unnamed = layout.name.starts_with("{unnamed");
                    let name = alias.filter(|_| is_unnamed).unwrap_or_else(|| layout.name.clone());
                    return Some(self.unified(at, name, layout, depth));
                }
            }
        }
        None
    }

    /// What this module only declares another may define.
    fn defined(&mut self, at: Ty, layout: TypeLayout) -> Plain {
        let definition = self.named(&layout.name).filter(|definition| definition.module != at.module);
        let found = definition.and_then(|ty| Some((ty, self.module(ty)?.symbols().type_layout(ty.id)?)));
        match found {
            Some((ty, definition)) => self.unified(ty, definition.name.clone(), definition, 0),
            None => self.unified(at, layout.name.clone(), layout, 0),
        }
    }

    fn unified(&mut self, ty: Ty, name: String, layout: TypeLayout, depth: usize) -> Plain {
        let name: Arc<str> = name.into();
        let mut hasher = FxHasher::default();
        match &layout.kind {
            TypeKind::Structure { members, .. } | TypeKind::Union(members) => {
                members.iter().for_each(|member| (&member.name, member.offset).hash(&mut hasher));
            }
            TypeKind::Pointer(Some(target)) if depth < MAX_LINKS => {
                let to = self.plain_at(Ty { id: *target, ..ty }, depth.saturating_add(1));
                to.map(|to| to.ty).hash(&mut hasher);
            }
            TypeKind::Array { element, count, .. } if depth < MAX_LINKS => {
                let of = self.plain_at(Ty { id: *element, ..ty }, depth.saturating_add(1));
                (of.map(|of| of.ty), count).hash(&mut hasher);
            }
            _ => {}
        }
        let key = (Arc::clone(&name), layout.size, hasher.finish());
        self.same.entry(key).or_insert_with(|| Plain { ty, name, layout: Arc::new(layout) }).clone()
    }

    /// The structure of that full name, of whichever module.
    pub(super) fn named(&mut self, name: &str) -> Option<Ty> {
        if let Some(known) = self.named.get(name) {
            return *known;
        }
        let in_module = |module: &Module| Some(Ty { module: module.index, id: module.symbols().type_named(name)? });
        let found = self.target.modules.iter().find_map(in_module);
        self.named.insert(name.to_owned(), found);
        found
    }

    /// The types that a template was given.
    pub(super) fn parameters(&self, ty: Ty) -> Vec<Ty> {
        let found = self.module(ty).map(|module| module.symbols().type_parameters(ty.id)).unwrap_or_default();
        found.into_iter().map(|(_, id)| Ty { id, ..ty }).collect()
    }

    /// The part of that name in a structure, its bases and its members: the first of those that lie least deep. Its
    /// offset and type.
    pub(super) fn part(&mut self, ty: Ty, name: &str) -> Option<(u64, Ty)> {
        let mut level = vec![(0u64, ty)];
        for _ in 0..MAX_DEPTH {
            let mut next = Vec::new();
            for (offset, ty) in level {
                let Some(plain) = self.plain(ty) else { continue };
                for Member { name: of_member, ty: id, offset: inside, .. } in members(&plain.layout) {
                    let part = (offset.checked_add(*inside)?, Ty { id: *id, ..plain.ty });
                    if of_member.as_deref() == Some(name) {
                        return Some(part);
                    }
                    if next.len() >= MAX_PARTS {
                        return None;
                    }
                    next.push(part);
                }
            }
            level = next;
        }
        None
    }

    /// The first pointer in a structure, in order of declaration: what a library's smart pointer comes down to.
    pub(super) fn pointer(&mut self, ty: Ty) -> Option<u64> {
        let mut left = MAX_PARTS;
        self.pointer_at(ty, 0, &mut left)
    }

    fn pointer_at(&mut self, ty: Ty, depth: usize, left: &mut usize) -> Option<u64> {
        *left = left.checked_sub(1)?;
        let plain = self.plain(ty)?;
        if matches!(plain.layout.kind, TypeKind::Pointer(_)) {
            return Some(0);
        }
        if depth >= MAX_DEPTH {
            return None;
        }
        members(&plain.layout).iter().find_map(|member| {
            let inside = self.pointer_at(Ty { id: member.ty, ..plain.ty }, depth.saturating_add(1), left)?;
            member.offset.checked_add(inside)
        })
    }
}

/// The members of a structure; none of what is none.
pub(super) fn members(layout: &TypeLayout) -> &[Member] {
    match &layout.kind {
        TypeKind::Structure { members, .. } => members,
        _ => &[],
    }
}
