//! The names of a module's addresses: its symbol tables merged and sorted once, names read and demangled only when asked.

use std::cmp::Reverse;
use std::hash::Hasher;
use std::sync::{Arc, OnceLock};

use object::elf;

use crate::elf::{RawSymbol, RawSymbols, SectionHolds};
use crate::intervals::{Intervals, MAX_STEPS_BACK, Span};
use crate::{Elf, Svma};

/// What a symbol names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SymbolKind {
    /// Instructions: a function, or a label in an executable section.
    Function,
    /// Data.
    Object,
    /// Data of each thread; the address is an offset into the module's TLS block.
    ThreadLocal,
    /// Anything else: an absolute value, a label in data.
    Other,
}

/// A name and the bytes it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The name as the table has it, not demangled, without a version.
    pub name: Arc<str>,
    /// Where it starts.
    pub svma: Svma,
    /// How many bytes it covers; 0 where the table does not say.
    pub size: u64,
    /// What it names.
    pub kind: SymbolKind,
}

/// How many symbols of one name (more exactly: of one hash) are compared.
const MAX_SAME_NAME: usize = 4096;

/// How far a function without a size reaches where hidden functions may follow it: those that assemblers leave so are short. In musl
/// 1.2.3 the longest is `memset` with 212 bytes, and the code that makes every blocking system call lies 286 bytes behind its start.
const MAX_REACH: u64 = 256;

/// All symbols of a module, from any number of files.
#[derive(Debug, Default)]
pub(crate) struct SymbolTable {
    tables: Vec<Table>,
    functions: Intervals<Entry>,
    objects: Intervals<Entry>,
    others: Vec<Entry>,
    /// By hash of the name.
    by_name: OnceLock<Vec<(u64, Entry)>>,
}

#[derive(Debug)]
struct Table {
    symbols: RawSymbols,
    file: Arc<Elf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    svma: Svma,
    size: u64,
    name: u32,
    table: u16,
    kind: SymbolKind,
    bind: u8,
}

impl SymbolTable {
    /// Merges the tables, the most complete first: among equal names at one address the first table's stays.
    pub(crate) fn new(sources: impl IntoIterator<Item = (Arc<Elf>, RawSymbols)>) -> SymbolTable {
        let (mut functions, mut objects, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let mut tables = Vec::new();
        for (table, (file, symbols)) in (0u16..).zip(sources) {
            for symbol in symbols.defined() {
                let Some(kind) = kind(&file, symbol, &symbols) else { continue };
                let RawSymbol { svma, size, name, .. } = symbol;
                let entry = Entry { svma, size, name, table, kind, bind: rank(symbol.bind) };
                match kind {
                    SymbolKind::Function => functions.push(entry),
                    SymbolKind::Object => objects.push(entry),
                    SymbolKind::ThreadLocal | SymbolKind::Other => others.push(entry),
                }
            }
            tables.push(Table { symbols, file });
        }
        let (functions, objects) = (Intervals::new(functions), Intervals::new(objects));
        SymbolTable { tables, functions, objects, others, by_name: OnceLock::new() }
    }

    /// The function that holds `at`. A symbol with a size ends there; one without reaches to the next symbol of its section.
    pub(crate) fn function(&self, at: Svma) -> Option<Symbol> {
        let sized = self.functions.containing(at.0).max_by_key(|entry| self.preference(entry));
        let entry = sized.or_else(|| self.label_before(at))?;
        Some(self.symbol(entry))
    }

    /// The data symbol that holds `at`.
    pub(crate) fn object(&self, at: Svma) -> Option<Symbol> {
        let entry = self.objects.containing(at.0).max_by_key(|entry| self.preference(entry))?;
        Some(self.symbol(entry))
    }

    /// The symbol of exactly that name; a global one rather than a local one.
    pub(crate) fn lookup(&self, name: &str) -> Option<Symbol> {
        let wanted = hash(name.as_bytes());
        let sorted = self.by_name();
        let first = sorted.partition_point(|(hash, _)| *hash < wanted);
        let same = sorted.get(first..)?.iter().take_while(|(hash, _)| *hash == wanted).take(MAX_SAME_NAME);
        let same = same.map(|(_, entry)| entry).filter(|entry| self.name(entry) == name.as_bytes());
        Some(self.symbol(same.max_by_key(|entry| (entry.bind, Reverse(entry.table)))?))
    }

    /// The symbols whose name begins with `prefix`, each address once, sorted by name.
    pub(crate) fn starting_with(&self, prefix: &str) -> Vec<Symbol> {
        let found = self.entries().filter(|entry| self.name(entry).starts_with(prefix.as_bytes()));
        let mut symbols: Vec<Symbol> = found.map(|entry| self.symbol(entry)).collect();
        symbols.sort_by(|a, b| a.name.cmp(&b.name).then(a.svma.cmp(&b.svma)));
        symbols.dedup_by(|b, a| a.svma == b.svma && a.name == b.name);
        symbols
    }

    /// Every symbol of that kind, by address.
    pub(crate) fn of_kind(&self, kind: SymbolKind) -> impl Iterator<Item = Symbol> + '_ {
        let entries = match kind {
            SymbolKind::Function => self.functions.all(),
            SymbolKind::Object => self.objects.all(),
            SymbolKind::ThreadLocal | SymbolKind::Other => &self.others,
        };
        entries.iter().filter(move |entry| entry.kind == kind).map(|entry| self.symbol(entry))
    }

    /// The closest symbol without a size before `at`, if no symbol that starts behind it and no section's end comes between.
    fn label_before(&self, at: Svma) -> Option<&Entry> {
        let before = self.functions.starting_up_to(at.0);
        let closest = before.last()?;
        let same = before.iter().rev().take(MAX_STEPS_BACK).take_while(|entry| entry.svma == closest.svma);
        let entry = same.filter(|entry| entry.size == 0).max_by_key(|entry| self.preference(entry))?;
        let Table { symbols, file } = self.tables.get(usize::from(entry.table))?;
        let near = symbols.complete || at.offset_from(entry.svma)? < MAX_REACH;
        (near && at < file.section_end(entry.svma)?).then_some(entry)
    }

    /// Larger is better among symbols that hold an address: the innermost; then a name that a user wrote rather than the alias of an
    /// implementation (`write`, not `__write`), a global one rather than a local one, the shorter.
    fn preference(&self, entry: &Entry) -> impl Ord + use<> {
        let name = self.name(entry);
        let underscores = name.iter().take_while(|byte| **byte == b'_').count();
        (entry.svma, Reverse(underscores), entry.bind, Reverse(name.len()), Reverse(entry.table), Reverse(entry.name))
    }

    fn by_name(&self) -> &[(u64, Entry)] {
        self.by_name.get_or_init(|| {
            let mut sorted: Vec<(u64, Entry)> = self.entries().map(|entry| (hash(self.name(entry)), *entry)).collect();
            sorted.sort_by_key(|(hash, entry)| (*hash, entry.svma));
            sorted
        })
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.functions.all().iter().chain(self.objects.all()).chain(&self.others)
    }

    fn name(&self, entry: &Entry) -> &[u8] {
        self.tables.get(usize::from(entry.table)).map_or(&[], |table| table.symbols.name(entry.name))
    }

    fn symbol(&self, entry: &Entry) -> Symbol {
        let name = String::from_utf8_lossy(self.name(entry)).into();
        Symbol { name, svma: entry.svma, size: entry.size, kind: entry.kind }
    }
}

impl Span for Entry {
    fn start(&self) -> u64 {
        self.svma.0
    }

    fn end(&self) -> u64 {
        self.svma.0.saturating_add(self.size)
    }
}

/// `None` for entries that name nothing: sections, files, and the markers that ARM linkers write.
fn kind(file: &Elf, symbol: RawSymbol, symbols: &RawSymbols) -> Option<SymbolKind> {
    let name = symbols.name(symbol.name);
    if name.is_empty() {
        return None;
    }
    if symbol.section >= elf::SHN_LORESERVE {
        return Some(SymbolKind::Other);
    }
    match symbol.kind {
        elf::STT_FUNC | elf::STT_GNU_IFUNC => Some(SymbolKind::Function),
        elf::STT_OBJECT | elf::STT_COMMON => Some(SymbolKind::Object),
        elf::STT_TLS => Some(SymbolKind::ThreadLocal),
        // Mapping symbols: $x, $d, with or without a suffix (AAELF64, "Mapping symbols").
        elf::STT_NOTYPE if name.starts_with(b"$") => None,
        elf::STT_NOTYPE => match file.section_holds(symbol.section) {
            SectionHolds::Instructions => Some(SymbolKind::Function),
            SectionHolds::Data if symbol.size > 0 => Some(SymbolKind::Object),
            SectionHolds::Data | SectionHolds::Nothing => Some(SymbolKind::Other),
        },
        _ => None,
    }
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(name);
    hasher.finish()
}

fn rank(bind: elf::SymbolBind) -> u8 {
    match bind {
        elf::STB_GLOBAL => 2,
        elf::STB_WEAK => 1,
        _ => 0,
    }
}
