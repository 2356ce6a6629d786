//! The names of methods, and frames in their code.
//!
//! Input: the address of a `MethodDesc`, or a frame. Output: `Shop.Orders.Take(System.Object, Int32)`, as .NET's debuggers write it.

use std::sync::Arc;

use super::clr::{Clr, plus};
use super::code::{self, Code, Place};
use super::frames::Transitions;
use super::memo::Memo;
use super::metadata::{Line, Names, Pdb, signature};
use super::modules::{self, Modules};
use super::pdbs;
use super::precodes;
use super::rows::{self, DYNAMIC, INSTANTIATED, Row};
use super::sources::Sources;
use super::types::{Classes, Types};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Arch, DebugFile, Frame, FrameKind, Gap, Known, NamedFrame, Partial, Problem, Subject};
use crate::unwind::{Beyond, OwnFrame, Step, Unwind};

/// Most names of methods that are kept.
const MAX_NAMES: usize = 1 << 20;
/// Longest name of a method that was made at run time, and its longest signature, in bytes.
const MAX_NAME: u64 = 1024;
const MAX_SIGNATURE: u32 = 4096;

/// What a method is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// With its type and its parameters.
    pub(super) name: Arc<str>,
    /// The file name of its assembly; `None` for code that was made at run time.
    pub(super) module: Option<Arc<str>>,
    /// Whether the runtime made it for itself: a stub in IL.
    pub(super) stub: bool,
}

/// The methods of a runtime.
pub(super) struct Methods {
    pub(super) clr: Arc<Clr>,
    pub(super) modules: Modules,
    classes: Classes,
    sources: Sources,
    names: Memo<Addr, Option<Named>>,
    transitions: Transitions,
}

impl Methods {
    pub(super) fn new(clr: Arc<Clr>) -> Methods {
        let (modules, classes, sources) = (Modules::default(), Classes::default(), Sources::default());
        let transitions = Transitions::default();
        Methods { clr, modules, classes, sources, names: Memo::of(MAX_NAMES), transitions }
    }

    pub(super) fn types(&self) -> Types<'_> {
        Types { clr: &self.clr, modules: &self.modules, classes: &self.classes }
    }

    /// A frame in the runtime's code with its name; `None` for other frames.
    pub(super) fn frame(&self, frame: &Frame) -> Option<Vec<NamedFrame>> {
        let mut named = NamedFrame {
            index: 0,
            pc: frame.pc,
            sp: frame.sp,
            kind: FrameKind::Stub,
            trust: frame.trust,
            module: None,
            function: None,
            offset: None,
            file: None,
            line: None,
            approximate: false,
            own: false,
            walked: 0,
            part: None,
        };
        if let Some((name, start)) = code::helper(&self.clr, frame.lookup()) {
            named.function = Some(name.into());
            named.offset = frame.pc.since(start);
            let module = self.clr.target.modules.get(self.clr.module);
            named.module = module.and_then(|module| module.file_name()).map(Arc::from);
            return Some(vec![named]);
        }
        match code::at(&self.clr, frame.lookup()).ok().flatten()? {
            Code::Stub(what) => named.function = Some(what.into()),
            Code::Method(place) => self.describe(&mut named, place, frame.lookup()),
        }
        Some(vec![named])
    }

    /// The source line of an instruction; `None` where nothing tells it.
    pub(super) fn line(&self, place: &Place, lookup: Addr) -> Option<Line> {
        self.sources.line(self.types(), place, lookup)
    }

    /// The PDB of a module; `None` where none serves.
    pub(super) fn pdb(&self, module: Addr) -> Option<Arc<Pdb>> {
        self.sources.pdb(self.types(), module).ok().flatten()
    }

    /// The PDBs of the program's own assemblies, each looked for.
    pub(super) fn debug_files(&self, job: &Job) -> Result<Partial<Vec<DebugFile>>, Error> {
        let (modules, unread) = match self.modules.all(&self.clr) {
            Ok(loaded) => (loaded.modules.clone(), loaded.unread.clone()),
            Err(gap) => (Vec::new(), Some(gap)),
        };
        let mut value = Vec::new();
        let mut meter = job.meter();
        for module in modules {
            meter.add(1)?;
            value.extend(self.debug_file(module));
        }
        let problem = unread.map(|gap| {
            let message = format!("which PDBs would help is not known of every assembly: {gap}");
            Problem::new("assemblies-unread", Subject::Capture, message)
        });
        Ok(Partial { value, problems: problem.into_iter().collect() })
    }

    /// `None` for a module that was made at run time, and for those of .NET itself.
    fn debug_file(&self, module: Addr) -> Option<DebugFile> {
        let (clr, memory) = (&self.clr, self.clr.memory());
        let metadata = self.modules.metadata(clr, module).ok()?;
        let path = modules::path(clr, module).ok().flatten();
        let of_path = || Some(path.as_ref()?.rsplit('/').next()?.to_owned());
        let assembly = metadata.module_name(memory).ok().or_else(of_path).filter(|name| is_own_file(name))?;
        let stated = pdbs::wanted(clr, module).transpose()?;
        let version = metadata.version(memory).ok();
        let pdb = self.sources.pdb(self.types(), module);
        let found = matches!(pdb, Ok(Some(_)));
        Some(match stated {
            Ok(stated) => {
                let (file, id, age) = (Some(stated.file()), Some(stated.id()), Some(stated.age));
                let why = pdb.err().map(|gap| gap.to_string());
                DebugFile { assembly, version, path, file, id, age, found, why }
            }
            Err(gap) => {
                let why = Some(gap.to_string());
                DebugFile { assembly, version, path, file: None, id: None, age: None, found, why }
            }
        })
    }

    /// Where an asynchronous method is suspended; `Ok(None)` where no PDB tells it.
    pub(super) fn suspended(&self, state_machine: Addr, state: u32) -> Known<Option<Line>> {
        self.sources.suspended(self.types(), state_machine, state)
    }

    /// The method whose code a frame is in, where it is the program's own; without its line, which takes a PDB.
    pub(super) fn own(&self, frame: &Frame) -> Option<Arc<str>> {
        match code::at(&self.clr, frame.lookup()).ok().flatten()? {
            Code::Method(place) => self.name(place.method).filter(is_own).map(|named| named.name),
            Code::Stub(_) => None,
        }
    }

    /// Names a frame in a method.
    fn describe(&self, frame: &mut NamedFrame, place: Place, lookup: Addr) {
        frame.kind = FrameKind::Managed;
        frame.offset = frame.pc.since(place.start);
        if let Some(Line { file, line, approximate }) = self.line(&place, lookup) {
            (frame.file, frame.line, frame.approximate) = (Some(file), Some(line), approximate);
        }
        let Some(name) = self.name(place.method) else { return };
        frame.own = is_own(&name);
        frame.function = Some(name.name);
        frame.module = name.module;
        if name.stub {
            frame.kind = FrameKind::Stub;
            let called = self.transitions.called(&self.clr, frame.sp).and_then(|method| self.name(method));
            if let (Some(stub), Some(called)) = (&frame.function, called) {
                frame.function = Some(format!("{stub} of {}", called.name).into());
            }
        }
    }

    /// What a method is called; `None` where that cannot be read.
    pub(super) fn name(&self, method: Addr) -> Option<Named> {
        self.names.get(method, || if method.0 == 0 { None } else { self.read(method).ok() })
    }

    /// What the method is called whose entry point an address is.
    pub(super) fn name_of_entry(&self, entry: Addr) -> Known<Arc<str>> {
        let method = precodes::method(&self.clr, entry)?;
        let name = self.name(method).map(|named| named.name);
        name.ok_or_else(|| Gap::NotRecorded(format!("the name of the method at {method}")))
    }

    fn read(&self, method: Addr) -> Known<Named> {
        let (clr, types) = (&self.clr, self.types());
        if rows::kind(clr, method)? == DYNAMIC {
            return self.made(method);
        }
        let Row { table, rid } = rows::row(clr, method)?;
        let metadata = self.modules.metadata(clr, types.module(table)?)?;
        let of_method = self.arguments_named(method)?;
        let arguments = if of_method.is_empty() { String::new() } else { format!("<{}>", of_method.join(", ")) };
        let plain = metadata.method_name(clr.memory(), rid)?;
        let of_type = types.arguments_of(table).unwrap_or_default();
        let handle = |handle: Addr| types.handle_name(handle);
        let names = Names { handle: &handle, of_type: &of_type, of_method: &of_method };
        let parameters = metadata.parameters_with(clr.memory(), rid, &names).unwrap_or_default();
        let name = format!("{}.{plain}{arguments}{parameters}", types.of_table(table)?);
        let module = metadata.module_name(clr.memory()).ok().map(Arc::from);
        Ok(Named { name: name.into(), module, stub: false })
    }

    /// A method without metadata: its name and its signature are in the runtime's memory.
    fn made(&self, method: Addr) -> Known<Named> {
        let (clr, types) = (&self.clr, self.types());
        let text = clr.memory().c_string(clr.ptr(method, "DynamicMethodDesc", "MethodName")?, MAX_NAME)?;
        let text = String::from_utf8_lossy(&text);
        // The runtime's own: dotnet/runtime src/coreclr/vm/dllimport.cpp, names of IL stubs.
        let stub = text.starts_with("IL_STUB");
        let class = if stub { "ILStubClass" } else { "DynamicClass" };
        let parameters = || {
            let size = clr.u32(method, "StoredSigMethodDesc", "cSig")?.min(MAX_SIGNATURE);
            let mut blob = vec![0; usize::try_from(size).unwrap_or(0)];
            clr.memory().read(clr.ptr(method, "StoredSigMethodDesc", "Sig")?, &mut blob)?;
            let handle = |handle: Addr| types.handle_name(handle);
            // One that serves a generic type is made for its type arguments.
            let table = clr.ptr(rows::chunk(clr, method)?, "MethodDescChunk", "MethodTable")?;
            let of_type = types.arguments_of(table).unwrap_or_default();
            let names = Names { handle: &handle, of_type: &of_type, of_method: &[] };
            signature::parameters(&blob, &|_| Err(Gap::Corrupt("a token without a module".to_owned())), &names)
        };
        let parameters: Known<String> = parameters();
        Ok(Named { name: format!("{class}.{text}{}", parameters.unwrap_or_default()).into(), module: None, stub })
    }

    /// `System.__Canon`; none for a method that is not generic.
    fn arguments_named(&self, method: Addr) -> Known<Vec<String>> {
        self.arguments(method)?.iter().map(|argument| self.types().handle_name(*argument)).collect()
    }

    /// The type arguments of a method, as type handles; none for one that is not generic.
    pub(super) fn arguments(&self, method: Addr) -> Known<Vec<Addr>> {
        /// Most type arguments of one method.
        const MAX_ARGUMENTS: u16 = 64;
        let clr = &self.clr;
        if rows::kind(clr, method)? != INSTANTIATED {
            return Ok(Vec::new());
        }
        let count = clr.u16(method, "InstantiatedMethodDesc", "NumGenericArgs")?;
        let list = clr.ptr(method, "InstantiatedMethodDesc", "PerInstInfo")?;
        if list.0 == 0 {
            return Ok(Vec::new());
        }
        if count > MAX_ARGUMENTS {
            return Err(Gap::Corrupt(format!("{count} type arguments at {list}")));
        }
        let argument = |index: u16| Ok(clr.memory().ptr(plus(list, u64::from(index).saturating_mul(8))?)?);
        (0..count).map(argument).collect()
    }
}

/// Whether a method is the program's own, by its assembly's name: those of .NET begin with two words.
pub(super) fn is_own(named: &Named) -> bool {
    named.module.as_deref().is_some_and(is_own_file)
}

/// Whether an assembly is the program's own, by its file's name.
fn is_own_file(name: &str) -> bool {
    !["System.", "Microsoft.", "mscorlib.", "netstandard."].iter().any(|prefix| name.starts_with(prefix))
}

impl Unwind for Methods {
    fn owns(&self, code: Addr) -> bool {
        code::is_unwound(&self.clr, code)
    }

    fn kind(&self, code: Addr) -> FrameKind {
        code::kind(&self.clr, code)
    }

    fn step(&self, frame: &OwnFrame<'_>) -> Step {
        if frame.registers.arch() == Arch::X86_64 { code::step(&self.clr, frame) } else { Step::Unknown }
    }

    fn beyond(&self, sp: Addr) -> Option<Beyond> {
        if self.clr.target.arch() == Arch::X86_64 { self.transitions.beyond(&self.clr, sp) } else { None }
    }
}
