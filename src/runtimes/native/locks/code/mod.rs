//! Who holds a lock that does not say, judged from code: a frame's function has taken it and not given it back before the
//! call that the frame is in.
//!
//! Input: stacks and the modules' code. Output: for each wanted lock the threads with such a frame. x86-64 only.

mod state;
mod taken;

use std::cell::{Cell, RefCell};

use rustc_hash::{FxHashMap, FxHashSet};

use self::taken::{Callee, Question, Taken};
use crate::model::{Addr, Arch, Frame, FrameKind, Register, Stack, Taking};
use crate::runtimes::native::callee;
use crate::runtimes::native::calls::{Call, Namer};
use crate::runtimes::native::ground::Ground;

/// Functions that return with the lock that their first argument points to, by their symbols without leading underscores.
// Source: POSIX pthread.h, ISO C threads.h.
const LOCKING: &[&str] = &["pthread_mutex_lock", "pthread_rwlock_wrlock", "mtx_lock"];
const UNLOCKING: &[&str] = &["pthread_mutex_unlock", "pthread_rwlock_unlock", "mtx_unlock"];
/// Parts of demangled names. Source: rust library/std/src/sys/sync/{mutex,rwlock}/futex.rs; parking_lot 0.12 src/raw_mutex.rs,
/// raw_rwlock.rs; libstdc++ bits/std_mutex.h.
const LOCKING_PARTS: &[&str] = &[
    "::lock_contended",
    "::write_contended",
    "RawMutex::lock_slow",
    "RawRwLock::lock_exclusive_slow",
    "std::mutex::lock()",
];
const UNLOCKING_PARTS: &[&str] = &["RawMutex::unlock_slow", "RawRwLock::unlock_exclusive_slow", "std::mutex::unlock()"];
/// These end a guard, which leads to its lock.
const ENDING_PARTS: &[&str] = &["Guard", "lock_guard", "unique_lock", "scoped_lock"];

/// Instructions that are executed for all questions of one dump: about a second's work. Functions that lock nothing are
/// asked about once for all threads, so that only a dump made for it needs that many.
const MAX_INSTRUCTIONS: usize = 4_000_000;

/// Registers that calls preserve: DWARF number, the processor's number. Source: psABI 3.2.1 and figure 3.36.
const PRESERVED: [(u16, usize); 6] = [(3, 3), (6, 5), (12, 12), (13, 13), (14, 14), (15, 15)];
const STACK_POINTER: usize = 4;

/// Answers for many threads; remembers which calls are in functions that lock nothing.
pub(super) struct ByCode<'a> {
    ground: &'a Ground<'a>,
    namer: Namer<'a>,
    callees: RefCell<FxHashMap<Addr, Callee>>,
    vain: RefCell<FxHashSet<(Addr, Addr)>>,
    budget: Cell<usize>,
}

impl<'a> ByCode<'a> {
    pub(super) fn new(ground: &'a Ground<'a>) -> ByCode<'a> {
        ByCode {
            ground,
            namer: Namer::new(ground.scene.target, ground.libc.in_executable),
            callees: RefCell::default(),
            vain: RefCell::default(),
            budget: Cell::new(MAX_INSTRUCTIONS),
        }
    }

    /// Whether questions were left unanswered because all of them together would cost too much.
    pub(super) fn is_exhausted(&self) -> bool {
        self.budget.get() == 0
    }

    /// The locks that a thread's frames have taken, as [`ByCode::takings`] gives them.
    pub(super) fn taken(&self, stack: &Stack, gives_up: bool) -> Vec<Addr> {
        self.takings(stack, gives_up).into_iter().map(|taking| taking.lock).collect()
    }

    /// The locks that a thread's frames have taken, innermost frame first. `gives_up`: its innermost own frame waits on a
    /// condition variable, and has given up the lock that it waits with.
    pub(super) fn takings(&self, stack: &Stack, gives_up: bool) -> Vec<Taking> {
        self.own_frames(stack)
            .skip(usize::from(gives_up))
            .filter(|(_, frame, start)| !self.vain.borrow().contains(&(*start, frame.pc)))
            .flat_map(|(index, frame, start)| {
                let Taken { held, sites, any, .. } = self.ask(stack, index, frame, start);
                if !any {
                    self.vain.borrow_mut().insert((start, frame.pc));
                }
                held.into_iter().map(move |lock| Taking { lock, frame: index, at: sites.get(&lock).copied() })
            })
            .collect()
    }

    /// What the innermost of the program's own frames gives its call as the first argument.
    pub(super) fn argument(&self, stack: &Stack) -> Option<Addr> {
        let (index, frame, start) = self.own_frames(stack).next()?;
        self.ask(stack, index, frame, start).argument.map(Addr)
    }

    /// What a thread's own frames give the functions that they call and that satisfy `wanted` (a symbol), as the first argument.
    pub(super) fn arguments_to(&self, stack: &Stack, wanted: impl Fn(&str) -> bool) -> Vec<Addr> {
        self.own_frames(stack)
            .filter(|(_, frame, _)| {
                callee::called(self.ground.scene.target, frame.pc).is_some_and(|name| wanted(&name))
            })
            .filter_map(|(index, frame, start)| self.ask(stack, index, frame, start).argument.map(Addr))
            .collect()
    }

    /// The frames of the program's own functions that wait for a call to return, innermost first: place in the stack, frame,
    /// the function's first instruction. As far as registers were kept.
    fn own_frames<'s>(&'s self, stack: &'s Stack) -> impl Iterator<Item = (usize, &'s Frame, Addr)> {
        let understood = self.ground.scene.target.arch() == Arch::X86_64;
        let frames = stack.frames.iter().enumerate().take(if understood { stack.registers.len() } else { 0 });
        frames.filter_map(|(index, frame)| match self.namer.calls(frame).last() {
            Some(Call { start: Some(start), runtime: false, .. })
                if frame.kind == FrameKind::Native && frame.returns =>
            {
                Some((index, frame, *start))
            }
            _ => None,
        })
    }

    fn ask(&self, stack: &Stack, index: usize, frame: &Frame, start: Addr) -> Taken {
        let registers = |index: usize, into: &mut [Option<u64>; 16]| {
            let known = stack.registers_at(index);
            for (dwarf, number) in PRESERVED {
                if let (Some(slot), Some(known)) = (into.get_mut(number), known) {
                    *slot = known.get(Register(dwarf));
                }
            }
        };
        let (mut entry, mut now) = ([None; 16], [None; 16]);
        registers(index, &mut now);
        registers(index.saturating_add(1), &mut entry);
        // The return address is right above the stack pointer that the function began with.
        if let (Some(slot), Some(base)) = (entry.get_mut(STACK_POINTER), frame.cfa) {
            *slot = base.minus(8).map(|at| at.0);
        }
        let callee = |target: Addr| self.callee(target);
        let (memory, budget) = (self.ground.memory(), &self.budget);
        Question { memory, callee: &callee, budget, start, site: frame.pc, entry, now }.answer()
    }

    fn callee(&self, target: Addr) -> Callee {
        if let Some(known) = self.callees.borrow().get(&target) {
            return *known;
        }
        let name = callee::function(self.ground.scene.target, target);
        let callee = name.as_deref().map_or(Callee::Other, classify);
        self.callees.borrow_mut().insert(target, callee);
        callee
    }
}

fn classify(symbol: &str) -> Callee {
    let plain = symbol.trim_start_matches('_');
    if LOCKING.contains(&plain) {
        return Callee::Locks;
    }
    if UNLOCKING.contains(&plain) {
        return Callee::Unlocks;
    }
    let name = symbols::demangle(symbol).replace(['<', '>'], "");
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if has(LOCKING_PARTS) {
        Callee::Locks
    } else if has(UNLOCKING_PARTS) {
        Callee::Unlocks
    } else if name.contains("unlock") || ((name.contains("drop_in_place") || name.contains('~')) && has(ENDING_PARTS)) {
        Callee::UnlocksSome
    } else {
        Callee::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locking_functions_are_known_by_their_symbols() {
        assert_eq!(classify("__pthread_mutex_lock"), Callee::Locks);
        assert_eq!(classify("pthread_mutex_unlock"), Callee::Unlocks);
        // std::sys::sync::mutex::futex::Mutex::lock_contended, legacy mangling
        let contended = "_ZN3std3sys4sync5mutex5futex5Mutex14lock_contended17h0123456789abcdefE";
        assert_eq!(classify(contended), Callee::Locks);
        // std::unique_lock<std::mutex>::~unique_lock()
        assert_eq!(classify("_ZNSt11unique_lockISt5mutexED1Ev"), Callee::UnlocksSome);
        assert_eq!(classify("_ZN4shop7reserveEv"), Callee::Other);
    }
}
