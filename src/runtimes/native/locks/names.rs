//! What a lock is called: the variable that holds it, the object on the heap, the stack that it lies on.

use crate::model::{Addr, Gap, Known, LockKind};

use super::Ground;

/// Objects larger than this are not searched for the type that starts them.
const MAX_OBJECT: u64 = 0x400;

/// The name of the lock at `address`; `Ok(None)` when nothing names it, `Err` when its module's symbols are missing.
pub(super) fn name(ground: &Ground<'_>, kind: LockKind, address: Addr) -> Known<Option<String>> {
    if kind == LockKind::Join {
        return Ok(joined(ground, address));
    }
    let target = ground.scene.target;
    if let Some((_, symbol, offset)) = target.object(address) {
        let name = symbols::demangle(&symbol.name);
        return Ok(Some(if offset == 0 { name.into_owned() } else { format!("{name}+{offset:#x}") }));
    }
    if let Some(module) = target.module_at(address) {
        let name = module.file_name().unwrap_or("module");
        return match module.svma(address) {
            Some(svma) if module.elf().is_some() => Ok(Some(format!("{name}+{:#x}", svma.0))),
            _ => Err(Gap::NoSymbols(format!("{name} is not at hand"))),
        };
    }
    Ok(on_a_stack(ground, address).or_else(|| in_an_object(ground, address)))
}

fn joined(ground: &Ground<'_>, pthread: Addr) -> Option<String> {
    let (index, thread) =
        ground.scene.threads.iter().enumerate().find(|(_, thread)| ground.libc.pthread_of(thread) == Some(pthread))?;
    let start = super::super::start::start(ground, index);
    Some(start.map_or_else(|| format!("thread {}", thread.tid), |start| format!("thread {} {start}", thread.tid)))
}

/// `stack of 4719`: a lock that is a local variable.
fn on_a_stack(ground: &Ground<'_>, address: Addr) -> Option<String> {
    let threads = &mut ground.scene.threads.iter();
    let thread = threads.find(|thread| ground.live_stack(thread).is_some_and(|stack| stack.contains(&address)))?;
    Some(format!("stack of {}", thread.tid))
}

/// `in shop::Account at 0x…`: the nearest word before the lock that is the address of a class's virtual functions.
fn in_an_object(ground: &Ground<'_>, address: Addr) -> Option<String> {
    // The vtable's address points past offset-to-top and type_info. Source: Itanium C++ ABI 2.5.2.
    const ADDRESS_POINT: u64 = 16;
    let aligned = Addr(address.0 & !7);
    (0..MAX_OBJECT / 8).find_map(|words| {
        let object = aligned.minus(words.checked_mul(8)?)?;
        let table = ground.memory().ptr(object).ok()?;
        let (_, symbol, offset) = ground.scene.target.object(table)?;
        let class = symbols::demangle(&symbol.name);
        let class = class.strip_prefix("vtable for ").filter(|_| offset >= ADDRESS_POINT)?;
        Some(format!("in {class} at {object}"))
    })
}
