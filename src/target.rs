//! A capture with the files of its modules: memory with read-only file pages beneath, names, symbol look-up.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rustc_hash::FxHashMap;
use symbols::{Elf, FileBytes, Located, Locator, Machine, ModuleSymbols, Outcome, SourceFrame, Svma, Symbol, Wanted};

use crate::capture::exports::Exports;
use crate::capture::{Access, Capture, MappedModule, Memory, Origin, Region, Role, Segment, image, kept};
use crate::job::Job;
use crate::model::runtime_code::{is_own_code, is_runtime_library};
use crate::model::{Addr, Arch, Frame, FrameKind, NamedFrame, Problem, Subject, Why};

/// Where files are looked for: the options that every reading invocation shares.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// `--sysroot`: where the dumped machine's files are.
    pub sysroot: Option<PathBuf>,
    /// `--exe`: moved or deleted executables and libraries.
    pub exe: Vec<PathBuf>,
    /// `--symbols`: directories.
    pub directories: Vec<PathBuf>,
    /// Files that are open already; used where their build id is the module's.
    pub opened: Vec<Arc<Elf>>,
}

/// A module with its files.
pub struct Module {
    /// As the dump maps it.
    pub mapped: MappedModule,
    /// Its position in [`Target::modules`].
    pub index: usize,
    /// The module's own file (from disk, or rebuilt from the dump's pages), where it was found.
    pub code: Located,
    debug: OnceLock<Located>,
    symbols: OnceLock<ModuleSymbols>,
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

/// A capture, its modules' files, and one address space over both.
pub struct Target {
    /// The capture.
    pub capture: Capture,
    /// Modules, ascending by base.
    pub modules: Vec<Module>,
    /// The dump's memory, then read-only pages of verified module files.
    pub memory: Memory,
    /// Files that the user named.
    exe: Vec<PathBuf>,
    names: RwLock<FxHashMap<Addr, Option<Arc<Name>>>>,
}

impl Target {
    /// Finds and verifies the code file of each module and lays its read-only pages below the dump's memory. Reads
    /// headers only; symbols and debug files are opened when first asked for.
    pub fn open(mut capture: Capture, search: &Search, job: &Job) -> Target {
        // The machine is the same, maybe: what is found there is held against the dump like anything else.
        let root = capture.facts.as_ref().and_then(|facts| facts.root.clone()).map(PathBuf::from);
        let locator = Arc::new(Locator {
            sysroot: search.sysroot.clone().or(root),
            exe: search.exe.clone(),
            opened: search.opened.clone(),
            directories: search.directories.clone(),
            ..Locator::default()
        });
        let machine = match capture.arch {
            Arch::X86_64 => Machine::X86_64,
            Arch::Aarch64 => Machine::Aarch64,
        };
        let mut memory = capture.memory.clone();
        let mapped = std::mem::take(&mut capture.modules);
        job.phase("finding modules", mapped.len() as u64);
        let mut modules = Vec::with_capacity(mapped.len());
        let mut pages = Vec::new();
        let mut regions = Vec::new();
        let mut room = image::Room::of(&capture.memory);
        let exports = OnceLock::new();
        let kept = std::mem::take(&mut capture.kept);
        for (index, mapped) in mapped.into_iter().enumerate() {
            let rebuilt = |mapped: &MappedModule| image::from_memory(mapped, &capture.memory, &mut room);
            let file = kept::file_of(&mapped, &kept);
            let mut module = Module::locate(mapped, index, machine, (file, rebuilt), &locator);
            if module.code.path.is_none() && module.mapped.role != Role::Vdso {
                let exports = exports.get_or_init(|| Arc::new(Exports::of(&capture.memory)));
                module.exports = Some(Arc::clone(exports));
            }
            if let (Some(elf), Some(bias)) = (&module.code.elf, module.mapped.bias) {
                for (region, segment) in read_only_pages(elf, bias, index) {
                    regions.push(region);
                    pages.extend(segment);
                }
            }
            modules.push(module);
            if job.advance(1).is_err() {
                break;
            }
        }
        memory.add_below(pages);
        memory.add_regions(regions);
        capture.complete(&memory);
        Target { capture, modules, memory, exe: search.exe.clone(), names: RwLock::default() }
    }

    /// The target's processor.
    pub fn arch(&self) -> Arch {
        self.capture.arch
    }

    /// The module that holds an address.
    pub fn module_at(&self, addr: Addr) -> Option<&Module> {
        let after = self.modules.partition_point(|module| module.mapped.base <= addr);
        self.modules.get(after.checked_sub(1)?).filter(|module| addr < module.mapped.end)
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
        for frame in frames {
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
                own: name.as_ref().is_some_and(|name| is_own_code(name.module_name.as_deref(), None, false)),
            };
            let parts = name.as_ref().map(|name| name.parts.as_slice()).unwrap_or_default();
            let Some((physical, inlined)) = parts.split_last() else {
                named.push(blank);
                continue;
            };
            for part in inlined {
                named.push(NamedFrame {
                    index: named.len(),
                    kind: FrameKind::Inline,
                    function: part.function.clone(),
                    file: part.file.clone(),
                    line: part.line,
                    own: part.own,
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
                ..blank
            });
        }
        named.shrink_to_fit();
        named
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
        let unused = self.exe.iter().filter(|path| !self.answers_for(path)).map(|path| {
            let message = format!("{} is the file of no module of this dump (build ids differ)", path.display());
            Problem::new("file-unused", Subject::Capture, message).with_remedy("modules lists the build ids")
        });
        shrank.into_iter().chain(unused).chain(self.modules.iter().filter_map(Module::problem)).collect()
    }

    /// Whether a file that the user named is some module's, or the reason why one has none.
    fn answers_for(&self, path: &Path) -> bool {
        self.modules.iter().any(|module| {
            let is_refused = || module.code.attempts.iter().any(|attempt| attempt.path == path);
            module.code.path.as_deref() == Some(path) || (module.code.elf.is_none() && is_refused())
        })
    }
}

impl Module {
    /// `held`: the file that the dump holds of the module beside its memory, and the file as its memory has it.
    fn locate(
        mapped: MappedModule,
        index: usize,
        machine: Machine,
        held: (Option<Arc<Elf>>, impl FnMut(&MappedModule) -> Located),
        locator: &Arc<Locator>,
    ) -> Module {
        let (mut mapped, (kept, mut rebuilt)) = (mapped, held);
        let kept = kept.filter(|kept| kept.machine() == machine);
        let code = match mapped.role {
            Role::Vdso => rebuilt(&mapped),
            Role::Executable | Role::Library => {
                let mut found = locator.code(&Wanted {
                    path: mapped.path.as_deref().map(Path::new),
                    build_id: mapped.build_id.as_ref().ok().and_then(Option::as_ref),
                    machine: Some(machine),
                });
                // The mapped file was at no path: what is there now and cannot be verified is another one.
                if kept.is_some() && !found.verified {
                    found.attempts.retain(|attempt| attempt.outcome != Outcome::AcceptedUnverified);
                    found.elf = None;
                }
                match (&found.elf, kept.as_ref().filter(|kept| kept.has_code())) {
                    (Some(_), _) => found,
                    (None, Some(whole)) => {
                        let elf = Some(Arc::clone(whole));
                        Located { elf, path: None, verified: true, attempts: found.attempts }
                    }
                    // A full dump holds what the lost file held.
                    (None, None) => Located { attempts: found.attempts, ..rebuilt(&mapped) },
                }
            }
        };
        if let Some(elf) = &code.elf {
            image::place(&mut mapped, elf);
        }
        Module {
            mapped,
            index,
            code,
            debug: OnceLock::new(),
            symbols: OnceLock::new(),
            locator: Arc::clone(locator),
            kept,
            exports: None,
        }
    }

    /// Last component of the path, `libc.so.6`; `linux-vdso` for the vDSO.
    pub fn file_name(&self) -> Option<&str> {
        match (&self.mapped.path, self.mapped.role) {
            (Some(path), _) => path.rsplit('/').next(),
            (None, Role::Vdso) => Some("[vdso]"),
            (None, _) => None,
        }
    }

    /// Whether it comes with the compiler or the system: the C library, the language's runtime, the vDSO.
    pub fn is_runtime(&self) -> bool {
        self.mapped.role == Role::Vdso || self.file_name().is_some_and(is_runtime_library)
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

    /// The separate debug file; looked for on the first call.
    pub fn debug(&self) -> &Located {
        self.debug.get_or_init(|| {
            if self.mapped.role == Role::Vdso {
                return Located::default();
            }
            let found = self.code.elf.as_deref();
            self.locator.debug(
                &Wanted {
                    path: self.code.path.as_deref().or(self.mapped.path.as_deref().map(Path::new)),
                    build_id: self
                        .mapped
                        .build_id
                        .as_ref()
                        .ok()
                        .and_then(Option::as_ref)
                        .or(found.and_then(Elf::build_id)),
                    machine: found.map(Elf::machine),
                },
                found,
            )
        })
    }

    /// The module's names; its files are opened on the first call.
    pub fn symbols(&self) -> &ModuleSymbols {
        self.symbols.get_or_init(|| {
            let debug = self.debug();
            let exported = self.exports.as_ref().and_then(|exports| exports.file(&self.mapped)).map(Arc::new);
            // A kept file that is the code is there already; one that holds names alone comes after it.
            let kept = self.kept.iter().filter(|kept| self.code.path.is_none() && !kept.has_code()).cloned();
            ModuleSymbols::new(self.code.elf.clone(), debug.elf.clone())
                .with_kept(kept.chain(exported))
                .with_locator(Arc::clone(&self.locator))
        })
    }

    fn problem(&self) -> Option<Problem> {
        if self.code.elf.is_some() {
            return None;
        }
        let name = self.mapped.path.as_deref().unwrap_or("[vdso]");
        let id = match &self.mapped.build_id {
            Ok(Some(id)) => format!("build id {id}"),
            Ok(None) => "no build id".to_owned(),
            Err(gap) => format!("build id unknown ({gap})"),
        };
        let refused = self.code.attempts.iter().find(|attempt| is_mismatch(&attempt.outcome));
        let message = match refused {
            Some(attempt) => {
                format!("{name}: the file {} is refused: {} (wanted {id})", attempt.path.display(), attempt.outcome)
            }
            None => format!("{name}: file not found ({id}; looked in {} places)", self.code.attempts.len()),
        };
        Some(
            Problem::new("module-file-missing", Subject::Module(self.mapped.base), message)
                .with_remedy("pass it with --exe FILE, or the machine's files with --sysroot DIR"),
        )
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

fn is_mismatch(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::BuildIdDiffers { .. } | Outcome::MachineDiffers { .. } | Outcome::CrcDiffers)
}

fn file_bytes(elf: &Elf, offset: u64, len: u64) -> Option<FileBytes> {
    let start = usize::try_from(offset).ok()?;
    elf.bytes().slice(start..start.checked_add(usize::try_from(len).ok()?)?)
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
