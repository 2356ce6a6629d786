//! Everything that is known of one module's names, from all its files, read when first asked for.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use object::elf;
use rustc_hash::FxHashMap;

use crate::demangle::without_clone;
use crate::dwarf::{Described, Dwarf, SplitFiles};
use crate::go_table::{GoFrame, GoTable};
use crate::table::SymbolTable;
use crate::{
    CallSite, Elf, Error, FileBytes, Locals, Located, Locator, Part, Place, Remembered, SourceFrame, Svma, Symbol,
    SymbolKind, TypeId, TypeLayout, decompress, demangle,
};

/// Answers are kept for this many addresses of a module; then the memory is given back and filled anew.
const MAX_REMEMBERED: usize = 1 << 18;

/// A module's names. Creating it reads nothing; each table is read when the first question needs it. Shared between threads.
pub struct ModuleSymbols {
    code: Option<Arc<Elf>>,
    debug: Option<Arc<Elf>>,
    kept: Vec<Arc<Elf>>,
    mini: OnceLock<Result<Option<Arc<Elf>>, Error>>,
    table: OnceLock<SymbolTable>,
    go: OnceLock<Option<GoTable>>,
    dwarf: OnceLock<Result<Option<Dwarf>, Error>>,
    /// The same without the file that `dwz` split off, while the place of that does not answer.
    partial: OnceLock<Result<Option<Dwarf>, Error>>,
    supplementary: Remembered,
    locator: Option<Arc<Locator>>,
    frames: Mutex<FxHashMap<Svma, Arc<[SourceFrame]>>>,
    calls: Mutex<FxHashMap<Svma, Option<Arc<CallSite>>>>,
}

/// A kind of table with names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// `.dynsym`: what the module exports.
    DynamicSymbols,
    /// `.symtab`: all functions and data.
    Symbols,
    /// `.gnu_debugdata`: the functions that `.dynsym` lacks, compressed.
    MiniSymbols,
    /// `.gopclntab`: Go's functions and lines, which stripping leaves.
    GoTable,
    /// DWARF: functions, inlined calls, lines, variables.
    Dwarf,
}

/// A table of a module, or why it is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolSource {
    /// Which table.
    pub kind: SourceKind,
    /// Where its file comes from; `None` where that is the dump.
    pub place: Option<Place>,
    /// How large it is: entries of a symbol table, bytes of DWARF.
    pub size: u64,
    /// Why it cannot be used, if it cannot.
    pub problem: Option<Error>,
}

impl SymbolSource {
    fn new(kind: SourceKind, file: &Elf, size: usize, problem: Option<Error>) -> SymbolSource {
        let shortened = file.bytes().was_truncated().then_some(Error::Shortened);
        SymbolSource {
            kind,
            place: file.place().cloned(),
            size: u64::try_from(size).unwrap_or(u64::MAX),
            problem: problem.or(shortened),
        }
    }
}

impl ModuleSymbols {
    /// The names in the module's code file and in its separate debug file.
    pub fn new(code: Option<Arc<Elf>>, debug: Option<Arc<Elf>>) -> ModuleSymbols {
        ModuleSymbols {
            code,
            debug,
            kept: Vec::new(),
            mini: OnceLock::new(),
            table: OnceLock::new(),
            go: OnceLock::new(),
            dwarf: OnceLock::new(),
            partial: OnceLock::new(),
            supplementary: Remembered::default(),
            locator: None,
            frames: Mutex::default(),
            calls: Mutex::default(),
        }
    }

    /// The same with a place to look for the files that the debug file refers to: what `dwz` split off, and split units (`.dwo`, `.dwp`).
    pub fn with_locator(mut self, locator: Arc<Locator>) -> ModuleSymbols {
        self.locator = Some(locator);
        self
    }

    /// The same with more files that hold names: symbol tables that a dump has of the module.
    pub fn with_kept(mut self, files: impl IntoIterator<Item = Arc<Elf>>) -> ModuleSymbols {
        self.kept.extend(files);
        self
    }

    /// The physical function that holds `at`, from the symbol tables. Never past the end of a symbol that states its size.
    ///
    /// Code through which the module calls others is named as gdb does, `write@plt`.
    pub fn function(&self, at: Svma) -> Option<Symbol> {
        let of_go = || {
            let found = self.go()?.function(at)?;
            Some(Symbol { name: found.name, svma: found.start, size: found.size, kind: SymbolKind::Function })
        };
        self.table().function(at).or_else(of_go).or_else(|| {
            let stub = self.code.as_ref()?.stub(at)?;
            let name = format!("{}@plt", String::from_utf8_lossy(&stub.name?)).into();
            Some(Symbol { name, svma: stub.svma, size: stub.size, kind: SymbolKind::Function })
        })
    }

    /// Whether `at` is in a stub through which the module calls others, and in no function that a symbol names.
    pub fn is_stub(&self, at: Svma) -> bool {
        self.table().function(at).is_none() && self.code.as_ref().is_some_and(|code| code.stub(at).is_some())
    }

    /// What the source has at `at`: inlined calls, innermost first; the last is the physical function. Without DWARF the one frame holds
    /// the symbol's name; empty where nothing is known. For a return address ask for the address before it.
    pub fn frames(&self, at: Svma) -> Vec<SourceFrame> {
        if let Some(known) = self.remembered().get(&at) {
            return known.to_vec();
        }
        let frames = self.resolve(at);
        let mut remembered = self.remembered();
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(at, frames.clone().into());
        frames
    }

    /// The frame that Go's own table gives the function at `at`: it is there where call frame information was stripped.
    pub fn go_frame(&self, at: Svma) -> Option<GoFrame> {
        self.go()?.frame(at)
    }

    /// Reads what [`ModuleSymbols::frames`] needs of every address: the symbol tables and the units of the DWARF.
    pub fn read_ahead(&self) {
        self.dwarf();
        self.table();
    }

    /// The global or static variable that holds `at`, and which part of it: `g_cache.shards[3].mutex_`. From DWARF: reads all of it once.
    pub fn global_at(&self, at: Svma) -> Option<Part> {
        self.dwarf()?.global_at(at).ok()?
    }

    /// The type of the global or static variable that begins at `at`. From DWARF: reads all of it once.
    pub fn global_type(&self, at: Svma) -> Option<TypeId> {
        self.dwarf()?.global_type(at).ok()?
    }

    /// The global and static variables whose type is stated, ascending by address, one of those at the same. From DWARF:
    /// reads all of it once.
    pub fn globals(&self) -> Vec<(Svma, TypeId)> {
        self.dwarf().and_then(|dwarf| dwarf.globals().ok()).unwrap_or_default()
    }

    /// The variables in scope at `at`, of the physical function and of those inlined there. `None` where DWARF knows no function. For a return
    /// address ask for the address before it.
    pub fn locals(&self, at: Svma) -> Option<Locals> {
        self.dwarf()?.locals(at).ok()?
    }

    /// The call that returns to `returns_to`, with what it passed in registers; `None` where its caller's DWARF does not describe it.
    pub fn call_site(&self, returns_to: Svma) -> Option<Arc<CallSite>> {
        if let Some(known) = self.calls.lock().unwrap_or_else(PoisonError::into_inner).get(&returns_to) {
            return known.clone();
        }
        let site = self.dwarf()?.call_site(returns_to).ok()?.map(Arc::new);
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() >= MAX_REMEMBERED {
            calls.clear();
        }
        calls.insert(returns_to, site.clone());
        site
    }

    /// The structure, class or union of that full name, as `TypeLayout::name` has it. From DWARF: reads all of it once.
    pub fn type_named(&self, name: &str) -> Option<TypeId> {
        self.dwarf()?.type_named(name).ok()?
    }

    /// What a type is made of. A type that one unit only declares is looked for in the others.
    pub fn type_layout(&self, id: TypeId) -> Option<TypeLayout> {
        self.dwarf()?.layout(id).ok()?
    }

    /// What a type is called, as `TypeLayout::name` has it; its parts are not read.
    pub fn type_name(&self, id: TypeId) -> Option<String> {
        self.dwarf()?.type_name(id).ok()?
    }

    /// The types that a template or a generic type was given, in order, each with the parameter's name.
    pub fn type_parameters(&self, id: TypeId) -> Vec<(String, TypeId)> {
        self.dwarf().and_then(|dwarf| dwarf.type_parameters(id).ok()).unwrap_or_default()
    }

    /// Of the type of a Rust vtable the type that it is for.
    pub fn containing_type(&self, id: TypeId) -> Option<TypeId> {
        self.dwarf()?.containing_type(id).ok()?
    }

    /// Which part of a structure is `offset` bytes from its start.
    pub fn part_of(&self, id: TypeId, offset: u64) -> Option<Part> {
        self.dwarf()?.part(id, offset).ok()?
    }

    /// The data symbol that holds `at`.
    pub fn object(&self, at: Svma) -> Option<Symbol> {
        self.table().object(at)
    }

    /// The symbol of exactly that (mangled) name; a global one rather than a local one.
    pub fn lookup(&self, name: &str) -> Option<Symbol> {
        self.table().lookup(name)
    }

    /// The symbols whose (mangled) name begins with `prefix`, sorted by name.
    pub fn symbols_starting_with(&self, prefix: &str) -> impl Iterator<Item = Symbol> + use<> {
        self.table().starting_with(prefix).into_iter()
    }

    /// All symbols of that kind, by address.
    pub fn symbols(&self, kind: SymbolKind) -> impl Iterator<Item = Symbol> + '_ {
        self.table().of_kind(kind)
    }

    /// Which tables there are, and what is wrong with them as far as it was seen yet. Reads headers, and unpacks `.gnu_debugdata`.
    pub fn sources(&self) -> Vec<SymbolSource> {
        let mut sources = Vec::new();
        for (kind, section) in [(SourceKind::DynamicSymbols, elf::SHT_DYNSYM), (SourceKind::Symbols, elf::SHT_SYMTAB)] {
            let found = self.files().find_map(|file| Some((file, file.raw_symbols(section)?)));
            sources.extend(found.map(|(file, symbols)| SymbolSource::new(kind, file, symbols.len(), None)));
        }
        if let Some(code) = &self.code {
            let entries = |mini: &Arc<Elf>| mini.raw_symbols(elf::SHT_SYMTAB).map_or(0, |symbols| symbols.len());
            match self.mini() {
                Ok(None) => {}
                Ok(Some(mini)) => sources.push(SymbolSource::new(SourceKind::MiniSymbols, code, entries(mini), None)),
                Err(error) => sources.push(SymbolSource::new(SourceKind::MiniSymbols, code, 0, Some(error.clone()))),
            }
        }
        if let (Some(code), Some(table)) = (&self.code, self.go()) {
            sources.push(SymbolSource::new(SourceKind::GoTable, code, table.len(), None));
        }
        if let Some(file) = self.files().find(|file| file.has_debug_info()) {
            let damage = self.dwarf.get().or(self.partial.get()).and_then(|dwarf| dwarf.as_ref().err()).cloned();
            let problem = damage.or_else(|| self.missing_supplementary(file));
            let size = usize::try_from(file.section_size(".debug_info")).unwrap_or(usize::MAX);
            sources.push(SymbolSource::new(SourceKind::Dwarf, file, size, problem));
        }
        sources
    }

    fn missing_supplementary(&self, file: &Elf) -> Option<Error> {
        let link = file.alt_link().ok()??;
        let found = self.supplementary(file).elf.is_some();
        let name = String::from_utf8_lossy(&link.name).into_owned();
        (!found).then(|| Error::Missing(format!("the shared debug file {name} (build id {})", link.build_id)))
    }

    fn supplementary(&self, file: &Elf) -> Cow<'_, Located> {
        let is_open = self.partial.get().is_some() && self.supplementary.get().is_none();
        let found = self.supplementary.get_or_ask(|| match &self.locator {
            Some(locator) => locator.supplementary(file),
            None => Located::default(),
        });
        if is_open && self.supplementary.get().is_some() {
            // What was told without the shared file lacks its names.
            self.remembered().clear();
            self.calls.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        found
    }

    /// The debug file first: its tables are the complete ones. What a dump kept comes last.
    fn files(&self) -> impl Iterator<Item = &Arc<Elf>> + Clone {
        self.debug.iter().chain(&self.code).chain(&self.kept)
    }

    fn table(&self) -> &SymbolTable {
        self.table.get_or_init(|| {
            let full = self.files().filter_map(|file| Some((Arc::clone(file), file.raw_symbols(elf::SHT_SYMTAB)?)));
            let dynamic = self.files().filter_map(|file| Some((Arc::clone(file), file.raw_symbols(elf::SHT_DYNSYM)?)));
            let mini = self.mini().as_ref().ok().and_then(Option::as_ref);
            let mini = mini.and_then(|file| Some((Arc::clone(file), file.raw_symbols(elf::SHT_SYMTAB)?)));
            SymbolTable::new(full.chain(dynamic).chain(mini))
        })
    }

    /// The symbols of `.gnu_debugdata`. Not unpacked where a file has a full symbol table.
    fn mini(&self) -> &Result<Option<Arc<Elf>>, Error> {
        self.mini.get_or_init(|| {
            const NAME: &str = ".gnu_debugdata";
            if self.files().any(|file| file.raw_symbols(elf::SHT_SYMTAB).is_some()) {
                return Ok(None);
            }
            let Some(code) = &self.code else { return Ok(None) };
            let Some(section) = code.section(NAME)? else { return Ok(None) };
            let bytes = decompress::xz(&section.bytes)
                .map_err(|reason| Error::Decompress { section: NAME.to_owned(), reason })?;
            Ok(Some(Arc::new(Elf::parse(FileBytes::from_vec(bytes))?)))
        })
    }

    fn go(&self) -> Option<&GoTable> {
        self.go.get_or_init(|| GoTable::of(self.code.as_ref()?)).as_ref()
    }

    /// The debug information, whole as soon as every place answered that may hold a part of it.
    fn dwarf(&self) -> Option<&Dwarf> {
        let known = match (self.dwarf.get(), self.supplementary.get()) {
            (Some(whole), _) => Some(whole),
            // Each question for a name would wait for the place again; `sources` asks it.
            (None, None) => self.partial.get(),
            (None, Some(_)) => None,
        };
        known.unwrap_or_else(|| self.read_dwarf()).as_ref().ok()?.as_ref()
    }

    fn read_dwarf(&self) -> &Result<Option<Dwarf>, Error> {
        let Some(file) = self.files().find(|file| file.has_debug_info()) else {
            return self.dwarf.get_or_init(|| Ok(None));
        };
        let shared = self.supplementary(file);
        let read = if self.supplementary.get().is_some() { &self.dwarf } else { &self.partial };
        read.get_or_init(|| {
            let modules = self.files().filter_map(|file| file.path()).map(PathBuf::from).collect();
            let split = SplitFiles::new(self.locator.clone(), modules);
            Dwarf::new(file, shared.elf.as_ref(), split)
        })
    }

    fn resolve(&self, at: Svma) -> Vec<SourceFrame> {
        let symbol = self.function(at);
        // Damaged debug information of one address leaves its symbol.
        let mut described = self.dwarf().and_then(|dwarf| dwarf.frames(at).ok()).unwrap_or_default();
        if described.is_empty() && symbol.is_some() {
            let place = self.go().and_then(|table| table.function(at));
            let (file, line) = place.map_or((None, None), |place| (place.file, place.line));
            described.push(Described { frame: SourceFrame { file, line, ..SourceFrame::default() }, base: None });
        }
        if let (Some(physical), Some(symbol)) = (described.last_mut(), &symbol) {
            physical.name_by(symbol);
        }
        let start = symbol.as_ref().map(|symbol| symbol.svma);
        let frames = described.into_iter().map(|described| described.frame);
        frames.map(|frame| SourceFrame { start: start.or(frame.start), ..frame }).collect()
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, FxHashMap<Svma, Arc<[SourceFrame]>>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Described {
    /// Takes the symbol's name where DWARF has none, or only one without parameters: compilers give no linkage name to what is local
    /// to a file.
    fn name_by(&mut self, symbol: &Symbol) {
        let demangled = demangle(&symbol.name);
        let better = match (&self.frame.function, &self.base) {
            (None, _) => true,
            // Two functions that were folded into one have one symbol: it must be this one's.
            (Some(_), Some(base)) => demangled != *symbol.name && demangled.contains(base.as_str()),
            (Some(_), None) => false,
        };
        if better {
            self.frame.function = Some(without_clone(&demangled).into());
        }
    }
}
