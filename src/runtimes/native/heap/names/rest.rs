//! Blocks that no type names: text by its bytes, the others by their size and by what refers to them.

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::found::Entry;
use super::patterns::{Pattern, Patterns};
use super::walk::NONE;
use crate::error::Error;
use crate::heap::{HeapType, Naming, ObjectId, Objects, References, RootKind};
use crate::job::Job;
use crate::model::Addr;
use crate::runtimes::native::heap::sizes;
use crate::target::Target;

/// Objects looked at at once.
const CHUNK: u32 = 1 << 14;
/// Groups beyond this many are not told apart.
const MAX_GROUPS: usize = 1 << 16;
/// Of larger owners without a name the offset tells nothing.
const MAX_OWNER: u64 = 256;
/// The shortest text that is taken for text by its bytes alone: 12 printable characters at random are one in a hundred
/// thousand.
const MIN_TEXT: u64 = 12;
/// The longest that is looked at.
const MAX_TEXT: u64 = 1 << 20;

/// Bytes of the largest container that tells what it holds: a deque.
const HOLDER: u64 = 80;

/// A pointer to the last bytes of a block is one to the header of the next.
const HEADER: u64 = 16;

/// Who refers to a block is kept as the address of the word, with these in its highest bits: the lowest is kept.
const BY_NAMED: u64 = 0;
const BY_GLOBAL: u64 = 1 << 62;
const BY_UNNAMED: u64 = 2 << 62;
const BY_OTHER: u64 = 3 << 62;
const INTO_MIDST: u64 = 1 << 61;
const NOBODY: u64 = u64::MAX;
const KIND: u64 = 3 << 62;
const ADDRESS: u64 = (1 << OTHER_SHIFT) - 1;
/// Of [`BY_OTHER`] where in [`OTHERS`] its kind stands.
const OTHER_SHIFT: u32 = 57;
/// What refers to a block from outside of the heap, and is no variable of a module.
const OTHERS: [RootKind; 5] =
    [RootKind::Stack, RootKind::ThreadLocal, RootKind::Register, RootKind::Mapping, RootKind::Handle];

/// Positions of blocks without a name stand in place of their type, behind this bit.
const RANK: u32 = 1 << 31;

/// What is known when the last names have been given.
pub(super) struct Rest<'a> {
    pub target: &'a Target,
    pub objects: &'a Objects,
    /// The types recorded in objects.
    pub recorded: &'a [HeapType],
    pub entries: &'a [Entry],
    /// Of each size class its type, as [`sizes::class`] counts.
    pub classes: &'a [HeapType],
    /// What an allocator takes for so many bytes in this object's place.
    pub takes: &'a (dyn Fn(ObjectId, u64) -> u64 + Sync),
    pub pointer: u64,
    /// What refers to them from outside.
    pub references: &'a dyn References,
}

/// Types for all blocks that have none, to be put behind the entries; `types` gets them.
pub(super) fn group(rest: &Rest<'_>, types: &mut [u32], job: &Job) -> Result<Vec<(String, Naming)>, Error> {
    let mut unnamed: Vec<ObjectId> = Vec::new();
    for (id, of_type) in (0u32..).zip(types.iter_mut()) {
        if *of_type == NONE {
            *of_type = RANK | u32::try_from(unnamed.len()).unwrap_or(0);
            unnamed.push(id);
        }
    }
    job.phase("looking for what refers to the rest", rest.objects.len().into());
    let owners: Vec<AtomicU64> = unnamed.iter().map(|_| AtomicU64::new(NOBODY)).collect();
    let patterns = Patterns::new(&rest.target.memory, rest.objects, rest.takes);
    let patterns = (rest.pointer == 8 && has_cxx(rest)).then_some(&patterns);
    let seen = Seen { rest, types, owners: &owners, patterns };
    seen.objects(job)?;
    seen.roots(job)?;
    let texts: Vec<bool> = unnamed
        .par_iter()
        .map(|id| {
            patterns.into_iter().for_each(|patterns| patterns.links(*id));
            is_text(rest, *id)
        })
        .collect();
    job.check()?;
    let mut groups = Groups::default();
    let mut found = Vec::with_capacity(unnamed.len());
    for ((id, owner), is_text) in unnamed.iter().zip(&owners).zip(&texts) {
        if found.len().is_multiple_of(CHUNK as usize) {
            job.check()?;
        }
        let owner = owner.load(Ordering::Relaxed);
        found.push(match (patterns.and_then(|patterns| patterns.of(*id)), is_text) {
            (Some(pattern), _) => seen.of_container(pattern, owner, &mut groups),
            (None, true) => groups.get(("text".to_owned(), Naming::Contents)),
            (None, false) => seen.group(*id, owner, &mut groups),
        });
    }
    let first = u32::try_from(rest.recorded.len().saturating_add(rest.entries.len())).unwrap_or(u32::MAX);
    for (id, group) in unnamed.iter().zip(found) {
        if let Some(of_type) = types.get_mut(*id as usize) {
            *of_type = first.saturating_add(group);
        }
    }
    Ok(groups.all)
}

/// Whether there is C++ in the process: where there is none, nothing is a container of its library.
fn has_cxx(rest: &Rest<'_>) -> bool {
    let is_library = |file: &str| file.starts_with("libstdc++") || file.starts_with("libc++");
    !rest.recorded.is_empty() || rest.target.modules.iter().any(|module| module.file_name().is_some_and(is_library))
}

/// Whether a block is text and nothing else: printable up to a zero byte, in a block of just that size.
fn is_text(rest: &Rest<'_>, id: ObjectId) -> bool {
    let (Some(at), bytes) = (rest.objects.address(id), rest.objects.bytes(id)) else { return false };
    let Ok(content) = rest.target.memory.slice_up_to(at, bytes.min(MAX_TEXT)) else { return false };
    let printable = |byte: &&u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let len = content.iter().take_while(printable).count();
    let ends = content.get(len) == Some(&0);
    let needed = len as u64;
    ends && needed >= MIN_TEXT && (rest.takes)(id, needed.saturating_add(1)) == bytes
}

#[derive(Default)]
struct Groups {
    all: Vec<(String, Naming)>,
    by_name: FxHashMap<(String, Naming), u32>,
    /// By size class, the owner's type, the offset in it.
    known: FxHashMap<(usize, u32, u64), u32>,
    /// By size class and the address of the variable's word.
    globals: FxHashMap<(usize, u64), u32>,
}

impl Groups {
    fn get(&mut self, name: (String, Naming)) -> u32 {
        if let Some(known) = self.by_name.get(&name) {
            return *known;
        }
        let id = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.all.push(name.clone());
        self.by_name.insert(name, id);
        id
    }

    fn is_full(&self) -> bool {
        self.all.len() >= MAX_GROUPS
    }
}

/// The references that were seen.
struct Seen<'s, 'a> {
    rest: &'s Rest<'a>,
    types: &'s [u32],
    owners: &'s [AtomicU64],
    patterns: Option<&'s Patterns<'s>>,
}

impl Seen<'_, '_> {
    /// Notes a word that refers to a block without a name; with the bytes that begin with it.
    fn note(&self, at: Addr, to: Addr, kind: u64, from: Option<ObjectId>, bytes: &[u8]) {
        let Some(object) = self.rest.objects.holding(to).filter(|object| Some(*object) != from) else { return };
        let rank = self.types.get(object as usize).filter(|of_type| is_rank(**of_type)).map(|rank| rank & !RANK);
        let Some(owner) = rank.and_then(|rank| self.owners.get(rank as usize)) else { return };
        let inside = self.rest.objects.address(object).and_then(|start| to.since(start)).unwrap_or(0);
        if inside.saturating_add(HEADER) >= self.rest.objects.bytes(object) && inside > 0 {
            return;
        }
        if let Some(patterns) = self.patterns.filter(|_| inside == 0) {
            patterns.holder(object, bytes);
        }
        let where_to = if inside == 0 { 0 } else { INTO_MIDST };
        owner.fetch_min(kind | where_to | (at.0 & ADDRESS), Ordering::Relaxed);
    }

    fn note_object(&self, at: Addr, object: ObjectId, kind: u64) {
        let rank = self.types.get(object as usize).filter(|of_type| is_rank(**of_type)).map(|rank| rank & !RANK);
        if let Some(owner) = rank.and_then(|rank| self.owners.get(rank as usize)) {
            owner.fetch_min(kind | (at.0 & ADDRESS), Ordering::Relaxed);
        }
    }

    fn words(&self, start: Addr, bytes: &[u8], kind: u64, from: Option<ObjectId>) {
        let Some(heap) = self.rest.objects.bounds() else { return };
        let mut at = start;
        let pointer = usize::try_from(self.rest.pointer).unwrap_or(8);
        for (index, to) in self.rest.target.memory.pointers(bytes).enumerate() {
            if heap.contains(&to) {
                let behind = bytes.get(index.saturating_mul(pointer)..).unwrap_or_default();
                self.note(at, to, kind, from, behind);
            }
            at = Addr(at.0.wrapping_add(self.rest.pointer));
        }
    }

    fn objects(&self, job: &Job) -> Result<(), Error> {
        let count = self.rest.objects.len();
        let chunk = |first: u32| {
            let last = first.saturating_add(CHUNK).min(count);
            for id in first..last {
                let kind = match self.types.get(id as usize) {
                    Some(of_type) if is_rank(*of_type) => BY_UNNAMED,
                    // Behind what characters there are lies what was there before.
                    Some(of_type) if self.entry(*of_type).is_some_and(|entry| entry.ty.is_none()) => continue,
                    _ => BY_NAMED,
                };
                let (Some(at), bytes) = (self.rest.objects.address(id), self.rest.objects.bytes(id)) else { continue };
                if let Ok(content) = self.rest.target.memory.slice_up_to(at, bytes) {
                    self.words(at, content, kind, Some(id));
                }
            }
            job.advance(last.saturating_sub(first).into())
        };
        let chunks: Vec<u32> = (0..count).step_by(CHUNK as usize).collect();
        chunks.into_par_iter().try_for_each(chunk)
    }

    /// What is outside of the heap.
    fn roots(&self, job: &Job) -> Result<(), Error> {
        let memory = &self.rest.target.memory;
        self.rest.references.roots(self.rest.objects, job, &mut |root, object| {
            let at = root.at.unwrap_or_default();
            let kind = match OTHERS.iter().position(|kind| *kind == root.kind) {
                Some(other) => BY_OTHER | (other as u64) << OTHER_SHIFT,
                None => BY_GLOBAL,
            };
            match root.at.map(|at| memory.ptr(at)) {
                Some(Ok(to)) => self.note(at, to, kind, None, memory.slice_up_to(at, HOLDER).unwrap_or_default()),
                _ => self.note_object(at, object, kind),
            }
            Ok(())
        })
    }

    fn group(&self, id: ObjectId, owner: u64, groups: &mut Groups) -> u32 {
        let class = sizes::class(self.rest.objects.bytes(id));
        let size = self.rest.classes.get(class).map_or("", |of_type| of_type.name.as_str());
        let size = size.trim_start_matches('(').trim_end_matches(')');
        let plain = (format!("({size})"), Naming::Size);
        if owner == NOBODY || groups.is_full() {
            return groups.get(plain);
        }
        let at = Addr(owner & ADDRESS);
        if owner & KIND == BY_OTHER {
            let kind = (owner & !KIND & !INTO_MIDST) >> OTHER_SHIFT;
            let kind = OTHERS.get(usize::try_from(kind).unwrap_or(usize::MAX)).copied();
            let by = match kind {
                Some(RootKind::Stack) => "a stack",
                Some(RootKind::ThreadLocal) => "a thread-local variable",
                Some(RootKind::Register) => "a register",
                _ => "memory outside the heap",
            };
            return groups.get((format!("({size}, by {by})"), Naming::Size));
        }
        if owner & KIND == BY_GLOBAL {
            if let Some(known) = groups.globals.get(&(class, at.0)) {
                return *known;
            }
            let group = match self.variable(at) {
                Some(name) => groups.get((format!("({size}, by {name})"), Naming::Size)),
                None => groups.get(plain),
            };
            groups.globals.insert((class, at.0), group);
            return group;
        }
        let Some(owner) = self.rest.objects.holding(at) else { return groups.get(plain) };
        let offset = self.rest.objects.address(owner).and_then(|start| at.since(start)).unwrap_or(0);
        let of_type = self.types.get(owner as usize).copied().unwrap_or(NONE);
        let (key, offset) = if is_rank(of_type) {
            let of_owner = sizes::class(self.rest.objects.bytes(owner));
            let is_small = self.rest.objects.bytes(owner) <= MAX_OWNER;
            (RANK | u32::try_from(of_owner).unwrap_or(0), if is_small { offset } else { u64::MAX })
        } else {
            (of_type, self.in_element(of_type, offset))
        };
        if let Some(known) = groups.known.get(&(class, key, offset)) {
            return *known;
        }
        let group = groups.get((format!("({size}, by {})", self.owner(key, offset)), Naming::Size));
        groups.known.insert((class, key, offset), group);
        group
    }

    /// A group for a part of a container: with who holds it, where that has a name.
    fn of_container(&self, pattern: Pattern, owner: u64, groups: &mut Groups) -> u32 {
        let at = Addr(owner & ADDRESS);
        let by = match owner & KIND {
            _ if owner == NOBODY || !pattern.has_holder() || groups.is_full() => None,
            BY_GLOBAL => self.variable(at),
            BY_NAMED => self.rest.objects.holding(at).and_then(|owner| {
                let offset = self.rest.objects.address(owner).and_then(|start| at.since(start))?;
                let of_type = self.types.get(owner as usize).copied()?;
                Some(self.owner(of_type, self.in_element(of_type, offset)))
            }),
            _ => None,
        };
        let name = by.map_or_else(|| pattern.name().to_owned(), |by| format!("{}, by {by}", pattern.name()));
        groups.get((name, Naming::Contents))
    }

    fn entry(&self, of_type: u32) -> Option<&Entry> {
        self.rest.entries.get((of_type as usize).checked_sub(self.rest.recorded.len())?)
    }

    /// Of elements the offset in each.
    fn in_element(&self, of_type: u32, offset: u64) -> u64 {
        let size = self.entry(of_type).filter(|entry| entry.is_array).and_then(|entry| entry.ty).map(|(_, size)| size);
        match size {
            Some(size) if size > 0 => offset.checked_rem(size).unwrap_or(0),
            _ => offset,
        }
    }

    /// `shop::Order.hidden`, `shop::Order+16`, `(48 bytes)+8`.
    fn owner(&self, of_type: u32, offset: u64) -> String {
        if is_rank(of_type) {
            let class = (of_type & !RANK) as usize;
            let size = self.rest.classes.get(class).map_or("?", |of_type| of_type.name.as_str());
            return if offset == u64::MAX { size.to_owned() } else { format!("{size}+{offset}") };
        }
        let recorded = self.rest.recorded.get(of_type as usize);
        let entry = self.entry(of_type);
        let name = recorded.map_or_else(
            || entry.map_or_else(String::new, |entry| entry.name.to_string()),
            |recorded| recorded.name.clone(),
        );
        let modules = &self.rest.target.modules;
        let ty = match (entry, recorded) {
            (Some(Entry { ty: Some((ty, _)), .. }), _) => modules.get(ty.module).map(|module| (module, ty.id)),
            (_, Some(recorded)) => {
                modules.iter().find_map(|module| Some((module, module.symbols().type_named(&recorded.name)?)))
            }
            _ => None,
        };
        let part = ty.and_then(|(module, id)| module.symbols().part_of(id, offset));
        match part.filter(|part| !part.path.is_empty()) {
            Some(part) if part.offset == 0 => format!("{name}{}", part.path),
            Some(part) => format!("{name}{}+{}", part.path, part.offset),
            None => format!("{name}+{offset}"),
        }
    }

    /// `g_cache.shards[].first`, `g_cache+8`.
    fn variable(&self, at: Addr) -> Option<String> {
        let module = self.rest.target.module_at(at)?;
        let part = module.svma(at).and_then(|at| module.symbols().global_at(at));
        if let Some(part) = part {
            let path = without_indexes(&part.path);
            return Some(if part.offset == 0 { path } else { format!("{path}+{}", part.offset) });
        }
        match self.rest.target.object(at) {
            Some((_, symbol, offset)) => {
                let name = symbols::demangle(&symbol.name);
                Some(if offset == 0 { name.into_owned() } else { format!("{name}+{offset}") })
            }
            None => Some(format!("a variable of {}", module.file_name()?)),
        }
    }
}

fn is_rank(of_type: u32) -> bool {
    of_type & RANK != 0
}

/// `[]` for each `[17]`: elements are not told apart.
fn without_indexes(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('[') {
        text.push_str(before);
        text.push('[');
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_left_out() {
        assert_eq!(without_indexes("g_cache.shards[3].slots[12].first"), "g_cache.shards[].slots[].first");
        assert_eq!(without_indexes("operator[]"), "operator[]");
        assert_eq!(without_indexes("plain"), "plain");
    }
}
