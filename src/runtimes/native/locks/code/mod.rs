//! Who holds a lock that does not say, judged from code: a frame's function has taken it and not given it back before the
//! call that the frame is in.
//!
//! Input: stacks and the modules' code. Output: for each wanted lock the threads with such a frame. x86-64 only.

mod begins;
mod state;
mod taken;

use std::cell::{Cell, RefCell};

use rustc_hash::{FxHashMap, FxHashSet};

use self::state::Held;
pub(super) use self::state::{Hold, Mode};
use self::taken::{Callee, Passed, Question, Site, Taken};
use crate::model::{Acquisition, Addr, Arch, Frame, FrameKind, Register, Stack};
use crate::runtimes::native::callee;
use crate::runtimes::native::calls::Namer;
use crate::runtimes::native::function_start;
use crate::runtimes::native::observations::Observations;

/// Frames of one stack whose code is followed.
const MAX_FRAMES: usize = 48;

/// Functions that return with the lock that their first argument points to, by their symbols without leading underscores.
// Source: POSIX pthread.h, ISO C threads.h; Itanium C++ ABI 3.3.3, "One-time Construction API": who gets past the first call of
// the guard's constructs, the fast way around it does not lead there.
const LOCKING: &[(&str, Mode)] = &[
    ("pthread_mutex_lock", Mode::Alone),
    ("pthread_rwlock_wrlock", Mode::Alone),
    ("pthread_rwlock_rdlock", Mode::Reading),
    ("mtx_lock", Mode::Alone),
    ("cxa_guard_acquire", Mode::Alone),
];
const UNLOCKING: &[&str] =
    &["pthread_mutex_unlock", "pthread_rwlock_unlock", "mtx_unlock", "cxa_guard_release", "cxa_guard_abort"];
/// Parts of demangled names without angle brackets. Source: rust library/std/src/sys/sync/{mutex,rwlock}/futex.rs; parking_lot
/// 0.12 src/raw_mutex.rs, raw_rwlock.rs; libstdc++ 12 bits/std_mutex.h, shared_mutex.
const LOCKING_PARTS: &[(&str, Mode)] = &[
    ("::lock_contended", Mode::Alone),
    ("::write_contended", Mode::Alone),
    ("::read_contended", Mode::Reading),
    ("RawMutex::lock_slow", Mode::Alone),
    ("RawRwLock::lock_exclusive_slow", Mode::Alone),
    ("RawRwLock::lock_shared_slow", Mode::Reading),
    ("std::mutex::lock()", Mode::Alone),
    ("mutex::lock_shared()", Mode::Reading),
    ("__shared_mutex_pthread::lock_shared()", Mode::Reading),
];
const UNLOCKING_PARTS: &[&str] = &[
    "RawMutex::unlock_slow",
    "RawRwLock::unlock_exclusive_slow",
    "RawRwLock::unlock_shared_slow",
    "std::mutex::unlock()",
    "mutex::unlock_shared()",
    "__shared_mutex_pthread::unlock_shared()",
];
/// What makes a guard, as programs without optimisation call it: parts of the name, all of which must occur. Rust passes the
/// place of the result first. Source: libstdc++ 12 shared_mutex; rust library/std/src/sync/poison/{mutex,rwlock}.rs.
const GUARDING_PARTS: &[([&str; 2], Mode)] = &[
    (["::shared_lock(", "std::shared_"], Mode::Reading),
    (["::rwlock::RwLock", "::read"], Mode::Reading),
    (["::rwlock::RwLock", "::write"], Mode::Alone),
    (["::mutex::Mutex", "::lock"], Mode::Alone),
];
/// These end a guard, which leads to its lock.
const ENDING_PARTS: &[&str] = &["Guard", "lock_guard", "unique_lock", "scoped_lock", "shared_lock"];
/// Callers that are asked, one after the other, for what they pass.
const MAX_CALLERS: usize = 4;

/// Instructions that are executed for all questions of one dump: about a second's work. Functions that lock nothing are
/// asked about once for all threads, so that only a dump made for it needs that many.
const MAX_INSTRUCTIONS: usize = 4_000_000;

/// Registers that calls preserve: DWARF number, the processor's number. Source: psABI 3.2.1 and figure 3.36.
const PRESERVED: [(u16, usize); 6] = [(3, 3), (6, 5), (12, 12), (13, 13), (14, 14), (15, 15)];
const STACK_POINTER: usize = 4;

/// Answers for many threads; remembers which calls are in functions that lock nothing.
pub(super) struct ByCode<'a> {
    observations: &'a Observations<'a>,
    namer: Namer<'a>,
    callees: RefCell<FxHashMap<Addr, Callee>>,
    vain: RefCell<FxHashSet<(Addr, Addr)>>,
    /// Beginnings of functions that only code tells, by the return addresses in them.
    begins: RefCell<FxHashMap<Addr, Option<Addr>>>,
    budget: Cell<usize>,
}

impl<'a> ByCode<'a> {
    pub(super) fn new(observations: &'a Observations<'a>) -> ByCode<'a> {
        ByCode {
            observations,
            namer: Namer::new(observations.scene.target, observations.libc.in_executable),
            callees: RefCell::default(),
            vain: RefCell::default(),
            begins: RefCell::default(),
            budget: Cell::new(MAX_INSTRUCTIONS),
        }
    }

    /// Whether questions were left unanswered because all of them together would cost too much.
    pub(super) fn is_exhausted(&self) -> bool {
        self.budget.get() == 0
    }

    /// The locks that a thread's frames have taken, as [`ByCode::acquisitions`] gives them.
    pub(super) fn taken(&self, stack: &Stack, gives_up: bool) -> Vec<Hold> {
        self.found(stack, gives_up).into_iter().map(|(hold, _)| hold).collect()
    }

    /// The locks that a thread's frames have taken, innermost frame first. `gives_up`: its innermost own frame waits on a
    /// condition variable, and has given up the lock that it waits with.
    pub(super) fn acquisitions(&self, stack: &Stack, gives_up: bool) -> Vec<Acquisition> {
        self.found(stack, gives_up).into_iter().map(|(_, acquisition)| acquisition).collect()
    }

    fn found(&self, stack: &Stack, gives_up: bool) -> Vec<(Hold, Acquisition)> {
        self.own_frames(stack)
            .skip(usize::from(gives_up))
            .filter(|(_, frame, start)| !self.vain.borrow().contains(&(*start, frame.pc)))
            .flat_map(|(index, frame, start)| {
                let Taken { held, any, .. } = self.ask(stack, index, frame, start);
                if !any {
                    self.vain.borrow_mut().insert((start, frame.pc));
                }
                let acquisition = move |held: Held| Acquisition { lock: held.hold.lock, frame: index, at: held.sites };
                held.into_iter().map(move |held| (held.hold, acquisition(held)))
            })
            .collect()
    }

    /// What the innermost of the program's own frames gives its call as the first argument.
    pub(super) fn argument(&self, stack: &Stack) -> Option<Addr> {
        let (index, frame, start) = self.own_frames(stack).next()?;
        self.ask(stack, index, frame, start).first_argument()
    }

    /// What a thread's own frames give the functions that they call and that satisfy `wanted` (a symbol), as the first argument.
    pub(super) fn arguments_to(&self, stack: &Stack, wanted: impl Fn(&str) -> bool) -> Vec<Addr> {
        self.own_frames(stack)
            .filter(|(_, frame, _)| {
                callee::called(self.observations.scene.target, frame.pc).is_some_and(|name| wanted(&name))
            })
            .filter_map(|(index, frame, start)| self.ask(stack, index, frame, start).first_argument())
            .collect()
    }

    /// The frames with code of the program's own that wait for a call to return, innermost first: place in the stack, frame,
    /// the function's first instruction. What was inlined into a function of a library counts. At most
    /// [`MAX_FRAMES`] are looked at.
    fn own_frames<'s>(&'s self, stack: &'s Stack) -> impl Iterator<Item = (usize, &'s Frame, Addr)> {
        let understood = self.observations.scene.target.arch() == Arch::X86_64;
        let frames = stack.frames.iter().enumerate().take(if understood { MAX_FRAMES } else { 0 });
        frames.filter_map(|(index, frame)| {
            let own = self.namer.calls(frame).iter().any(|call| !call.runtime);
            own.then(|| Some((index, frame, self.start(stack, index)?)))?
        })
    }

    /// The first instruction of the function of the frame at `index`, where that waits for a call to return.
    fn start(&self, stack: &Stack, index: usize) -> Option<Addr> {
        let frame = stack.frames.get(index)?;
        if frame.kind != FrameKind::Native || !frame.returns {
            return None;
        }
        let named = self.namer.calls(frame).last().and_then(|call| call.start);
        let stated = named.or_else(|| function_start::of(self.observations.scene.target, frame.lookup()));
        stated.or_else(|| {
            let known = self.begins.borrow().get(&frame.pc).copied();
            known.unwrap_or_else(|| {
                let start = begins::of(self.observations.scene.target, stack, index);
                self.begins.borrow_mut().insert(frame.pc, start);
                start
            })
        })
    }

    /// Asks a function; where it takes a lock that its caller passed and that it kept nowhere, the caller too.
    fn ask(&self, stack: &Stack, index: usize, frame: &Frame, start: Addr) -> Taken {
        let taken = self.ask_with(stack, index, frame, start, [None; 6]);
        if !taken.unresolved {
            return taken;
        }
        match self.passed(stack, index, start, MAX_CALLERS) {
            Some(passed) => self.ask_with(stack, index, frame, start, passed),
            None => taken,
        }
    }

    /// What the caller of the frame at `index` passes to the function at `start`: by its own call, or by the call of another
    /// function that has jumped there as its last act, and so left no frame.
    fn passed(&self, stack: &Stack, index: usize, start: Addr, depth: usize) -> Option<Passed> {
        let depth = depth.checked_sub(1)?;
        let index = index.checked_add(1)?;
        let frame = stack.frames.get(index)?;
        let caller = self.start(stack, index)?;
        let mut taken = self.ask_with(stack, index, frame, caller, [None; 6]);
        let called = self.lands(taken.target?);
        if taken.first_argument().is_none()
            && let Some(passed) = self.passed(stack, index, caller, depth)
        {
            taken = self.ask_with(stack, index, frame, caller, passed);
        }
        if called == start {
            return Some(taken.arguments);
        }
        let unknown = [None; 16];
        Some(self.question(called, Site::Jump(start), unknown, taken.arguments, unknown).arguments)
    }

    fn lands(&self, target: Addr) -> Addr {
        callee::landing(self.observations.scene.target, target)
    }

    fn ask_with(&self, stack: &Stack, index: usize, frame: &Frame, start: Addr, passed: Passed) -> Taken {
        let registers = |index: usize, into: &mut [Option<u64>; 16]| {
            let known = stack.registers_at(index);
            for (dwarf, number) in PRESERVED {
                if let (Some(slot), Some(known)) = (into.get_mut(number), &known) {
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
        self.question(start, Site::Call(frame.pc), entry, passed, now)
    }

    fn question(
        &self,
        start: Addr,
        site: Site,
        entry: [Option<u64>; 16],
        passed: Passed,
        now: [Option<u64>; 16],
    ) -> Taken {
        let (callee, lands) = (|target: Addr| self.callee(target), |target: Addr| self.lands(target));
        let (memory, budget) = (self.observations.memory(), &self.budget);
        Question { memory, callee: &callee, lands: &lands, budget, start, site, entry, passed, now }.answer()
    }

    fn callee(&self, target: Addr) -> Callee {
        if let Some(known) = self.callees.borrow().get(&target) {
            return *known;
        }
        let name = callee::function(self.observations.scene.target, target);
        let callee = name.as_deref().map_or(Callee::Other, classify);
        self.callees.borrow_mut().insert(target, callee);
        callee
    }
}

fn classify(symbol: &str) -> Callee {
    let plain = symbol.trim_start_matches('_');
    if let Some((_, mode)) = LOCKING.iter().find(|(name, _)| *name == plain) {
        return Callee::Locks(*mode);
    }
    if UNLOCKING.contains(&plain) {
        return Callee::Unlocks;
    }
    let name = symbols::demangle(symbol).replace(['<', '>'], "");
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    let locks = LOCKING_PARTS.iter().find(|(part, _)| name.contains(part));
    let guards = GUARDING_PARTS.iter().find(|([scope, end], _)| name.contains(scope) && name.contains(end));
    // `unlock_shared` has `lock_shared` in it.
    if has(UNLOCKING_PARTS) {
        Callee::Unlocks
    } else if let Some((_, mode)) = locks {
        Callee::Locks(*mode)
    } else if let Some((_, mode)) = guards.filter(|_| !name.contains("Guard") && !name.contains('~')) {
        Callee::Guards(*mode)
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
        assert_eq!(classify("__pthread_mutex_lock"), Callee::Locks(Mode::Alone));
        assert_eq!(classify("___pthread_rwlock_rdlock"), Callee::Locks(Mode::Reading));
        assert_eq!(classify("pthread_mutex_unlock"), Callee::Unlocks);
        assert_eq!(classify("__cxa_guard_acquire"), Callee::Locks(Mode::Alone));
        assert_eq!(classify("__cxa_guard_release"), Callee::Unlocks);
        // std::sys::sync::mutex::futex::Mutex::lock_contended, legacy mangling
        let contended = "_ZN3std3sys4sync5mutex5futex5Mutex14lock_contended17h0123456789abcdefE";
        assert_eq!(classify(contended), Callee::Locks(Mode::Alone));
        // std::shared_mutex::lock_shared(), unlock_shared()
        assert_eq!(classify("_ZNSt12shared_mutex11lock_sharedEv"), Callee::Locks(Mode::Reading));
        assert_eq!(classify("_ZNSt12shared_mutex13unlock_sharedEv"), Callee::Unlocks);
        // std::shared_lock<std::shared_mutex>::shared_lock(std::shared_mutex&), ~shared_lock()
        assert_eq!(classify("_ZNSt11shared_lockISt12shared_mutexEC1ERS0_"), Callee::Guards(Mode::Reading));
        assert_eq!(classify("_ZNSt11shared_lockISt12shared_mutexED1Ev"), Callee::UnlocksSome);
        // <std::sync::poison::rwlock::RwLock<T>>::read
        let read = "_ZN3std4sync6poison6rwlock15RwLock$LT$T$GT$4read17h0123456789abcdefE";
        assert_eq!(classify(read), Callee::Guards(Mode::Reading));
        // std::unique_lock<std::mutex>::~unique_lock()
        assert_eq!(classify("_ZNSt11unique_lockISt5mutexED1Ev"), Callee::UnlocksSome);
        assert_eq!(classify("_ZN4shop7reserveEv"), Callee::Other);
    }
}
