//! A capture with the files of its modules: memory with read-only file pages beneath, names, symbol look-up.

mod assemblies;
mod names;
mod sources;
mod verification;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rustc_hash::{FxHashMap, FxHashSet};
use symbols::{Elf, FileBytes, Located, Locator, Machine, Outcome, Remembered, SourceFrame, Svma, Symbol, Wanted};

use self::names::Names;
pub use self::sources::SourcePlace;
use crate::capture::exports::Exports;
use crate::capture::facts::FileFacts;
use crate::capture::held::Held;
use crate::capture::{
    Access, Capture, ImageKind, MappedModule, MappedPart, Memory, Origin, Region, Role, Segment, image, kept,
};
use crate::error::Error;
use crate::job::Job;
use crate::marks::code::{is_own_code, is_runtime_library};
use crate::model::{Addr, Arch, Frame, FrameKind, NamedFrame, Problem, Subject, Why};

/// Copies of parts of modules that are told apart; a program with a thousand isolates of V8 has a thousand.
const MAX_COPIES: usize = 1 << 14;

/// Where files are looked for: the options that every reading invocation shares.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// `--sysroot`: where the dumped machine's files are.
    pub sysroot: Option<PathBuf>,
    /// `--exe`: moved or deleted executables and libraries.
    pub exe: Vec<PathBuf>,
    /// `--symbols`: directories.
    pub directories: Vec<PathBuf>,
    /// `--source`: where source files are.
    pub sources: Vec<SourcePlace>,
    /// Files that are open already; used where their build id is the module's.
    pub opened: Vec<Arc<Elf>>,
    /// Whether nothing of this machine is looked at but what is named here: the same dump has the same answers everywhere.
    pub alone: bool,
}

/// A module with its files.
pub struct Module {
    /// As the dump maps it.
    pub mapped: MappedModule,
    /// Its position in [`Target::modules`].
    pub index: usize,
    /// The module's own file (from disk, or rebuilt from the dump's pages), where it was found.
    pub code: Located,
    /// Whether `code` is what the dump's own pages hold.
    pub rebuilt: bool,
    debug: Arc<Remembered>,
    symbols: Arc<Names>,
    locator: Arc<Locator>,
    /// What the dump itself holds of its names, where it was written with the module's file.
    kept: Option<Arc<Elf>>,
    /// Where its exported names are read from the dump's memory, where no file was found.
    exports: Option<Arc<Exports>>,
}

/// What a code address is called.
#[derive(Clone, Debug)]
pub struct Name {
    /// Index into [`Target::modules`].
    pub module: usize,
    /// File name of the module.
    pub module_name: Option<Arc<str>>,
    /// Inlined calls expanded, innermost first; the last is the physical function. Empty when nothing names it.
    pub parts: Vec<NamedPart>,
    /// Whether this is a stub through which the module calls others.
    pub stub: bool,
}

/// One function at a code address.
#[derive(Clone, Debug)]
pub struct NamedPart {
    /// Full demangled name with its scope.
    pub function: Option<Arc<str>>,
    /// Where the function starts in the target.
    pub start: Option<Addr>,
    /// Source file as the compiler recorded it.
    pub file: Option<Arc<str>>,
    /// Line in it, from 1.
    pub line: Option<u32>,
    /// Whether it is the program's own code, and not a runtime's.
    pub own: bool,
}

/// What the dump holds of one module's file.
struct InDump<'a> {
    memory: &'a Memory,
    /// What it records of the file.
    facts: Option<FileFacts>,
    /// The file that it holds beside its memory.
    kept: Option<Arc<Elf>>,
}

/// A capture, its modules' files, and one address space over both.
pub struct Target {
    /// The capture.
    pub capture: Arc<Capture>,
    /// Modules, ascending by base.
    pub modules: Vec<Module>,
    /// Other places where instructions of modules are mapped, ascending; each has its module's index, files and names.
    copies: Vec<Module>,
    /// The dump's memory, then read-only pages of verified module files.
    pub memory: Memory,
    /// Where files are looked for.
    pub locator: Arc<Locator>,
    /// Paths of files of .NET assemblies that are used.
    assemblies: FxHashSet<String>,
    /// How many of them are used though the dump holds nothing of them to compare.
    unverified: usize,
    names: RwLock<FxHashMap<Addr, Option<Arc<Name>>>>,
}

impl Target {
    /// Finds and verifies the code file of each module and lays its read-only pages below the dump's memory. Reads
    /// headers only; symbols and debug files are opened when first asked for. Fails where the job is cancelled: half of the modules
    /// would be taken for all of them.
    pub fn open(mut capture: Arc<Capture>, search: &Search, job: &Job) -> Result<Target, Error> {
        // The machine is the same, maybe: what is found there is held against the dump like anything else.
        let root = capture.facts.as_ref().and_then(|facts| facts.root.clone()).map(PathBuf::from);
        let locator = Arc::new(Locator {
            sysroot: search.sysroot.clone().or(root),
            exe: search.exe.clone(),
            opened: search.opened.clone(),
            directories: search.directories.clone(),
            ..if search.alone { Locator::nowhere() } else { Locator::default() }
        });
        let machine = match capture.arch {
            Arch::X86_64 => Machine::X86_64,
            Arch::Aarch64 => Machine::Aarch64,
        };
        let mut memory = capture.memory.clone();
        let mapped = capture.modules.clone();
        job.phase("finding modules", mapped.len() as u64);
        let mut modules = Vec::with_capacity(mapped.len());
        let mut pages = Vec::new();
        let mut regions = Vec::new();
        let mut room = image::Room::of(&capture.memory);
        let mut copies = Vec::new();
        let bases: Vec<Addr> = mapped.iter().skip(1).map(|next| next.base).collect();
        let exports = OnceLock::new();
        for (index, mapped) in mapped.into_iter().enumerate() {
            let rebuilt = |mapped: &MappedModule| image::from_memory(mapped, &capture.memory, &mut room);
            let facts = capture.facts.as_deref().and_then(|facts| facts.mapping_at(mapped.base.0)?.file);
            let held = InDump { memory: &capture.memory, facts, kept: kept::file_of(&mapped, &capture.kept) };
            let mut module = Module::locate(mapped, index, machine, held, rebuilt, &locator);
            if module.code.place.is_none() && !module.mapped.is_vdso() {
                let exports = exports.get_or_init(|| Arc::new(Exports::of(&capture.memory)));
                module.exports = Some(Arc::clone(exports));
            }
            // A file's own end may lie behind the next module.
            let next = bases.get(index).filter(|next| **next > module.mapped.base);
            module.mapped.end = next.map_or(module.mapped.end, |next| module.mapped.end.min(*next));
            // Taken out meanwhile: each copy has what the module has, but copies.
            let parts = std::mem::take(&mut module.mapped.copies);
            let left = MAX_COPIES.saturating_sub(copies.len());
            for copy in parts.iter().take(left).filter_map(|part| module.copy(*part)) {
                pages.extend(copy.code.elf.as_deref().and_then(|elf| page_of_copy(&copy, elf)));
                copies.push(copy);
            }
            module.mapped.copies = parts;
            if let (Some(elf), Some(bias)) = (&module.code.elf, module.mapped.bias) {
                for (region, segment) in read_only_pages(elf, bias, index) {
                    regions.push(region);
                    pages.extend(segment);
                }
            }
            modules.push(module);
            job.advance(1)?;
        }
        let assemblies = assemblies::pages(&capture, &modules, &locator, job)?;
        pages.extend(assemblies.pages);
        memory.add_below(pages);
        memory.add_regions(regions);
        if capture.arch == Arch::Aarch64 {
            Arc::make_mut(&mut capture).complete(&memory);
        }
        copies.sort_by_key(|copy| copy.mapped.base);
        let (unverified, assemblies) = (assemblies.unverified, assemblies.used);
        Ok(Target { capture, modules, copies, memory, locator, assemblies, unverified, names: RwLock::default() })
    }

    /// The target's processor.
    pub fn arch(&self) -> Arch {
        self.capture.arch
    }

    /// The module that holds an address.
    pub fn module_at(&self, addr: Addr) -> Option<&Module> {
        let among = |modules: &'_ [Module]| {
            let before = modules.partition_point(|module| module.mapped.base <= addr).checked_sub(1)?;
            modules.get(before).is_some_and(|module| addr < module.mapped.end).then_some(before)
        };
        match among(&self.modules) {
            Some(index) => self.modules.get(index),
            None => self.copies.get(among(&self.copies)?),
        }
    }

    /// Where an address of a copy of a module's instructions is in the module itself; any other address as it is.
    pub fn original(&self, addr: Addr) -> Addr {
        let original = || {
            let copy = self.module_at(addr)?;
            self.modules.get(copy.index)?.addr(copy.svma(addr)?)
        };
        if self.copies.is_empty() { addr } else { original().unwrap_or(addr) }
    }

    /// What code at `lookup` is called (pass [`crate::model::Frame::lookup`]). `None` outside all modules. Memoised;
    /// the first question about a module reads its symbols.
    pub fn name(&self, lookup: Addr) -> Option<Arc<Name>> {
        if let Some(known) = self.names.read().unwrap_or_else(PoisonError::into_inner).get(&lookup) {
            return known.clone();
        }
        let name = self.module_at(lookup).map(|module| {
            let svma = module.svma(lookup);
            let sources = svma.map(|svma| module.symbols().frames(svma)).unwrap_or_default();
            Arc::new(Name {
                module: module.index,
                module_name: module.file_name().map(Arc::from),
                // Compilers describe no stub: what has inlined calls or a line is none.
                stub: sources.len() <= 1
                    && sources.iter().all(|source| source.line.is_none())
                    && svma.is_some_and(|svma| module.symbols().is_stub(svma)),
                parts: sources.into_iter().map(|source| named_part(module, source)).collect(),
            })
        });
        self.names.write().unwrap_or_else(PoisonError::into_inner).insert(lookup, name.clone());
        name
    }

    /// Begins to read the names of the modules in which threads were stopped, and the executable's, on a thread of its own. Unpacking
    /// the C library's debug information takes as long as walking a thousand stacks.
    pub fn read_names_ahead(self: &Arc<Target>) {
        let pcs = self.capture.threads.iter().filter_map(|thread| thread.registers.as_ref().ok()?.pc());
        let mut wanted: Vec<usize> = pcs.filter_map(|pc| Some(self.module_at(pc)?.index)).collect();
        wanted.extend(
            self.modules.iter().filter(|module| module.mapped.role == Role::Executable).map(|module| module.index),
        );
        wanted.sort_unstable();
        wanted.dedup();
        let target = Arc::clone(self);
        let read = move || {
            for module in wanted.into_iter().filter_map(|index| target.modules.get(index)) {
                module.symbols().read_ahead();
            }
        };
        // Without the thread they are read when they are asked for.
        let _ = std::thread::Builder::new().name("names".to_owned()).spawn(read);
    }

    /// Names walked frames: inlined calls expanded, innermost first.
    pub fn named(&self, frames: &[Frame]) -> Vec<NamedFrame> {
        let mut named: Vec<NamedFrame> = Vec::with_capacity(frames.len());
        for (walked, frame) in frames.iter().enumerate() {
            self.add_named(&mut named, walked, frame);
        }
        named.shrink_to_fit();
        named
    }

    /// Adds the names of the walked frame at a position.
    pub fn add_named(&self, named: &mut Vec<NamedFrame>, walked: usize, frame: &Frame) {
        let name = self.name(frame.lookup());
        let blank = NamedFrame {
            index: named.len(),
            pc: frame.pc,
            sp: frame.sp,
            kind: match (frame.kind, &name) {
                (FrameKind::Native, Some(name)) if name.stub => FrameKind::Stub,
                (kind, _) => kind,
            },
            trust: frame.trust,
            module: name.as_ref().and_then(|name| name.module_name.clone()),
            function: None,
            offset: None,
            file: None,
            line: None,
            approximate: false,
            own: name.as_ref().is_some_and(|name| is_own_code(name.module_name.as_deref(), None, false)),
            walked,
            part: Some(0),
        };
        let parts = name.as_ref().map(|name| name.parts.as_slice()).unwrap_or_default();
        let Some((physical, inlined)) = parts.split_last() else {
            named.push(blank);
            return;
        };
        for (place, part) in inlined.iter().enumerate() {
            named.push(NamedFrame {
                index: named.len(),
                kind: FrameKind::Inline,
                function: part.function.clone(),
                file: part.file.clone(),
                line: part.line,
                own: part.own,
                part: Some(place),
                ..blank.clone()
            });
        }
        named.push(NamedFrame {
            index: named.len(),
            function: physical.function.clone(),
            offset: physical.start.and_then(|start| frame.pc.since(start)),
            file: physical.file.clone(),
            line: physical.line,
            own: physical.own,
            part: Some(inlined.len()),
            ..blank
        });
    }

    /// The raw (mangled) name of the physical function at `lookup`, from ELF symbols; cheaper than [`Target::name`].
    pub fn function(&self, lookup: Addr) -> Option<Symbol> {
        let module = self.module_at(lookup)?;
        module.symbols().function(module.svma(lookup)?)
    }

    /// The data symbol that holds an address: module, symbol and offset into it.
    pub fn object(&self, addr: Addr) -> Option<(&Module, Symbol, u64)> {
        let module = self.module_at(addr)?;
        let svma = module.svma(addr)?;
        let symbol = module.symbols().object(svma)?;
        let offset = svma.0.checked_sub(symbol.svma.0)?;
        Some((module, symbol, offset))
    }

    /// Address of a symbol by raw name, looked for in every module in load order, optionally only in modules whose
    /// file name starts with `module` (`libc.so`, `ld-musl`).
    pub fn lookup(&self, name: &str, module: Option<&str>) -> Option<Addr> {
        self.modules
            .iter()
            .filter(|candidate| {
                module.is_none_or(|prefix| candidate.file_name().is_some_and(|name| name.starts_with(prefix)))
            })
            .find_map(|candidate| candidate.addr(candidate.symbols().lookup(name)?.svma))
    }

    /// What is missing of the modules' files, and of the dump's own file since it was opened.
    pub fn problems(&self) -> Vec<Problem> {
        let shrank = self.capture.shrank().then(|| {
            let message = "the dump's file became shorter while it was read; what was cut off was read as zeros";
            Problem::new("file-shrank", Subject::Capture, message).with_remedy("open it again once it is written")
        });
        let unused = self.locator.exe.iter().filter(|path| !self.answers_for(path)).map(|path| {
            let message = format!("{} is the file of no module of this dump (build ids differ)", path.display());
            Problem::new("file-unused", Subject::Capture, message).with_remedy("modules lists the build ids")
        });
        let unverified = (self.unverified > 0).then(|| {
            let message = format!(
                "the files of {} assemblies are used, and may be other builds': the dump holds nothing of them",
                self.unverified
            );
            Problem::new("assembly-unverified", Subject::Capture, message)
                .with_remedy("what rests on them, the names of types and methods, is likely at best")
        });
        shrank
            .into_iter()
            .chain(unverified)
            .chain(unused)
            .chain(self.modules.iter().filter(|module| !self.is_assembly(module)).filter_map(Module::problem))
            .collect()
    }

    /// Whether a mapped file that is no ELF file is an assembly of .NET, whose pages are used all the same.
    fn is_assembly(&self, module: &Module) -> bool {
        module.mapped.path.as_ref().is_some_and(|path| self.assemblies.contains(path))
    }

    /// Whether a file that the user named is some module's, or the reason why one has none.
    fn answers_for(&self, path: &Path) -> bool {
        let mut assemblies = self.capture.assemblies.iter().map(|mapped| Path::new(&mapped.path).file_name());
        assemblies.any(|name| name == path.file_name())
            || self.modules.iter().any(|module| {
                let is_refused = || module.code.attempts.iter().any(|attempt| attempt.place.path() == Some(path));
                module.code.path() == Some(path) || (module.code.place.is_none() && is_refused())
            })
    }
}

impl Module {
    /// `held`: what the dump holds of the module's file. `rebuilt`: that file as its memory has it.
    fn locate(
        mapped: MappedModule,
        index: usize,
        machine: Machine,
        held: InDump<'_>,
        mut rebuilt: impl FnMut(&MappedModule) -> Located,
        locator: &Arc<Locator>,
    ) -> Module {
        let mut mapped = mapped;
        let kept = held.kept.filter(|kept| kept.machine() == machine);
        let (code, is_rebuilt) = match mapped.image {
            ImageKind::Vdso => (rebuilt(&mapped), true),
            ImageKind::Elf { .. } => {
                let mut found = locator.code(&Wanted {
                    path: mapped.path.as_deref().map(Path::new),
                    build_id: mapped.build_id.as_ref().ok().and_then(Option::as_ref),
                    machine: Some(machine),
                    contents: Some(&Held { mapped: &mapped, memory: held.memory, recorded: held.facts }),
                });
                // The mapped file was at no path: what is there now and cannot be verified is another one.
                if kept.is_some() && !found.verified {
                    found.attempts.retain(|attempt| !matches!(attempt.outcome, Outcome::AcceptedUnverified(_)));
                    found.elf = None;
                }
                match (&found.elf, kept.as_ref().filter(|kept| kept.has_code())) {
                    (Some(_), _) => (found, false),
                    (None, Some(whole)) => {
                        let elf = Some(Arc::clone(whole));
                        (Located { elf, place: None, verified: true, attempts: found.attempts }, false)
                    }
                    // A full dump holds what the lost file held.
                    (None, None) => (Located { attempts: found.attempts, ..rebuilt(&mapped) }, true),
                }
            }
        };
        if let Some(elf) = &code.elf {
            image::place(&mut mapped, elf);
        }
        let rebuilt = is_rebuilt && code.elf.is_some();
        let (debug, symbols) = (Arc::default(), Arc::default());
        Module { mapped, index, code, rebuilt, debug, symbols, locator: Arc::clone(locator), kept, exports: None }
    }

    /// The module as one part of it is mapped a second time, with the same files and names; `None` where its file does not
    /// tell what the part is.
    fn copy(&self, part: MappedPart) -> Option<Module> {
        let elf = self.code.elf.as_ref()?;
        let segment = elf.segments().iter().find(|segment| {
            let end = segment.offset.saturating_add(segment.file_size);
            part.offset < end && segment.offset < part.offset.saturating_add(part.end.0.saturating_sub(part.start.0))
        })?;
        let svma = segment.svma.0.wrapping_sub(segment.offset.wrapping_sub(part.offset));
        let mapped = MappedModule {
            base: part.start,
            end: part.end,
            bias: Some(part.start.0.wrapping_sub(svma)),
            parts: vec![part],
            ..self.mapped.clone()
        };
        let (debug, symbols) = (Arc::clone(&self.debug), Arc::clone(&self.symbols));
        let (code, locator) = (self.code.clone(), Arc::clone(&self.locator));
        let (kept, exports) = (self.kept.clone(), self.exports.clone());
        Some(Module { mapped, index: self.index, code, rebuilt: self.rebuilt, debug, symbols, locator, kept, exports })
    }

    /// Last component of the path, `libc.so.6`; `[vdso]` for the vDSO.
    pub fn file_name(&self) -> Option<&str> {
        match &self.mapped.path {
            Some(path) => path.rsplit('/').next(),
            None => self.mapped.is_vdso().then_some("[vdso]"),
        }
    }

    /// Whether it comes with the compiler or the system: the C library, the language's runtime, the vDSO.
    pub fn is_runtime(&self) -> bool {
        self.mapped.is_vdso() || self.file_name().is_some_and(is_runtime_library)
    }

    /// An address of the target as the module's file states it.
    pub fn svma(&self, addr: Addr) -> Option<Svma> {
        Some(Svma(addr.0.wrapping_sub(self.mapped.bias?)))
    }

    /// An address that the module's file states, in the target.
    pub fn addr(&self, svma: Svma) -> Option<Addr> {
        Some(Addr(svma.0.wrapping_add(self.mapped.bias?)))
    }

    /// The module's code file, where it was found.
    pub fn elf(&self) -> Option<&Arc<Elf>> {
        self.code.elf.as_ref()
    }
}

fn named_part(module: &Module, source: SourceFrame) -> NamedPart {
    NamedPart {
        own: is_own_code(module.file_name(), source.function.as_deref(), source.file.is_some()),
        function: source.function,
        start: source.start.and_then(|svma| module.addr(svma)),
        file: source.file,
        line: source.line,
    }
}

fn file_bytes(elf: &Elf, offset: u64, len: u64) -> Option<FileBytes> {
    let start = usize::try_from(offset).ok()?;
    elf.bytes().slice(start..start.checked_add(usize::try_from(len).ok()?)?)
}

/// The bytes of a part of a module that is mapped again, as the file has them.
fn page_of_copy(copy: &Module, elf: &Elf) -> Option<Segment> {
    let MappedPart { start, end, offset } = *copy.mapped.parts.first()?;
    let len = end.since(start)?.min((elf.bytes().len() as u64).saturating_sub(offset));
    let bytes = file_bytes(elf, offset, len)?;
    Some(Segment { start, bytes, origin: Origin::Module(copy.index) })
}

/// The parts of a file that the process cannot have written: mapped without write access.
fn read_only_pages(elf: &Elf, bias: u64, module: usize) -> Vec<(Region, Option<Segment>)> {
    let mut pages = Vec::new();
    for part in elf.segments().iter().filter(|part| !part.write) {
        let start = Addr(part.svma.0.wrapping_add(bias));
        let Some(end) = start.plus(part.mem_size) else { continue };
        let access = Access { read: part.read, write: part.write, execute: part.execute };
        let region = Region { start, end, access, missing: Why::ImageMissing };
        let bytes = file_bytes(elf, part.offset, part.file_size);
        pages.push((region, bytes.map(|bytes| Segment { start, bytes, origin: Origin::Module(module) })));
    }
    pages
}
