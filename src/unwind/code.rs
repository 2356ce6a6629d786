//! What is known about places in the code: their tables, what they are, which calls lead to them. Found once, kept for
//! all threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustc_hash::FxHashMap;

use super::cache::{Cache, Found};
use super::call::{self, Call};
use super::cfi::{Scratch, Tables};
use super::epilogue;
use super::flow::{self, Flow};
use super::go;
use super::image::{self, Image, Place};
use super::own::{Beyond, Unwind};
use super::room::Room;
use super::rules::Row;
use super::signal;
use super::start;
use crate::capture::Memory;
use crate::model::{Addr, Arch};
use crate::target::{Module, Target};

/// Work that may be spent on code without tables, in instructions looked at (or what costs as much, about 30 ns), for
/// one target: 3 s. All threads of a program on musl take some 100,000; a hostile dump could ask for more with every
/// word of its stacks.
const MAX_WORK: usize = 100_000_000;
/// What an answer costs at least: it is kept, 100 bytes each.
const LEAST_WORK: usize = 256;

/// A place in the code.
pub(super) struct Site {
    /// What it is.
    pub(super) kind: Kind,
    /// Rules that were derived from the instructions, once they proved right for some thread.
    pub(super) derived: OnceLock<Row>,
    /// Where the most plausible caller was found for some thread: bytes from the stack pointer to its frame, return
    /// address.
    pub(super) plausible: OnceLock<(u64, Addr)>,
    /// Set once nothing but the chain of frame pointers led on from here: the code here keeps it.
    pub(super) chained: OnceLock<()>,
}

/// What a place in the code is.
pub(super) enum Kind {
    /// A runtime unwinds it itself: the one at this place.
    Own(usize),
    /// Call frame information of the module with this index covers it.
    Tabled(Row, usize, Place),
    /// Go's own table of frame sizes covers it.
    Counted(Row),
    /// The trampoline into which a signal handler returns.
    Trampoline,
    /// The code that the kernel starts a process or thread with; it has no caller.
    Outermost,
    /// Code without tables.
    Bare,
    /// Not mapped, or not executable.
    Wild,
}

/// What stands before an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// A call; its target where the instruction and the memory tell.
    Call(Option<Addr>),
    /// Something else.
    NoCall,
    /// The bytes are not at hand.
    Unreadable,
}

/// The code of one target.
pub(super) struct CodeMap {
    target: Arc<Target>,
    images: Vec<Image>,
    sites: Cache<(Addr, bool), Site>,
    followed: Mutex<FxHashMap<(Addr, Addr, bool), Arc<Flow>>>,
    scratches: Mutex<Vec<Scratch>>,
    /// What its stacks may still take.
    pub(super) room: Room,
    work: AtomicUsize,
    /// Executable mappings, ascending, disjoint: first address, one past the last.
    executable: Vec<(u64, u64)>,
    /// Runtimes that unwind code of their own.
    own: Vec<Arc<dyn Unwind>>,
}

impl CodeMap {
    /// Lists the executable mappings; everything else is found when asked for.
    pub(super) fn new(target: Arc<Target>, own: Vec<Arc<dyn Unwind>>) -> CodeMap {
        let images = target.modules.iter().map(|_| Image::default()).collect();
        let executable = executable(&target);
        CodeMap {
            target,
            images,
            sites: Cache::new(),
            followed: Mutex::default(),
            scratches: Mutex::default(),
            room: Room::default(),
            work: AtomicUsize::new(0),
            executable,
            own,
        }
    }

    /// The target's processor.
    pub(super) fn arch(&self) -> Arch {
        self.target.arch()
    }

    /// The target's memory.
    pub(super) fn memory(&self) -> &Memory {
        &self.target.memory
    }

    /// Takes an amount of work from what one target may cost; `false` when that is used up.
    pub(super) fn may_spend(&self, work: usize) -> bool {
        self.work.fetch_add(work, Ordering::Relaxed).saturating_add(work) <= MAX_WORK
    }

    /// The place at `pc`; a return address belongs to the call before it.
    pub(super) fn site(&self, pc: Addr, returns: bool) -> Found<'_, Site> {
        self.sites.get((pc, returns), || Site {
            kind: self.kind(pc, returns),
            derived: OnceLock::new(),
            plausible: OnceLock::new(),
            chained: OnceLock::new(),
        })
    }

    /// The runtime that unwinds a place of kind [`Kind::Own`].
    pub(super) fn owner(&self, index: usize) -> Option<&dyn Unwind> {
        self.own.get(index).map(AsRef::as_ref)
    }

    /// The next frame of a runtime's own code above a place of a stack, as the runtime records it.
    pub(super) fn beyond(&self, sp: Addr) -> Option<Beyond> {
        self.own.iter().find_map(|own| own.beyond(sp))
    }

    /// The tables that a row's expressions are in.
    pub(super) fn tables(&self, module: usize, place: Place) -> Option<&Tables> {
        self.images.get(module)?.tables(place)
    }

    /// Whether an address is in an executable mapping.
    pub(super) fn is_code(&self, addr: Addr) -> bool {
        let after = self.executable.partition_point(|(start, _)| *start <= addr.0);
        after.checked_sub(1).and_then(|index| self.executable.get(index)).is_some_and(|(_, end)| addr.0 < *end)
    }

    /// Whether an address is in code that was made at run time: in an executable mapping of no ELF file.
    pub(super) fn is_generated(&self, addr: Addr) -> bool {
        let elf = || {
            let module = self.target.module_at(addr)?;
            // A file that is not at hand is an ELF file unless the dump shows that it begins otherwise.
            let begins = self.memory().slice(module.mapped.base, 4);
            Some(module.elf().is_some() || begins.is_ok_and(|magic| magic == b"\x7fELF") || begins.is_err())
        };
        self.is_code(addr) && elf() != Some(true)
    }

    /// Whether a call stands before `return_address`, and where it leads.
    pub(super) fn before(&self, return_address: Addr) -> Before {
        if !return_address.minus(1).is_some_and(|last| self.is_code(last)) {
            return Before::NoCall;
        }
        let Some(code) = self.bytes_before(return_address) else { return Before::Unreadable };
        let mut found = Before::NoCall;
        for reading in call::calls_before(self.arch(), code) {
            let target = match reading {
                Call::Direct(offset) => match return_address.offset(offset).filter(|target| self.is_code(*target)) {
                    Some(target) => Some(target),
                    None => continue, // bytes of another instruction that happen to look like a call
                },
                Call::Slot(offset) => {
                    let slot = return_address.offset(offset).and_then(|slot| self.memory().ptr(slot).ok());
                    slot.filter(|target| self.is_code(*target))
                }
                Call::Indirect => None,
            };
            match found {
                Before::Call(Some(_)) => break,
                _ => found = Before::Call(target),
            }
        }
        found
    }

    /// Whether a call that states `target`, code or not, stands before `return_address`.
    pub(super) fn calls(&self, return_address: Addr, target: Addr) -> bool {
        let code = self.bytes_before(return_address).unwrap_or_default();
        call::calls_before(self.arch(), code)
            .any(|call| matches!(call, Call::Direct(offset) if return_address.offset(offset) == Some(target)))
    }

    /// The bytes before an address, as many as a call can have; fewer near the start of a mapping.
    fn bytes_before(&self, return_address: Addr) -> Option<&[u8]> {
        (2..=call::LONGEST).rev().find_map(|length| self.memory().slice(return_address.minus(length)?, length).ok())
    }

    /// The start of the function that holds `lookup`, where a symbol with a size covers it.
    pub(super) fn function_start(&self, lookup: Addr) -> Option<Addr> {
        let module = self.target.module_at(lookup)?;
        let symbol = self.target.function(lookup)?;
        let start = module.addr(symbol.svma)?;
        (lookup.since(start)? < symbol.size).then_some(start)
    }

    /// What following the code from `start` to `pc` shows.
    pub(super) fn follow(&self, start: Addr, pc: Addr, returns: bool) -> Arc<Flow> {
        let lock = || self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&(start, pc, returns)) {
            return Arc::clone(known);
        }
        if !self.may_spend(flow::MAX_INSTRUCTIONS) {
            return Arc::new(Flow::Unknown);
        }
        let (flow, work) = flow::follow(self.memory(), self.arch(), start, pc, returns);
        self.give_back_work(flow::MAX_INSTRUCTIONS.saturating_sub(work.max(LEAST_WORK)));
        let flow = Arc::new(flow);
        lock().insert((start, pc, returns), Arc::clone(&flow));
        flow
    }

    /// Rules under which the function that stands at `pc` may return.
    pub(super) fn returns_from(&self, pc: Addr, returns: bool) -> Vec<Row> {
        if !self.may_spend(epilogue::MAX_INSTRUCTIONS) {
            return Vec::new();
        }
        epilogue::returns_from(self.memory(), self.arch(), pc, returns)
    }

    /// Work that was taken and not needed.
    fn give_back_work(&self, work: usize) {
        self.work.fetch_sub(work, Ordering::Relaxed);
    }

    fn kind(&self, pc: Addr, returns: bool) -> Kind {
        let lookup = if returns { Addr(pc.0.saturating_sub(1)) } else { pc };
        if let Some(owner) = self.own.iter().position(|own| own.owns(lookup)) {
            return Kind::Own(owner);
        }
        if self.is_code(pc) && self.is_trampoline(pc) {
            return Kind::Trampoline;
        }
        if !self.is_code(lookup) {
            return Kind::Wild;
        }
        // musl's tables (made from its assembly) have a caller for clone, which is clone itself.
        if returns && start::is_thread_start(self.arch(), self.memory(), pc) {
            return Kind::Outermost;
        }
        let Some(module) = self.target.module_at(lookup) else { return Kind::Bare };
        let original = self.target.modules.get(module.index);
        if let Some((original, image)) = original.zip(self.images.get(module.index)) {
            let mut scratch = self.scratch().unwrap_or_default();
            let at = self.target.original(lookup);
            let row = image.row(original, self.memory(), self.arch(), at, &mut scratch);
            self.put_back(scratch);
            let go = go::frame(module, lookup);
            if returns && go.is_some_and(|frame| frame.switches) {
                return Kind::Outermost;
            }
            if let Some((place, row)) = row {
                // Its caller was interrupted, whatever the compiler's tables say.
                let signal = row.signal || go.is_some_and(|frame| frame.injected);
                return Kind::Tabled(Row { signal, ..row }, module.index, place);
            }
            if let Some(frame) = go {
                return Kind::Counted(go::row(self.arch(), frame));
            }
        }
        let entry = image::entry(module, self.memory());
        let in_start_code =
            entry.and_then(|entry| lookup.since(entry)).is_some_and(|offset| offset < start::MAX_START_CODE);
        if in_start_code { Kind::Outermost } else { Kind::Bare }
    }

    fn is_trampoline(&self, pc: Addr) -> bool {
        self.memory().slice_up_to(pc, signal::TRAMPOLINE).is_ok_and(|code| signal::is_trampoline(self.arch(), code))
    }

    fn scratch(&self) -> Option<Scratch> {
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put_back(&self, scratch: Scratch) {
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }
}

/// The code of a module by its file: small dumps list the pages alone that they hold.
fn of_file(module: &Module) -> impl Iterator<Item = (u64, u64)> {
    let segments = module.elf().map(|elf| elf.segments()).unwrap_or_default();
    let code = segments.iter().filter(|segment| segment.execute);
    code.filter_map(|segment| {
        Some((module.addr(segment.svma)?.0, module.addr(segment.svma)?.plus(segment.mem_size)?.0))
    })
}

/// The executable mappings; a module of which no mapping is recorded counts as a whole.
fn executable(target: &Target) -> Vec<(u64, u64)> {
    let regions = target.memory.regions();
    let mut ranges: Vec<(u64, u64)> =
        regions.iter().filter(|region| region.access.execute).map(|region| (region.start.0, region.end.0)).collect();
    ranges.extend(
        target
            .modules
            .iter()
            .map(|module| (module.mapped.base, module.mapped.end))
            .filter(|(base, end)| !regions.iter().any(|region| region.start < *end && *base < region.end))
            .map(|(base, end)| (base.0, end.0)),
    );
    ranges.extend(target.modules.iter().flat_map(of_file));
    ranges.sort_unstable();
    let mut disjoint: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match disjoint.last_mut() {
            Some((_, last)) if start <= *last => *last = end.max(*last),
            _ => disjoint.push((start, end)),
        }
    }
    disjoint
}
