//! What a lock is called: the variable that holds it, the object on the heap, the stack that it lies on.

use crate::model::{Addr, Gap, Known, LockKind};
use crate::target::Module;

use super::kinds;
use super::objects;
use crate::runtimes::native::observations::Observations;

/// Objects larger than this are not searched for the type that starts them.
const MAX_OBJECT: u64 = 0x400;
/// Threads whose variables are asked for one lock's object.
const MAX_ASKED: usize = 4;

/// The name of the lock at `address`, which the threads at `users` wait for or hold; `Ok(None)` when nothing names it, `Err`
/// when its module's symbols are missing.
pub(super) fn name(
    observations: &Observations<'_>,
    kind: LockKind,
    address: Addr,
    users: &[usize],
) -> Known<Option<String>> {
    if kind == kinds::JOIN {
        return Ok(joined(observations, address));
    }
    // The state of a future is nobody's but the library's.
    if kind == kinds::FUTURE {
        return Ok(None);
    }
    if let Some(module) = observations.scene.target.module_at(address) {
        return global(observations, module, kind, address).map(|name| Some(name).filter(|name| !is_a_pool(name)));
    }
    let by_frames = users.iter().take(MAX_ASKED).find_map(|index| objects::named_by(observations, *index, address));
    Ok(by_frames.or_else(|| in_an_object(observations, address)).or_else(|| on_a_stack(observations, address)))
}

fn joined(observations: &Observations<'_>, pthread: Addr) -> Option<String> {
    let id = observations.libc.tid_in(pthread).and_then(|at| observations.memory().u32(at).ok());
    let tid = id.and_then(|id| observations.tids.thread(id))?;
    let (index, thread) = observations.scene.threads.iter().enumerate().find(|(_, thread)| thread.tid == tid)?;
    let start = super::super::start::start(observations, index);
    Some(start.map_or_else(|| format!("thread {}", thread.tid), |start| format!("thread {} {start}", thread.tid)))
}

/// `g_orders`, `g_cache.shards[2].mutex_`, `g_cache+0x40`, `app+0x4040`: as precisely as symbols and debug information tell.
fn global(observations: &Observations<'_>, module: &Module, kind: LockKind, address: Addr) -> Known<String> {
    let file = module.file_name().unwrap_or("module");
    let missing = || Gap::NoSymbols(format!("{file} is not at hand"));
    let svma = module.svma(address).ok_or_else(missing)?;
    let symbol = observations.scene.target.object(address);
    if let Some((_, symbol, 0)) = &symbol
        && is_the_lock(kind, symbol.size)
    {
        return Ok(symbols::demangle(&symbol.name).into_owned());
    }
    // Reads the module's debug information, so only for what the symbol alone does not tell.
    if let Some(part) = module.symbols().global_at(svma).filter(|part| !part.path.is_empty()) {
        return Ok(if part.offset == 0 { part.path } else { format!("{}+{:#x}", part.path, part.offset) });
    }
    Ok(match symbol {
        Some((_, symbol, 0)) => symbols::demangle(&symbol.name).into_owned(),
        Some((_, symbol, offset)) => format!("{}+{offset:#x}", symbols::demangle(&symbol.name)),
        None if module.elf().is_none() => return Err(missing()),
        None => format!("{file}+{:#x}", svma.0),
    })
}

/// Whether it is the table of words on which libstdc++ waits for variables that are no futex words themselves.
// Source: gcc 12 <bits/atomic_wait.h>, __waiter_pool_base::_S_for.
fn is_a_pool(name: &str) -> bool {
    name.starts_with("std::__detail::__waiter_pool")
}

/// Whether a variable of `size` bytes that begins with a lock is the lock, and no structure whose first member it is.
// Source of the sizes: sizeof in glibc's pthreadtypes-arch.h and semaphore.h for x86-64 and aarch64, musl's alltypes.h.in.
fn is_the_lock(kind: LockKind, size: u64) -> bool {
    match kind {
        kinds::MUTEX
        | kinds::MUTEX_RECURSIVE
        | kinds::MUTEX_ERRORCHECK
        | kinds::MUTEX_ADAPTIVE
        | kinds::MUTEX_ROBUST
        | kinds::MUTEX_PRIORITY_INHERIT
        | kinds::MUTEX_PRIORITY_PROTECT => matches!(size, 40 | 48),
        kinds::RWLOCK => size == 56,
        kinds::CONDVAR => size == 48,
        // A `std::counting_semaphore` is its counter.
        kinds::SEMAPHORE => matches!(size, 4 | 8 | 32),
        kinds::BARRIER => size == 32,
        // A std::latch is one counter. Source: libstdc++ 12 and 13 <latch>, libc++ 14 <latch>.
        kinds::LATCH => matches!(size, 4 | 8),
        kinds::ATOMIC => matches!(size, 1 | 2 | 4 | 8 | 16),
        kinds::ONCE => matches!(size, 4 | 8),
        kinds::LIBC | kinds::FUTEX => matches!(size, 4 | 8 | 16),
        // A Rust lock holds its data; the path would end at it anyway.
        _ => true,
    }
}

/// `stack of 4719`: a lock that is a local variable.
fn on_a_stack(observations: &Observations<'_>, address: Addr) -> Option<String> {
    let threads = &mut observations.scene.threads.iter();
    let thread =
        threads.find(|thread| observations.live_stack(thread).is_some_and(|stack| stack.contains(&address)))?;
    Some(format!("stack of {}", thread.tid))
}

/// `mutex in shop::Account at 0x…`: the nearest word before the lock that is the address of a class's virtual functions,
/// provided that an object of that class, or the allocation that it begins, reaches to the lock.
fn in_an_object(observations: &Observations<'_>, address: Addr) -> Option<String> {
    let aligned = Addr(address.0 & !7);
    let objects = (0..MAX_OBJECT / 8).filter_map(|words| aligned.minus(words.checked_mul(8)?));
    let (object, module, class) = objects
        .into_iter()
        .find_map(|object| class_of(observations, object).map(|(module, class)| (object, module, class)))?;
    let offset = address.since(object)?;
    let ty = module.symbols().type_named(&class);
    let size = ty.and_then(|ty| module.symbols().type_layout(ty)?.size).or_else(|| allocated(observations, object))?;
    if offset >= size {
        return None;
    }
    let part = ty.and_then(|ty| module.symbols().part_of(ty, offset));
    let member = part.as_ref().map(|part| part.path.trim_start_matches('.')).filter(|path| !path.is_empty());
    Some(match member {
        Some(member) => format!("{member} in {class} at {object}"),
        None => format!("in {class} at {object}"),
    })
}

/// Bytes of the allocation that begins at `object`, where glibc's malloc made it.
// The word before is the chunk's size, header included, with three flags. Source: glibc 2.36 malloc/malloc.c, "A note about
// chunk sizes": at least 32 bytes, a multiple of 16.
fn allocated(observations: &Observations<'_>, object: Addr) -> Option<u64> {
    let size = observations.memory().u64(object.minus(8)?).ok()?;
    let whole = size & !7;
    let plausible = observations.libc.may_be_glibc() && object.is_aligned(16) && whole & 15 == 0;
    (plausible && (32..1 << 30).contains(&whole)).then(|| whole.saturating_sub(8))
}

/// The class whose virtual functions the first word of an object points to.
fn class_of<'a>(observations: &Observations<'a>, object: Addr) -> Option<(&'a Module, String)> {
    // The vtable's address points past offset-to-top and type_info. Source: Itanium C++ ABI 2.5.2; mangled names: 5.1.4.
    const ADDRESS_POINT: u64 = 16;
    let table = observations.memory().ptr(object).ok()?;
    let (module, symbol, offset) = observations.scene.target.object(table)?;
    let class = symbol.name.strip_prefix("_ZTV").filter(|_| offset >= ADDRESS_POINT)?;
    // A class's own name is mangled as a type; `_ZTS` would be its name's string. A function's parameter shows it alone.
    let shown = symbols::demangle(&format!("_Z1fP{class}")).into_owned();
    let class = shown.strip_prefix("f(")?.strip_suffix("*)")?;
    Some((module, class.to_owned()))
}
