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
use crate::model::{Addr, End, Frame, Gap, Known, OsThread, Register, Registers, Stack, Tid};
use crate::runtimes::coreclr::clr::{Clr, plus};
use crate::runtimes::coreclr::code::{self, Code, Place};
use crate::runtimes::coreclr::frames::{self, Record};
use crate::runtimes::coreclr::gc_info::{self, Base, Format, GcInfo, Slot, Stop};
use crate::runtimes::coreclr::methods::Methods;
use crate::runtimes::coreclr::rows;
use crate::runtimes::coreclr::unread::Unread;

/// DWARF numbers of registers as x64 counts them. Source: System V AMD64 psABI 1.0, figure 3.36.
const REGISTERS: [u16; 16] = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
/// Those that a call preserves, as x64 counts them: rbx, rbp, r12 to r15.
const PRESERVED: [u32; 6] = [3, 5, 12, 13, 14, 15];
const RBP: Register = Register(6);

/// Most references of all stacks.
const MAX_HELD: usize = 1 << 24;

/// What the frames of threads hold.
pub(in crate::runtimes::coreclr) struct StackRoots<'a> {
    methods: &'a Methods,
    clr: &'a Clr,
    format: Format,
    known: FxHashMap<Addr, Known<Arc<GcInfo>>>,
    /// What they hold.
    pub(in crate::runtimes::coreclr) all: Vec<Held>,
    /// Frames, and records of calls, of which that cannot be read.
    pub(in crate::runtimes::coreclr) frames: Unread,
    /// Threads whose stacks could not be followed to their ends.
    pub(in crate::runtimes::coreclr) threads: Unread,
}

/// A managed frame.
struct Managed {
    /// Position in the stack.
    index: usize,
    frame: Frame,
    registers: Registers,
    place: Place,
}

impl Managed {
    fn is_funclet(&self) -> bool {
        self.place.function != self.place.start
    }

    /// What a funclet and its method have in common: the method, and where its frame is. `None` where the frame is not known.
    fn activation(&self) -> Option<(Addr, u64)> {
        Some((self.place.start, self.registers.get(RBP)?))
    }
}

/// A live slot, and whether that depends on where the frame stands.
type Live = (Slot, bool);

/// What is asked of one frame.
struct Asked<'a> {
    own: &'a Managed,
    tid: Tid,
    /// Whether an exception was thrown in it.
    is_aborted: bool,
    with_untracked: bool,
}

impl<'a> StackRoots<'a> {
    fn new(methods: &'a Methods) -> Known<StackRoots<'a>> {
        let clr = &*methods.clr;
        let format = gc_info::format_of(clr)?;
        let (frames, threads) = (Unread::default(), Unread::default());
        Ok(StackRoots { methods, clr, format, known: FxHashMap::default(), all: Vec::new(), frames, threads })
    }

    /// Adds what the frames of a thread hold: its structure, its id, its stack.
    fn add(&mut self, thread: Addr, tid: Tid, stack: &Stack, meter: &mut Meter<'_>) -> Result<(), Error> {
        let trackers = Trackers::of(self.clr, thread);
        self.frames.extend(trackers.unread.as_ref());
        let records = frames::records(self.clr, thread);
        self.threads.extend(beyond(stack, &records).as_ref());
        for record in records.iter().filter(|record| !trackers.has_passed(record.at)) {
            meter.add(1)?;
            let told = records::add(self.methods, record, tid, &mut self.all);
            self.frames.extend(told.err().as_ref());
        }
        let managed = self.managed(stack, meter)?;
        let mut thrown: Vec<Addr> = records.iter().filter(|record| record.throws).map(|record| record.at).collect();
        thrown.sort_unstable();
        let mut methods: FxHashMap<(Addr, u64), Vec<usize>> = FxHashMap::default();
        for (at, above) in managed.iter().enumerate().filter(|(_, above)| !above.is_funclet()) {
            if let Some(activation) = above.activation() {
                methods.entry(activation).or_default().push(at);
            }
        }
        let (mut at, mut before) = (0usize, Addr(0));
        while let Some(own) = managed.get(at) {
            at = at.saturating_add(1);
            // A record lies between the frame that it is about and the one that it called.
            let first = thrown.partition_point(|record| *record < before);
            let is_aborted = thrown.get(first).is_some_and(|record| *record < own.frame.sp);
            before = own.frame.cfa.unwrap_or(own.frame.sp);
            self.add_loader(own, tid);
            if own.frame.cfa.is_some_and(|caller| trackers.has_passed(caller)) {
                continue;
            }
            let asked = Asked { own, tid, is_aborted, with_untracked: true };
            if !own.is_funclet() {
                self.add_frame(asked, meter)?;
                continue;
            }
            let is_filter = code::is_filter(self.clr, &own.place);
            self.frames.extend(is_filter.as_ref().err());
            self.add_frame(Asked { with_untracked: is_filter != Ok(true), ..asked }, meter)?;
            if is_filter != Ok(false) {
                continue;
            }
            // Its method, and what the exception came through on the way to it, hold nothing of their own.
            let above = own.activation().and_then(|activation| methods.get(&activation));
            let parent = above.and_then(|above| above.get(above.partition_point(|parent| *parent < at)));
            let Some(parent) = parent else {
                self.frames.add(&Gap::NotRecorded(format!("the method of the handler at {}", own.frame.pc)));
                continue;
            };
            let passed = managed.get(at..*parent).unwrap_or_default();
            // The method's other handlers that run, one within another, have each been called by a dispatch of their own.
            let within = (0usize..).zip(passed).filter(|(_, frame)| frame.activation() == own.activation());
            let within = within.filter_map(|(index, frame)| Some((frame, passed.get(index.saturating_add(1)..)?)));
            for (funclet, behind) in std::iter::once((own, passed)).chain(within) {
                for dispatcher in self.dispatchers(funclet, behind) {
                    self.add_frame(Asked { own: dispatcher, tid, is_aborted: false, with_untracked: true }, meter)?;
                }
            }
            at = parent.saturating_add(1);
        }
        Ok(())
    }

    /// Code that can be unloaded is kept by each of its frames, whatever these hold: by the object that stands for its loader.
    fn add_loader(&mut self, own: &Managed, tid: Tid) {
        let loader = match rows::row(self.clr, own.place.method) {
            Ok(row) => self.methods.types().loader(row.table),
            // A method that was made at run time is kept by what called it.
            Err(_) => return,
        };
        match loader {
            Ok(Some(loader)) => {
                let root = Root { kind: RootKind::Stack, at: Some(own.frame.sp), tid: Some(tid) };
                self.all.push(Held { root, object: loader.object });
            }
            Ok(None) => {}
            Err(gap) => self.frames.add(&gap),
        }
    }

    /// The managed frames of a stack.
    fn managed(&mut self, stack: &Stack, meter: &mut Meter<'_>) -> Result<Vec<Managed>, Error> {
        let mut managed = Vec::new();
        let mut registers = stack.each_registers();
        for (index, frame) in stack.frames.iter().enumerate() {
            meter.add(1)?;
            let registers = registers.next();
            match (code::at(self.clr, frame.lookup()), registers) {
                (Ok(Some(Code::Method(place))), Some(registers)) => {
                    managed.push(Managed { index, frame: frame.clone(), registers, place });
                }
                (Ok(Some(Code::Method(_))), None) => {
                    self.frames.add(&Gap::NotRecorded("the registers of a frame".to_owned()));
                }
                (Err(gap), _) => self.frames.add(&gap),
                (Ok(_), _) => {}
            }
        }
        Ok(managed)
    }

    /// What of the runtime's own dispatches an exception in managed code, in .NET 9: it stands behind native code that called the handler, and is
    /// no part of what the exception has unwound.
    fn dispatchers<'b>(&self, funclet: &Managed, passed: &'b [Managed]) -> &'b [Managed] {
        const NINE: u32 = 9;
        let first = passed.first().filter(|first| first.index > funclet.index.saturating_add(1));
        let Some(first) = first.filter(|_| self.clr.major() == Some(NINE)) else { return &[] };
        let together = passed.iter().zip(first.index..).take_while(|(frame, index)| frame.index == *index).count();
        passed.get(..together).unwrap_or_default()
    }

    fn add_frame(&mut self, asked: Asked<'_>, meter: &mut Meter<'_>) -> Result<(), Error> {
        match self.slots(&asked) {
            Ok((info, slots)) => {
                let mut first = Ok(());
                for (slot, is_tracked) in slots {
                    meter.add(1)?;
                    first = first.and(self.add_slot(&info, &asked, slot, is_tracked));
                }
                self.frames.extend(first.err().as_ref());
            }
            Err(gap) => self.frames.add(&gap),
        }
        Ok(())
    }

    /// The slots that are live in a frame.
    fn slots(&mut self, Asked { own, is_aborted, with_untracked, .. }: &Asked<'_>) -> Known<(Arc<GcInfo>, Vec<Live>)> {
        let clr = self.clr;
        let info = self
            .known
            .entry(own.place.start)
            .or_insert_with(|| gc_info::of(clr, &own.place).map(|(_, info)| Arc::new(info)));
        let info = Arc::clone(info.as_ref().map_err(Clone::clone)?);
        let offset = own.frame.pc.since(own.place.start).and_then(|offset| u32::try_from(offset).ok());
        let offset = offset.ok_or_else(|| Gap::Corrupt(format!("the code at {}", own.frame.pc)))?;
        // Behind a call of .NET 8 and 9 what was live before counts.
        let is_behind = self.format == Format::Three && own.frame.returns;
        let offset = if is_behind { offset.saturating_sub(1) } else { offset };
        let stop = match info.stop(offset) {
            Stop::SafePoint(_) | Stop::Neither if *is_aborted => match info.within(offset) {
                Some(within) => within,
                None => return Ok((info, Vec::new())),
            },
            Stop::Neither if !info.ranges.is_empty() => Stop::Interruptible(0),
            stop => stop,
        };
        let mut slots: Vec<Live> = info.live(stop)?.into_iter().map(|slot| (slot, true)).collect();
        if *with_untracked {
            slots.extend(info.untracked().iter().map(|slot| (*slot, false)));
        }
        Ok((info, slots))
    }

    fn add_slot(
        &mut self,
        info: &GcInfo,
        Asked { own, tid, .. }: &Asked<'_>,
        slot: Slot,
        is_tracked: bool,
    ) -> Known<()> {
        let lost = |what: &str| Gap::NotRecorded(format!("{what} in the frame at {}", own.frame.sp));
        let register = |number: u32| {
            let dwarf = usize::try_from(number).ok().and_then(|number| REGISTERS.get(number));
            dwarf.and_then(|dwarf| own.registers.get(Register(*dwarf))).ok_or_else(|| lost("a register"))
        };
        let beside = |base: Addr, offset: i32| {
            base.0
                .checked_add_signed(offset.into())
                .map(Addr)
                .ok_or_else(|| Gap::Corrupt("a slot of a frame".to_owned()))
        };
        let is_active = !own.frame.returns;
        let (at, object) = match slot.base {
            // What a call need not preserve is gone behind it.
            Base::Register(number) if !is_active && !PRESERVED.contains(&number) => return Ok(()),
            Base::Register(number) => (None, Addr(register(number)?)),
            base => {
                let at = match base {
                    Base::Caller(offset) => beside(own.frame.cfa.ok_or_else(|| lost("the caller"))?, offset)?,
                    Base::Frame(offset) => {
                        beside(Addr(register(info.header.frame.ok_or_else(|| lost("the frame register"))?)?), offset)?
                    }
                    Base::Stack(offset) => beside(own.frame.sp, offset)?,
                    Base::Register(_) => return Ok(()),
                };
                // What was passed on is the callee's.
                if is_tracked && !is_active && at < plus(own.frame.sp, info.header.outgoing.into())? {
                    return Ok(());
                }
                (Some(at), self.clr.memory().ptr(at)?)
            }
        };
        if self.all.len() >= MAX_HELD {
            return Err(Gap::Unsupported(format!("more than {MAX_HELD} references of stacks")));
        }
        if object.0 != 0 {
            let kind = if at.is_some() { RootKind::Stack } else { RootKind::Register };
            self.all.push(Held { root: Root { kind, at, tid: Some(*tid) }, object });
        }
        Ok(())
    }
}

/// Why managed frames may be missing at the end of a stack; `None` where there are none beyond.
fn beyond(stack: &Stack, records: &[Record]) -> Option<Gap> {
    let last = stack.frames.last().map_or(Addr(0), |frame| frame.sp);
    let leads_on = records.iter().any(|record| record.leads && record.at > last);
    match stack.end {
        End::Bottom => None,
        // Native code that begins a thread may have no tables; managed code beyond it would have left a record of its calls.
        End::NoUnwindInfo if !stack.frames.is_empty() && !leads_on => None,
        End::NoMemory => Some(Gap::NotRecorded("the rest of a stack".to_owned())),
        End::Loop | End::Limit | End::NoUnwindInfo => Some(Gap::NotRecorded("the callers beyond a frame".to_owned())),
    }
}

/// What the frames of these threads hold: of each its structure and its OS id.
pub(in crate::runtimes::coreclr) fn of_stacks<'a>(
    methods: &'a Methods,
    threads: &[(Addr, Option<Tid>)],
    walk: &dyn Fn(&OsThread) -> Stack,
    job: &Job,
) -> Result<Known<StackRoots<'a>>, Error> {
    let mut roots = match StackRoots::new(methods) {
        Ok(roots) => roots,
        Err(gap) => return Ok(Err(gap)),
    };
    let mut of: FxHashMap<Tid, &OsThread> =
        methods.clr.target.capture.threads.iter().map(|thread| (thread.tid, thread)).collect();
    let mut meter = job.meter();
    for (thread, tid) in threads {
        // One that has not begun, or has ended, has no stack. In a damaged dump several may have the same one.
        let Some(tid) = tid else { continue };
        match of.remove(tid) {
            Some(os) => roots.add(*thread, *tid, &walk(os), &mut meter)?,
            None => roots.threads.add(&Gap::NotRecorded(format!("thread {tid}"))),
        }
    }
    Ok(Ok(roots))
}
