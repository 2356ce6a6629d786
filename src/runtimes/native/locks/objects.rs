//! Which object holds a lock that no global variable does: found through the variables of the frames that use it.
//!
//! Input: the stacks of threads that wait for the lock or hold it. Output: `mutex in shop::Account at 0x…` where a pointer, a
//! reference or a smart pointer leads to the object, `guard.lock of 4719 main` where it is a local variable itself.

use symbols::{Part, TypeId, TypeKind, Variable};

use crate::model::{Addr, OsThread};
use crate::runtimes::native::observations::Observations;
use crate::target::Module;
use crate::variables::{AtEntry, Context, Place};

/// Frames of one thread that are looked at, innermost first.
const MAX_FRAMES: usize = 24;
/// Smart pointers are structures around structures around a pointer.
const MAX_DEPTH: usize = 6;
/// A structure is taken for a smart pointer up to this size.
const MAX_SMART_POINTER: u64 = 16;
/// A type without a size reaches no further than this.
const MAX_OBJECT: u64 = 1 << 20;

/// What the frames of a thread call the object that holds `address`.
pub(super) fn named_by(observations: &Observations<'_>, index: usize, address: Addr) -> Option<String> {
    let thread = observations.scene.threads.get(index)?;
    let stack = observations.scene.stacks.get(index)?;
    for (place, (frame, registers)) in stack.frames.iter().zip(stack.each_registers()).take(MAX_FRAMES).enumerate() {
        let Some(module) = observations.scene.target.module_at(frame.pc) else { continue };
        let Some(bias) = module.mapped.bias else { continue };
        let Some(locals) = module.svma(frame.lookup()).and_then(|svma| module.symbols().locals(svma)) else { continue };
        let entered = AtEntry::new(observations.scene.target, stack, place);
        let at_entry = |register| entered.value(register);
        let context =
            Context { frame, registers: &registers, memory: observations.memory(), bias, at_entry: &at_entry };
        let found = locals.variables.iter().find_map(|variable| {
            let place = context.place(&locals, &variable.location)?;
            local(module, variable, place, address)
                .map(|path| format!("{path} of {}", label(observations, index, thread)))
                .or_else(|| pointed_to(&context, module, variable, place, address))
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

fn label(observations: &Observations<'_>, index: usize, thread: &OsThread) -> String {
    match super::super::start::start(observations, index) {
        Some(start) => format!("{} {start}", thread.tid),
        None => thread.tid.to_string(),
    }
}

/// The path to the lock in a variable that is on the stack.
fn local(module: &Module, variable: &Variable, place: Place, address: Addr) -> Option<String> {
    let Place::Memory(start) = place else { return None };
    let ty = variable.ty?;
    let offset = address.since(start)?;
    let size = module.symbols().type_layout(ty)?.size?;
    if offset >= size {
        return None;
    }
    let part = module.symbols().part_of(ty, offset)?;
    Some(format!("{}{}", variable.name.as_deref()?, part.path))
}

/// The path to the lock in the object that a variable points to.
fn pointed_to(
    context: &Context<'_>,
    module: &Module,
    variable: &Variable,
    place: Place,
    address: Addr,
) -> Option<String> {
    let (pointee, at) = pointer(module, variable.ty?, 0)?;
    let object = match place {
        Place::Value(value) if at == 0 => Addr(value),
        Place::Value(_) => return None,
        Place::Memory(start) => context.memory.ptr(start.plus(at)?).ok()?,
    };
    let (pointee, object) = counted(module, pointee, object).unwrap_or((pointee, object));
    let offset = address.since(object)?;
    let layout = module.symbols().type_layout(pointee)?;
    if offset >= layout.size.unwrap_or(0).min(MAX_OBJECT) || is_a_librarys(&layout.name) {
        return None;
    }
    let Part { path, .. } = module.symbols().part_of(pointee, offset)?;
    let member = path.strip_prefix('.').unwrap_or(&path);
    (!member.is_empty()).then(|| format!("{member} in {} at {object}", layout.name))
}

/// Types whose variables are the lock itself, or hold it for a library's own ends: they tell a reader nothing.
fn is_a_librarys(name: &str) -> bool {
    const LIBRARIES: [&str; 9] =
        ["std::", "core::", "alloc::", "__", "pthread_", "{unnamed", "parking_lot", "lock_api::", "sem_t"];
    LIBRARIES.iter().any(|library| name.starts_with(library))
}

/// The type that a pointer, a reference or a smart pointer leads to, and where in the variable the pointer is.
fn pointer(module: &Module, ty: TypeId, depth: usize) -> Option<(TypeId, u64)> {
    if depth > MAX_DEPTH {
        return None;
    }
    let layout = module.symbols().type_layout(ty)?;
    match layout.kind {
        TypeKind::Pointer(pointee) => Some((resolved(module, pointee?)?, 0)),
        TypeKind::Alias(other) => pointer(module, other?, depth.saturating_add(1)),
        TypeKind::Structure { members, .. } if layout.size? <= MAX_SMART_POINTER => members.iter().find_map(|member| {
            let (pointee, at) = pointer(module, member.ty, depth.saturating_add(1))?;
            Some((pointee, at.checked_add(member.offset)?))
        }),
        _ => None,
    }
}

/// The type behind qualifiers and other names.
fn resolved(module: &Module, mut ty: TypeId) -> Option<TypeId> {
    for _ in 0..MAX_DEPTH {
        match module.symbols().type_layout(ty)?.kind {
            TypeKind::Alias(other) => ty = other?,
            _ => return Some(ty),
        }
    }
    None
}

/// The content of a structure that Rust's `Arc` and `Rc` point to.
fn counted(module: &Module, ty: TypeId, object: Addr) -> Option<(TypeId, Addr)> {
    let layout = module.symbols().type_layout(ty)?;
    let counted = ["alloc::sync::ArcInner<", "alloc::rc::RcInner<", "alloc::rc::RcBox<"];
    let TypeKind::Structure { members, .. } = layout.kind else { return None };
    if !counted.iter().any(|name| layout.name.starts_with(name)) {
        return None;
    }
    // Source: library/alloc/src/sync.rs and rc.rs: the counts, then `data` or `value`.
    let content = members.iter().find(|member| matches!(member.name.as_deref(), Some("data" | "value")))?;
    Some((content.ty, object.plus(content.offset)?))
}
