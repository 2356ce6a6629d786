//! What managed frames hold: by the GC info of their code.
//!
//! A frame of a method and of each of its funclets (handlers that are compiled as functions) has the same slots; of them that of the innermost
//! holds. Frames that an exception has passed in its second pass hold nothing. Specification: dotnet/runtime src/coreclr/vm/gcenv.ee.common.cpp,
//! GcStackCrawlCallBack; vm/stackwalk.cpp, StackFrameIterator, "funclets"; vm/gcinfodecoder.cpp, EnumerateLiveSlots.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::held::Held;
use super::records;
use super::trackers::Trackers;
use crate::error::Error;
use crate::heap::{Root, RootKind};
use crate::job::{Job, Meter};
use crate::model::{Addr, Frame, Gap, Known, Register, Registers, Stack, Tid};
use crate::runtimes::coreclr::clr::{Clr, plus};
use crate::runtimes::coreclr::code::{self, Code, Place};
use crate::runtimes::coreclr::frames;
use crate::runtimes::coreclr::gc_info::{self, Base, Format, GcInfo, Slot, Stop};

/// DWARF numbers of registers as x64 counts them. Source: System V AMD64 psABI 1.0, figure 3.36.
const REGISTERS: [u16; 16] = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
/// Those that a call preserves, as x64 counts them: rbx, rbp, r12 to r15.
const PRESERVED: [u32; 6] = [3, 5, 12, 13, 14, 15];
const RBP: Register = Register(6);

/// What the frames of threads hold.
pub(in crate::runtimes::coreclr) struct StackRoots<'a> {
    clr: &'a Clr,
    format: Format,
    known: FxHashMap<Addr, Known<Arc<GcInfo>>>,
    /// What they hold.
    pub(in crate::runtimes::coreclr) all: Vec<Held>,
    /// Frames of which that cannot be read, and the first reason.
    pub(in crate::runtimes::coreclr) unread: Option<(u64, Gap)>,
}

/// A managed frame.
struct Managed {
    frame: Frame,
    registers: Registers,
    place: Place,
}

impl Managed {
    fn is_funclet(&self) -> bool {
        self.place.function != self.place.start
    }

    /// The caller's stack pointer.
    fn caller(&self) -> Addr {
        self.frame.cfa.unwrap_or(self.frame.sp)
    }
}

impl<'a> StackRoots<'a> {
    pub(in crate::runtimes::coreclr) fn new(clr: &'a Clr) -> Known<StackRoots<'a>> {
        let format = gc_info::format_of(clr)?;
        Ok(StackRoots { clr, format, known: FxHashMap::default(), all: Vec::new(), unread: None })
    }

    /// Adds what the frames of a thread hold: its structure, its id, its stack.
    pub(in crate::runtimes::coreclr) fn add(
        &mut self,
        thread: Addr,
        tid: Tid,
        stack: &Stack,
        meter: &mut Meter<'_>,
    ) -> Result<(), Error> {
        let trackers = Trackers::of(self.clr, thread);
        let records = frames::records(self.clr, thread);
        for record in &records {
            meter.add(1)?;
            records::add(self.clr, record, tid, &mut self.all);
        }
        let mut managed = Vec::new();
        for (frame, registers) in stack.frames.iter().zip(stack.each_registers()) {
            meter.add(1)?;
            if let Ok(Some(Code::Method(place))) = code::at(self.clr, frame.lookup()) {
                managed.push(Managed { frame: frame.clone(), registers, place });
            }
        }
        let mut at = 0;
        while let Some(own) = managed.get(at) {
            meter.add(1)?;
            at += 1;
            if trackers.has_passed(own.caller()) {
                continue;
            }
            let before =
                at.checked_sub(2).and_then(|before| managed.get(before)).map_or(Addr(0), |below| below.caller());
            let is_aborted =
                records.iter().any(|record| record.throws && record.at >= before && record.at < own.frame.sp);
            if !own.is_funclet() {
                self.add_frame(own, tid, is_aborted, true);
                continue;
            }
            let is_filter = self.is_filter(&own.place);
            self.add_frame(own, tid, is_aborted, !is_filter);
            if is_filter {
                continue;
            }
            // Its method, and what the exception came through on the way to it, hold nothing of their own.
            let rest = managed.get(at..).unwrap_or_default();
            let parent = rest.iter().position(|above| {
                above.place.start == own.place.start
                    && !above.is_funclet()
                    && above.registers.get(RBP) == own.registers.get(RBP)
            });
            if let Some(parent) = parent {
                at = at.saturating_add(parent).saturating_add(1);
            }
        }
        Ok(())
    }

    fn add_frame(&mut self, own: &Managed, tid: Tid, is_aborted: bool, with_untracked: bool) {
        if let Err(gap) = self.add_slots(own, tid, is_aborted, with_untracked) {
            let (count, _) = self.unread.get_or_insert((0, gap));
            *count = count.saturating_add(1);
        }
    }

    fn add_slots(&mut self, own: &Managed, tid: Tid, is_aborted: bool, with_untracked: bool) -> Known<()> {
        let clr = self.clr;
        let info = self
            .known
            .entry(own.place.start)
            .or_insert_with(|| gc_info::of(clr, &own.place).map(|(_, info)| Arc::new(info)));
        let info = Arc::clone(info.as_ref().map_err(Clone::clone)?);
        let is_active = !own.frame.returns;
        let Some(offset) = own.frame.pc.since(own.place.start).and_then(|offset| u32::try_from(offset).ok()) else {
            return Ok(());
        };
        // Behind a call of .NET 8 and 9 what was live before counts.
        let offset = if self.format == Format::Three && !is_active { offset.saturating_sub(1) } else { offset };
        let stop = match info.stop(offset) {
            Stop::SafePoint(_) | Stop::Neither if is_aborted => match info.within(offset) {
                Some(within) => within,
                None => return Ok(()),
            },
            Stop::Neither if !info.ranges.is_empty() => Stop::Interruptible(0),
            stop => stop,
        };
        let scratch = plus(own.frame.sp, info.header.outgoing.into())?;
        for slot in info.live(stop)? {
            let is_below = |at: Addr| !is_active && at < scratch;
            self.add_slot(&info, own, tid, slot, is_active, &is_below);
        }
        if with_untracked {
            for slot in info.untracked() {
                self.add_slot(&info, own, tid, *slot, is_active, &|_| false);
            }
        }
        Ok(())
    }

    fn add_slot(
        &mut self,
        info: &GcInfo,
        own: &Managed,
        tid: Tid,
        slot: Slot,
        is_active: bool,
        is_below: &dyn Fn(Addr) -> bool,
    ) {
        let register = |number: u32| {
            let dwarf = REGISTERS.get(usize::try_from(number).ok()?)?;
            own.registers.get(Register(*dwarf))
        };
        let beside = |base: Addr, offset: i32| base.0.checked_add_signed(offset.into()).map(Addr);
        let at = match slot.base {
            Base::Register(number) => {
                if (is_active || PRESERVED.contains(&number))
                    && let Some(object) = register(number).filter(|object| *object != 0)
                {
                    let root = Root { kind: RootKind::Register, at: None, tid: Some(tid) };
                    self.all.push(Held { root, object: Addr(object) });
                }
                return;
            }
            Base::Caller(offset) => beside(own.caller(), offset),
            Base::Stack(offset) => beside(own.frame.sp, offset),
            Base::Frame(offset) => info.header.frame.and_then(register).and_then(|base| beside(Addr(base), offset)),
        };
        let Some(at) = at.filter(|at| !is_below(*at)) else { return };
        if let Ok(object) = self.clr.memory().ptr(at)
            && object.0 != 0
        {
            let root = Root { kind: RootKind::Stack, at: Some(at), tid: Some(tid) };
            self.all.push(Held { root, object });
        }
    }

    /// Whether a funclet decides if a handler is to run: while it does, nothing has been unwound.
    fn is_filter(&self, place: &Place) -> bool {
        let offset = place.function.since(place.start);
        offset.is_some_and(|offset| filters(self.clr, place).is_ok_and(|filters| filters.contains(&offset)))
    }
}

/// Where the filters of a method begin.
fn filters(clr: &Clr, place: &Place) -> Known<Vec<u64>> {
    // Source: dotnet/runtime src/coreclr/inc/corhlpr.h, EE_ILEXCEPTION_CLAUSE: flags 0, of 32 bytes in all, a filter's start 24; their number
    // stands eight bytes before the first.
    const SIZE: u64 = 32;
    const FILTER: u32 = 1;
    const MAX: u64 = 1 << 12;
    let code::Compiled::Jitted { header } = place.compiled else { return Ok(Vec::new()) };
    let first = clr.ptr(header, "RealCodeHeader", "EHInfo")?;
    let Some(count) = first.minus(8) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for index in 0..clr.memory().u64(count)?.min(MAX) {
        let clause = plus(first, index.saturating_mul(SIZE))?;
        if clr.memory().u32(clause)? & FILTER != 0 {
            found.push(clr.memory().u32(plus(clause, 24)?)?.into());
        }
    }
    Ok(found)
}

/// What the frames of all threads hold; `stacks` by thread: structure, OS id, stack.
pub(in crate::runtimes::coreclr) fn of_stacks<'a>(
    clr: &'a Clr,
    stacks: impl Iterator<Item = (Addr, Tid, Stack)>,
    job: &Job,
) -> Result<Known<StackRoots<'a>>, Error> {
    let mut roots = match StackRoots::new(clr) {
        Ok(roots) => roots,
        Err(gap) => return Ok(Err(gap)),
    };
    let mut meter = job.meter();
    for (thread, tid, stack) in stacks {
        roots.add(thread, tid, &stack, &mut meter)?;
    }
    Ok(Ok(roots))
}
