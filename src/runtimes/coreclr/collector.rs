//! What is asked of the collector by the names that SOS has for it: segments, handles, finalizers, single objects, what stacks seem to refer to.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::CoreClr;
use super::clr::Clr;
use super::code;
use super::heap::{Near, NearObject, Segment, Segments, Sizes, Variables};
use super::loader_heaps::{LoaderBlock, LoaderHeaps};
use super::locks::{HeaderFault, header_fault};
use super::modules;
use super::objects;
use super::roots::{self, FinalizeQueue, Handle, Handles};
use super::types::Types;
use crate::error::Error;
use crate::job::{Job, Meter};
use crate::model::{Addr, Known, MappingKind, OsThread, OwnMemory, Partial, Problem, Subject};

/// Most bytes of one stack that are looked at.
const MAX_STACK: u64 = 64 << 20;
/// Characters of a text that are shown beside its type.
const MAX_TEXT: usize = 60;

/// A word of a thread that is the address of an object; whether it refers to it is not told.
pub struct StackObject {
    /// Where on the stack; `None` for a register.
    pub at: Option<Addr>,
    /// The register.
    pub register: Option<&'static str>,
    /// The object.
    pub object: NearObject,
    /// Of a text how it begins.
    pub text: Option<String>,
}

/// A type, as an object of reflection has it.
pub struct TypeHandle {
    /// Its method table, or a description of a type that has none.
    pub handle: Known<Addr>,
    /// Its name.
    pub name: Known<Arc<str>>,
}

impl CoreClr {
    /// How many heaps the collector has, and their segments, those without objects too, heap by heap, the youngest generation first.
    pub fn heap_segments(&self, job: &Job) -> Result<Partial<(u64, Vec<Segment>)>, Error> {
        let segments = self.some_heap(job)?;
        Ok(Partial { value: (segments.heaps, segments.listed()), problems: segments.problems() })
    }

    /// Blocks of its loaders' heaps, ascending.
    pub fn loader_blocks(&self, job: &Job) -> Result<Partial<Vec<LoaderBlock>>, Error> {
        let LoaderHeaps { blocks, unread } = LoaderHeaps::read(self.clr(), &self.methods.modules, job)?;
        let message = |gap| format!("blocks of .NET's loaders are missing: {gap}");
        let problems = unread.into_iter().map(|gap| Problem::new("loader-unread", Subject::Capture, message(gap)));
        Ok(Partial { value: blocks, problems: problems.collect() })
    }

    /// Heaps of code that was compiled while the process ran, ascending.
    pub fn code_heaps(&self, job: &Job) -> Result<Partial<Vec<Range<Addr>>>, Error> {
        let (value, gap) = code::heaps(self.clr(), job)?;
        let message = |gap| format!("heaps of compiled code are missing: {gap}");
        let problem = gap.map(|gap| Problem::new("code-unread", Subject::Capture, message(gap)));
        Ok(Partial { value, problems: problem.into_iter().collect() })
    }

    /// Its memory besides objects.
    pub(super) fn outside_heap(&self, job: &Job) -> Result<Partial<Vec<OwnMemory>>, Error> {
        let (blocks, code) = (self.loader_blocks(job)?, self.code_heaps(job)?);
        let of_loader = blocks.value.into_iter().map(|block| OwnMemory {
            range: block.range,
            kind: MappingKind::RuntimeData,
            owner: format!(".NET loader, {}", block.heap),
        });
        let of_code = code.value.into_iter().map(|range| OwnMemory {
            range,
            kind: MappingKind::RuntimeCode,
            owner: ".NET".to_owned(),
        });
        // Where an assembly's file is in memory; of one that cannot be read the mappings say what they are.
        let (clr, modules) = (self.clr(), self.methods.modules.all(self.clr()));
        let images = modules.iter().flat_map(|all| &all.modules).filter_map(|module| {
            let range = modules::image(clr, *module).ok()??.range().ok()?;
            Some(OwnMemory { range, kind: MappingKind::Module, owner: "assemblies of .NET".to_owned() })
        });
        let problems = blocks.problems.into_iter().chain(code.problems).collect();
        Ok(Partial { value: of_loader.chain(of_code).chain(images).collect(), problems })
    }

    /// What is around an address of the heap. Walks its segment. Fails where it is in none.
    pub fn near(&self, at: Addr, job: &Job) -> Result<Near, Error> {
        let segments = self.some_heap(job)?;
        let near = segments.near(self.methods.types(), at, &mut job.meter())?;
        near.ok_or_else(|| Error::Failed(format!("{at} is not in the managed heap; 'eeheap' lists its segments")))
    }

    /// All handles that refer to an object.
    pub fn handles(&self) -> Partial<Vec<Handle>> {
        let handles = match Variables::of(self.clr()) {
            Ok(variables) => Handles::read(&variables),
            Err(gap) => Handles { cut: Some(gap), ..Handles::default() },
        };
        let message = |gap| format!("handles of the collector are missing: {gap}");
        let cut = handles.cut.map(|gap| Problem::new("handles-unread", Subject::Capture, message(gap)));
        Partial { value: handles.all, problems: cut.into_iter().collect() }
    }

    /// The objects with finalizers, of each heap of the collector.
    pub fn finalize_queues(&self) -> Known<Vec<FinalizeQueue>> {
        roots::finalize_queues(&Variables::of(self.clr())?)
    }

    /// The objects at these addresses, in their order: what each is, or why none can be told. Not walked to: their classes are sound, and
    /// they fit into their segments.
    pub fn objects_at(&self, all: &[Addr], job: &Job) -> Result<Vec<Known<NearObject>>, Error> {
        let segments = self.some_heap(job)?;
        let mut told = Told::of(self.methods.types(), &segments);
        let mut meter = job.meter();
        all.iter().map(|at| told.next(*at, &mut meter)).collect()
    }

    /// Every word of a thread's registers and of its stack (of these addresses, where they are given) that is the address of an object.
    pub fn stack_objects(
        &self,
        thread: &OsThread,
        bounds: Option<Range<Addr>>,
        job: &Job,
    ) -> Result<Partial<Vec<StackObject>>, Error> {
        let (clr, segments) = (self.clr(), self.some_heap(job)?);
        let mut told = Told::of(self.methods.types(), &segments);
        let mut meter = job.meter();
        let mut all = Partial::<Vec<StackObject>>::default();
        let mut missing = |why: &dyn std::fmt::Display| {
            let message = format!("not all of thread {} was looked at: {why}", thread.tid);
            all.problems.push(Problem::new("stack-unread", Subject::Thread(thread.tid), message));
        };
        let mut sp = None;
        match thread.registers.as_ref() {
            Ok(registers) => {
                sp = registers.sp();
                for (name, value) in registers.iter().filter(|_| bounds.is_none()) {
                    let Some(object) = told.object(Addr(value.unwrap_or(0)), &mut meter)? else { continue };
                    let text = text(clr, &object);
                    all.value.push(StackObject { at: None, register: Some(name), object, text });
                }
            }
            Err(gap) => missing(gap),
        }
        let stack = |sp: Addr| sp..clr.memory().region_at(sp).map_or(Addr(u64::MAX), |region| region.end);
        let Some(bounds) = bounds.or_else(|| sp.map(stack)) else { return Ok(all) };
        let mut at = Addr(bounds.start.0.checked_next_multiple_of(8).unwrap_or(u64::MAX));
        while at < bounds.end {
            if at.since(bounds.start).is_none_or(|done| done >= MAX_STACK) {
                missing(&format_args!("it has more than {} MiB", MAX_STACK >> 20));
                break;
            }
            let left = bounds.end.since(at).unwrap_or(0).min(MAX_STACK);
            let Ok(held) = clr.memory().slice_up_to(at, left).inspect_err(|gap| missing(gap)) else { break };
            let words = held.len() as u64 / 8;
            if words == 0 {
                break;
            }
            for (index, word) in (0..words).zip(clr.memory().pointers(held)) {
                let Some(object) = told.object(word, &mut meter)? else { continue };
                let text = text(clr, &object);
                let place = at.plus(index.saturating_mul(8));
                all.value.push(StackObject { at: place, register: None, object, text });
            }
            at = at.plus(words.saturating_mul(8)).unwrap_or(bounds.end);
        }
        Ok(all)
    }

    /// Objects and gaps by generation and size. Walks the heap.
    pub fn sizes(&self, job: &Job) -> Result<Vec<Sizes>, Error> {
        self.some_heap(job)?.sizes(self.methods.types(), job)
    }

    /// Of objects that stand for types the types, in their order.
    pub fn runtime_types(&self, objects: &[Addr], job: &Job) -> Result<Vec<TypeHandle>, Error> {
        let types = self.methods.types();
        let mut meter = job.meter();
        let told = objects.iter().map(|at| {
            meter.add(1)?;
            let handle = types.object(*at).and_then(|object| object.address("m_handle"));
            let name = handle.clone().and_then(|handle| types.handle_name(handle).map(Arc::from));
            Ok(TypeHandle { handle, name })
        });
        told.collect()
    }

    /// What is wrong with the object at an address: none begins there, its class, its references or its header's entry in the table of
    /// SyncBlocks. Walks its segment.
    pub fn verify_object(&self, at: Addr, job: &Job) -> Result<Vec<Problem>, Error> {
        let segments = self.some_heap(job)?;
        let mut problems = segments.verify_object(self.methods.types(), at, &mut job.meter())?;
        let blocks = self.sync_blocks(job)?;
        let about = Subject::Memory(at);
        problems.extend(header_fault(self.clr(), &blocks, at).map(|fault| match fault {
            HeaderFault::Wrong(message) => Problem::new("heap-damaged", about, message),
            HeaderFault::Unread(gap) => {
                Problem::new("heap-incomplete", about, format!("its header could not be checked: {gap}"))
            }
        }));
        Ok(problems)
    }
}

/// Objects by their addresses; names are read once for each type.
struct Told<'a> {
    types: Types<'a>,
    segments: &'a Segments,
    names: FxHashMap<Addr, Known<Arc<str>>>,
}

impl<'a> Told<'a> {
    fn of(types: Types<'a>, segments: &'a Segments) -> Told<'a> {
        Told { types, segments, names: FxHashMap::default() }
    }

    fn next(&mut self, at: Addr, meter: &mut Meter<'_>) -> Result<Known<NearObject>, Error> {
        meter.add(1)?;
        let walked = match self.segments.object_at(self.types, at) {
            Ok(walked) => walked,
            Err(gap) => return Ok(Err(gap)),
        };
        let types = self.types;
        let name = self.names.entry(walked.table).or_insert_with(|| types.of_table(walked.table).map(Arc::from));
        Ok(Ok(NearObject::of(types, walked, name.clone())))
    }

    /// The object that a word is the address of; what fills gaps is none.
    fn object(&mut self, word: Addr, meter: &mut Meter<'_>) -> Result<Option<NearObject>, Error> {
        meter.add(1)?;
        // Most words are none: that is told without memory.
        if !word.is_aligned(8) || self.segments.holding(word).is_none() {
            return Ok(None);
        }
        Ok(self.next(word, meter)?.ok().filter(|object| !object.is_free))
    }
}

/// How a text begins; `None` of what is none, or too long.
fn text(clr: &Clr, object: &NearObject) -> Option<String> {
    let table = clr.global("StringMethodTable").ok()?;
    let text = objects::string(clr, object.address).ok().filter(|_| table == object.table)?;
    let begin: String = text.chars().take(MAX_TEXT).collect();
    Some(if begin.len() < text.len() { format!("{begin}…") } else { begin })
}
